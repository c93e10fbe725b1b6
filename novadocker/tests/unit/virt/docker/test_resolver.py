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

from novadocker.tests.fixtures import network as ports
from novadocker.virt.docker import nic
from novadocker.virt.docker import resolver


class ResolvConfTestCase(base.BaseTestCase):
    def servers(self, *subnets):
        """The name servers of a server with a port in each subnet."""
        found = nic.nics([ports.vif(one) for one in subnets])
        text = resolver.resolv_conf(found, {})
        return [line.removeprefix('nameserver ') for line in text.splitlines()]

    def subnet(self, dns, **changes):
        return ports.Subnet('10.0.0.0/24', ['10.0.0.5'], dns=dns, **changes)

    def test_in_order_and_once(self):
        self.assertEqual(
            ['10.0.0.53', 'fd00::53', '10.1.0.53'],
            self.servers(
                self.subnet(['10.0.0.53']),
                ports.Subnet(
                    'fd00::/64', ['fd00::5'], dns=['fd00::53', '10.0.0.53']
                ),
                self.subnet(['10.0.0.53', '10.1.0.53']),
            ),
        )

    def test_dhcp_server_where_the_subnet_names_none(self):
        self.assertEqual(
            ['10.0.0.2'], self.servers(self.subnet([], dhcp_server='10.0.0.2'))
        )

    def test_dhcp_server_where_the_subnet_names_others(self):
        found = self.servers(
            self.subnet(['10.0.0.53'], dhcp_server='10.0.0.2')
        )
        self.assertEqual(['10.0.0.53'], found)

    def test_subnet_that_shall_have_none(self):
        for nothing in ('0.0.0.0', '::'):
            self.assertEqual(
                [],
                self.servers(self.subnet([nothing], dhcp_server='10.0.0.2')),
            )

    def test_none(self):
        self.assertEqual('', resolver.resolv_conf([], {}))

    def test_domains_are_searched_in_the_order_of_the_ports(self):
        found = nic.nics([ports.vif() for _ in range(4)])
        domains = ['one.org', '', 'two.org', 'one.org']
        self.assertEqual(
            'search one.org two.org\n',
            resolver.resolv_conf(
                found,
                {
                    port.port_id: domain
                    for port, domain in zip(found, domains, strict=True)
                },
            ),
        )


class HostsTestCase(base.BaseTestCase):
    def test_localhost(self):
        lines = resolver.hosts('web', [], {}).splitlines()
        self.assertIn('127.0.0.1 localhost', lines)
        self.assertIn('::1 localhost ip6-localhost ip6-loopback', lines)
        self.assertNotIn('web', resolver.hosts('web', [], {}))

    def test_own_name_on_the_first_addresses(self):
        found = nic.nics(
            [
                ports.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.5'])),
                ports.vif(
                    ports.Subnet('10.1.0.0/24', ['10.1.0.5']),
                    ports.Subnet('fd00::/64', ['fd00::5', 'fd00::6']),
                ),
            ]
        )
        text = resolver.hosts('web', found, {})
        self.assertEqual(
            ['10.0.0.5 web', 'fd00::5 web'],
            [line for line in text.splitlines() if line.endswith('web')],
        )
        self.assertTrue(text.endswith('\n'))

    def test_server_without_a_name(self):
        found = nic.nics(
            [ports.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.5']))]
        )
        self.assertNotIn('10.0.0.5', resolver.hosts(None, found, {}))

    def own_lines(self, hostname, *domains):
        """Those of a server with ports in these domains."""
        vifs = [
            ports.vif(
                ports.Subnet(f'10.{i}.0.0/24', [f'10.{i}.0.5']),
                ports.Subnet(f'fd0{i}::/64', [f'fd0{i}::5'] if i else []),
            )
            for i in range(len(domains))
        ]
        told = {
            vif['id']: domain
            for vif, domain in zip(vifs, domains, strict=True)
        }
        text = resolver.hosts(hostname, nic.nics(vifs), told)
        return text.splitlines()[6:]

    def test_own_name_with_its_domain_comes_first(self):
        self.assertEqual(
            ['10.0.0.5 web.one.org web', 'fd01::5 web.two.org web'],
            self.own_lines('web', 'one.org', 'two.org'),
        )

    def test_name_that_has_a_domain_already(self):
        self.assertEqual(
            ['10.0.0.5 web.other.org web'],
            self.own_lines('web.other.org', 'one.org'),
        )
