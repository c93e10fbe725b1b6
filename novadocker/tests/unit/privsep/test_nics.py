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


import errno
import pathlib
import struct

import fixtures
from oslotest import base

from novadocker.privsep import nics
from novadocker.tests.fixtures import netlink

# linux/ethtool.h
GET, SET = 0x16, 0x17


def a_nic(*addresses, **changes):
    """A NIC as it shall be, with addresses as pairs of ip and prefix."""
    nic = {
        'name': 'eth0',
        'device': 'tap0',
        'mac': 'fa:16:3e:00:00:01',
        'mtu': 1450,
        'addresses': [{'ip': ip, 'prefix': bits} for ip, bits in addresses],
        'withdrawn': [],
        'routes': [],
        'linux_bridge': None,
        'inner': [],
        'bridge': 'br-int',
    }
    return nic | changes


def a_route(destination, gateway=None, onlink=False):
    return {'destination': destination, 'gateway': gateway, 'onlink': onlink}


class ConfigureTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.sysctls = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.useFixture(
            fixtures.MonkeyPatch(
                'novadocker.privsep.nics.SYSCTL_DIR', self.sysctls
            )
        )
        self.kernel = netlink.Kernel()
        self.useFixture(
            fixtures.MonkeyPatch(
                'novadocker.privsep.nics.socket.if_nametoindex',
                self.kernel.index,
            )
        )
        self.loopback = self.kernel.has_link('lo', up=True)
        self.index = self.kernel.has_link('eth0', 'veth')
        # That of the link, which the kernel gives to a NIC that goes up.
        self.kernel.has_address(self.index, 'fe80::1', 64)

    def changes(self, nic, command):
        """The requests of a command that it takes to configure a NIC."""
        nics.configure(self.kernel, [nic])
        return [
            arguments
            for found, arguments in self.kernel.changes
            if found == command
        ]

    def test_link_goes_up(self):
        self.assertEqual(
            [{'index': self.index, 'state': 'up', 'mtu': 1450}],
            self.changes(a_nic(), 'link set'),
        )

    def test_withdrawn_address_goes(self):
        self.kernel.has_address(self.index, '10.0.0.4', 24)
        self.kernel.has_address(self.index, '10.0.0.6', 24)
        nic = a_nic(
            ('10.0.0.5', 24),
            withdrawn=[
                {'ip': '10.0.0.4', 'prefix': 24},
                {'ip': '10.0.0.9', 'prefix': 24},
            ],
        )
        self.assertEqual(
            [{'index': self.index, 'address': '10.0.0.4', 'prefixlen': 24}],
            self.changes(nic, 'addr del'),
        )

    def test_loopback_goes_up_where_it_is_down(self):
        index = self.kernel.has_link('lo', up=False)
        self.assertIn(
            {'index': index, 'state': 'up'}, self.changes(a_nic(), 'link set')
        )

    def test_routers_are_not_believed(self):
        directory = self.sysctls / 'ipv6/conf/eth0'
        directory.mkdir(parents=True)
        nics.configure(self.kernel, [a_nic()])
        self.assertEqual('0', (directory / 'accept_ra').read_text())
        self.assertEqual('0', (directory / 'disable_ipv6').read_text())

    def test_kernel_without_ipv6(self):
        """Has no settings of it, which is no error."""
        self.assertEqual([], self.changes(a_nic(), 'addr add'))

    def test_address(self):
        self.assertEqual(
            [
                {
                    'index': self.index,
                    'address': '10.0.0.5',
                    'prefixlen': 24,
                    'broadcast': '10.0.0.255',
                }
            ],
            self.changes(a_nic(('10.0.0.5', 24)), 'addr add'),
        )

    def test_ipv6_address_is_not_probed_for(self):
        (request,) = self.changes(a_nic(('fd00::5', 64)), 'addr add')
        self.assertEqual(0x02, request['flags'])

    def test_address_that_is_there(self):
        self.kernel.has_address(self.index, 'fd00::5', 64)
        self.kernel.has_address(self.index, '10.0.0.5', 24)
        wanted = a_nic(('10.0.0.5', 24), ('FD00:0::5', 64), ('10.0.0.6', 24))
        (request,) = self.changes(wanted, 'addr add')
        self.assertEqual('10.0.0.6', request['address'])

    def test_address_that_another_nic_has(self):
        other = self.kernel.has_link('eth1', 'veth')
        self.kernel.has_address(other, '10.0.0.5', 24)
        self.assertEqual(
            1, len(self.changes(a_nic(('10.0.0.5', 24)), 'addr add'))
        )

    def test_routes(self):
        wanted = a_nic(
            routes=[
                a_route('169.254.169.254/32'),
                a_route('10.9.0.0/16', '192.0.2.1', onlink=True),
                a_route('::/0', 'fe80::1'),
            ]
        )
        local, far, default = self.changes(wanted, 'route replace')
        self.assertEqual(
            ('169.254.169.254/32', 'link', self.index),
            (local['dst'], local['scope'], local['oif']),
        )
        self.assertEqual(('192.0.2.1', 4), (far['gateway'], far['flags']))
        self.assertEqual(
            ('::/0', 'fe80::1', None),
            (default['dst'], default['gateway'], default.get('flags')),
        )

    def test_route_that_is_there(self):
        self.kernel.has_route(self.index, '0.0.0.0/0', '10.0.0.1')
        self.kernel.has_route(self.index, 'fd01::/64', 'fd00::1')
        wanted = a_nic(
            routes=[
                a_route('fd01::/64', 'fd00::1'),
                a_route('0.0.0.0/0', '10.0.0.1'),
            ]
        )
        self.assertEqual([], self.changes(wanted, 'route replace'))
        self.assertEqual([], self.changes(wanted, 'route del'))

    def test_gateway_that_has_changed(self):
        self.kernel.has_route(self.index, '0.0.0.0/0', '10.0.0.1')
        wanted = a_nic(routes=[a_route('0.0.0.0/0', '10.0.0.2')])
        (request,) = self.changes(wanted, 'route replace')
        self.assertEqual('10.0.0.2', request['gateway'])

    def test_neighbours_are_told(self):
        """By setting the MAC address to what it is."""
        nics.announce(self.kernel, a_nic())
        wanted = {'index': self.index, 'address': 'fa:16:3e:00:00:01'}
        self.assertEqual([('link set', wanted)], self.kernel.changes)

    def test_only_our_own_routes_are_removed(self):
        other = self.kernel.has_link('eth1', 'veth')
        self.kernel.has_route(self.index, '172.16.0.0/16', '10.0.0.9')
        self.kernel.has_route(other, '172.17.0.0/16', '10.1.0.9')
        self.kernel.has_route(
            self.index, '172.18.0.0/16', '10.0.0.9', netlink.RTPROT_BOOT
        )
        self.assertEqual(
            ['172.16.0.0/16'],
            [one['dst'] for one in self.changes(a_nic(), 'route del')],
        )

    def test_route_that_moves_to_another_nic(self):
        """It is not there any more when it is given to the other."""
        other = self.kernel.has_link('eth1', 'veth')
        self.kernel.has_address(other, 'fe80::2', 64)
        self.kernel.has_route(other, '0.0.0.0/0', '10.0.0.1')
        route = a_route('0.0.0.0/0', '10.0.0.1')
        nics.configure(
            self.kernel, [a_nic(routes=[route]), a_nic(name='eth1')]
        )
        self.assertEqual(
            [('route del', other), ('route replace', self.index)],
            [
                (command, arguments['oif'])
                for command, arguments in self.kernel.changes
                if command.startswith('route')
            ],
        )

    def test_no_such_nic(self):
        error = self.assertRaises(
            OSError, nics.configure, self.kernel, [a_nic(name='eth7')]
        )
        self.assertIn('eth7', str(error))
        self.assertEqual([], self.kernel.changes)

    def test_error_says_of_which_nic_it_is(self):
        self.kernel.has_link('eth1', 'veth')
        wanted = [a_nic(), a_nic(('10.0.0.5', 24), name='eth1')]
        self.kernel.fails('addr add', errno.EINVAL)
        error = self.assertRaises(OSError, nics.configure, self.kernel, wanted)
        self.assertEqual(errno.EINVAL, error.errno)
        self.assertIn('eth1', str(error))
        wanted[1]['addresses'] = []
        wanted[1]['routes'] = [a_route('0.0.0.0/0', '10.0.0.1')]
        self.kernel.fails('route replace', errno.ENETUNREACH)
        error = self.assertRaises(OSError, nics.configure, self.kernel, wanted)
        self.assertIn('eth1', str(error))


class DeviceTestCase(base.BaseTestCase):
    def test_index(self):
        self.assertEqual(1, nics.index_of('lo'))
        error = self.assertRaises(OSError, nics.index_of, 'nosuch')
        self.assertEqual(errno.ENODEV, error.errno)

    def test_driver(self):
        answers = [struct.pack('=I32s160x', 3, b'veth')]
        self.useFixture(
            fixtures.MonkeyPatch(
                'novadocker.privsep.nics._ethtool',
                lambda name, request: answers.pop(),
            )
        )
        self.assertEqual('veth', nics.driver_of('tap0'))

    def test_device_that_has_none(self):
        self.assertEqual('', nics.driver_of('lo'))
        error = self.assertRaises(OSError, nics.driver_of, 'nosuch')
        self.assertEqual(errno.ENODEV, error.errno)


class OffloadTestCase(base.BaseTestCase):
    def test_by_what_the_bridge_is(self):
        kernel = netlink.Kernel()
        header = 'IFLA_LINKINFO/IFLA_INFO_DATA/IFLA_TUN_VNET_HDR'
        kernel.has_link('kernel', 'openvswitch')
        kernel.has_link('linux', 'bridge')
        kernel.has_link('user', 'tun', **{header: 0})
        kernel.has_link('tso', 'tun', **{header: 1})
        # A kernel that does not tell.
        kernel.has_link('old', 'tun')
        for bridge, taken in (
            ('kernel', True),
            ('linux', True),
            ('user', False),
            ('tso', True),
            ('old', False),
            ('later', False),
        ):
            self.assertIs(taken, nics.takes_offloads(kernel, bridge), bridge)

    def test_only_what_differs_is_set(self):
        state = [1]
        requests = []

        def ethtool(name, request):
            command, value = struct.unpack('=II', request)
            requests.append(command)
            if command == SET:
                state[0] = value
            return struct.pack('=II', command, state[0])

        self.useFixture(
            fixtures.MonkeyPatch('novadocker.privsep.nics._ethtool', ethtool)
        )
        for wanted in (True, False, False, True):
            nics.set_tx_offload('eth0', wanted)
            self.assertEqual(wanted, bool(state[0]))
        self.assertEqual([GET, GET, SET, GET, GET, SET], requests)
