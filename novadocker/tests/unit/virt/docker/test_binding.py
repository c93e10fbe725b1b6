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
from os_vif.objects import vif as os_vif_vif
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import network as ports
from novadocker.virt.docker import binding


class BindingTestCase(base.BaseTestCase):
    def test_port_of_open_vswitch_is_made_by_os_vif(self):
        """But its device is ours, and no tap."""
        profile = binding.convert(ports.vif()).port_profile

        self.assertTrue(profile.create_port)
        if 'create_tap' in profile.fields:
            self.assertFalse(profile.create_tap)

    def test_hybrid_port_has_a_bridge_of_its_own(self):
        found = binding.convert(ports.hybrid(ports.vif()))

        self.assertIsInstance(found, os_vif_vif.VIFBridge)

    def test_port_that_is_not_bound(self):
        for kind in ('binding_failed', 'unbound'):
            vif = ports.vif(type=kind)
            error = self.assertRaises(
                nova_exception.VirtualInterfacePlugException,
                binding.convert,
                vif,
            )
            self.assertIn(vif['id'], str(error))

    def test_port_that_no_container_can_use(self):
        for changes in (
            {'type': 'hw_veb'},
            {'type': 'macvtap'},
            {'type': 'no such type'},
            {'vnic_type': 'direct', 'profile': {'pci_slot': '0000:00:01.0'}},
            {
                'type': 'vhostuser',
                'details': {'vhostuser_socket': '/run/x'},
            },
        ):
            vif = ports.vif(**changes)
            error = self.assertRaises(
                exception.PortNotSupported, binding.convert, vif
            )
            self.assertIn(vif['id'], str(error))
            self.assertIn(vif['type'], str(error))

    def test_port_that_neutron_has_unbound_is_looked_for_as_usual(self):
        vif = ports.vif()
        found = binding.last_known(ports.unbound(vif), 'br-ndt')

        self.assertIsInstance(found, os_vif_vif.VIFOpenVSwitch)
        self.assertEqual(
            (vif['id'], vif['devname'], 'br-ndt', 'ovs'),
            (found.id, found.vif_name, found.network.bridge, found.plugin),
        )

    def test_port_that_is_bound_is_what_it_is(self):
        vif = ports.hybrid(ports.vif())

        self.assertIsInstance(
            binding.last_known(vif, 'br-ndt'), os_vif_vif.VIFBridge
        )
