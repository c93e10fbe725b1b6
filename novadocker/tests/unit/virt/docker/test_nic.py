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


def one(*subnets, **changes):
    """The NIC of a server's only port."""
    (found,) = nic.nics([ports.vif(*subnets, **changes)])
    return found


def routes(*subnets):
    """The routes of a port: destination, gateway, outside of its subnets."""
    return [
        (route.destination, route.gateway, route.onlink)
        for route in one(*subnets).routes
    ]


class NicsTestCase(base.BaseTestCase):
    def test_what_a_port_is(self):
        vif = ports.vif(mtu=9000, address='FA:16:3E:00:00:01')
        (found,) = nic.nics([vif])
        self.assertEqual(
            (vif['id'], 'eth0', 'fa:16:3e:00:00:01', 9000),
            (found.port_id, found.name, found.mac, found.mtu),
        )

    def test_network_without_mtu(self):
        self.assertEqual(1500, one(mtu=None).mtu)

    def test_addresses_of_both_families(self):
        found = one(
            ports.Subnet('10.0.0.0/24', ['10.0.0.5', '10.0.0.6']),
            ports.Subnet('fd00::/64', ['fd00::5']),
        )
        self.assertEqual(
            [('10.0.0.5', 24), ('10.0.0.6', 24), ('fd00::5', 64)],
            [(address.ip, address.prefix) for address in found.addresses],
        )

    def test_port_without_an_address(self):
        found = one()
        self.assertEqual(
            ((), (), ()), (found.addresses, found.routes, found.dns)
        )

    def test_bridge(self):
        (found,) = nic.nics([ports.vif(bridge='br-other')])
        self.assertEqual('br-other', found.bridge)

    def test_what_is_between_a_port_and_the_switch(self):
        vif = ports.vif(id='01234567-89ab-4cde-8f01-23456789abcd')
        (found,) = nic.nics([vif])
        self.assertEqual((None, ()), (found.linux_bridge, found.inner))
        (found,) = nic.nics([ports.hybrid(vif)])
        self.assertEqual('qbr01234567-89', found.linux_bridge)
        self.assertEqual(
            ('qbr01234567-89', 'qvb01234567-89', 'qvo01234567-89'),
            found.inner,
        )

    def test_port_of_a_linux_bridge(self):
        found = one(type='bridge', bridge='brq-1')
        self.assertEqual(('brq-1', ()), (found.linux_bridge, found.inner))

    def test_port_that_was_unbound(self):
        vif = ports.unbound(ports.vif())
        vif['details'] = None
        (found,) = nic.nics([vif])
        self.assertEqual(vif['id'], found.port_id)


class WithdrawnTestCase(base.BaseTestCase):
    def test_fixed_ips_that_a_port_has_lost(self):
        before = ports.vif(
            ports.Subnet('10.0.0.0/24', ['10.0.0.5', '10.0.0.6']),
            ports.Subnet('fd00::/64', ['fd00::5']),
        )
        after = ports.vif(
            ports.Subnet('10.0.0.0/24', ['10.0.0.6', '10.0.0.7']),
            id=before['id'],
        )
        other = ports.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.9']))

        self.assertEqual(
            {
                before['id']: (
                    nic.Address('10.0.0.5', 24),
                    nic.Address('fd00::5', 64),
                ),
                other['id']: (),
            },
            nic.withdrawn([before], [after, other]),
        )


class NamesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.vifs = [ports.vif() for _ in range(3)]

    def names(self, vifs, **known):
        """Names of ports, those with a number known for a device."""
        there = {
            nic.device(self.vifs[int(number[1:])]): name
            for number, name in known.items()
        }
        return [found.name for found in nic.nics(vifs, there)]

    def test_in_the_order_of_the_ports(self):
        self.assertEqual(['eth0', 'eth1', 'eth2'], self.names(self.vifs))

    def test_detached_port_leaves_the_others_alone(self):
        self.assertEqual(
            ['eth1', 'eth2'],
            self.names(self.vifs[1:], n1='eth1', n2='eth2'),
        )

    def test_attached_port_gets_the_first_free_name(self):
        first, second, third = self.vifs
        self.assertEqual(
            ['eth1', 'eth0', 'eth2'],
            self.names([second, third, first], n1='eth1'),
        )

    def test_name_of_a_nic_that_is_to_go(self):
        """Is still taken: it may be there for a while."""
        self.assertEqual(['eth1'], self.names(self.vifs[1:2], n0='eth0'))

    def test_device(self):
        vif = self.vifs[0]
        expected = f'tap{vif["id"]}'[:14]
        self.assertEqual(expected, nic.device(vif))
        vif['devname'] = None
        self.assertEqual(expected, nic.device(vif))
        vif['devname'] = 'nic0'
        self.assertEqual('nic0', nic.device(vif))


class RoutesTestCase(base.BaseTestCase):
    def test_a_default_route_a_family(self):
        self.assertEqual(
            [
                ('0.0.0.0/0', '10.0.0.1', False),
                ('::/0', 'fd00::1', False),
            ],
            routes(
                ports.Subnet('10.0.0.0/24', ['10.0.0.5'], '10.0.0.1'),
                ports.Subnet('fd00::/64', ['fd00::5'], 'fd00::1'),
                ports.Subnet('10.1.0.0/24', ['10.1.0.5'], '10.1.0.1'),
            ),
        )

    def test_subnet_without_a_gateway(self):
        self.assertEqual([], routes(ports.Subnet('10.0.0.0/24', ['10.0.0.5'])))

    def test_no_route_into_a_subnet_without_an_address(self):
        self.assertEqual(
            [('0.0.0.0/0', '10.0.0.1', False)],
            routes(
                ports.Subnet('10.0.0.0/24', ['10.0.0.5'], '10.0.0.1'),
                ports.Subnet('fd00::/64', [], 'fd00::1'),
            ),
        )

    def test_default_route_of_the_first_port_that_has_one(self):
        found = nic.nics(
            [
                ports.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.5'])),
                ports.vif(
                    ports.Subnet('10.1.0.0/24', ['10.1.0.5'], '10.1.0.1')
                ),
                ports.vif(
                    ports.Subnet('10.2.0.0/24', ['10.2.0.5'], '10.2.0.1'),
                    ports.Subnet('fd02::/64', ['fd02::5'], 'fd02::1'),
                ),
            ]
        )
        self.assertEqual(
            [[], ['10.1.0.1'], ['fd02::1']],
            [[route.gateway for route in each.routes] for each in found],
        )

    def test_host_routes(self):
        self.assertEqual(
            [
                ('192.168.0.0/16', '10.0.0.9', False),
                ('0.0.0.0/0', '10.0.0.1', False),
            ],
            routes(
                ports.Subnet(
                    '10.0.0.0/24',
                    ['10.0.0.5'],
                    '10.0.0.1',
                    routes=[('192.168.0.0/16', '10.0.0.9')],
                )
            ),
        )

    def test_host_route_to_everywhere_beats_the_gateway(self):
        """As DHCP's classless routes do."""
        self.assertEqual(
            [('0.0.0.0/0', '10.0.0.9', False)],
            routes(
                ports.Subnet(
                    '10.0.0.0/24',
                    ['10.0.0.5'],
                    '10.0.0.1',
                    routes=[('0.0.0.0/0', '10.0.0.9')],
                )
            ),
        )

    def test_gateway_outside_of_the_subnet(self):
        self.assertEqual(
            [
                ('0.0.0.0/0', '192.0.2.1', True),
                ('::/0', 'fd01::1', True),
            ],
            routes(
                ports.Subnet('10.0.0.0/24', ['10.0.0.5'], '192.0.2.1'),
                ports.Subnet('fd00::/64', ['fd00::5'], 'fd01::1'),
            ),
        )

    def test_gateway_in_another_subnet_of_the_port(self):
        ((_to, _via, onlink),) = routes(
            ports.Subnet('10.0.0.0/24', ['10.0.0.5'], '10.1.0.1'),
            ports.Subnet('10.1.0.0/24', ['10.1.0.5']),
        )
        self.assertFalse(onlink)

    def test_link_local_gateway(self):
        self.assertEqual(
            [('::/0', 'fe80::1', False)],
            routes(ports.Subnet('fd00::/64', ['fd00::5'], 'fe80::1')),
        )


class MetadataTestCase(base.BaseTestCase):
    def metadata(self, **subnet):
        found = routes(
            ports.Subnet('10.0.0.0/24', ['10.0.0.5'], '10.0.0.1', **subnet)
        )
        return [
            gateway for to, gateway, _ in found if to == '169.254.169.254/32'
        ]

    def test_on_the_dhcp_port(self):
        self.assertEqual(['10.0.0.2'], self.metadata(dhcp_server='10.0.0.2'))

    def test_on_the_link_where_there_is_dhcp_without_a_port(self):
        self.assertEqual([None], self.metadata(enable_dhcp=True))

    def test_through_the_router_else(self):
        self.assertEqual([], self.metadata())

    def test_host_route_of_the_subnet_comes_first(self):
        self.assertEqual(
            ['10.0.0.9'],
            self.metadata(
                dhcp_server='10.0.0.2',
                routes=[('169.254.169.254/32', '10.0.0.9')],
            ),
        )

    def test_not_on_ipv6(self):
        found = routes(
            ports.Subnet('fd00::/64', ['fd00::5'], dhcp_server='fd00::2')
        )
        self.assertEqual([], found)

    def test_one_for_two_ports_on_a_network(self):
        subnet = ports.Subnet(
            '10.0.0.0/24', ['10.0.0.5'], dhcp_server='10.0.0.2'
        )
        first, second = nic.nics([ports.vif(subnet), ports.vif(subnet)])
        self.assertEqual((1, 0), (len(first.routes), len(second.routes)))
