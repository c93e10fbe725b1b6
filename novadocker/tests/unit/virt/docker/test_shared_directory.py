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

import hashlib
import os
import pathlib

import fixtures
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import download
from novadocker.virt.docker import shared_directory

DATA = b'an image' * 500_000


class SharedDirectoryTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path
        )
        self.path = self.directory / instances.GLANCE_ID

    def record(self, **fields):
        return download.Record(
            **{
                'image_id': instances.GLANCE_ID,
                'size': len(DATA),
                'hash_algorithm': 'sha512',
                'hash_value': hashlib.sha512(DATA).hexdigest(),
            }
            | fields
        )

    def read(self, directory=None, **fields):
        with shared_directory.opened(
            str(directory or self.directory), self.record(**fields)
        ) as chunks:
            return b''.join(chunks)

    def test_what_glance_has_recorded(self):
        self.path.write_bytes(DATA)
        self.assertEqual(DATA, self.read())

    def test_nothing_there(self):
        self.assertRaises(FileNotFoundError, self.read)

    def test_no_directory_is_no_missing_file(self):
        found = self.assertRaises(OSError, self.read, self.path)
        self.assertNotIsInstance(found, FileNotFoundError)

    def test_other_data(self):
        self.path.write_bytes(DATA[:-1] + b'x')
        self.assertRaises(exception.ImageRejected, self.read)

    def test_half_a_file_is_not_read(self):
        self.path.write_bytes(DATA[:-1])
        self.assertRaises(OSError, self.read)

    def test_file_that_is_cut_while_it_is_read(self):
        self.path.write_bytes(DATA)
        with shared_directory.opened(
            str(self.directory), self.record()
        ) as chunks:
            next(chunks)
            self.path.write_bytes(b'')
            self.assertRaises(exception.ImageRejected, b''.join, chunks)

    def test_links_are_not_followed(self):
        elsewhere = self.directory / 'elsewhere'
        elsewhere.write_bytes(DATA)
        self.path.symlink_to(elsewhere)
        self.assertRaises(OSError, self.read)

    def test_what_is_no_file(self):
        os.mkfifo(self.path)
        self.assertRaises(OSError, self.read)
        self.path.unlink()
        self.path.mkdir()
        self.assertRaises(OSError, self.read)

    def test_without_a_hash_nothing_is_believed(self):
        self.path.write_bytes(DATA)
        self.assertRaises(
            OSError, self.read, hash_algorithm=None, hash_value=None
        )

    def test_only_an_id_is_a_name(self):
        (self.directory / 'x').write_bytes(DATA)
        for image_id in ('x', f'../{self.directory.name}/x', '..', ''):
            self.assertRaises(OSError, self.read, image_id=image_id)
