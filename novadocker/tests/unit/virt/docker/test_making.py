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

from oslotest import base

from novadocker.virt.docker import making


class MakingTestCase(base.BaseTestCase):
    def test_nothing_is_prepared_unless_it_is_said(self):
        made = making.Making(lambda: 'image')

        self.assertEqual('image', made.image())
        self.assertIsNone(made.furnish())
        self.assertIsNone(made.prepare('container'))
        self.assertTrue(made.power_on)
