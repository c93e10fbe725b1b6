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

from unittest import mock

from oslotest import base

from novadocker.privsep import devices
from novadocker.tests.fixtures import netlink
from novadocker.tests.fixtures import ovs


class DevicesTestCase(base.BaseTestCase):
    def test_devices(self):
        self.useFixture(ovs.PrivilegedHere())
        kernel = netlink.Kernel()
        bridge = kernel.has_link('br1', kind='bridge')
        system = kernel.has_link('ovs-system', kind='openvswitch')
        kernel.has_link('tap1', kind='veth', up=True, IFLA_MASTER=bridge)
        kernel.has_link('tap2', kind='veth', IFLA_MASTER=system)
        with mock.patch('pyroute2.IPRoute', kernel):
            found = {one.pop('name'): one for one in devices.devices()}
        self.assertEqual({'up': True, 'bridge': 'br1'}, found['tap1'])
        self.assertEqual({'up': False, 'bridge': ''}, found['tap2'])
        self.assertEqual({'up': False, 'bridge': ''}, found['br1'])
