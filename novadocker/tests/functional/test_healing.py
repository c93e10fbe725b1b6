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

"""What servers are after an accident of the engine or of the host."""

import os
import pathlib
import time
from unittest import mock

import fixtures
from nova.compute import power_state
from nova.compute import vm_states
from nova import objects
from nova.virt import event as virtevent
from oslotest import base

from novadocker.tests.fixtures import driver
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import instances
from novadocker.tests.fixtures import network as ports
from novadocker.tests.fixtures import ovs
from novadocker.virt.docker import naming
from novadocker.virt.docker import network
from novadocker.virt.docker import nic


class AccidentTestCase(base.BaseTestCase):
    """A server that Nova believes to run."""

    own_engine = False

    def setUp(self):
        super().setUp()
        self.logged = self.useFixture(fixtures.FakeLogger())
        self.host = self.useFixture(
            driver.DockerDriver(own_engine=self.own_engine)
        )
        self.instance = instances.an_instance()
        self.instance.vm_state = vm_states.ACTIVE
        self.instance.task_state = None
        self.network_info = driver.a_network()
        self.instance.info_cache = objects.InstanceInfoCache(
            network_info=self.network_info
        )
        self.useFixture(
            fixtures.MockPatchObject(
                objects.Instance, 'get_by_uuid', return_value=self.instance
            )
        )
        self.name = naming.instance_name(self.instance.uuid)
        self.sandbox = naming.sandbox_name(self.instance.uuid)
        self.link = pathlib.Path('/run/netns', self.name)
        self.device = self.network_info[0]['devname']
        self.events = mock.Mock()
        self.host.driver.register_event_listener(self.events)
        self.host.spawn(
            self.instance, self.host.load(images.SHELL), self.network_info
        )
        self.came_back = time.monotonic()

    def assert_soon(self, *conditions):
        """True within ten seconds, without an operator."""
        while True:
            try:
                for condition in conditions:
                    condition()
                return
            except (AssertionError, OSError):
                if time.monotonic() - self.came_back > 10:
                    raise
                time.sleep(0.1)

    def happens(self, *command):
        """Somebody does something to the host."""
        ovs.run(*command)
        self.came_back = time.monotonic()

    def is_whole(self):
        """The server is what Nova says it is."""
        info = self.host.driver.get_info(self.instance)
        self.assertEqual(power_state.RUNNING, info.state)
        self.assertIn('10.0.0.5/24', self.inside('ip', 'addr', 'show', 'eth0'))
        self.assertIn('via 10.0.0.1', self.inside('ip', 'route'))
        self.assertEqual([self.device], self.host.switch.ports())
        pid = self.host.client.inspect(self.name).pid
        self.assertEqual(
            os.stat(self.link).st_ino, os.stat(f'/proc/{pid}/ns/net').st_ino
        )

    def inside(self, *command):
        return ovs.run('ip', 'netns', 'exec', self.name, *command)

    def devices(self):
        """Names of the devices of the host."""
        rows = ovs.run('ip', '-br', 'link').splitlines()
        return {row.split()[0].split('@')[0] for row in rows}

    def repairs(self):
        """The lines that tell of a repair of the server."""
        return [
            line
            for line in self.logged.output.splitlines()
            if 'Repaired' in line
        ]

    def assert_told_once(self, cause):
        [line] = self.repairs()
        self.assertIn(cause, line)

    def attach(self):
        """Attach a port more, and give its address."""
        [more] = driver.a_network(1)
        self.host.driver.attach_interface(
            self.host.context, self.instance, None, more
        )
        self.assertIn('10.0.1.5', self.inside('ip', 'addr', 'show', 'eth1'))
        return more


class HostAccidentTestCase(AccidentTestCase):
    def test_device_that_somebody_deletes(self):
        before = self.host.client.inspect(self.name).pid
        self.happens('ip', 'link', 'delete', self.device)

        self.assert_soon(self.is_whole)
        self.assertEqual(before, self.host.client.inspect(self.name).pid)
        self.assert_told_once('was deleted')

    def attach_hybrid(self):
        """Attach a port that has a Linux bridge before the switch."""
        vif = ports.hybrid(
            ports.userspace(
                ports.vif(ports.Subnet('10.9.0.0/24', ['10.9.0.5']))
            )
        )
        [vif] = network.load(network.dump([vif]))
        self.host.driver.attach_interface(
            self.host.context, self.instance, None, vif
        )
        return vif

    def assert_hybrid(self, vif):
        bridge, at_bridge, at_switch = nic.inner(vif)
        for device in (vif['devname'], at_bridge):
            self.assertIn(
                f'master {bridge}', ovs.run('ip', 'link', 'show', device)
            )
        self.assertIn(at_switch, self.host.switch.ports())
        self.assertIn('10.9.0.5', self.inside('ip', 'addr', 'show', 'eth1'))

    def test_devices_of_a_hybrid_port(self):
        vif = self.attach_hybrid()
        self.assert_hybrid(vif)
        for number, device in enumerate((vif['devname'], *nic.inner(vif))):
            self.happens('ip', 'link', 'delete', device)
            self.assert_soon(
                lambda: self.assert_hybrid(vif),
                lambda number=number: self.assertEqual(
                    number + 1, len(self.repairs())
                ),
            )

    def test_hybrid_port_that_is_detached(self):
        before = self.devices()
        vif = self.attach_hybrid()
        self.host.driver.detach_interface(
            self.host.context, self.instance, ports.unbound(vif)
        )
        time.sleep(1)

        self.assertEqual(before, self.devices())
        self.is_whole()
        self.assertEqual([], self.repairs())

    def test_parts_of_a_hybrid_port_lost_while_nova_is_away(self):
        vif = self.attach_hybrid()
        self.host.driver.cleanup_host(self.host.host)
        for lose in (
            lambda device: ovs.run('ip', 'link', 'delete', device),
            lambda device: self.host.switch.vsctl('del-port', device),
        ):
            lose(nic.inner(vif)[2])
            self.host.driver.plug_vifs(
                self.instance, [*self.network_info, vif]
            )
            self.assert_hybrid(vif)

    def test_devices_that_the_driver_deletes_are_not_made_again(self):
        vif = self.attach()
        self.host.driver.detach_interface(
            self.host.context, self.instance, vif
        )
        self.host.destroy(self.instance, self.network_info)
        time.sleep(1)

        self.assertEqual([], self.host.switch.ports())
        self.assertEqual([], self.repairs())
        self.assertFalse(os.path.lexists(self.link))

    def test_switch_that_is_away_when_a_device_is_deleted(self):
        self.host.switch.pause()
        self.happens('ip', 'link', 'delete', self.device)
        time.sleep(2 * ovs.OS_VIF_PATIENCE)
        self.assertEqual([], self.repairs())

        self.host.switch.resume()
        self.came_back = time.monotonic()
        self.assert_soon(self.is_whole)

    def test_name_of_the_namespace_that_somebody_removes_or_turns(self):
        self.happens('rm', self.link)
        self.assert_soon(self.is_whole)

        self.link.with_name('draft').symlink_to('/proc/1/ns/net')
        self.link.with_name('draft').rename(self.link)
        self.came_back = time.monotonic()
        self.assert_soon(self.is_whole)
        self.assertEqual(2, len(self.repairs()))

    def test_name_that_a_crash_has_left(self):
        gone = naming.instance_name(instances.an_instance().uuid)
        stale = self.link.with_name(gone)
        stale.symlink_to('/proc/0/ns/net')
        self.addCleanup(stale.unlink, missing_ok=True)
        self.host.start()

        self.assertFalse(os.path.lexists(stale))
        self.is_whole()

    def test_fixed_ip_that_neutron_has_taken(self):
        [vif] = driver.a_network()
        subnet = vif['network']['subnets'][0]
        vif['id'], vif['devname'] = (
            self.network_info[0]['id'],
            self.device,
        )
        vif['address'] = self.network_info[0]['address']
        subnet['ips'][0]['address'] = '10.0.0.7'
        self.host.driver.reboot(
            self.host.context,
            self.instance,
            network.load(network.dump([vif])),
            'HARD',
        )

        found = self.inside('ip', 'addr', 'show', 'eth0')
        self.assertIn('10.0.0.7/24', found)
        self.assertNotIn('10.0.0.5', found)

    def test_port_that_is_gone_goes_with_a_reboot(self):
        self.attach()
        self.host.driver.reboot(
            self.host.context, self.instance, self.network_info, 'HARD'
        )

        self.is_whole()
        self.assertNotIn('eth1', self.inside('ip', 'link'))


class SandboxAccidentTestCase(AccidentTestCase):
    def kill(self):
        self.host.client.kill(self.host.client.inspect(self.sandbox).id)

    def remove(self):
        self.host.client.remove(self.sandbox)

    def check(self, accident):
        process = self.host.client.inspect(self.name).pid
        accident()
        self.came_back = time.monotonic()

        # The server keeps its process and all of its network.
        self.assert_soon(self.is_whole)
        self.assertEqual(process, self.host.client.inspect(self.name).pid)
        self.assert_told_once('sandbox')
        # Hot-plug goes on.
        vif = self.attach()
        self.host.driver.detach_interface(
            self.host.context, self.instance, vif
        )
        self.is_whole()
        self.happens('ip', 'link', 'delete', self.device)
        self.assert_soon(self.is_whole)
        # And the next start has a sandbox again.
        self.host.driver.reboot(
            self.host.context, self.instance, self.network_info, 'HARD'
        )
        self.is_whole()
        self.assertTrue(self.host.client.inspect(self.sandbox).state.alive)
        self.host.destroy(self.instance, self.network_info)
        self.assertEqual([], self.host.switch.ports())

    def test_sandbox_that_somebody_kills(self):
        self.check(self.kill)

    def test_sandbox_that_somebody_removes(self):
        self.check(self.remove)

    def test_sandbox_of_a_server_that_is_off(self):
        self.host.driver.power_off(self.instance)
        self.kill()
        self.came_back = time.monotonic()

        # There is nothing to give a name to.
        self.assert_soon(lambda: self.assertFalse(os.path.lexists(self.link)))
        self.assertEqual([], self.repairs())
        self.host.driver.power_on(
            self.host.context, self.instance, self.network_info
        )
        self.is_whole()

    def test_sandbox_killed_while_nova_is_away(self):
        self.host.driver.cleanup_host(self.host.host)
        self.kill()
        self.host.start()
        self.came_back = time.monotonic()

        self.assert_soon(self.is_whole)


class EngineAccidentTestCase(AccidentTestCase):
    own_engine = True

    def restart(self, live_restore):
        self.host.own_engine.stop()
        self.host.own_engine.start(live_restore)
        self.came_back = time.monotonic()

    def test_restart_with_live_restore_touches_nothing(self):
        before = self.host.client.inspect(self.name).pid
        self.restart(live_restore=True)
        time.sleep(2)

        self.is_whole()
        self.assertEqual(before, self.host.client.inspect(self.name).pid)
        self.assertNotIn(
            virtevent.EVENT_LIFECYCLE_STOPPED,
            [call.args[0].transition for call in self.events.mock_calls],
        )

    def test_restart_without_live_restore_starts_servers_again(self):
        self.restart(live_restore=False)
        self.assert_soon(self.is_whole)

        before = self.host.client.inspect(self.name).pid
        self.restart(live_restore=False)
        self.assert_soon(self.is_whole)
        self.assertNotEqual(before, self.host.client.inspect(self.name).pid)

    def test_server_that_the_engine_has_frozen_goes_on(self):
        """It does so for a commit, and forgets it if it is killed then."""
        self.host.client.pause(self.name)
        self.restart(live_restore=True)
        self.assert_soon(self.is_whole)

    def test_server_that_was_stopped_stays_stopped(self):
        self.host.driver.power_off(self.instance, 0)
        self.instance.vm_state = vm_states.STOPPED
        self.restart(live_restore=False)
        time.sleep(3)

        info = self.host.driver.get_info(self.instance)
        self.assertEqual(power_state.SHUTDOWN, info.state)

    def test_sandbox_that_dies_while_the_engine_is_away(self):
        """With live-restore containers outlive it."""
        pid = self.host.client.inspect(self.sandbox).pid
        self.host.own_engine.stop()
        os.kill(pid, 9)
        self.host.own_engine.start(live_restore=True)
        self.came_back = time.monotonic()

        self.assert_soon(self.is_whole)
        self.assert_told_once('sandbox')
