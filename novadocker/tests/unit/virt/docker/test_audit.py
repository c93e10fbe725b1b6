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

import dataclasses

from oslotest import base

from novadocker.tests.fixtures import network as ports
from novadocker.tests.fixtures import status
from novadocker.virt.docker import audit
from novadocker.virt.docker import findings
from novadocker.virt.docker import naming
from novadocker.virt.docker import nic
from novadocker.virt.docker import traces

Level = findings.Level
Remedy = findings.Remedy


class AuditTestCase(base.BaseTestCase):
    """A server with two ports, with nothing off."""

    def setUp(self):
        super().setUp()
        self.first, self.second = status.port(5), status.port(6)
        self.vifs = (self.first, self.second)

    def compare(self, server=None, seen=None, devices=None, **changes):
        """What is off where the traces of the server have changed."""
        if seen is None:
            seen = status.seen(
                status.all_of(*self.vifs, **changes), *self.vifs
            )
        if devices is not None:
            seen = dataclasses.replace(seen, devices=devices)
        server = server or status.a_server(*self.vifs)
        return audit.compare(status.HOST, {server.uuid: server}, seen)

    def assert_found(self, found, text, remedy=None, level=Level.WARNING):
        self.assertEqual(1, len(found), found)
        self.assertEqual(f'server {status.UUID}', found[0].subject)
        self.assertIn(text, found[0].text)
        self.assertEqual(level, found[0].level)
        self.assertEqual(
            remedy, found[0].repair.remedy if found[0].repair else None
        )

    def containers(self, *containers, server=None, **changes):
        return self.compare(
            server or status.a_server(*self.vifs),
            containers=containers,
            **changes,
        )


class ContainersTestCase(AuditTestCase):
    def test_nothing_is_off(self):
        self.assertEqual([], self.compare())

    def test_server_in_work(self):
        """However little of it there is."""
        server = status.a_server(task='spawning')
        found = audit.compare(
            status.HOST, {server.uuid: server}, traces.Seen()
        )
        self.assert_found(found, 'in work (spawning)', None, Level.SUCCESS)

    def test_no_container(self):
        for found in (
            self.compare(seen=traces.Seen()),
            self.containers(status.containers()[1]),
        ):
            self.assert_found(found, 'has no container', None, Level.FAILURE)

    def test_nothing_is_asked_of_a_server_that_failed(self):
        for state in ('error', 'building'):
            server = status.a_server(vm_state=state)
            self.assertEqual([], self.compare(server, seen=traces.Seen()))

    def test_container_that_ended(self):
        for state in ('active', 'paused'):
            found = self.containers(
                status.ended(exit_code=3),
                status.containers()[1],
                server=status.a_server(*self.vifs, vm_state=state),
            )
            self.assert_found(
                found,
                f'is {state} in Nova, and its container is exited '
                '(exit code 3)',
                None,
                Level.FAILURE,
            )

    def test_container_that_should_have_ended(self):
        server = status.a_server(*self.vifs, vm_state='stopped')
        self.assert_found(
            self.compare(server), 'is stopped in Nova, and its container is '
        )

    def test_stopped_server(self):
        """With its namespace and without one, as after a host boot."""
        server = status.a_server(*self.vifs, vm_state='stopped')
        box = status.containers()[1]
        self.assertEqual(
            [], self.containers(status.ended(), box, server=server)
        )
        self.assertEqual(
            [],
            self.containers(
                status.ended(),
                status.ended(status.BOX, naming.ROLE_SANDBOX),
                server=server,
                namespace=None,
                link=0,
            ),
        )

    def test_name_of_a_namespace_that_is_gone(self):
        server = status.a_server(*self.vifs, vm_state='stopped')
        found = self.containers(
            status.ended(),
            status.ended(status.BOX, naming.ROLE_SANDBOX),
            server=server,
            namespace=None,
            dangling=True,
        )
        self.assert_found(found, 'leads to no process', Remedy.UNLINK)

    def test_sandbox_is_gone(self):
        found = self.containers(status.container(), link=42)
        self.assert_found(found, 'has no sandbox')
        self.assertIn('reboot --hard', found[0].advice)
        server = status.a_server(*self.vifs, vm_state='stopped')
        found = self.containers(
            status.ended(), server=server, namespace=None, link=0
        )
        self.assert_found(found, 'has no sandbox')
        self.assertIn('server start', found[0].advice)

    def test_sandbox_has_ended(self):
        found = self.containers(
            status.container(),
            status.ended(status.BOX, naming.ROLE_SANDBOX),
            link=42,
        )
        self.assert_found(found, 'has a sandbox that has ended')

    def test_another_sandbox(self):
        found = self.containers(
            status.container(network='container:another'),
            status.containers()[1],
        )
        self.assert_found(found, 'is not in its sandbox')

    def test_one_container_more(self):
        more = status.ended(f'{status.NAME}-old')
        found = self.containers(*status.containers(), more)
        self.assert_found(found, f'a container more, {more.name}')
        for state in ('resized', 'rescued'):
            twofold = status.a_server(*self.vifs, vm_state=state)
            self.assertEqual(
                [], self.containers(*status.containers(), more, server=twofold)
            )


    def test_container_that_was_set_aside(self):
        aside = status.ended(f'{status.NAME}-old')
        for state in ('active', 'error'):
            found = self.containers(
                aside,
                status.containers()[1],
                server=status.a_server(*self.vifs, vm_state=state),
            )
            self.assert_found(found, f'was set aside, {aside.name}')
            self.assertIn('reboot --hard', found[0].advice)

    def rescued(self, *containers, vm_state='rescued'):
        labels = status.containers()[0].labels | {naming.LABEL_RESCUE: ''}
        return self.containers(
            dataclasses.replace(status.containers()[0], labels=labels),
            status.containers()[1],
            *containers,
            server=status.a_server(*self.vifs, vm_state=vm_state),
        )

    def test_rescued(self):
        own = status.ended(f'{status.NAME}-rescued')
        self.assertEqual([], self.rescued(own))
        for state in ('active', 'error'):
            self.assert_found(
                self.rescued(own, vm_state=state),
                f'is {state} in Nova, and still rescued here',
            )
        self.assert_found(
            self.rescued(), 'its own container is gone', level=Level.FAILURE
        )

    def test_advice_for_what_is_rescued(self):
        [found] = self.containers(
            status.ended(status.NAME),
            status.containers()[1],
            server=status.a_server(*self.vifs, vm_state='rescued'),
        )
        self.assertIn('openstack server unrescue', found.advice)


class NetworkTestCase(AuditTestCase):
    def assert_port(self, found, text):
        self.assert_found(
            found,
            f'port {self.first["id"]}: {text}',
            Remedy.PLUG,
            Level.FAILURE,
        )

    def inside(self, *interfaces):
        return self.compare(
            namespace=traces.Namespace(status.NETNS, interfaces)
        )

    def first_is(self, **changes):
        """The first NIC is another one than it shall be."""
        return self.inside(
            status.interface(self.first, **changes),
            status.interface(self.second, 'eth1'),
        )

    def test_nic_is_missing(self):
        self.assert_port(
            self.inside(status.interface(self.second, 'eth1')),
            'there is no eth0',
        )

    def test_nic_is_another(self):
        for changes, text in (
            ({'mac': 'fa:16:3e:00:00:00'}, 'eth0 has MAC fa:16:3e:00:00:00'),
            ({'mtu': 1300}, 'eth0 has MTU 1300 instead of 1450'),
            ({'up': False}, 'eth0 is down'),
            ({'addresses': ('fd00::5/64',)}, 'eth0 lacks 10.0.0.5/24'),
        ):
            self.assert_port(self.first_is(**changes), text)

    def test_addresses_are_compared_by_what_they_mean(self):
        addresses = ('fd00:0:0::5/64', '10.0.0.5/24', '10.9.9.9/24')
        self.assertEqual([], self.first_is(addresses=addresses))

    def test_names_stay_as_they_were_given(self):
        found = self.inside(
            status.interface(self.first, 'eth1'),
            status.interface(self.second, 'eth0'),
        )
        self.assertEqual([], found)

    def devices(self, **changes):
        first, second = (nic.device(vif) for vif in self.vifs)
        return {
            first: traces.Device(**changes),
            second: traces.Device(),
        }

    def test_device_of_the_host(self):
        name = nic.device(self.first)
        self.assert_port(
            self.compare(devices=self.devices(up=False)), f'{name} is down'
        )
        devices = self.devices()
        devices.pop(name)
        self.assert_port(
            self.compare(devices=devices), f'there is no device {name}'
        )

    def test_linux_bridges(self):
        hybrid = ports.hybrid(self.first)
        name = f'qbr{hybrid["id"]}'[:14]
        self.assert_port(
            self.compare(), f'{nic.device(hybrid)} is not in bridge {name}'
        )
        self.assertEqual([], self.compare(devices=self.devices(bridge=name)))
        hybrid['type'], hybrid['network']['bridge'] = 'bridge', 'brq-1'
        self.assertEqual(
            [], self.compare(devices=self.devices(bridge='brq-1'))
        )

    def at_the_switch(self, *found):
        return self.compare(
            switch_ports=(*found, status.switch_port(self.second))
        )

    def test_switch(self):
        self.assert_port(self.at_the_switch(), 'the switch does not have it')
        broken = status.switch_port(self.first, error='No such device')
        self.assert_port(
            self.at_the_switch(broken), 'the switch says: No such device'
        )

    def test_switch_that_does_not_answer(self):
        seen = status.seen(
            status.all_of(*self.vifs, switch_ports=()),
            *self.vifs,
            switched=False,
        )
        self.assertEqual([], self.compare(seen=seen))

    def test_port_that_is_not_bound(self):
        """Nobody here can help."""
        for kind in ('unbound', 'binding_failed'):
            self.first['type'] = kind
            self.assert_found(
                self.compare(),
                f'port {self.first["id"]} is not bound',
                None,
                Level.FAILURE,
            )

    def test_port_that_is_not_of_the_server(self):
        server = status.a_server(self.first)
        found = self.compare(server)
        self.assert_found(
            found, f'port {self.second["id"]} is still plugged', Remedy.DETACH
        )
        self.assertEqual(self.second['id'], found[0].repair.detail)
        only_switch = self.compare(server, known=status.known(self.first))
        self.assertEqual(found, only_switch)
        only_known = self.compare(
            server, switch_ports=(status.switch_port(self.first),)
        )
        self.assertEqual(found, only_known)

    def test_name_of_the_namespace(self):
        for link in (0, 4711):
            self.assert_found(
                self.compare(link=link), 'does not find it', Remedy.PLUG
            )
        self.assertEqual([], self.compare(link=42))

    def test_checkpoint(self):
        for known in (
            None,
            status.known(self.first),
            dataclasses.replace(status.known(*self.vifs), netns=1),
        ):
            self.assert_found(
                self.compare(known=known), 'its checkpoint', Remedy.PLUG
            )


class SnapshotsTestCase(AuditTestCase):
    def compare_with(self, **changes):
        seen = status.seen(
            status.all_of(*self.vifs),
            *self.vifs,
            snapshots={'nova-docker/snapshot:x': status.UUID},
        )
        return self.compare(status.a_server(*self.vifs, **changes), seen)

    def test_image_that_nobody_uploads(self):
        found = self.compare_with()
        self.assert_found(found, 'nova-docker/snapshot:x', Remedy.UNTAG)
        self.assertEqual('nova-docker/snapshot:x', found[0].repair.detail)

    def test_image_that_somebody_uploads(self):
        found = self.compare_with(task='image_uploading')
        self.assert_found(found, 'in work', None, Level.SUCCESS)


class LeftoversTestCase(AuditTestCase):
    def test_what_nova_does_not_tell_is_unknown(self):
        seen = status.seen(status.all_of(*self.vifs), *self.vifs)
        found = audit.compare(status.HOST, {}, seen)
        self.assert_found(found, 'is not known to Nova')
