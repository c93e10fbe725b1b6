#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.
import os

import fixtures
from oslotest import base

from novadocker.virt.docker import suspension


class SuspensionsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).path
        self.suspensions = suspension.Suspensions(self.path)

    def test_added_and_discarded(self):
        self.assertNotIn('u', self.suspensions)
        self.suspensions.add('u')
        self.suspensions.add('u')
        self.assertIn('u', self.suspensions)
        self.assertNotIn('v', self.suspensions)
        self.suspensions.discard('u')
        self.suspensions.discard('u')
        self.assertNotIn('u', self.suspensions)

    def test_known_to_the_next_life_of_nova_compute(self):
        self.suspensions.add('u')

        self.assertIn('u', suspension.Suspensions(self.path))
        self.assertEqual(['u'], os.listdir(self.path))
