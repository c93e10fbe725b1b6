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


"""NICs in real namespaces."""

import itertools
import os
import pathlib
import socket
import subprocess
import time
import uuid

import fixtures
from oslotest import base

from novadocker.privsep import netns
from novadocker.tests.fixtures import ovs

DEVICE = 'tap01234567-89'
MAC = 'fa:16:3e:01:02:03'

# Seconds for a datagram that is to come.
PATIENCE = 10

# linux/if_ether.h
_ETH_P_ALL = 3

#: What says how an end of a veth computes checksums.
OFFLOAD = 'tx-checksumming: '


def a_nic(*addresses, routes=(), **changes):
    """A NIC as netns takes it.

    :param addresses: in the form address/prefix
    :param routes: of destination, gateway and whether that is on the link
    """
    pairs = [address.split('/') for address in addresses]
    nic = {
        'name': 'eth0',
        'device': DEVICE,
        'mac': MAC,
        'mtu': 1450,
        'addresses': [{'ip': ip, 'prefix': int(bits)} for ip, bits in pairs],
        'withdrawn': [],
        'routes': [
            {'destination': to, 'gateway': gateway, 'onlink': onlink}
            for to, gateway, onlink in routes
        ],
        'linux_bridge': None,
        'inner': [],
        'bridge': None,
    }
    return nic | changes


class NetnsTestCase(base.BaseTestCase):
    """A host with one sandbox."""

    privileged = ovs.Privileged

    def setUp(self):
        super().setUp()
        self.useFixture(ovs.HostNamespace())
        self.useFixture(self.privileged())
        self.sandbox = self.useFixture(ovs.Namespace())
        self.where = (self.sandbox.pid, self.sandbox.netns)

    def plug(self, nic, where=None):
        where = where or self.where
        netns.connect(*where, [nic])
        self.complete(nic, where)

    def complete(self, nic, where=None):
        netns.complete(*(where or self.where), [nic])

    def inside(self, *command):
        return self.sandbox.run(*command)

    def devices(self):
        """Names of the devices of the host."""
        rows = ovs.run('ip', '-br', 'link').splitlines()
        return [row.split()[0].split('@')[0] for row in rows]


class ConnectTestCase(NetnsTestCase):
    def test_nic_is_as_wanted(self):
        netns.connect(*self.where, [a_nic()])
        found = self.inside('ip', 'link', 'show', 'eth0')
        self.assertIn(f'link/ether {MAC}', found)
        self.assertIn('mtu 1450', found)
        found = ovs.run('ip', 'link', 'show', DEVICE)
        self.assertIn('mtu 1450', found)
        self.assertIn('state DOWN', found)

    def test_end_of_an_older_namespace_is_replaced(self):
        older = self.useFixture(ovs.Namespace())
        self.plug(a_nic(), (older.pid, older.netns))
        self.plug(a_nic())
        self.assertNotIn('eth0', older.run('ip', 'link'))
        self.assertIn('eth0', self.inside('ip', 'link'))

    def test_device_of_the_host_is_not_replaced(self):
        ovs.run('ip', 'link', 'add', DEVICE, 'type', 'bridge')
        self.assertRaises(OSError, netns.connect, *self.where, [a_nic()])
        self.assertIn(DEVICE, self.devices())

    def test_name_that_another_nic_has(self):
        self.plug(a_nic())
        other = a_nic(device='tapffffffff-ff', mac='fa:16:3e:00:00:00')
        self.assertRaises(FileExistsError, netns.connect, *self.where, [other])
        self.assertNotIn('tapffffffff-ff', self.devices())


class PidReuseTestCase(NetnsTestCase):
    """A pid alone does not tell a namespace."""

    def test_nothing_is_touched(self):
        somebody = self.useFixture(ovs.Namespace())
        where = (somebody.pid, self.sandbox.netns)
        self.useFixture(
            fixtures.MonkeyPatch(
                'novadocker.privsep.netns.NETNS_DIR', pathlib.Path('/nowhere')
            )
        )
        for call in (
            lambda: netns.connect(*where, [a_nic()]),
            lambda: netns.complete(*where, []),
            lambda: netns.announce(*where, [a_nic()]),
            lambda: netns.interfaces(*where),
            lambda: netns.link(
                'nova-155d900f-4e14-4e4c-a73d-069cbf4541e6', *where
            ),
        ):
            self.assertRaises(ProcessLookupError, call)
        self.assertNotIn(DEVICE, self.devices())

    def test_nic_of_somebody_else_is_not_configured(self):
        somebody = self.useFixture(ovs.Namespace())
        self.plug(a_nic(), (somebody.pid, somebody.netns))
        self.assertRaises(
            ProcessLookupError,
            netns.complete,
            *(somebody.pid, self.sandbox.netns, [a_nic('10.0.0.2/24')]),
        )
        self.assertNotIn('10.0.0.2', somebody.run('ip', 'address'))

    def test_no_such_process(self):
        self.sandbox.end()
        self.assertRaises(FileNotFoundError, netns.inode, self.sandbox.pid)
        self.assertRaises(
            FileNotFoundError, netns.connect, *self.where, [a_nic()]
        )


class ConfigureTestCase(NetnsTestCase):
    def addresses(self):
        rows = self.inside('ip', '-o', 'address', 'show', 'eth0').splitlines()
        return [row.split()[3] for row in rows if 'scope global' in row]

    def routes(self, *family):
        rows = self.inside('ip', *family, 'route', 'show', 'proto', 'static')
        return [row.strip() for row in rows.splitlines()]

    def test_addresses_of_both_families(self):
        wanted = ['10.0.0.2/24', '10.0.0.3/24', '10.1.0.2/16', 'fd00::2/64']
        self.plug(a_nic(*wanted))
        self.assertCountEqual(wanted, self.addresses())

    def test_ipv6_is_usable_at_once(self):
        self.plug(a_nic('fd00::2/64'))
        # The kernel clears its own address, of the link, a moment later.
        found = self.inside('ip', '-6', 'address', 'show', 'scope', 'global')
        self.assertIn('fd00::2', found)
        self.assertNotIn('tentative', found)

    def test_ipv6_where_the_engine_has_switched_it_off(self):
        for conf in ('all', 'default'):
            self.inside('sysctl', f'net.ipv6.conf.{conf}.disable_ipv6=1')
        self.plug(a_nic('fd00::2/64'))
        self.assertEqual(['fd00::2/64'], self.addresses())

    def test_no_address_at_all(self):
        self.plug(a_nic())
        self.assertEqual([], self.addresses())
        self.assertIn('state UP', self.inside('ip', 'link', 'show', 'eth0'))

    def test_loopback_is_up(self):
        self.plug(a_nic())
        self.inside('ping', '-c1', '-W1', '127.0.0.1')

    def test_neighbours_are_told(self):
        self.plug(a_nic('10.0.0.5/24', 'fd00::5/64'))
        # Those told of the link going up come first.
        time.sleep(2)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sniffer:
            sniffer.bind((DEVICE, _ETH_P_ALL))
            sniffer.settimeout(5)
            netns.announce(*self.where, [a_nic()])
            wanted = {
                socket.inet_pton(socket.AF_INET, '10.0.0.5'),
                socket.inet_pton(socket.AF_INET6, 'fd00::5'),
            }
            while wanted:
                frame = sniffer.recv(2048)
                self.assertEqual(MAC, frame[6:12].hex(':'))
                wanted = {one for one in wanted if one not in frame}

    def test_routers_are_not_believed(self):
        self.plug(a_nic('fd00::2/64'))
        conf = self.inside('sysctl', 'net.ipv6.conf.eth0.accept_ra')
        self.assertIn('= 0', conf)

    def test_routes(self):
        self.plug(
            a_nic(
                '10.0.0.2/24',
                'fd00::2/64',
                routes=[
                    ('169.254.169.254/32', None, False),
                    ('192.168.0.0/16', '10.0.0.9', False),
                    ('0.0.0.0/0', '10.0.0.1', False),
                    ('fd01::/64', 'fd00::9', False),
                    ('::/0', 'fe80::1', False),
                ],
            )
        )
        self.assertCountEqual(
            [
                '169.254.169.254 dev eth0 scope link',
                '192.168.0.0/16 via 10.0.0.9 dev eth0',
                'default via 10.0.0.1 dev eth0',
            ],
            self.routes(),
        )
        self.assertCountEqual(
            [
                'fd01::/64 via fd00::9 dev eth0 metric 1024 pref medium',
                'default via fe80::1 dev eth0 metric 1024 pref medium',
            ],
            self.routes('-6'),
        )

    def test_gateway_outside_of_the_subnet(self):
        self.plug(
            a_nic(
                '10.0.0.2/32',
                'fd00::2/128',
                routes=[
                    ('0.0.0.0/0', '192.0.2.1', True),
                    ('::/0', 'fd01::1', True),
                ],
            )
        )
        self.assertEqual(
            ['default via 192.0.2.1 dev eth0 onlink'], self.routes()
        )
        self.assertIn('default via fd01::1', self.routes('-6')[0])

    def test_again_changes_nothing(self):
        nic = a_nic(
            '10.0.0.2/24',
            'fd00::2/64',
            routes=[
                ('10.9.0.0/16', '192.0.2.7', True),
                ('0.0.0.0/0', '10.0.0.1', False),
                ('fd02::/64', None, False),
                ('::/0', 'fd00::1', False),
            ],
            bridge='br-user',
        )
        self.plug(nic)
        self.assertEqual([], self.news_of(lambda: self.complete(nic)))
        self.assertNotEqual(
            [], self.news_of(lambda: self.complete(nic | {'mtu': 1400}))
        )

    def news_of(self, action):
        """What changes in the sandbox, in the words of ``ip monitor``."""
        # The kernel has news of its own about a link that has come up, and
        # the monitor does not say when it listens.
        time.sleep(1)
        command = 'stdbuf -oL ip monitor link address route'.split()
        with subprocess.Popen(
            ['nsenter', '-t', str(self.sandbox.pid), '-n', *command],
            stdout=subprocess.PIPE,
            text=True,
        ) as monitor:
            time.sleep(1)
            action()
            self.inside(*'ip route add 203.0.113.0/24 dev lo'.split())
            self.inside(*'ip route del 203.0.113.0/24 dev lo'.split())
            news = list(
                itertools.takewhile(
                    lambda line: '203.0.113.0' not in line, monitor.stdout
                )
            )
            monitor.kill()
        return news

    def test_what_neutron_has_changed_is_changed(self):
        self.plug(
            a_nic(
                '10.0.0.2/24',
                routes=[
                    ('192.168.0.0/16', '10.0.0.9', False),
                    ('0.0.0.0/0', '10.0.0.1', False),
                ],
            )
        )
        self.complete(
            a_nic(
                '10.0.0.2/24',
                '10.0.0.3/24',
                mtu=1400,
                routes=[
                    ('192.168.0.0/16', '10.0.0.8', False),
                    ('172.16.0.0/16', '10.0.0.9', False),
                ],
            )
        )
        self.assertCountEqual(
            [
                '192.168.0.0/16 via 10.0.0.8 dev eth0',
                '172.16.0.0/16 via 10.0.0.9 dev eth0',
            ],
            self.routes(),
        )
        self.assertEqual(['10.0.0.2/24', '10.0.0.3/24'], self.addresses())
        self.assertIn('mtu 1400', self.inside('ip', 'link', 'show', 'eth0'))
        self.assertIn('mtu 1400', ovs.run('ip', 'link', 'show', DEVICE))

    def test_what_somebody_inside_has_added_stays(self):
        nic = a_nic('10.0.0.2/24')
        self.plug(nic)
        self.inside(*'ip address add 10.0.0.99/24 dev eth0'.split())
        self.inside(*'ip route add 172.16.0.0/16 via 10.0.0.9'.split())
        self.complete(nic)
        self.assertIn('10.0.0.99/24', self.addresses())
        self.assertIn('172.16.0.0/16', self.inside('ip', 'route'))

    def test_several_at_once(self):
        """What goes from one to another is there in the end."""
        first, second = (
            a_nic('10.0.0.2/24'),
            a_nic(
                '10.0.0.3/24',
                name='eth1',
                device='tapffffffff-ff',
                mac='fa:16:3e:00:00:00',
                routes=[('0.0.0.0/0', '10.0.0.1', False)],
            ),
        )
        netns.connect(*self.where, [first, second])
        netns.complete(*self.where, [first, second])
        self.assertEqual(['default via 10.0.0.1 dev eth1'], self.routes())
        first['routes'], second['routes'] = second['routes'], []
        netns.complete(*self.where, [first, second])
        self.assertEqual(['default via 10.0.0.1 dev eth0'], self.routes())

    def test_default_route_moves_with_the_port(self):
        second = {
            'name': 'eth1',
            'device': 'tapffffffff-ff',
            'mac': 'fa:16:3e:00:00:00',
        }
        self.plug(
            a_nic('10.0.0.2/24', routes=[('0.0.0.0/0', '10.0.0.1', False)])
        )
        self.plug(a_nic('10.1.0.2/24', **second))
        netns.delete(DEVICE)
        self.complete(
            a_nic(
                '10.1.0.2/24',
                routes=[('0.0.0.0/0', '10.1.0.1', False)],
                **second,
            )
        )
        self.assertEqual(['default via 10.1.0.1 dev eth1'], self.routes())

    def test_offloads_are_those_of_the_bridge(self):
        ovs.run(*'ip link add br-kernel type bridge'.split())
        ovs.run(*'ip tuntap add br-user mode tap'.split())
        ovs.run(*'ip tuntap add br-tso mode tap vnet_hdr'.split())
        self.plug(a_nic())
        for bridge, state in (
            (None, 'on'),
            ('br-user', 'off'),
            ('br-kernel', 'on'),
            ('br-none', 'off'),
            ('br-tso', 'on'),
        ):
            self.complete(a_nic(bridge=bridge))
            found = self.inside('ethtool', '-k', 'eth0')
            self.assertIn(f'{OFFLOAD}{state}', found, bridge)
            self.assertIn(f'tx-tcp-segmentation: {state}', found, bridge)

    def test_no_such_nic(self):
        self.assertRaises(OSError, netns.complete, *self.where, [a_nic()])

    def test_own_namespace_is_kept(self):
        before = os.stat('/proc/thread-self/ns/net').st_ino
        self.plug(a_nic('10.0.0.2/24'))
        self.assertEqual(before, os.stat('/proc/thread-self/ns/net').st_ino)


class HostTestCase(NetnsTestCase):
    """What the host has of a NIC."""

    def test_device_that_is_no_veth_is_not_deleted(self):
        ovs.run('ip', 'link', 'add', DEVICE, 'type', 'bridge')
        self.assertRaises(OSError, netns.delete, DEVICE)
        self.assertIn(DEVICE, self.devices())

    def test_delete(self):
        self.plug(a_nic())
        netns.delete(DEVICE)
        netns.delete(DEVICE)
        self.assertNotIn(DEVICE, self.devices())
        self.assertNotIn('eth0', self.inside('ip', 'link'))

    def test_bridge(self):
        ovs.run(*'ip link add qbr01234567-89 type bridge'.split())
        self.plug(a_nic(linux_bridge='qbr01234567-89'))
        self.assertIn(
            'master qbr01234567-89', ovs.run('ip', 'link', 'show', DEVICE)
        )

    def test_no_such_bridge(self):
        self.assertRaises(OSError, self.plug, a_nic(linux_bridge='lo'))

    def test_host_is_not_reached_through_the_device(self):
        """Nor is it by somebody who knows the MAC of the host's end."""
        self.plug(a_nic('10.0.0.2/24'))
        ovs.run(*'ip address add 192.0.2.1/32 dev lo'.split())
        self.inside(*'ip route add 192.0.2.1/32 dev eth0'.split())
        self.assertNotIn('inet6', ovs.run('ip', 'address', 'show', DEVICE))
        self.assertFalse(self.host_hears('192.0.2.1'))
        mac = ovs.run('ip', '-br', 'link', 'show', DEVICE).split()[2]
        neighbour = f'192.0.2.1 lladdr {mac} dev eth0'.split()
        self.inside('ip', 'neigh', 'replace', *neighbour)
        self.assertFalse(self.host_hears('192.0.2.1'))
        # It is, each way, where one of the settings is missing.
        for name in (f'{DEVICE}.rp_filter', 'all.rp_filter'):
            ovs.run('sysctl', f'net.ipv4.conf.{name}=0')
        self.assertTrue(self.host_hears('192.0.2.1', PATIENCE))
        self.inside('ip', 'neigh', 'del', *neighbour)
        self.assertFalse(self.host_hears('192.0.2.1'))
        ovs.run('sysctl', f'net.ipv4.conf.{DEVICE}.arp_ignore=0')
        self.assertTrue(self.host_hears('192.0.2.1', PATIENCE))

    def host_hears(self, address, patience=1):
        """Whether a datagram from inside reaches a socket of the host."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind((address, 0))
            server.settimeout(patience)
            port = server.getsockname()[1]
            self.inside('bash', '-c', f'echo > /dev/udp/{address}/{port}')
            try:
                return server.recv(1) == b'\n'
            except TimeoutError:
                return False


class InterfacesTestCase(NetnsTestCase):
    def test_interfaces(self):
        self.plug(a_nic('10.0.0.2/24', 'fd00::2/64'))
        [found] = netns.interfaces(*self.where)
        counters = found.pop('counters')
        self.assertEqual(
            {
                'name': 'eth0',
                'device': DEVICE,
                'mac': MAC,
                'mtu': 1450,
                'up': True,
                'addresses': (('10.0.0.2', 24), ('fd00::2', 64)),
            },
            found | {'addresses': tuple(found['addresses'])},
        )
        self.assertLessEqual({'rx_bytes', 'tx_dropped'}, counters.keys())

    def test_none(self):
        self.assertEqual(0, len(netns.interfaces(*self.where)))

    def test_inode(self):
        self.assertEqual(self.sandbox.netns, netns.inode(self.sandbox.pid))


class LinkTestCase(NetnsTestCase):
    def setUp(self):
        super().setUp()
        # The directory is there afterwards.
        netns.sweep()
        self.name = f'nova-{uuid.uuid4()}'
        self.path = netns.NETNS_DIR / self.name
        self.addCleanup(self.path.unlink, missing_ok=True)

    def test_link_leads_to_the_namespace(self):
        netns.link(self.name, *self.where)
        self.assertEqual(self.sandbox.netns, os.stat(self.path).st_ino)

    def test_mount_is_not_touched(self):
        self.path.touch()
        held = f'/proc/{self.sandbox.pid}/ns/net'
        ovs.run('mount', '--bind', held, self.path)
        self.addCleanup(ovs.run, 'umount', self.path)
        self.assertRaises(OSError, netns.link, self.name, *self.where)
        self.assertRaises(OSError, netns.unlink, self.name)
        self.assertEqual(self.sandbox.netns, os.stat(self.path).st_ino)


class LeastPrivilegeTestCase(NetnsTestCase):
    """The capabilities of the context are enough."""

    privileged = ovs.PrivilegedApart

    def test_life_of_a_nic(self):
        nic = a_nic(
            '10.0.0.2/24',
            'fd00::2/64',
            routes=[('0.0.0.0/0', '10.0.0.1', False)],
            bridge='br-user',
        )
        self.assertEqual(self.sandbox.netns, netns.inode(self.sandbox.pid))
        self.plug(nic)
        self.complete(nic)
        (found,) = netns.interfaces(*self.where)
        self.assertEqual(
            (('10.0.0.2', 24), ('fd00::2', 64)), found['addresses']
        )
        netns.delete(DEVICE)
        self.assertRaises(OSError, netns.complete, *self.where, [nic])

    def test_errors_come_through(self):
        self.assertRaises(
            ProcessLookupError, netns.interfaces, self.sandbox.pid, 1
        )
