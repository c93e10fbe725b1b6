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

from novadocker.tests.fixtures import status
from novadocker.virt.docker import traces


class TracesTestCase(base.BaseTestCase):
    def test_a_sandbox_holds_no_data(self):
        found = traces.Traces(status.containers())
        self.assertEqual([status.NAME], [one.name for one in found.data])
        self.assertEqual(status.containers()[1], found.container(status.BOX))
        self.assertIsNone(found.container('another'))

    def test_servers_whose_fate_matters(self):
        seen = traces.Seen(
            traces={'a': traces.Traces()}, snapshots={'image': 'b'}
        )
        self.assertEqual({'a', 'b'}, seen.servers)
