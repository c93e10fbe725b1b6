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
"""Every kind of port, from the first process on and over every restart."""

import json

from novadocker.tests.e2e import base
from novadocker.tests.fixtures import images

# What a process sees of the network, written down by the first one.
_LOOK = (
    'ip -o address | cut -d" " -f2- | grep -v valid_lft; ip route; '
    'ip -6 route | grep -v "^multicast"; cat /etc/resolv.conf /etc/hosts'
)
_LOOKS = images.Image(
    command=(
        'sh',
        '-c',
        f'({_LOOK}) > /first; trap "exit 0" TERM; '
        'httpd -f -p 80 -h /www & wait',
    ),
    files=images.HTTPD.files,
)
_MAC = 'fa:16:3e:4d:5a:43'
_MTU = 1400


class TestPorts(base.TestCase):
    def setUp(self):
        super().setUp()
        self.network = self.cloud.demo.network

    def every_kind(self):
        """A network with a subnet of every kind, but for a gateway of IPv4."""
        made = self.network.create_network(name=self.name, mtu=_MTU)
        self.addCleanup(self.network.delete_network, made)
        self.network.create_subnet(
            network_id=made.id,
            ip_version=4,
            cidr='10.88.0.0/24',
            gateway_ip=None,
            dns_nameservers=['10.88.0.53', '10.88.0.54'],
            host_routes=[
                {'destination': '10.99.0.0/16', 'nexthop': '10.88.0.254'}
            ],
        )
        for number, mode in enumerate(
            ('slaac', 'dhcpv6-stateless', 'dhcpv6-stateful')
        ):
            self.network.create_subnet(
                name=f'{self.name}-{mode}',
                network_id=made.id,
                ip_version=6,
                cidr=f'fd88:{number}::/64',
                ipv6_address_mode=mode,
            )
        return made

    def free_address(self):
        """One of the network demo, and its subnet."""
        probe = self.port(self.cloud.network)
        self.network.delete_port(probe)
        return probe.fixed_ips[0]

    def test_every_kind(self):
        kinds = self.every_kind()
        addresses = [self.free_address() for _ in range(2)]
        own = self.port(
            self.cloud.network, mac_address=_MAC, fixed_ips=addresses
        )
        second = self.port(kinds)
        bare = self.port(self.cloud.network, fixed_ips=[])
        server = self.boot(
            self.upload(_LOOKS),
            {'port': own.id, 'tag': 'own'},
            {'uuid': kinds.id, 'tag': 'made'},
            {'port': second.id},
            {'port': bare.id},
        )
        self.assert_running(server)
        nics = self.nics(server)
        self.assert_order(nics, own, kinds, second, bare)
        self.assert_addresses(nics, addresses, kinds)
        self.assert_routes(server)
        self.assert_names(server)
        self.assert_tags(server, nics)
        self.assert_seen_by_the_first_process(server)
        self.assert_talks(server, kinds)
        self.assert_kept_over_every_restart(server)

    def assert_order(self, nics, own, kinds, second, bare):
        self.assertEqual(['lo', 'eth0', 'eth1', 'eth2', 'eth3'], list(nics))
        macs = [nics[f'eth{number}']['address'] for number in range(4)]
        self.assertEqual(
            [_MAC, second.mac_address, bare.mac_address],
            [macs[0], *macs[2:]],
        )
        [made] = self.network.ports(mac_address=macs[1])
        self.assertEqual(kinds.id, made.network_id)

    def assert_addresses(self, nics, addresses, kinds):
        """That they are Neutron's was seen: this is what they have to be."""
        found = {
            name: [
                f'{entry["local"]}/{entry["prefixlen"]}'
                for entry in link['addr_info']
                if entry['scope'] == 'global'
            ]
            for name, link in nics.items()
        }
        self.assertEqual(
            {f'{entry["ip_address"]}/24' for entry in addresses},
            set(found['eth0']),
        )
        self.assertEqual([], found['eth3'])
        for name in ('eth1', 'eth2'):
            self.assertEqual(_MTU, nics[name]['mtu'])
            self.assertEqual(
                {'10.88.0.', 'fd88:0:', 'fd88:1:', 'fd88:2:'},
                # The first is written shorter.
                {
                    entry[:8]
                    if '.' in entry
                    else entry.replace('::', ':0:', 1)[:7]
                    for entry in found[name]
                },
            )
        for link in nics.values():
            for entry in link['addr_info']:
                # No probe for another that has it is under way.
                self.assertFalse(entry.get('tentative'), entry)

    def assert_routes(self, server):
        """The first port that knows a way has it."""
        demo = self.network.find_subnet(base.NETWORK)
        routes = self.routes(server)
        via = {
            destination: (route['dev'], route.get('gateway'))
            for destination, route in routes.items()
        }
        self.assertEqual(('eth0', demo.gateway_ip), via.pop('default'))
        self.assertEqual(('eth1', '10.88.0.254'), via.pop('10.99.0.0/16'))
        self.assertEqual('eth0', via.pop('169.254.169.254')[0])
        self.assertEqual({}, via)
        [(destination, route)] = self.routes(server, '-6').items()
        self.assertEqual('default', destination)
        self.assertEqual('eth1', route['dev'])
        self.assertIn(
            route['gateway'],
            [
                subnet.gateway_ip
                for subnet in self.network.subnets(ip_version=6)
            ],
        )

    def assert_names(self, server):
        """Its own name, that of others, and who knows them."""
        text = self.inside(server, 'cat', '/etc/resolv.conf')
        lines = text.splitlines()
        self.assertEqual('search cloud.test', lines[0])
        servers = [line.removeprefix('nameserver ') for line in lines[1:]]
        self.assertIn('10.88.0.53', servers)
        self.assertIn('10.88.0.54', servers)
        hosts = self.inside(server, 'cat', '/etc/hosts').splitlines()
        names = f'{self.name}.cloud.test {self.name}'
        first = self.address(server)
        self.assertIn(f'{first} {names}', hosts)
        own = [line for line in hosts if line.endswith(names)]
        self.assertEqual(2, len(own), own)
        self.assertTrue(own[1].startswith('fd88:'), own)
        if 'neutron-dhcp-agent' not in self.cloud.agents():
            return
        # From the domain that is searched, by the network's own name server,
        # which Neutron's agent tells of it when it gets round to it.
        name = f'Name:\t{self.name}.cloud.test'
        said = self.wait_for(
            lambda: self.asked(server, name), 'word of the name', 20
        )
        self.assertIn(f'Address: {first}', said)

    def asked(self, server, name):
        """What the name server says when it says that name."""
        said = self.inside(server, 'nslookup', self.name, check=False)
        return said if name in said else ''

    def assert_tags(self, server, nics):
        self.assertEqual(
            {
                nics['eth0']['address']: ['own'],
                nics['eth1']['address']: ['made'],
            },
            self.tags(server),
        )

    def assert_seen_by_the_first_process(self, server):
        self.assertEqual(
            self.inside(server, 'sh', '-c', _LOOK),
            self.inside(server, 'cat', '/first'),
        )

    def assert_talks(self, server, kinds):
        """By each address of its second port, and with full packets."""
        another = self.boot(self.upload(base.WEB), kinds)
        self.assert_running(another)
        [port] = self.ports(another)
        for entry in port.fixed_ips:
            address = entry['ip_address']
            self.inside(server, 'ping', '-c', '1', '-W', '5', address)
            headers = 28 if '.' in address else 48
            for size, lost in ((_MTU, 0), (_MTU + 1, 100)):
                said = self.within(
                    server,
                    *('ping', '-c', '1', '-W', '2', '-M', 'do'),
                    *('-s', str(size - headers), address),
                    check=False,
                )
                self.assertIn(f' {lost}% packet loss', said)

    def state(self, server):
        nics = self.nics(server)
        return json.dumps(
            {
                'nics': [
                    {
                        'name': name,
                        'mac': link['address'],
                        'addresses': sorted(
                            entry['local'] for entry in link['addr_info']
                        ),
                    }
                    for name, link in nics.items()
                ],
                'routes': [self.routes(server), self.routes(server, '-6')],
            },
            indent=2,
            sort_keys=True,
        )

    def assert_kept_over_every_restart(self, server):
        compute = self.cloud.demo.compute
        before = self.state(server)
        starts = {self.start_of(server)}
        for what, restart in (
            ('soft reboot', lambda: compute.reboot_server(server, 'SOFT')),
            ('hard reboot', lambda: compute.reboot_server(server, 'HARD')),
            (
                'rebuild',
                lambda: compute.rebuild_server(
                    server, self.show(server).image.id
                ),
            ),
            ('stop and start', lambda: self.stop_and_start(server)),
        ):
            restart()
            self.wait_for(
                lambda: self.start_of(server) not in starts, what, 90
            )
            starts.add(self.start_of(server))
            self.wait_for_status(server, 'ACTIVE')
            self.assertEqual(before, self.state(server), what)
        self.cloud.service('restart', 'nova-compute')
        self.wait_for_compute()
        self.assertEqual(before, self.state(server))
        self.assert_running(server)
        self.assert_answers(server)
        self.assert_seen_by_the_first_process(server)

    def stop_and_start(self, server):
        self.cloud.demo.compute.stop_server(server)
        self.wait_for_status(server, 'SHUTOFF')
        self.cloud.demo.compute.start_server(server)
