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

import os
import time

import fixtures
from oslotest import base

from novadocker.virt.docker import last_use


class LastUseTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).join('a', 'b')
        self.last_use = last_use.LastUse(self.path)

    def used(self, image_id, ago):
        self.last_use.note(image_id)
        then = time.time() - ago
        os.utime(os.path.join(self.path, image_id), (then, then))

    def test_nothing_was_ever_used(self):
        self.assertEqual({}, self.last_use.ages())
        self.assertIsNone(self.last_use.age('one'))
        self.last_use.forget('one')

    def test_ages(self):
        self.used('one', 100)
        self.used('two', 10)
        ages = self.last_use.ages()
        self.assertEqual({'one', 'two'}, set(ages))
        self.assertTrue(100 <= ages['one'] < 200)
        self.assertTrue(10 <= ages['two'] < 100)
        self.assertTrue(100 <= self.last_use.age('one') < 200)

    def test_a_use_makes_it_new(self):
        self.used('one', 100)
        self.last_use.note('one')
        self.assertLess(self.last_use.age('one'), 50)

    def test_others_see_it(self):
        self.used('one', 100)
        self.assertEqual({'one'}, set(last_use.LastUse(self.path).ages()))

    def test_forgotten(self):
        self.used('one', 100)
        self.last_use.forget('one')
        self.assertEqual({}, self.last_use.ages())
