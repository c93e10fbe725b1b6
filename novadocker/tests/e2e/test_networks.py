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

"""Servers that talk to each other."""

import json

from novadocker.tests.e2e import base
from novadocker.tests.fixtures import images
from novadocker.virt.docker import naming

# Many segments, so that a wrong MTU or checksum shows.
_LINES = 300_000


class TestNetworks(base.TestCase):
    def second_network(self):
        """A network of both families."""
        network = self.cloud.demo.network
        made = network.create_network(name=self.name)
        self.addCleanup(network.delete_network, made)
        network.create_subnet(
            name=self.name,
            network_id=made.id,
            ip_version=4,
            cidr='10.88.0.0/24',
            gateway_ip=None,
            host_routes=[
                {'destination': '10.99.0.0/16', 'nexthop': '10.88.0.254'}
            ],
        )
        network.create_subnet(
            name=f'{self.name}-6',
            network_id=made.id,
            ip_version=6,
            cidr='fd88::/64',
            ipv6_address_mode='dhcpv6-stateful',
        )
        return made

    def routes(self, server, *family):
        name = naming.instance_name(server.id)
        said = base.run('ip', *family, '-n', name, '-json', 'route')
        return {entry['dst']: entry for entry in json.loads(said)}

    def test_two_networks(self):
        second = self.second_network()
        image = self.upload(base.WEB)
        server = self.boot(image, self.cloud.network, second)
        self.assert_running(server)
        self.assertEqual(2, len(self.ports(server)))
        self.assert_answers(server)
        routes = self.routes(server)
        subnet = self.cloud.demo.network.find_subnet(base.NETWORK)
        self.assertEqual(subnet.gateway_ip, routes['default']['gateway'])
        self.assertEqual('eth0', routes['default']['dev'])
        self.assertEqual('10.88.0.254', routes['10.99.0.0/16']['gateway'])
        self.assertEqual('eth1', routes['10.99.0.0/16']['dev'])
        subnet = self.cloud.demo.network.find_subnet(f'{self.name}-6')
        self.assertEqual(
            subnet.gateway_ip, self.routes(server, '-6')['default']['gateway']
        )
        another = self.boot(image, second)
        self.assert_running(another)
        for entry in self.show(another).addresses[second.name]:
            with self.subTest(address=entry['addr']):
                self.assert_reaches(server, entry['addr'])

    def assert_reaches(self, server, address):
        self.wait_for(
            lambda: (
                ' 0% packet loss'
                in self.inside(
                    server, 'ping', '-c', '2', '-W', '2', address, check=False
                )
            ),
            f'ping to {address}',
            seconds=20,
        )
        self.assertEqual('It is busybox\n', self.fetch(server, address, ''))

    def fetch(self, server, address, path):
        """What a web server answers to another server."""
        said = self.inside(
            server,
            'sh',
            '-c',
            f'printf "GET /{path} HTTP/1.0\r\n\r\n" | nc -w 20 {address} 80',
        )
        return said.replace('\r\n', '\n').split('\n\n', 1)[1]

    def test_two_servers_reach_each_other(self):
        data = ''.join(f'line {number}\n' for number in range(_LINES))
        image = self.upload(
            images.Image(
                command=base.WEB.command,
                files=(*base.WEB.files, ('www/data', data.encode())),
            )
        )
        first, second = self.boot(image), self.boot(image)
        for here, there in ((first, second), (second, first)):
            address = self.address(there)
            self.assert_reaches(here, address)
            self.assertEqual(data, self.fetch(here, address, 'data'))

    def test_a_closed_group_lets_nothing_in(self):
        server = self.boot(self.upload(base.WEB))
        self.assert_answers(server)
        network = self.cloud.demo.network
        for rule in network.security_group_rules(
            security_group_id=self.group.id, direction='ingress'
        ):
            network.delete_security_group_rule(rule)
        address = self.address(server)
        self.wait_for(
            lambda: (
                '100% packet loss'
                in self.beside(
                    'ping', '-c', '2', '-W', '1', address, check=False
                )
            ),
            'the closed group',
            seconds=30,
        )
