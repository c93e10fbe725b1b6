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
"""The way between a server and what is outside of the cloud's networks."""

from novadocker.tests.e2e import base
from novadocker.tests.e2e import traffic
from novadocker.virt.docker import naming

_SIZES = (100, 10 << 20)


class TestFloating(base.TestCase):
    """The host is what is outside: it has an address on that network.

    One way at a time: Open vSwitch 3.1 in userspace forgets how a sender has
    cut its data, and cuts it anew without room for what acknowledges the data
    of the other way. A router then drops it as too large.
    """

    def test_a_floating_address(self):
        network = self.cloud.demo.network
        server = self.boot(self.upload(base.WEB))
        [port] = self.ports(server)
        public = network.find_network('public')
        gateway = network.get_subnet(public.subnet_ids[0]).gateway_ip
        # The router's own address stands for that of a server without one.
        with traffic.echo(None, at_once=False):
            self.assert_passes(naming.instance_name(server.id), gateway)
        floating = network.create_ip(
            floating_network_id=public.id, port_id=port.id
        )
        self.addCleanup(network.delete_ip, floating, ignore_missing=True)
        address = floating.floating_ip_address
        self.wait_for(lambda: self.page(address), 'the floating address')
        self.wait_for(
            lambda: (
                address in {entry['addr'] for entry in self.addresses(server)}
            ),
            'word of it to Nova',
        )
        with traffic.echo(naming.instance_name(server.id), at_once=False):
            self.assert_passes(None, address)
        url = 'http://169.254.169.254/latest/meta-data/public-ipv4'
        self.wait_for(
            lambda: self.inside(server, 'wget', '-qO-', url) == address,
            'the metadata',
        )
        network.update_ip(floating, port_id=None)
        self.wait_for(lambda: not self.page(address), 'its end')

    def addresses(self, server):
        return self.show(server).addresses[base.NETWORK]

    def page(self, address):
        """What a web server says, nothing if there is none."""
        return base.run(
            'curl', '-sS', '-m', '3', f'http://{address}/', check=False
        )

    def assert_passes(self, namespace, address):
        for protocol in ('tcp', 'udp'):
            for size in _SIZES:
                self.assertTrue(
                    traffic.comes_back(namespace, address, protocol, size),
                    (address, protocol, size),
                )
