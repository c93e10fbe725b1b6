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


import ctypes
import errno
import os
import pathlib

import fixtures
from oslotest import base

from novadocker.privsep import netns
from novadocker.tests.fixtures import netlink
from novadocker.tests.fixtures import ovs
from novadocker.tests.unit.privsep import test_nics

NAME = 'nova-155d900f-4e14-4e4c-a73d-069cbf4541e6'


class FakeLibc:
    """The door to another namespace, which stays shut for most users."""

    def __init__(self, code=0):
        self._code = code

    def setns(self, opened, kind):
        ctypes.set_errno(self._code)
        return -1 if self._code else 0


class NetnsTestCase(base.BaseTestCase):
    """A sandbox that is this process itself."""

    def setUp(self):
        super().setUp()
        self.useFixture(ovs.PrivilegedHere())
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.sysctls = directory / 'sysctl'
        self.directory = directory / 'netns'
        self.kernel = netlink.Kernel()
        self.kernel.has_link('br-int', 'openvswitch')
        self.offloads = {}
        for name, value in (
            ('nics.SYSCTL_DIR', self.sysctls),
            ('netns.NETNS_DIR', self.directory),
            ('netns.pyroute2.IPRoute', self.kernel),
            ('netns._libc', FakeLibc()),
            ('nics.set_tx_offload', self.offloads.__setitem__),
            ('nics.socket.if_nametoindex', self.kernel.index),
            ('nics.driver_of', self.kernel.driver),
        ):
            self.patch(name, value)
        self.where = (os.getpid(), os.stat('/proc/self/ns/net').st_ino)

    def patch(self, name, value):
        self.useFixture(
            fixtures.MonkeyPatch(f'novadocker.privsep.{name}', value)
        )

    def changes(self):
        return [command for command, _arguments in self.kernel.changes]


class NamespaceTestCase(NetnsTestCase):
    def test_inode(self):
        self.assertEqual(self.where[1], netns.inode(os.getpid()))

    def test_pid_of_somebody_else(self):
        pid, inode = self.where
        nic = test_nics.a_nic()
        for call in (
            lambda: netns.connect(pid, inode + 1, [nic]),
            lambda: netns.complete(pid, inode + 1, []),
            lambda: netns.announce(pid, inode + 1, [nic]),
            lambda: netns.interfaces(pid, inode + 1),
            lambda: netns.link(NAME, pid, inode + 1),
        ):
            self.assertRaises(ProcessLookupError, call)
        self.assertEqual([], self.kernel.changes)
        self.assertFalse(self.directory.exists())

    def test_namespace_that_may_not_be_entered(self):
        self.patch('netns._libc', FakeLibc(errno.EPERM))
        self.assertRaises(PermissionError, netns.interfaces, *self.where)

    def test_announce(self):
        for name in ('eth0', 'eth1'):
            self.kernel.has_link(name, 'veth')
        netns.announce(
            *self.where, [test_nics.a_nic(), test_nics.a_nic(name='eth1')]
        )
        self.assertEqual(['link set', 'link set'], self.changes())

    def test_announce_of_no_such_nic(self):
        error = self.assertRaises(
            OSError, netns.announce, *self.where, [test_nics.a_nic()]
        )
        self.assertIn('eth0', str(error))

    def test_interfaces(self):
        self.kernel.has_link('lo')
        index = self.kernel.has_link(
            'eth0',
            'veth',
            up=True,
            IFLA_ADDRESS='fa:16:3e:00:00:01',
            IFLA_MTU=1450,
            IFLA_STATS64={'rx_bytes': 7},
        )
        self.kernel.has_address(index, '10.0.0.5', 24)
        self.assertEqual(
            [
                {
                    'name': 'eth0',
                    'device': '',
                    'mac': 'fa:16:3e:00:00:01',
                    'mtu': 1450,
                    'up': True,
                    'addresses': [('10.0.0.5', 24)],
                    'counters': {'rx_bytes': 7},
                }
            ],
            netns.interfaces(*self.where),
        )


class ConnectTestCase(NetnsTestCase):
    def test_one_request_for_both_ends(self):
        netns.connect(*self.where, [test_nics.a_nic()])
        ((command, arguments),) = self.kernel.changes
        self.assertEqual('link add', command)
        self.assertEqual('tap0', arguments['ifname'])
        peer = arguments['peer']
        del peer['net_ns_fd']
        self.assertEqual(
            {'ifname': 'eth0', 'address': 'fa:16:3e:00:00:01', 'mtu': 1450},
            peer,
        )

    def test_leftover_goes_first(self):
        self.kernel.has_link('tap0', 'veth')
        netns.connect(*self.where, [test_nics.a_nic()])
        self.assertEqual(['link del', 'link add'], self.changes())

    def test_device_of_the_host_stays(self):
        for kind in ('bridge', None):
            self.kernel.has_link('tap0', kind)
            self.assertRaises(
                OSError, netns.connect, *self.where, [test_nics.a_nic()]
            )
        self.assertEqual([], self.kernel.changes)

    def test_errors_are_those_of_the_system(self):
        self.kernel.fails('link add', errno.EEXIST)
        error = self.assertRaises(
            FileExistsError, netns.connect, *self.where, [test_nics.a_nic()]
        )
        self.assertIn('tap0', str(error))


class CompleteTestCase(NetnsTestCase):
    def setUp(self):
        super().setUp()
        self.inside = self.kernel.has_link('eth0', 'veth')

    def complete(self, **changes):
        netns.complete(*self.where, [test_nics.a_nic(**changes)])

    def test_both_ends(self):
        outside = self.kernel.has_link('tap0', 'veth')
        netns.complete(*self.where, [test_nics.a_nic(('10.0.0.5', 24))])
        self.assertEqual(['link set', 'link set', 'addr add'], self.changes())
        self.assertEqual(
            [outside, self.inside, self.inside],
            [arguments['index'] for _, arguments in self.kernel.changes],
        )

    def test_offloads_are_those_of_the_bridge(self):
        self.kernel.has_link('tap0', 'veth')
        self.kernel.has_link('br-user', 'tun')
        for bridge, taken in (
            ('br-int', True),
            ('br-user', False),
            (None, True),
        ):
            self.complete(bridge=bridge)
            self.assertEqual({'eth0': taken}, self.offloads)

    def test_linux_bridge(self):
        index = self.kernel.has_link('tap0', 'veth')
        bridge = self.kernel.has_link('qbr0', 'bridge')
        self.complete(linux_bridge='qbr0', mtu=1400)
        wanted = {'index': index, 'state': 'up', 'mtu': 1400, 'master': bridge}
        self.assertEqual(('link set', wanted), self.kernel.changes[0])

    def test_link_of_a_hybrid_port(self):
        self.kernel.has_link('tap0', 'veth')
        ends = [self.kernel.has_link(name, 'veth') for name in ('qvb', 'qvo')]
        self.complete(inner=['qbr', 'qvb', 'qvo', 'gone'], mtu=1400)
        self.assertEqual(
            [{'index': index, 'mtu': 1400} for index in ends],
            [arguments for _command, arguments in self.kernel.changes][1:3],
        )

    def test_host_does_not_speak_on_it(self):
        self.kernel.has_link('tap0', 'veth')
        for family in ('ipv4', 'ipv6'):
            (self.sysctls / family / 'conf' / 'tap0').mkdir(parents=True)
        self.complete()
        for name, value in (
            ('ipv6/conf/tap0/disable_ipv6', '1'),
            ('ipv4/conf/tap0/rp_filter', '1'),
            ('ipv4/conf/tap0/arp_ignore', '8'),
        ):
            self.assertEqual(value, (self.sysctls / name).read_text())

    def test_only_a_bridge_takes_it(self):
        self.kernel.has_link('tap0', 'veth')
        self.kernel.has_link('bond0', 'bond')
        for bridge in ('bond0', 'nosuch'):
            error = self.assertRaises(
                OSError, self.complete, linux_bridge=bridge
            )
            self.assertIn(bridge, str(error))
        self.assertEqual([], self.kernel.changes)

    def test_nothing_to_bring_up(self):
        error = self.assertRaises(OSError, self.complete)
        self.assertIn('tap0', str(error))


class DeleteTestCase(NetnsTestCase):
    def test_delete(self):
        index = self.kernel.has_link('tap0', 'veth')
        netns.delete('tap0')
        self.assertEqual([('link del', {'index': index})], self.kernel.changes)

    def test_nothing_to_delete(self):
        netns.delete('tap0')
        self.assertEqual([], self.kernel.changes)

    def test_somebody_deletes_it_as_well(self):
        self.kernel.has_link('tap0', 'veth')
        self.kernel.fails('link del', errno.ENODEV)
        netns.delete('tap0')
        self.assertEqual([], self.kernel.changes)

    def test_delete_that_fails(self):
        self.kernel.has_link('tap0', 'veth')
        self.kernel.fails('link del', errno.EPERM)
        self.assertRaises(PermissionError, netns.delete, 'tap0')

    def test_only_a_veth_is_deleted(self):
        self.kernel.has_link('eth0')
        self.assertRaises(OSError, netns.delete, 'eth0')
        self.assertEqual([], self.kernel.changes)


class LinkTestCase(NetnsTestCase):
    def target(self):
        return os.readlink(self.directory / NAME)

    def test_link(self):
        netns.link(NAME, *self.where)
        self.assertEqual(f'/proc/{os.getpid()}/ns/net', self.target())
        self.assertEqual([NAME], os.listdir(self.directory))

    def test_link_of_an_older_process_is_replaced(self):
        self.directory.mkdir()
        (self.directory / NAME).symlink_to('/proc/1/ns/net')
        netns.link(NAME, *self.where)
        self.assertEqual(f'/proc/{os.getpid()}/ns/net', self.target())

    def test_link_tells_whether_it_was_needed(self):
        self.assertTrue(netns.link(NAME, *self.where))
        self.assertFalse(netns.link(NAME, *self.where))
        self.assertEqual(netns.of_process(os.getpid()), netns.target(NAME))

        netns.unlink(NAME)
        self.assertIsNone(netns.target(NAME))

    def test_sweep_removes_what_leads_nowhere(self):
        netns.link(NAME, *self.where)
        dead = NAME.replace('155d900f', '00000000')
        (self.directory / dead).symlink_to('/proc/0/ns/net')
        (self.directory / 'nova-mine').symlink_to('/proc/0/ns/net')
        (self.directory / 'qdhcp-1').symlink_to('/proc/0/ns/net')

        self.assertEqual([dead], netns.sweep())
        self.assertEqual(
            {NAME, 'nova-mine', 'qdhcp-1'}, set(os.listdir(self.directory))
        )

    def test_sweep_leaves_a_directory(self):
        self.assertEqual([], netns.sweep())
        self.assertTrue(self.directory.is_dir())

    def test_file_stays(self):
        """A namespace that somebody has mounted is one."""
        self.directory.mkdir()
        (self.directory / NAME).touch()
        self.assertRaises(OSError, netns.link, NAME, *self.where)
        self.assertRaises(OSError, netns.unlink, NAME)
        self.assertEqual([NAME], os.listdir(self.directory))

    def test_link_to_something_else_stays(self):
        self.directory.mkdir()
        (self.directory / NAME).symlink_to('/etc/passwd')
        self.assertRaises(OSError, netns.link, NAME, *self.where)
        self.assertRaises(OSError, netns.unlink, NAME)
        self.assertEqual('/etc/passwd', self.target())

    def test_unlink(self):
        netns.link(NAME, *self.where)
        netns.unlink(NAME)
        netns.unlink(NAME)
        self.assertEqual([], os.listdir(self.directory))

    def test_unlink_without_a_directory(self):
        netns.unlink(NAME)
        self.assertFalse(self.directory.exists())

    def test_only_names_of_ours(self):
        for name in ('qdhcp-1', '../passwd', f'{NAME}/x', f'{NAME}\n', ''):
            self.assertRaises(OSError, netns.link, name, *self.where)
            self.assertRaises(OSError, netns.unlink, name)
        self.assertFalse(self.directory.exists())
