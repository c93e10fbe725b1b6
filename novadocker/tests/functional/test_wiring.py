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

"""Servers whose ports Neutron has not wired yet."""

from novadocker.tests.fixtures import images
from novadocker.tests.functional import base


class WiringTestCase(base.FunctionalTestCase):
    """Neutron wires no port before a test says so."""

    # Seconds that a server waits for its ports; Nova's double of Neutron has
    # set that none does.
    timeout = 4 * base.PATIENCE

    def _setup_services(self):
        self.flags(vif_plugging_timeout=self.timeout)
        self.neutron.default_port = self.neutron.default_port | {
            'status': 'DOWN'
        }
        super()._setup_services()

    def plugged(self):
        """A server whose port is plugged, and not wired."""
        server = self.create(self.glance.add(images.SHELL))
        self.wait_for(self.switch.ports, 'no port is plugged')
        return server

    def tell(self, server, status):
        """Have Neutron tell of a server's port."""
        [port] = self.api.get_port_interfaces(server['id'])
        event = {
            'name': 'network-vif-plugged',
            'server_uuid': server['id'],
            'status': status,
            'tag': port['port_id'],
        }
        self.admin_api.create_server_external_events([event])

    def assert_fault(self, server, reason):
        # The user is told that it is the network, the operator what of it.
        self.assertIn('network', self.wait_for_fault(server)['message'])
        self.assertIn(reason, self.stdlog.logger.output)
        self.assertEqual([], self.switch.ports())
        self.delete(server)
        self.assert_nothing_left(server)


class WiredTestCase(WiringTestCase):
    def test_server_waits_for_its_port(self):
        server = self.plugged()
        self.assertEqual(
            'BUILD', self.api.get_server(server['id'])['status']
        )
        self.tell(server, 'completed')
        self.wait_for_status(server, 'ACTIVE')

    def test_port_that_cannot_be_wired(self):
        server = self.plugged()
        self.tell(server, 'failed')
        self.assert_fault(server, 'could not wire it')


class LateTestCase(WiringTestCase):
    timeout = 1

    def test_port_that_is_not_wired_in_time(self):
        server = self.create(self.glance.add(images.SHELL))
        self.assert_fault(server, 'has not wired it within 1 seconds')
