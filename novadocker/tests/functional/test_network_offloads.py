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


"""Traffic arrives whole, whatever switch it goes through."""

import subprocess
import sys

from novadocker.privsep import netns
from novadocker.tests.fixtures import network as ports
from novadocker.tests.fixtures import ovs
from novadocker.tests.functional import test_network_ovs
from novadocker.tests.functional import test_privsep_netns

_OFFLOAD = test_privsep_netns.OFFLOAD

# Sends back all that it gets, by TCP and by UDP.
_ECHO = """\
import socket, threading

def serve(connection):
    while data := connection.recv(1 << 16):
        connection.sendall(data)
    connection.close()

def datagrams():
    while True:
        data, sender = udp.recvfrom(1 << 16)
        udp.sendto(data, sender)

udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(('::', 5001))
threading.Thread(target=datagrams, daemon=True).start()
server = socket.create_server(
    ('::', 5001), family=socket.AF_INET6, dualstack_ipv6=True
)
print('listening', flush=True)
while True:
    threading.Thread(
        target=serve, args=(server.accept()[0],), daemon=True
    ).start()
"""
# Says what comes back as it went.
_CLIENT = """\
import os, socket, sys, threading

def tcp(size):
    data, found = os.urandom(size), bytearray()
    with socket.create_connection((address, 5001), patience) as connection:
        threading.Thread(
            target=connection.sendall, args=(data,), daemon=True
        ).start()
        while len(found) < size and (chunk := connection.recv(1 << 16)):
            found += chunk
    return found == data

def udp(size):
    data = os.urandom(size)
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.settimeout(patience)
        connection.connect((address, 5001))
        connection.send(data)
        return connection.recv(1 << 16) == data

address, patience = sys.argv[1], float(sys.argv[2])
family = socket.getaddrinfo(address, None)[0][0]
for word in sys.argv[3:]:
    protocol, size = word.split(':')
    try:
        whole = globals()[protocol](int(size))
    except OSError:
        whole = False
    if whole:
        print(word)
"""
# The greatest of them in many segments, and in fragments.
_TRAFFIC = ('udp:1', 'udp:1400', 'udp:60000', 'tcp:100', f'tcp:{10 << 20}')


class OffloadsTestCase(test_network_ovs.PortsTestCase):
    def two(self, kind=lambda vif: vif):
        """Two sandboxes on one network of both families."""
        return [
            self.sandbox(
                kind(
                    self.vif(
                        ports.Subnet('10.0.0.0/24', [f'10.0.0.{number}']),
                        ports.Subnet('fd00::/64', [f'fd00::{number}']),
                    )
                )
            )
            for number in (5, 6)
        ]

    def arriving(self, source, target, address, *traffic, patience=20):
        """What comes back whole of what is sent to an echo."""
        with subprocess.Popen(
            ['nsenter', '-t', str(target.pid), '-n']
            + [sys.executable, '-c', _ECHO],
            stdout=subprocess.PIPE,
        ) as echo:
            try:
                echo.stdout.readline()
                return source.run(
                    *(sys.executable, '-c', _CLIENT, address, str(patience)),
                    *traffic,
                    timeout=120,
                ).split()
            finally:
                echo.kill()

    def assert_all_arrives(self, source, target):
        for address in ('10.0.0.6', 'fd00::6'):
            self.assertEqual(
                list(_TRAFFIC),
                self.arriving(source, target, address, *_TRAFFIC),
            )

    def offload(self, sandbox):
        for row in sandbox.run('ethtool', '-k', 'eth0').splitlines():
            if row.startswith(_OFFLOAD):
                return row.removeprefix(_OFFLOAD)
        return None


class UserspaceTestCase(OffloadsTestCase):
    """A switch that hands packets on as they are."""

    def test_native(self):
        one, other = self.two()
        self.assertEqual('off', self.offload(one))
        self.assert_all_arrives(one, other)

    def test_hybrid(self):
        one, other = self.two(ports.hybrid)
        self.assertEqual('off', self.offload(one))
        self.assert_all_arrives(one, other)

    def test_nothing_arrives_with_offloads(self):
        """Which tells what the other tests are for."""
        one, other = self.two()
        one.run('ethtool', '-K', 'eth0', 'tx', 'on')
        sent = ('udp:1', 'udp:1400', 'tcp:100')
        for address in ('10.0.0.6', 'fd00::6'):
            self.assertEqual(
                [], self.arriving(one, other, address, *sent, patience=0.5)
            )

    def test_switch_that_has_learned_it(self):
        """NICs follow when they are looked after the next time."""
        vif = self.vif(ports.Subnet('10.0.0.0/24', ['10.0.0.5']))
        sandbox = self.sandbox(vif)
        for tso, state in ((True, 'on'), (False, 'off')):
            self.switch.restart(tso)
            self.plug([vif], sandbox)
            self.assertEqual(state, self.offload(sandbox))


class UserspaceTsoTestCase(OffloadsTestCase):
    """A switch that is told what is missing of a packet."""

    tso = True

    def test_native(self):
        one, other = self.two()
        self.assertEqual('on', self.offload(one))
        self.assert_all_arrives(one, other)

    def test_hybrid(self):
        one, other = self.two(ports.hybrid)
        self.assertEqual('on', self.offload(one))
        self.assert_all_arrives(one, other)

    def test_peer_without(self):
        """As Neutron makes its agents' ports on any userspace datapath."""
        one, other = self.two()
        other.run('ethtool', '-K', 'eth0', 'tx', 'off')
        self.assert_all_arrives(one, other)


class LinuxBridgeTestCase(OffloadsTestCase):
    """Packets that do not leave the kernel."""

    def test_traffic(self):
        ovs.run(*'ip link add br-linux up type bridge'.split())
        one, other = (self.on_bridge(number, 'br-linux') for number in (5, 6))
        self.assertEqual('on', self.offload(one))
        self.assert_all_arrives(one, other)

    def on_bridge(self, number, bridge):
        sandbox = self.useFixture(ovs.Namespace())
        nic = test_privsep_netns.a_nic(
            *(f'10.0.0.{number}/24', f'fd00::{number}/64'),
            linux_bridge=bridge,
            bridge=bridge,
            device=f'tap{number}',
            mac=f'fa:16:3e:00:00:0{number}',
        )
        netns.connect(sandbox.pid, sandbox.netns, [nic])
        netns.complete(sandbox.pid, sandbox.netns, [nic])
        return sandbox
