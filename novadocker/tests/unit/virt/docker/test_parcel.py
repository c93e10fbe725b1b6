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

import pathlib

import fixtures
from oslotest import base

from novadocker.virt.docker import parcel

PARCEL = parcel.Parcel('image', 'base', 'sha256:1')


class ParcelsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.parcels = parcel.Parcels(str(self.path))

    def test_text(self):
        self.assertEqual(PARCEL, parcel.Parcel.loads(PARCEL.dumps()))
        for text in ('', '{}', '[]', '{"image_id": "a", "more": 1}'):
            self.assertRaises(
                (ValueError, TypeError), parcel.Parcel.loads, text
            )

    def test_kept_until_removed(self):
        self.assertIsNone(self.parcels.read('u'))
        self.parcels.write('u', PARCEL)
        again = parcel.Parcels(str(self.path))
        self.assertEqual(PARCEL, again.read('u'))
        self.assertIsNone(again.read('v'))
        for _ in range(2):
            again.remove('u')
        self.assertIsNone(self.parcels.read('u'))
        self.assertEqual([], list(self.path.iterdir()))

    def test_file_that_is_not_whole_is_none(self):
        self.parcels.write('u', PARCEL)
        (file,) = self.path.iterdir()
        file.write_text('{"image_')
        self.assertIsNone(self.parcels.read('u'))
