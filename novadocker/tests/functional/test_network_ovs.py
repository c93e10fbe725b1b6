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


"""Ports on a real Open vSwitch, by os-vif."""

import re
import subprocess
import sys

import fixtures
from nova import exception as nova_exception
import os_vif
from oslo_config import cfg
from oslotest import base

from novadocker import exception
from novadocker.privsep import netns
from novadocker.tests.fixtures import instances
from novadocker.tests.fixtures import network as ports
from novadocker.tests.fixtures import ovs
from novadocker.virt.docker import network
from novadocker.virt.docker import nic
from novadocker.virt.docker import switch

_STATE = re.compile('state [A-Z]+')
_SERVER = """\
import socket
family = socket.getaddrinfo('{0}', None)[0][0]
server = socket.create_server(('{0}', 5001), family=family)
print('listening', flush=True)
connection, _ = server.accept()
received = 0
while data := connection.recv(1 << 16):
    received += len(data)
print(received)
"""
_CLIENT = """\
import socket
with socket.create_connection(('{}', 5001)) as connection:
    connection.sendall(bytes({}))
"""


class Boom(OSError):
    """What a test makes a step fail with."""


class PortsTestCase(base.BaseTestCase):
    """A host with a switch."""

    tso = False

    def setUp(self):
        super().setUp()
        self.useFixture(ovs.HostNamespace())
        self.useFixture(ovs.Privileged())
        self.devices_before = self.devices()
        self.switch = self.useFixture(ovs.OpenVSwitch(tso=self.tso))
        self.clean = self.devices()
        self.instance = instances.an_instance()
        self.network = network.Network(
            None,
            switch.Switch(cfg.CONF.os_vif_ovs),
            network.NetworkSettings(plug_timeout=0, plug_is_fatal=True),
        )

    def sandbox(self, *vifs):
        """A sandbox with these ports."""
        sandbox = self.useFixture(ovs.Namespace())
        self.plug(vifs, sandbox)
        return sandbox

    def plug(self, vifs, sandbox):
        """Plug ports into a sandbox, and give those that were not there."""
        there = self.network.there(vifs, sandbox)
        made = self.network.plug(self.instance, vifs, sandbox, there)
        return [one.port_id for one in made]

    def vif(self, *subnets, **changes):
        return ports.userspace(ports.vif(*subnets, **changes))

    def devices(self):
        """Names of the devices of the host."""
        rows = ovs.run('ip', '-br', 'link').splitlines()
        return {row.split()[0].split('@')[0] for row in rows}

    def assertNothingLeft(self):
        self.assertEqual(self.clean, self.devices())
        self.assertEqual([], self.switch.ports())

    def assertReaches(self, sandbox, address):
        sandbox.run('ping', '-c', '3', '-i', '0.2', '-W', '2', address)

    def transfer(self, source, target, address, size):
        """Send bytes over TCP, and give how many have arrived."""
        with subprocess.Popen(
            ['nsenter', '-t', str(target.pid), '-n']
            + [sys.executable, '-c', _SERVER.format(address)],
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            try:
                server.stdout.readline()
                source.run(sys.executable, '-c', _CLIENT.format(address, size))
                return int(server.stdout.readline())
            finally:
                server.kill()


class TrafficTestCase(PortsTestCase):
    def two(self, plug):
        """Two sandboxes on one network of both families."""
        return [
            self.sandbox(
                plug(
                    self.vif(
                        ports.Subnet('10.0.0.0/24', [f'10.0.0.{number}']),
                        ports.Subnet('fd00::/64', [f'fd00::{number}']),
                    )
                )
            )
            for number in (5, 6)
        ]

    def check(self, plug):
        one, other = self.two(plug)
        self.assertReaches(one, '10.0.0.6')
        self.assertReaches(other, 'fd00::5')
        size = 10 << 20
        self.assertEqual(size, self.transfer(one, other, '10.0.0.6', size))
        self.assertEqual(size, self.transfer(other, one, 'fd00::5', size))

    def test_native(self):
        self.check(lambda vif: vif)

    def test_hybrid(self):
        self.check(ports.hybrid)
        self.assertIn('qbr', ''.join(self.devices()))

    def test_full_packets(self):
        one, _other = self.two(lambda vif: vif)
        one.run('ping', '-c1', '-W2', '-M', 'do', '-s', '1422', '10.0.0.6')
        self.assertRaises(
            AssertionError,
            one.run,
            *'ping -c1 -W2 -M do -s 1423 10.0.0.6'.split(),
        )

    def test_several_addresses_and_nics(self):
        first = self.vif(
            ports.Subnet('10.0.0.0/24', ['10.0.0.5', '10.0.0.15']),
            ports.Subnet('10.1.0.0/24', ['10.1.0.5']),
        )
        second = self.vif(ports.Subnet('10.2.0.0/24', ['10.2.0.5']))
        sandbox = self.sandbox(first, second)
        peer = self.sandbox(
            self.vif(
                ports.Subnet('10.0.0.0/24', ['10.0.0.6']),
                ports.Subnet('10.1.0.0/24', ['10.1.0.6']),
                ports.Subnet('10.2.0.0/24', ['10.2.0.6']),
            )
        )
        for address in ('10.0.0.5', '10.0.0.15', '10.1.0.5', '10.2.0.5'):
            self.assertReaches(peer, address)
        self.assertEqual(
            [
                ('eth0', first['address'], 1450),
                ('eth1', second['address'], 1450),
            ],
            [
                (one.name, one.mac, one.mtu)
                for one in self.network.interfaces(sandbox)
            ],
        )

    def test_two_ports_on_one_network(self):
        """Both answer, where nobody minds by which of them."""
        sandbox = self.sandbox(
            self.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.5'], '10.0.0.1')),
            self.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.15'], '10.0.0.1')),
        )
        peer = self.sandbox(
            self.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.6']))
        )
        for address in ('10.0.0.5', '10.0.0.15'):
            self.assertReaches(peer, address)
        self.assertEqual(
            'default via 10.0.0.1 dev eth0 proto static',
            sandbox.run('ip', 'route', 'show', 'default').strip(),
        )

    def test_gateway_and_host_routes(self):
        """Through a router that is a sandbox itself."""
        near = ports.Subnet(
            '10.0.0.0/24',
            ['10.0.0.5'],
            gateway='10.0.0.1',
            routes=[('172.16.0.0/24', '10.0.0.2')],
        )
        far = ports.Subnet('10.9.0.0/24', ['10.9.0.5'], gateway='10.9.0.1')
        sandbox = self.sandbox(self.vif(near))
        peer = self.sandbox(self.vif(far))
        router = self.sandbox(
            self.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.1', '10.0.0.2'])),
            self.vif(ports.Subnet('10.9.0.0/24', ['10.9.0.1'])),
        )
        router.run('sysctl', 'net.ipv4.ip_forward=1')
        peer.run('ip', 'address', 'add', '172.16.0.5/32', 'dev', 'lo')
        router.run('ip', 'route', 'add', '172.16.0.5', 'via', '10.9.0.5')
        self.assertReaches(sandbox, '10.9.0.5')
        sandbox.run('ip', 'route', 'del', 'default')
        self.assertReaches(sandbox, '172.16.0.5')


class PlugTestCase(PortsTestCase):
    def a_port(self):
        return self.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.5'], '10.0.0.1'))

    def test_neutron_is_told_which_port_it_is(self):
        vif = self.a_port()
        self.sandbox(vif)
        found = self.switch.vsctl(
            'get', 'Interface', vif['devname'], 'external_ids'
        )
        for key, value in (
            ('iface-id', vif['id']),
            ('attached-mac', vif['address']),
            ('vm-uuid', self.instance.uuid),
            ('iface-status', 'active'),
        ):
            self.assertIn(
                f'{key}="{value}"'.replace('"active"', 'active'), found
            )

    def test_again_changes_nothing(self):
        for kind in (lambda vif: vif, ports.hybrid):
            vif = kind(self.a_port())
            sandbox = self.sandbox(vif)
            before = self.state(sandbox)
            again = self.plug([vif], sandbox)
            self.assertEqual([], again)
            self.assertEqual(before, self.state(sandbox))

    def state(self, sandbox):
        return (
            self.switch.vsctl('--columns=_uuid,ofport', 'list', 'Interface'),
            # The kernel changes its mind about this a moment later.
            _STATE.sub('', ovs.run('ip', '-o', 'link')),
            sandbox.run('ip', '-o', 'address'),
            sandbox.run('ip', 'route'),
        )

    def test_what_is_made_is_told(self):
        old, new = self.a_port(), self.a_port()
        sandbox = self.sandbox(old)
        made = self.plug([old, new], sandbox)
        self.assertEqual([new['id']], made)

    def test_hot_plug_keeps_names(self):
        first, second, third = (self.vif() for _ in range(3))
        sandbox = self.sandbox(first, second)
        self.network.unplug(self.instance, [first])
        self.plug([second, third], sandbox)
        self.assertEqual(
            {'eth0': third['address'], 'eth1': second['address']},
            {one.name: one.mac for one in self.network.interfaces(sandbox)},
        )

    def test_sandbox_with_a_new_namespace(self):
        """As after a restart of the sandbox, by us or by anybody."""
        self.sandbox(self.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.6'])))
        for kind in (lambda vif: vif, ports.hybrid):
            vif = kind(self.a_port())
            old = self.sandbox(vif)
            new = self.sandbox(vif)
            self.assertReaches(new, '10.0.0.6')
            self.assertEqual([], self.network.interfaces(old))
            new.end()
            newer = self.sandbox(vif)
            self.assertReaches(newer, '10.0.0.6')
            newer.end()

    def test_port_of_the_switch_that_somebody_removed(self):
        vif = self.a_port()
        sandbox = self.sandbox(vif)
        self.switch.vsctl('del-port', vif['devname'])
        self.plug([vif], sandbox)
        self.assertEqual([vif['devname']], self.switch.ports())

    def test_hybrid_port_that_has_lost_a_part(self):
        self.sandbox(self.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.6'])))
        vif = ports.hybrid(self.a_port())
        sandbox = self.sandbox(vif)
        bridge, _inside, at_switch = nic.inner(vif)
        for accident in (
            lambda: ovs.run('ip', 'link', 'del', bridge),
            lambda: ovs.run('ip', 'link', 'del', at_switch),
            lambda: self.switch.vsctl('del-port', at_switch),
        ):
            accident()
            self.assertEqual([vif['id']], self.plug([vif], sandbox))
            self.assertReaches(sandbox, '10.0.0.6')
            self.assertEqual([], self.plug([vif], sandbox))

    def test_mtu_that_has_changed(self):
        for kind in (lambda vif: vif, ports.hybrid):
            vif = kind(self.a_port())
            sandbox = self.sandbox(vif)
            vif['network']['meta']['mtu'] = 1400
            self.assertEqual([], self.plug([vif], sandbox))
            for device in (vif['devname'], *nic.inner(vif)[1:]):
                self.assertIn(
                    'mtu 1400', ovs.run('ip', 'link', 'show', device)
                )

    def test_switch_that_was_away_when_the_port_was_unplugged(self):
        """It still has a port that has no device, and nobody knows it."""
        self.sandbox(self.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.6'])))
        vif = self.a_port()
        self.assertReaches(self.sandbox(vif), '10.0.0.6')
        ovs.run('ip', 'link', 'del', vif['devname'])
        self.assertReaches(self.sandbox(vif), '10.0.0.6')

    def test_failure_at_each_step_leaves_nothing(self):
        steps = (
            lambda vif, sandbox: fixtures.MonkeyPatch(
                'os_vif.plug', second_time(os_vif.plug)
            ),
            lambda vif, sandbox: meanwhile(
                ovs.run, 'ip', 'link', 'del', vif['devname']
            ),
            lambda vif, sandbox: meanwhile(
                sandbox.run, 'ip', 'link', 'set', 'eth1', 'name', 'lost'
            ),
        )
        for kind in (lambda vif: vif, ports.hybrid):
            for failure in steps:
                first, second = kind(self.a_port()), kind(self.a_port())
                sandbox = self.useFixture(ovs.Namespace())
                with failure(second, sandbox):
                    error = self.assertRaises(
                        exception.NetworkSetupFailed,
                        self.plug,
                        [first, second],
                        sandbox,
                    )
                self.assertIn(second['id'], str(error))
                self.assertNothingLeft()
                self.assertEqual([], self.network.interfaces(sandbox))

    def test_failure_between_two_nics(self):
        good = self.a_port()
        bad = self.vif(address='01:00:5e:00:00:01')
        sandbox = self.useFixture(ovs.Namespace())
        error = self.assertRaises(
            exception.NetworkSetupFailed, self.plug, [good, bad], sandbox
        )
        self.assertIn(bad['devname'], str(error))
        self.assertNothingLeft()
        self.assertEqual([], self.network.interfaces(sandbox))

    def test_failure_keeps_what_was_there(self):
        old, new = self.a_port(), self.a_port()
        sandbox = self.sandbox(old)
        with meanwhile(
            sandbox.run, 'ip', 'link', 'set', 'eth1', 'name', 'lost'
        ):
            self.assertRaises(
                exception.NetworkSetupFailed,
                self.plug,
                [old, new],
                sandbox,
            )
        self.assertEqual([old['devname']], self.switch.ports())

    def test_switch_is_away(self):
        vif = self.a_port()
        sandbox = self.useFixture(ovs.Namespace())
        self.switch.vsctl('show')
        self.switch.stop()
        error = self.assertRaises(
            exception.NetworkSetupFailed,
            self.plug,
            [vif],
            sandbox,
        )
        self.assertIn(vif['id'], str(error))
        self.assertNotIn(vif['devname'], self.devices())

    def test_namespace_is_gone(self):
        sandbox = self.useFixture(ovs.Namespace())
        sandbox.end()
        self.assertRaises(
            exception.NetworkSetupFailed,
            self.plug,
            [self.a_port()],
            sandbox,
        )
        self.assertNothingLeft()


def second_time(function):
    """The function, which fails when it is called again."""
    calls = []

    def wrapper(*args):
        calls.append(args)
        if len(calls) == 2:
            raise Boom(5, 'the step failed')
        return function(*args)

    return wrapper


def meanwhile(happen, *arguments):
    """Have something happen to NICs between their making and completion."""
    complete = netns.complete

    def wrapper(*args):
        happen(*arguments)
        complete(*args)

    return fixtures.MonkeyPatch('novadocker.privsep.netns.complete', wrapper)


class UnplugTestCase(PortsTestCase):
    def plugged(self, kind=lambda vif: vif):
        vif = kind(
            self.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.5'], '10.0.0.1'))
        )
        return vif, self.sandbox(vif)

    def test_all_is_gone(self):
        for kind in (lambda vif: vif, ports.hybrid):
            vif, sandbox = self.plugged(kind)
            self.network.unplug(self.instance, [vif])
            self.assertNothingLeft()
            self.assertEqual([], self.network.interfaces(sandbox))
            self.network.unplug(self.instance, [vif])

    def test_unbound(self):
        """Neutron unbinds ports before Nova asks for their removal."""
        for kind in (lambda vif: vif, ports.hybrid):
            vif, _sandbox = self.plugged(kind)
            self.network.unplug(self.instance, [ports.unbound(vif)])
            self.assertNothingLeft()

    def test_from_a_checkpoint(self):
        vif, _sandbox = self.plugged(ports.hybrid)
        known = network.load(network.dump([vif]))
        self.network.unplug(self.instance, known)
        self.assertNothingLeft()

    def test_namespace_is_gone(self):
        for kind in (lambda vif: vif, ports.hybrid):
            vif, sandbox = self.plugged(kind)
            sandbox.end()
            self.network.unplug(self.instance, [vif])
            self.assertNothingLeft()

    def test_others_are_left_alone(self):
        vif, _sandbox = self.plugged()
        other, _other = self.plugged()
        self.network.unplug(self.instance, [vif])
        self.assertEqual([other['devname']], self.switch.ports())
        self.assertIn(other['devname'], self.devices())

    def test_switch_is_away(self):
        vif, _sandbox = self.plugged()
        self.switch.stop()
        self.network.unplug(self.instance, [vif])
        self.assertNotIn(vif['devname'], self.devices())

    def test_one_failure_does_not_keep_the_others(self):
        (bad, _one), (good, _other) = self.plugged(), self.plugged()
        unplug = os_vif.unplug

        def fail_for_the_bad(vif, info):
            if vif.id == bad['id']:
                raise os_vif.exception.UnplugException(vif=vif, err='no')
            unplug(vif, info)

        with fixtures.MonkeyPatch('os_vif.unplug', fail_for_the_bad):
            error = self.assertRaises(
                nova_exception.VirtualInterfaceUnplugException,
                self.network.unplug,
                *(self.instance, [bad, good]),
            )
        self.assertIn(bad['id'], str(error))
        self.assertEqual([bad['devname']], self.switch.ports())
        self.assertNotIn(bad['devname'], self.devices())
