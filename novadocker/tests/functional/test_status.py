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

"""nova-docker-status on a host that somebody has damaged."""

import json
import os
import pathlib
import shutil
from unittest import mock

import fixtures
from nova import context as nova_context
from nova import objects

from oslotest import base as test_base

from novadocker.cmd import status
from novadocker.privsep import firewall
from novadocker.tests.fixtures import ovs
from novadocker.tests.functional import base
from novadocker.virt.docker import auditor
from novadocker.virt.docker import naming
from novadocker.virt.docker import nic

UNKNOWN = '5e5e5e5e-0000-4000-8000-5e5e5e5e5e5e'


class StatusTestCase(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MockPatchObject(auditor, 'PAUSE', 0.1))

    def look(self, repair=False):
        return status.Host().status(repair)

    def off(self, repair=False):
        """What is off with servers, a line each."""
        return [
            f'{one.subject}: {one.text}'
            for one in self.look(repair).findings
            if one.subject.startswith('server ') and one.level
        ]

    def assert_found(self, *texts):
        """Just this is off, and it makes the command fail."""
        found = self.look()
        self.assertTrue(found.code)
        off = self.off()
        for text in texts:
            self.assertIn(text, '\n'.join(off))
        self.assertEqual(len(texts), len(off), off)

    def assert_repaired(self, *texts):
        """It is found, and repaired, and then not found any more."""
        self.assert_found(*texts)
        repaired = self.look(repair=True)
        self.assertEqual([], [one for one in repaired.repairs if one.refused])
        self.assertNotEqual([], repaired.repairs)
        self.assertEqual([], self.off())

    def boot_alone(self):
        """A server, with nobody who could heal it."""
        server = self.boot()
        self.compute.stop()
        return server

    def vif(self, server):
        [vif] = self.instance(server).get_network_info()
        return vif

    def instance(self, server):
        return objects.Instance.get_by_uuid(
            nova_context.get_admin_context(), server['id']
        )

    def link(self, server):
        return pathlib.Path('/run/netns', naming.instance_name(server['id']))


class ServersTestCase(StatusTestCase):
    def test_nothing_is_off(self):
        """With a server in each state, and others on the engine."""
        self.boot()
        self.act(self.boot(), 'os-stop', 'SHUTOFF')
        self.act(self.boot(), 'pause', 'PAUSED')
        self.act(self.boot(), 'rescue', 'RESCUE')
        self.assertEqual([], self.off())
        self.assertEqual(4, self.look().servers)

    def test_rescue_that_nova_knows_nothing_of(self):
        server = self.boot()
        own = self.info(server)
        self.act(server, 'rescue', 'RESCUE')
        instance = self.instance(server)
        for state in ('active', 'error'):
            instance.vm_state = state
            instance.save()
            self.assert_found(f'is {state} in Nova, and still rescued here')
        self.recover(server)
        self.assertEqual([], self.off())
        self.assertEqual(own.id, self.info(server).id)

        aside = naming.aside_name(own.name, self.host, naming.REPLACED)
        self.client.rename(own.id, aside)
        self.assert_found('has a container that was set aside')
        self.act(server, 'reboot', 'ACTIVE', type='HARD')
        self.assertEqual([], self.off())
        self.assertEqual(own.id, self.info(server).id)

    def test_ports(self):
        server = self.boot_alone()
        vif = self.vif(server)
        device = nic.device(vif)
        for text, *command in (
            ('there is no eth0', 'ip', 'link', 'del', device),
            (f'{device} is down', 'ip', 'link', 'set', device, 'down'),
        ):
            ovs.run(*command)
            self.assert_repaired(f'port {vif["id"]}: {text}')
        for text, command in (
            ('eth0 is down', 'ip link set eth0 down'),
            ('eth0 lacks 192.168.1.', 'ip -4 addr flush dev eth0'),
            ('eth0 has MTU 1300 instead of', 'ip link set eth0 mtu 1300'),
            ('eth0 has MAC', 'ip link set eth0 address fa:16:3e:00:00:01'),
        ):
            self.inside(server, command)
            self.assert_repaired(f'port {vif["id"]}: {text}')
        self.switch.vsctl('del-port', device)
        self.assert_repaired(f'port {vif["id"]}: the switch does not have it')

    def test_what_is_written_down(self):
        server = self.boot_alone()
        name = self.link(server)
        name.unlink()
        self.assert_repaired(f'ip netns exec {name.name} does not find it')
        name.unlink()
        name.symlink_to('/proc/1/ns/net')
        self.assert_repaired(f'ip netns exec {name.name} does not find it')
        self.inside(server, 'ip addr show eth0')
        shutil.rmtree(self.instances / server['id'])
        self.assert_repaired('its checkpoint is missing')

    def test_port_that_is_not_of_the_server_any_more(self):
        server = self.boot_alone()
        vif = self.vif(server)
        instance = self.instance(server)
        instance.info_cache.network_info = type(
            instance.info_cache.network_info
        )([])
        instance.info_cache.save()
        self.assert_repaired(f'port {vif["id"]} is still plugged')
        self.assertEqual([], self.switch.ports())

    def test_sandbox_that_has_ended(self):
        """It is repaired when the server is started again."""
        server = self.boot_alone()
        self.client.kill(self.sandbox(server).id)
        off = self.off(repair=True)
        self.assertIn('has a sandbox that has ended', off[0])
        self.assertEqual('running', self.info(server).state)

    def test_container_that_is_not_what_nova_says(self):
        server = self.boot_alone()
        self.client.kill(self.info(server).id)
        self.assert_found('is active in Nova, and its container is exited')
        self.client.remove(self.info(server).id)
        self.assert_found('has no container')
        self.off(repair=True)
        self.assert_found('has no container')

    def test_server_in_work_is_left_alone(self):
        server = self.boot_alone()
        device = nic.device(self.vif(server))
        instance = self.instance(server)
        instance.task_state = 'rebooting'
        instance.save()
        ovs.run('ip', 'link', 'del', device)
        found = self.look(repair=True)
        self.assertEqual([], found.repairs)
        self.assertIn('is in work (rebooting)', status.as_text(found))
        instance.task_state = None
        instance.save()
        self.assert_repaired('there is no eth0')

    def test_nova_is_silent(self):
        server = self.boot_alone()
        ovs.run('ip', 'link', 'del', nic.device(self.vif(server)))
        with mock.patch.object(
            objects.InstanceList,
            'get_by_host',
            autospec=True,
            side_effect=OSError('nobody is there'),
        ):
            found = self.look(repair=True)
        text = status.as_text(found)
        self.assertIn('Nova does not answer: nobody is there', text)
        self.assertIn('there is no eth0', text)
        self.assertEqual([], found.repairs)
        self.assert_repaired('there is no eth0')


class FirewallTestCase(test_base.BaseTestCase):
    def test_policy(self):
        self.useFixture(ovs.HostNamespace())
        self.useFixture(ovs.Privileged())
        self.assertEqual('ACCEPT', firewall.forward_policy(4))
        ovs.run('ip6tables', '-P', 'FORWARD', 'DROP')
        self.assertEqual('ACCEPT', firewall.forward_policy(4))
        self.assertEqual('DROP', firewall.forward_policy(6))


class LeftoversTestCase(StatusTestCase):
    def delete_behind_the_back(self, *servers):
        """As users can while nova-compute is away."""
        service = self.admin_api.get_services(
            host=self.host, binary='nova-compute'
        )[0]
        self.admin_api.put_service(service['id'], {'forced_down': True})
        self.compute.stop()
        for server in servers:
            self.delete(server)

    def test_server_that_was_deleted(self):
        server = self.boot()
        repository, _, tag = naming.rebind_reference(
            server['id'], self.host
        ).rpartition(':')
        self.client.commit(self.info(server).id, repository, tag, {}, False)
        self.delete_behind_the_back(server)
        self.assert_repaired(f'server {server["id"]}: was deleted')
        self.assertEqual([], self.containers())
        self.assertEqual([], self.switch.ports())
        self.assertEqual([], self.client.list_images(naming.REBIND_REPOSITORY))
        self.assertFalse(os.path.lexists(self.link(server)))
        self.assertFalse((self.instances / server['id']).exists())

    def test_parts_of_servers_that_were_deleted(self):
        """Each is found where it is all that is left."""
        servers = [self.boot(), self.boot()]
        self.delete_behind_the_back(*servers)
        for row in self.containers():
            self.client.remove(row.id)
        for server in servers:
            self.link(server).unlink()
        shutil.rmtree(self.instances / servers[0]['id'])
        self.switch.vsctl(
            'del-port', self.known(servers[1])['names'].popitem()[0]
        )
        [device] = self.switch.ports()
        off = self.off()
        self.assertEqual(
            {
                f'server {servers[0]["id"]}: was deleted, and there is still: '
                f'port {device} of the switch',
                f'server {servers[1]["id"]}: was deleted, and there is still: '
                'directory with its checkpoint',
            },
            set(off),
        )
        self.assert_repaired('of the switch', 'checkpoint')
        self.assertEqual([], self.switch.ports())
        self.assertFalse((self.instances / servers[1]['id']).exists())

    def known(self, server):
        path = self.instances / server['id'] / 'docker.json'
        return json.loads(path.read_text())

    def test_data_of_a_server_that_nova_has_stays(self):
        server = self.boot_alone()
        instance = self.instance(server)
        for host, place in (('another', 'host another'), (None, 'no host')):
            instance.host = host
            instance.save()
            off = self.off()
            self.assertIn(f'is on {place}, and its data is still here', off[0])
            self.look(repair=True)
            self.assertEqual(off[:1], self.off())
            self.assertEqual('running', self.info(server).state)
        self.assertEqual(
            [self.info(server).id], [row.id for row in self.containers()]
        )
        self.assertEqual([], self.switch.ports())

    def test_snapshot(self):
        server = self.boot()
        reference = naming.snapshot_reference(UNKNOWN)
        repository, _, tag = reference.rpartition(':')
        self.client.commit(self.info(server).id, repository, tag, {}, False)
        self.assert_repaired(f'image {reference} is still there')
        self.assertEqual(
            [], self.client.list_images(naming.SNAPSHOT_REPOSITORY)
        )

    def test_dangling_name(self):
        name = pathlib.Path('/run/netns', naming.instance_name(UNKNOWN))
        self.addCleanup(name.unlink, missing_ok=True)
        name.symlink_to('/proc/4194304/ns/net')
        self.assert_repaired(f'{name} leads to no process')

    def test_server_that_nova_does_not_know(self):
        """It may be that Nova is not the right one."""
        self.boot_alone()
        before = self.containers()
        with (
            mock.patch.object(
                objects.InstanceList,
                'get_by_host',
                autospec=True,
                return_value=objects.InstanceList(objects=[]),
            ),
            mock.patch.object(
                objects.InstanceList,
                'get_by_filters',
                autospec=True,
                return_value=objects.InstanceList(objects=[]),
            ),
        ):
            self.assert_found('is not known to Nova')
            self.off(repair=True)
        self.assertEqual(before, self.containers())
        self.assertEqual([], self.off())

    def test_what_is_of_others_is_not_touched(self):
        server = self.boot()
        self.flags(host='another')
        self.assertEqual([], self.off(repair=True))
        self.assertEqual(2, len(self.containers()))
        self.inside(server, 'ip addr show eth0')
