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


import bz2
import itertools

from oslotest import base

from novadocker.tests.fixtures import archives
from novadocker.virt.docker import compression
from novadocker.virt.docker import recognition


class PeekTestCase(base.BaseTestCase):
    def test_the_stream_is_whole_afterwards(self):
        data = bytes(range(250)) * 2000
        chunks = iter([data[:10], data[10:300_000], data[300_000:]])
        head, rest = recognition.peek(chunks)
        self.assertEqual(data[:60_000], head[:60_000])
        self.assertEqual(data, b''.join(rest))

    def test_shows_what_is_packed(self):
        data = bytes(range(250)) * 2000
        packed = bz2.compress(data)
        head, rest = recognition.peek(iter([packed]))
        self.assertEqual(data[:60_000], head[:60_000])
        self.assertEqual(packed, b''.join(rest))

    def test_does_not_wait_for_ever(self):
        nothing = itertools.repeat(bz2.compress(b'') * 1000)
        self.assertRaises(compression.BadArchive, recognition.peek, nothing)


class RootFileSystemTestCase(base.BaseTestCase):
    def test_is_one(self):
        self.assertTrue(
            recognition.is_root_file_system(archives.root_file_system())
        )

    def test_is_none(self):
        for data in (
            archives.good(),
            archives.tar(archives.oci()),
            archives.tar([]),
            b'no tar at all',
        ):
            self.assertFalse(recognition.is_root_file_system(data))


class DescribedTestCase(base.BaseTestCase):
    def test_mistakes(self):
        for head, words in (
            (b'', 'empty'),
            (b'QFI\xfb\0\0', 'a qcow2 disk image'),
            (b'\0' * 0x8001 + b'CD001', 'an ISO 9660 image'),
            (b'FROM scratch\n', 'a text'),
            (b'\xff\xfe\xfd', 'no tar archive'),
        ):
            self.assertEqual(words, recognition.described(head))

    def test_a_manifest_alone(self):
        self.assertIn('manifest', recognition.described(b' {"schemaVersion"'))
