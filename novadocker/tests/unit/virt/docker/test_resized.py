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

from novadocker.virt.docker import naming
from novadocker.virt.docker import resized

USAGE = naming.Usage(2, 128, 3)


class ResizesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).path
        self.resizes = resized.Resizes(self.path)

    def test_usage_is_that_of_one_container(self):
        self.assertIsNone(self.resizes.usage('u', 'c'))
        self.resizes.write('u', resized.Resized('c', USAGE))
        again = resized.Resizes(self.path)
        self.assertEqual(USAGE, again.usage('u', 'c'))
        self.assertIsNone(again.usage('u', 'another'))
        self.assertIsNone(again.usage('v', 'c'))

    def test_waits_until_it_is_settled(self):
        self.assertFalse(self.resizes.waits('u'))
        self.resizes.settle('u')
        self.assertIsNone(self.resizes.read('u'))
        self.resizes.write('u', resized.Resized('c', USAGE, True))
        self.assertTrue(self.resizes.waits('u'))
        self.resizes.settle('u')
        self.assertFalse(self.resizes.waits('u'))
        self.assertEqual(USAGE, self.resizes.usage('u', 'c'))

    def test_file_that_is_not_whole_is_none(self):
        self.resizes.write('u', resized.Resized('c', USAGE, True))
        for text in ('', '{}', '{"usage": {}, "other": 1}'):
            (file,) = pathlib.Path(self.path).glob('u/*')
            file.write_text(text)
            self.assertIsNone(self.resizes.read('u'))
            self.assertFalse(self.resizes.waits('u'))
