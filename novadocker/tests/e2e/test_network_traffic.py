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
"""What passes between servers, and what does not."""

import base64
import ipaddress
import json

from novadocker.tests.e2e import base
from novadocker.tests.e2e import traffic
from novadocker.virt.docker import naming

_SIZES = (100, 10 << 20)
_SERVICE = 'http://169.254.169.254'


class NetworkTestCase(base.TestCase):
    def setUp(self):
        super().setUp()
        self.network = self.cloud.demo.network

    def make_network(self, *subnets, by=None):
        """:param by: whose connection, instead of the user demo's"""
        network = (by or self.cloud.demo).network
        made = network.create_network(name=self.name)
        self.addCleanup(network.delete_network, made)
        for subnet in subnets:
            network.create_subnet(network_id=made.id, **subnet)
        return made

    def comes_back(self, here, there, protocol, size=100):
        """Whether bytes come back from a server where an echo runs.

        :param there: an address
        """
        return traffic.comes_back(
            naming.instance_name(here.id), there, protocol, size
        )


class TestTraffic(NetworkTestCase):
    def test_traffic_and_its_rules(self):
        """Both families and protocols, both ways, and only what is let in."""
        network = self.make_network(
            {'ip_version': 4, 'cidr': '10.88.0.0/24'},
            {
                'ip_version': 6,
                'cidr': 'fd88::/64',
                'ipv6_address_mode': 'dhcpv6-stateful',
            },
        )
        image = self.upload(base.WEB)
        one = self.request(image, network)
        other = self.boot(image, network)
        self.wait_for_status(one, 'ACTIVE')
        for server in (one, other):
            self.assert_running(server)
        for here, there in ((one, other), (other, one)):
            with traffic.echo(naming.instance_name(there.id)):
                self.assert_passes(here, there)
        self.rules_on_and_off(one, other)
        self.forged_senders(one, other)

    def addresses(self, server):
        [port] = self.ports(server)
        return [entry['ip_address'] for entry in port.fixed_ips]

    def assert_passes(self, here, there):
        addresses = self.addresses(there)
        self.assertEqual(2, len(addresses))
        for address in addresses:
            for protocol in ('tcp', 'udp'):
                for size in _SIZES:
                    self.assertTrue(
                        self.comes_back(here, address, protocol, size),
                        (address, protocol, size),
                    )

    def rules_on_and_off(self, one, other):
        """What is let in changes while the servers run."""
        for rule in self.network.security_group_rules(
            security_group_id=self.group.id, direction='ingress'
        ):
            self.network.delete_security_group_rule(rule)
        address = self.addresses(other)[0]
        version = 'IPv6' if ':' in address else 'IPv4'

        def passes(*protocols):
            return all(
                self.comes_back(one, address, protocol)
                == (protocol in protocols)
                for protocol in ('tcp', 'udp')
            )

        with traffic.echo(naming.instance_name(other.id)):
            self.wait_for(passes, 'that nothing passes')
            for protocol in ('tcp', 'udp'):
                rule = self.network.create_security_group_rule(
                    security_group_id=self.group.id,
                    direction='ingress',
                    ether_type=version,
                    protocol=protocol,
                    port_range_min=traffic.PORT,
                    port_range_max=traffic.PORT,
                )
                self.wait_for(lambda p=protocol: passes(p), protocol)
                self.network.delete_security_group_rule(rule)
                self.wait_for(passes, f'that {protocol} does not pass')
        self.network.create_security_group_rule(
            security_group_id=self.group.id,
            direction='ingress',
            ether_type='IPv4',
        )

    def station(self, server):
        [port] = self.ports(server)
        [ip] = [
            entry['ip_address']
            for entry in port.fixed_ips
            if '.' in entry['ip_address']
        ]
        return traffic.Station(port.mac_address, ip)

    def forged_senders(self, one, other):
        """Nobody is heard under a false name, unless its port lets it."""
        here, there = self.station(one), self.station(other)

        def heard():
            return traffic.heard(
                *(naming.instance_name(server.id) for server in (one, other)),
                there,
                mac=traffic.Station('fa:16:3e:00:00:01', here.ip),
                ip=traffic.Station(here.mac, '10.88.0.250'),
                honest=here,
            )

        self.wait_for(lambda: 'honest' in heard(), 'the rule')
        self.assertEqual({'honest'}, heard())
        [port] = self.ports(one)
        self.network.update_port(
            port, security_groups=[], port_security_enabled=False
        )
        self.wait_for(
            lambda: heard() == {'honest', 'mac', 'ip'}, 'forged senders'
        )


class TestIsolation(NetworkTestCase):
    def setUp(self):
        super().setUp()
        found = json.loads(
            base.run('ip', '-json', '-4', 'address', 'show', 'scope', 'global')
        )
        self.the_host = found[0]['addr_info'][0]['local']
        # Any tenant may have a subnet with that address.
        self.cidr = ipaddress.ip_network(f'{self.the_host}/24', strict=False)
        free = [str(one) for one in self.cidr if str(one) != self.the_host]
        self.pool = {'start': free[100], 'end': free[110]}
        self.free = free[120]

    def test_a_server_reaches_nothing_but_its_own(self):
        lure = self.make_network(
            {
                'ip_version': 4,
                'cidr': str(self.cidr),
                'gateway_ip': None,
                'allocation_pools': [self.pool],
            }
        )
        key = self.cloud.demo.compute.create_keypair(name=self.name)
        self.addCleanup(self.cloud.demo.compute.delete_keypair, key)
        image = self.upload(base.WEB)
        neighbour = self.request(image)
        server = self.boot(
            image,
            self.cloud.network,
            lure,
            key_name=key.name,
            user_data=base64.b64encode(b'by its user').decode(),
        )
        neighbour = self.wait_for_status(neighbour, 'ACTIVE')
        self.assert_running(server)
        self.its_own_metadata(server, key)
        self.nobody_else_s_metadata(server, neighbour)
        self.not_the_host(server)
        self.not_another_tenant(server, image)

    def its_own_metadata(self, server, key):
        found = self.metadata(server)
        self.assertEqual(
            (server.id, self.name, {self.name: key.public_key.strip()}),
            (
                found['uuid'],
                found['name'],
                {
                    name: value.strip()
                    for name, value in found['public_keys'].items()
                },
            ),
        )
        for path, wanted in (
            ('openstack/latest/user_data', 'by its user'),
            ('latest/user-data', 'by its user'),
            ('latest/meta-data/local-ipv4', self.address(server)),
        ):
            self.assertEqual(
                wanted,
                self.inside(server, 'wget', '-q', '-O-', f'{_SERVICE}/{path}'),
            )

    def nobody_else_s_metadata(self, server, neighbour):
        """Neither by a header nor by a sender that are forged."""
        url = f'{_SERVICE}/openstack/latest/meta_data.json'
        address = self.address(neighbour)
        self.assertEqual(neighbour.id, self.metadata(neighbour)['uuid'])
        tenant = self.network.find_network(base.NETWORK).project_id
        for name, value in (
            ('X-Instance-ID', neighbour.id),
            ('X-Tenant-ID', tenant),
            ('X-Neutron-Network-ID', self.cloud.network.id),
            # Neutron's proxy adds its own, and gives up at two of them.
            ('X-Forwarded-For', address),
        ):
            header = f'{name}: {value}'
            said = self.within(
                server, 'curl', '-sS', '-m', '20', '-H', header, url
            )
            self.assertNotIn(neighbour.id, said, name)
            if name != 'X-Forwarded-For':
                self.assertIn(server.id, said, name)
        ask = ('curl', '-sS', '-m', '3', '--interface')
        said = self.within(server, *ask, self.address(server), url)
        self.assertEqual(server.id, json.loads(said)['uuid'])
        self.within(
            server, 'ip', 'address', 'add', f'{address}/32', 'dev', 'eth0'
        )
        said = self.within(server, *ask, address, url, check=False)
        self.assertEqual('', said)
        self.within(
            server, 'ip', 'address', 'del', f'{address}/32', 'dev', 'eth0'
        )

    def not_the_host(self, server):
        """Nor its engine, where a subnet has the host's own address."""
        said = self.inside(
            server,
            'ls',
            '/run/docker.sock',
            '/var/run/docker.sock',
            check=False,
        )
        self.assertEqual('', said)
        name = naming.instance_name(server.id)
        nics = {nic['address']: nic for nic in self.nics(server).values()}
        with traffic.echo(None):
            self.assertTrue(
                traffic.comes_back(None, self.the_host, 'udp', 100)
            )
            for port in self.ports(server):
                nic = nics[port.mac_address]['ifname']
                mac = _mac_outside(port)
                self.assertFalse(
                    self.comes_back(server, f'{_link_local(mac)}%{nic}', 'tcp')
                )
        for port in self.ports(server):
            heard = traffic.heard(
                name,
                None,
                traffic.Station(_mac_outside(port), self.the_host),
                device=nics[port.mac_address]['ifname'],
                me=traffic.Station(
                    port.mac_address, port.fixed_ips[0]['ip_address']
                ),
            )
            self.assertEqual(set(), heard)

    def not_another_tenant(self, server, image):
        """Who has a network with the same addresses."""
        admin = self.cloud.admin
        theirs = self.make_network(
            {'ip_version': 4, 'cidr': str(self.cidr), 'gateway_ip': None},
            by=admin,
        )
        port = admin.network.create_port(
            network_id=theirs.id,
            fixed_ips=[{'ip_address': self.free}],
            port_security_enabled=False,
        )
        self.addCleanup(admin.network.delete_port, port)
        another = admin.compute.create_server(
            name=self.name,
            image_id=image.id,
            flavor_id=admin.compute.find_flavor(base.FLAVOR).id,
            networks=[{'port': port.id}],
        )
        self.addCleanup(self.delete, another)
        self.wait_for_status(another, 'ACTIVE')
        ping = ('ping', '-c', '1', '-W', '2', self.free)
        self.beside(*ping, network=theirs)
        said = self.within(server, *ping, check=False)
        self.assertIn('100% packet loss', said)


def _mac_outside(port):
    """The MAC address of a port's end on the host."""
    with open(f'/sys/class/net/tap{port.id[:11]}/address') as found:
        return found.read().strip()


def _link_local(mac):
    """The address that IPv6 gives a device."""
    parts = bytes.fromhex(mac.replace(':', ''))
    parts = bytes([parts[0] ^ 2, *parts[1:3], 0xFF, 0xFE, *parts[3:]])
    return f'fe80::{parts.hex(":", 2)}'
