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

"""Servers on a real engine and a real switch, by the driver's own methods."""

import os
import pathlib
import time
from unittest import mock

from nova.compute import power_state
from nova import exception as nova_exception
from nova import objects
from oslotest import base

from novadocker import exception
import novadocker.privsep.netns
from novadocker.tests.fixtures import driver
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import instances
from novadocker.tests.fixtures import ovs
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import network


class LifecycleTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.host = self.useFixture(driver.DockerDriver())
        self.client = self.host.client
        self.driver = self.host.driver
        self.instance = instances.an_instance(flavor={'vcpus': 2})
        self.network_info = driver.a_network()
        self.name = naming.instance_name(self.instance.uuid)
        self.box = naming.sandbox_name(self.instance.uuid)

    def spawn(self, image=images.SHELL):
        self.meta = self.host.load(image)
        self.host.spawn(self.instance, self.meta, self.network_info)

    def sh(self, command):
        """Run a command in the server's network namespace."""
        return ovs.run('ip', 'netns', 'exec', self.name, *command.split())

    def state(self):
        return self.driver.get_info(self.instance).state

    def wait_for(self, condition, seconds=10):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            self.assertLess(time.monotonic(), deadline, 'took too long')
            time.sleep(0.1)
        return found

    def assert_nothing_left(self):
        self.assertEqual(
            [],
            self.client.list_containers(naming.host_filter(self.host.host)),
        )
        self.assertEqual([], self.host.switch.ports())
        self.assertNotIn('tap', ovs.run('ip', '-o', 'link'))
        self.assertFalse(os.path.lexists(f'/run/netns/{self.name}'))
        left = {path.name for path in self.instances_path().iterdir()}
        self.assertEqual(set(), left - {'locks', '_base'})

    def instances_path(self):
        return pathlib.Path(self.host.instances_path)

    # Booting

    def test_a_server_has_its_network_before_its_first_process(self):
        self.spawn(
            images.Image(command=('sh', '-c', 'ip addr; ip route; cat /etc/*'))
        )
        self.wait_for(lambda: self.state() == power_state.SHUTDOWN)
        console = self.driver.get_console_output(None, self.instance)

        for wanted in (
            b'10.0.0.5/24',
            b'default via 10.0.0.1 dev eth0',
            b'nameserver 10.0.0.2',
            b'10.0.0.5 web',
        ):
            self.assertIn(wanted, console)

    def test_limits_are_the_flavors(self):
        self.spawn()

        found = self.inspect()['HostConfig']
        self.assertEqual(64 * 1024**2, found['Memory'])
        self.assertEqual(found['Memory'], found['MemorySwap'])
        self.assertEqual(200000, found['CpuQuota'])
        self.assertEqual(4096, found['PidsLimit'])
        self.assertEqual('no', found['RestartPolicy']['Name'])
        self.assertEqual(['no-new-privileges'], found['SecurityOpt'])
        self.assertNotIn('NET_ADMIN', found['CapAdd'])

    def inspect(self):
        import docker

        api = docker.APIClient(os.environ['DOCKER_HOST'], version='auto')
        self.addCleanup(api.close)
        return api.inspect_container(self.name)

    def test_a_shell_stays_up(self):
        self.spawn()
        time.sleep(1)

        self.assertEqual(power_state.RUNNING, self.state())

    def test_an_image_that_ends_at_once_is_off_and_readable(self):
        self.spawn(images.ENDS)
        self.wait_for(lambda: self.state() == power_state.SHUTDOWN)

        console = self.driver.get_console_output(None, self.instance)
        self.assertIn(b'hello', console)
        self.assertIn(b'exit code 3', console)

    def test_a_command_that_is_missing_is_named_and_leaves_nothing(self):
        refused = self.assertRaises(
            exception.CommandRejected, self.spawn, images.MISSING_COMMAND
        )

        self.assertIn('/no/such/command', str(refused))
        self.assert_nothing_left()

    def test_an_image_without_a_command_is_refused(self):
        self.assertRaises(
            exception.CommandRejected, self.spawn, images.NO_COMMAND
        )
        self.assert_nothing_left()

    def test_a_second_server_of_the_same_uuid_leaves_the_first(self):
        self.spawn()

        self.assertRaises(
            nova_exception.InstanceExists,
            self.host.spawn,
            self.instance,
            self.meta,
            self.network_info,
        )
        self.assertEqual(power_state.RUNNING, self.state())
        self.sh('ip addr show eth0')

    def test_failure_of_each_step_leaves_nothing(self):
        self.host.load(images.SHELL)
        lifecycle = self.driver._lifecycle
        ports = self.driver._ports
        client = lifecycle._client
        gone = exception.EngineUnavailable(reason='pulled the plug')
        steps = [
            (client, 'start', 1),
            (client, 'start', 2),
            (client, 'create', 2),
            (lifecycle._images, 'ensure', 1),
            (ports._checkpoints, 'write', 1),
            (ports._network, 'plug', 1),
            (ports._network, 'link', 1),
            (lifecycle._sandboxes, 'write_names', 1),
        ]
        for target, name, number in steps:
            with mock.patch.object(
                target, name, _failing(getattr(target, name), number, gone)
            ):
                self.assertRaises(exception.EngineUnavailable, self.spawn)
            self.assert_nothing_left()
        self.spawn()
        self.assertEqual(power_state.RUNNING, self.state())

    # Life

    def test_stop_and_start_keep_files_and_addresses(self):
        self.spawn()
        self.exec('touch /kept')
        addresses = self.sh('ip -o addr show eth0')
        netns = os.stat(f'/run/netns/{self.name}').st_ino

        self.driver.power_off(self.instance, 0)
        self.assertEqual(power_state.SHUTDOWN, self.state())
        self.driver.power_on(None, self.instance, self.network_info)

        self.assertEqual(power_state.RUNNING, self.state())
        self.assertEqual(addresses, self.sh('ip -o addr show eth0'))
        self.assertEqual(netns, os.stat(f'/run/netns/{self.name}').st_ino)
        self.exec('ls /kept')

    def exec(self, command):
        return ovs.run('docker', 'exec', self.name, *command.split())

    def test_reboot_restarts_the_process(self):
        for kind in ('SOFT', 'HARD'):
            if kind == 'SOFT':
                self.spawn(images.SERVICE)
            before = self.client.inspect(self.name).pid

            self.driver.reboot(None, self.instance, self.network_info, kind)

            self.assertEqual(power_state.RUNNING, self.state())
            self.assertNotEqual(before, self.client.inspect(self.name).pid)

    def test_pause_and_unpause(self):
        self.spawn()
        self.driver.pause(self.instance)
        self.assertEqual(power_state.PAUSED, self.state())

        self.driver.unpause(self.instance)
        self.assertEqual(power_state.RUNNING, self.state())

    def test_restart_of_nova_touches_nothing(self):
        self.spawn()
        self.exec('touch /kept')
        before = [self.client.inspect(name) for name in (self.name, self.box)]
        with self.hosts().open('a') as hosts:
            hosts.write('10.9.9.9 mine\n')
        veth = ovs.run('ip', '-o', 'link')

        self.driver.cleanup_host(self.host.host)
        self.host.start()
        self.host.driver.plug_vifs(self.instance, self.network_info)

        self.assertEqual(
            before,
            [self.client.inspect(name) for name in (self.name, self.box)],
        )
        self.assertEqual(veth, ovs.run('ip', '-o', 'link'))
        self.assertIn('10.9.9.9 mine', self.exec('cat /etc/hosts'))
        self.assertEqual(
            [self.instance.uuid], self.host.driver.list_instance_uuids()
        )

    def hosts(self):
        return pathlib.Path(self.client.inspect(self.box).hosts_path)

    # What goes wrong

    def test_start_after_a_host_boot(self):
        """Every container has exited, and with them the namespace."""
        self.spawn()
        self.exec('touch /kept')
        for name in (self.name, self.box):
            self.client.stop(name, 0)

        self.driver.resume_state_on_host_boot(
            None, self.instance, self.network_info, None, {}
        )

        self.exec('ls /kept')
        self.assertIn('10.0.0.5/24', self.sh('ip addr show eth0'))
        self.assertIn('nameserver 10.0.0.2', self.exec('cat /etc/resolv.conf'))
        self.assertEqual(1, len(self.host.switch.ports()))

    def test_start_after_the_sandbox_was_removed_by_hand(self):
        self.instance.system_metadata['image_os_command_line'] = 'sleep 600'
        self.spawn()
        self.exec('touch /kept')
        self.client.remove(self.box)

        self.driver.reboot(None, self.instance, self.network_info, 'HARD')

        self.exec('ls /kept')
        self.assertIn('10.0.0.5/24', self.sh('ip addr show eth0'))
        found = self.inspect()
        self.assertEqual(['sleep', '600'], found['Config']['Cmd'])
        self.assertEqual(
            ('sh',), self.client.inspect_image(found['Image']).command
        )
        self.assertEqual(
            2,
            len(
                self.client.list_containers(naming.host_filter(self.host.host))
            ),
        )
        self.host.destroy(self.instance, self.network_info)
        self.assert_nothing_left()
        self.assertEqual([], self.client.list_images(naming.REBIND_REPOSITORY))

    def test_a_start_that_fails_keeps_the_server_whole(self):
        self.spawn()
        self.exec('touch /kept')
        for name in (self.name, self.box):
            self.client.stop(name, 0)
        gone = exception.EngineUnavailable(reason='pulled the plug')
        client = self.driver._lifecycle._client
        with mock.patch.object(
            client, 'start', _failing(client.start, 2, gone)
        ):
            self.assertRaises(
                exception.EngineUnavailable,
                self.driver.power_on,
                None,
                self.instance,
                self.network_info,
            )

        self.driver.power_on(None, self.instance, self.network_info)
        self.exec('ls /kept')
        self.sh('ip addr show eth0')

    # Ports that come and go

    def nova_knows(self, *vifs):
        self.instance.info_cache = objects.InstanceInfoCache(
            network_info=network.load(network.dump(vifs))
        )

    def routes(self):
        return self.sh('ip route show default')

    def attach(self, vif):
        self.driver.attach_interface(None, self.instance, None, vif)

    def test_a_port_comes_and_goes_while_the_server_lives(self):
        for arrange in (
            lambda: None,
            lambda: self.driver.pause(self.instance),
            lambda: self.driver.power_off(self.instance, 0),
        ):
            self.spawn()
            self.nova_knows(*self.network_info)
            [second] = driver.a_network(1)
            arrange()

            self.attach(second)
            self.assertIn('10.0.1.5/24', self.sh('ip addr show eth1'))
            self.assertIn('10.0.0.1 dev eth0', self.routes())
            self.assertEqual(2, len(self.host.switch.ports()))

            self.driver.detach_interface(None, self.instance, second)
            self.assertNotIn('eth1', self.sh('ip -o link'))
            self.assertEqual(1, len(self.host.switch.ports()))
            self.host.destroy(self.instance, self.network_info)
            self.assert_nothing_left()

    def test_the_way_out_moves_when_its_port_goes(self):
        self.spawn()
        [second] = driver.a_network(1)
        self.nova_knows(*self.network_info)
        self.attach(second)
        self.nova_knows(*self.network_info, second)

        self.driver.detach_interface(None, self.instance, self.network_info[0])

        self.assertIn('10.0.1.1 dev eth1', self.routes())
        self.assertIn('10.0.1.5 web', self.exec('cat /etc/hosts'))
        self.nova_knows(second)
        for name in (self.name, self.box):
            self.client.stop(name, 0)
        self.driver.power_on(None, self.instance, [second])
        self.assertIn('10.0.1.5/24', self.sh('ip addr show eth1'))

    def test_a_port_that_cannot_be_attached_leaves_the_server_as_it_was(self):
        self.spawn()
        self.nova_knows(*self.network_info)
        before = self.sh('ip -o addr'), self.sh('ip route')
        [second] = driver.a_network(1)
        with mock.patch.object(
            novadocker.privsep.netns,
            'complete',
            _failing(
                novadocker.privsep.netns.complete, 1, OSError(28, 'no room')
            ),
        ):
            self.assertRaises(
                exception.NetworkSetupFailed, self.attach, second
            )

        self.assertEqual(before, (self.sh('ip -o addr'), self.sh('ip route')))
        self.assertEqual(1, len(self.host.switch.ports()))

    # The end

    def test_destroy_leaves_nothing(self):
        self.spawn()
        self.host.destroy(self.instance, self.network_info)

        self.assert_nothing_left()
        self.assertRaises(
            nova_exception.InstanceNotFound,
            self.driver.get_info,
            self.instance,
        )

    def test_destroy_again_and_of_nothing(self):
        self.host.destroy(self.instance, self.network_info)
        self.spawn()
        self.host.destroy(self.instance, self.network_info)
        self.host.destroy(self.instance, self.network_info)

        self.assert_nothing_left()

    def test_destroy_whatever_is_missing(self):
        for missing in (
            lambda: self.client.remove(self.name),
            lambda: self.client.remove(self.box),
            lambda: self.client.stop(self.box, 0),
            lambda: os.unlink(f'/run/netns/{self.name}'),
            lambda: [self.client.remove(one) for one in (self.name, self.box)],
        ):
            self.spawn()
            missing()
            self.host.destroy(self.instance, self.network_info)
            self.assert_nothing_left()

    def test_destroy_without_knowing_the_ports(self):
        """Nova may have forgotten them; the checkpoint has not."""
        self.spawn()
        self.host.destroy(self.instance, None)

        self.assert_nothing_left()

    def test_destroy_of_a_paused_server(self):
        self.spawn()
        self.driver.pause(self.instance)
        self.host.destroy(self.instance, self.network_info)

        self.assert_nothing_left()

    # Others

    def test_others_are_not_seen(self):
        self.spawn()
        other = model.ContainerSpec(
            name='foreign',
            image=images.SHELL.id,
            labels=naming.labels('u', naming.ROLE_INSTANCE, 'other-host'),
            network='none',
            limits=model.Limits(),
            log=model.LogLimits(65536, 1),
        )
        self.client.create(other)
        self.addCleanup(self.client.remove, 'foreign')

        self.assertEqual(
            [self.instance.uuid], self.driver.list_instance_uuids()
        )
        self.assertEqual(
            2, self.driver.get_available_resource('node')['vcpus_used']
        )


def _failing(work, number, error):
    """Do the work, but for the time of that number."""
    calls = []

    def wrapper(*args, **kwargs):
        calls.append(args)
        if len(calls) == number:
            raise error
        return work(*args, **kwargs)

    return wrapper
