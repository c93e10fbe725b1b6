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


from nova import exception as nova_exception
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import glance
from novadocker.virt.docker import download

DATA = bytes(range(256)) * 2000


class OpenedTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.glance = glance.Glance()

    def read(self, image_id):
        record = download.record(self.glance, None, image_id)
        with download.opened(self.glance, None, record, None) as chunks:
            return record.size, b''.join(chunks)

    def assert_rejected(self, word, image_id):
        found = self.assertRaises(exception.ImageRejected, self.read, image_id)
        self.assertIn(word, str(found))
        self.assertIn(image_id, str(found))

    def test_data_and_their_size(self):
        meta = self.glance.add(DATA)
        self.assertEqual((len(DATA), DATA), self.read(meta.id))

    def test_what_is_not_recorded_is_not_held_against_the_data(self):
        self.glance.checks = False
        meta = self.glance.add(DATA, size=None, os_hash_value=None)
        self.assertEqual((None, DATA), self.read(meta.id))

    def test_other_data(self):
        meta = self.glance.add(DATA)
        self.glance.replace(meta.id, DATA[::-1])
        self.assert_rejected('Corrupt', meta.id)

    def test_more_or_fewer_data(self):
        self.glance.checks = False
        for size in (len(DATA) - 1, len(DATA) + 1):
            meta = self.glance.add(DATA, size=size)
            self.assert_rejected(str(size), meta.id)

    def test_hash_that_nobody_knows(self):
        meta = self.glance.add(DATA, os_hash_algo='rot13')
        self.assert_rejected('rot13', meta.id)

    def test_broken_connection(self):
        self.glance.break_after = len(DATA) // 2
        meta = self.glance.add(DATA)
        self.assertRaises(
            nova_exception.GlanceConnectionFailed, self.read, meta.id
        )

    def test_no_such_image(self):
        self.assertRaises(nova_exception.ImageNotFound, self.read, 'none')

    def test_left_before_its_end(self):
        meta = self.glance.add(DATA * 20)
        record = download.record(self.glance, None, meta.id)
        with download.opened(self.glance, None, record, None) as chunks:
            first = next(chunks)
        self.assertEqual(DATA[: len(first)], first)
