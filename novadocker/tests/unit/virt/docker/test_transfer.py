# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.


import threading

from oslotest import base

from novadocker.virt.docker import transfer


class ProducedTestCase(base.BaseTestCase):
    def test_what_is_written_is_read_in_order(self):
        pieces = [b'%d' % number for number in range(1000)]

        def produce(target):
            for piece in pieces:
                self.assertEqual(len(piece), target.write(piece))
            target.write(b'')

        with transfer.produced(produce) as chunks:
            self.assertEqual(pieces, list(chunks))

    def test_an_error_comes_after_what_was_written(self):
        def produce(target):
            target.write(b'a')
            target.truncate(0)
            raise KeyError('lost')

        found = []
        with transfer.produced(produce) as chunks:
            self.assertRaises(KeyError, lambda: found.extend(chunks))
        self.assertEqual([b'a'], found)

    def test_the_writer_waits_for_the_reader(self):
        written = []

        def produce(target):
            for number in range(1000):
                target.write(b'x')
                written.append(number)

        with transfer.produced(produce) as chunks:
            next(chunks)
            self.assertLess(len(written), 100)
            self.assertEqual(999, len(list(chunks)))

    def test_a_reader_that_leaves_ends_the_writer(self):
        ended = threading.Event()

        def produce(target):
            try:
                while True:
                    target.write(b'x')
            except transfer.Abandoned:
                ended.set()
                raise

        with transfer.produced(produce) as chunks:
            next(chunks)
        self.assertTrue(ended.is_set())


class ReadableTestCase(base.BaseTestCase):
    def test_reads_of_any_size(self):
        for size in (1, 2, 7, 100):
            body = transfer.Readable(iter([b'abc', b'', b'defgh', b'i']))
            found = []
            while piece := body.read(size):
                self.assertLessEqual(len(piece), size)
                found.append(piece)
            self.assertEqual(b'abcdefghi', b''.join(found))
            self.assertEqual(9, body.size)
            self.assertTrue(body.complete)

    def test_read_of_everything(self):
        body = transfer.Readable(iter([b'abc', b'def']))
        self.assertEqual(b'a', body.read(1))
        self.assertEqual(b'bcdef', body.read())
        self.assertEqual(b'', body.read())

    def test_is_not_complete_before_its_end(self):
        body = transfer.Readable(iter([b'abc', b'def']))
        body.read(4)
        self.assertFalse(body.complete)

    def test_an_error_is_never_taken_for_the_end(self):
        def chunks():
            yield b'abc'
            raise KeyError('lost')

        body = transfer.Readable(chunks())
        self.assertEqual(b'ab', body.read(2))
        for _ in range(3):
            self.assertRaises(KeyError, body.read, 5)
        self.assertFalse(body.complete)
