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

from concurrent import futures
import contextlib
import dataclasses
import os
from unittest import mock

import fixtures
from nova.compute import power_state
from nova import exception as nova_exception
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import fake_engine
from novadocker.tests.fixtures import fake_host
from novadocker.tests.fixtures import images as test_images
from novadocker.tests.fixtures import instances
from novadocker.tests.fixtures import network as test_ports
from novadocker.virt.docker import aside
from novadocker.virt.docker import checkpoint
from novadocker.virt.docker import config_drive
from novadocker.virt.docker import domains
from novadocker.virt.docker import guest
from novadocker.virt.docker import images
from novadocker.virt.docker import injection
from novadocker.virt.docker import lifecycle
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import network
from novadocker.virt.docker import nic
from novadocker.virt.docker import obituary
from novadocker.virt.docker import observed
from novadocker.virt.docker import ports
from novadocker.virt.docker import resized
from novadocker.virt.docker import roster
from novadocker.virt.docker import sandbox
from novadocker.virt.docker import spec
from novadocker.virt.docker import suspension
from novadocker.virt.docker import undo as undoing

IMAGE = test_images.BARE
SETTINGS = spec.ServerSettings(100, ('CHOWN',), 65536)
GONE = exception.EngineUnavailable(reason='gone')


class LifecycleTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(fake_host.NoExtras())
        for name in ('netns.inode', 'files.write_sandbox_file'):
            patch = mock.patch(
                f'novadocker.privsep.{name}', autospec=True, return_value=7
            )
            patch.start()
            self.addCleanup(patch.stop)
        patch = mock.patch.object(
            lifecycle.signals, 'hears', autospec=True, return_value=True
        )
        self.hears = patch.start()
        self.addCleanup(patch.stop)
        self.engine = fake_engine.FakeEngine()
        self.engine.load([IMAGE.archive()])
        self.network = mock.create_autospec(network.Network, instance=True)
        self.network.waiting.side_effect = self.waiting
        self.network.plug.side_effect = self.plug
        self.images = mock.create_autospec(images.Images, instance=True)
        self.images.ensure.side_effect = self.ensure_image
        self.path = self.useFixture(fixtures.TempDir()).path
        self.obituaries = mock.create_autospec(
            obituary.Obituaries, instance=True
        )
        self.observed = observed.Observed(self.engine, 'host1')
        loaders = futures.ThreadPoolExecutor(4)
        self.addCleanup(loaders.shutdown)
        names = mock.create_autospec(domains.Domains, instance=True)
        names.of.return_value = {}
        sandboxes = sandbox.Sandboxes(
            self.engine, 'host1', 'x86_64', SETTINGS, names
        )
        self.rooms = lifecycle.Rooms(
            client=self.engine,
            sandboxes=sandboxes,
            ports=ports.Ports(
                self.network, sandboxes, checkpoint.Checkpoints(self.path)
            ),
            images=self.images,
            observed=self.observed,
            loaders=loaders,
            suspensions=suspension.Suspensions(self.path),
            obituaries=self.obituaries,
            guests=injection.Guests(self.engine, True),
            drives=config_drive.ConfigDrives(self.path, self.content),
            resizes=resized.Resizes(self.path),
            aside=aside.Aside(self.engine, 'host1'),
        )
        self.lifecycle = lifecycle.Lifecycle(
            self.rooms,
            'host1',
            dataclasses.replace(SETTINGS, instances_path=self.path),
        )
        self.roster = roster.Roster(self.observed, self.rooms.suspensions)
        self.instance = instances.an_instance()
        self.name = naming.instance_name(self.instance.uuid)
        self.box = naming.sandbox_name(self.instance.uuid)
        self.vifs = [
            test_ports.vif(test_ports.Subnet('10.0.0.0/24', ['10.0.0.5']))
        ]
        self.road = []

    @contextlib.contextmanager
    def waiting(self, instance, network_info):
        self.road.append('armed')
        yield
        self.road.append('wired')

    def plug(self, instance, network_info, box, there, known):
        self.road.append('plugged')
        return nic.nics(network_info)

    def ensure_image(self, context, instance, image_meta):
        return self.engine.inspect_image(IMAGE.id)

    def content(self, instance, network_info, order):
        return [('openstack/latest/meta_data.json', b'{}')]

    def spawn(self, power_on=True):
        order = guest.Order(mock.sentinel.meta, power_on=power_on)
        self.lifecycle.spawn(None, self.instance, order, self.vifs)

    def test_flavor_that_the_host_cannot_give_is_refused_at_once(self):
        self.instance.flavor.extra_specs = {'quota:disk_read_bytes_sec': '9'}

        self.assertRaises(exception.FeatureNotSupported, self.spawn)

        self.assertEqual([], self.road)
        self.assertEqual({}, self.states())
        self.images.ensure.assert_not_called()

    def states(self):
        return {
            row.name: row.state.value
            for row in self.engine.list_containers({})
        }

    def state(self):
        return self.roster.get_info(self.instance).state

    # To running

    def test_spawn_makes_both_containers_run(self):
        self.spawn()

        self.assertEqual(
            {self.name: 'running', self.box: 'running'}, self.states()
        )
        self.assertEqual(
            f'container:{self.engine.inspect(self.box).id}',
            self.engine.inspect(self.name).network,
        )
        self.network.link.assert_called_once()

    def test_neutron_is_listened_to_before_it_has_something_to_say(self):
        start = self.engine.start

        def record(container):
            self.road.append(f'started {self.engine.inspect(container).name}')
            start(container)

        with mock.patch.object(self.engine, 'start', record):
            self.spawn()

        self.assertEqual(
            [
                f'started {self.box}',
                'armed',
                'plugged',
                'wired',
                f'started {self.name}',
            ],
            self.road,
        )

    def test_spawn_without_power_leaves_it_off(self):
        self.spawn(power_on=False)

        self.assertEqual(power_state.SHUTDOWN, self.state())

    def test_sandbox_is_made_before_neutron_has_answered(self):
        """Looking at network_info waits for Neutron."""
        looked = []

        class Pending(list):
            def __iter__(pending):
                looked.append(dict(self.states()))
                return super().__iter__()

        self.vifs = Pending(self.vifs)
        self.spawn()

        self.assertEqual('running', looked[0][self.box])

    def test_failure_of_each_step_leaves_nothing(self):
        failures = [
            lambda: self.engine.fail('create', GONE),
            lambda: self.engine.fail('create', GONE, skip=2),
            lambda: self.engine.fail('start', GONE),
            lambda: self.engine.fail('start', GONE, skip=1),
            lambda: self.fail_once(self.images.ensure),
            lambda: self.fail_once(self.network.check),
            lambda: self.fail_once(self.network.there),
            lambda: self.fail_once(self.network.waiting),
            lambda: self.fail_once(self.network.plug),
            lambda: self.fail_once(self.network.link),
        ]
        for arrange in failures:
            arrange()
            self.assertRaises(exception.EngineUnavailable, self.spawn)

            self.assertEqual({}, self.states())
            self.assertEqual([], os.listdir(self.path))
        self.spawn()

    def fail_once(self, method):
        then = method.side_effect

        def fail(*args, **kwargs):
            method.side_effect = then
            raise GONE

        method.side_effect = fail

    def test_ports_are_unplugged_when_the_image_is_no_good(self):
        self.images.ensure.side_effect = exception.ImageRejected(
            image_id='i', reason='bad'
        )

        self.assertRaises(exception.ImageRejected, self.spawn)
        self.network.unplug.assert_called_once_with(self.instance, self.vifs)
        self.network.unlink.assert_called_once_with(self.instance.uuid)

    def test_command_that_cannot_be_executed_is_said_so(self):
        self.engine.fail(
            'start', exception.EngineError(400, 'no such file'), skip=1
        )

        refused = self.assertRaises(exception.CommandRejected, self.spawn)
        self.assertIn('no such file', str(refused))
        self.assertIn('os_command_line', str(refused))

    def test_spawn_of_one_that_exists_leaves_it(self):
        self.spawn()

        self.assertRaises(nova_exception.InstanceExists, self.spawn)
        self.assertEqual(power_state.RUNNING, self.state())
        self.network.unlink.assert_not_called()

    def test_power_on_of_a_stopped_server(self):
        self.spawn()
        self.lifecycle.power_off(self.instance, 0)
        self.assertEqual(power_state.SHUTDOWN, self.state())

        self.lifecycle.power_on(self.instance, self.vifs)

        self.assertEqual(power_state.RUNNING, self.state())

    def test_power_on_waits_for_the_ports_that_it_plugs(self):
        self.spawn()

        self.lifecycle.power_on(self.instance, self.vifs)

        self.network.waiting.assert_called_with(
            self.instance, self.network.missing.return_value
        )

    def test_power_on_need_not_wait(self):
        self.spawn()

        self.lifecycle.power_on(self.instance, self.vifs, wait=False)

        self.network.waiting.assert_called_with(self.instance, [])
        self.assertEqual(power_state.RUNNING, self.state())

    def test_power_on_that_fails_removes_nothing(self):
        self.spawn()
        before = set(self.states())
        for container in (self.name, self.box):
            self.engine.end(container)
        self.engine.fail('start', GONE, skip=1)

        self.assertRaises(
            exception.EngineUnavailable,
            self.lifecycle.power_on,
            self.instance,
            self.vifs,
        )
        self.assertEqual(before, set(self.states()))

    def test_power_on_takes_back_only_the_ports_that_it_made(self):
        self.spawn()
        self.lifecycle.power_off(self.instance, 0)
        self.network.plug.side_effect = None
        self.network.plug.return_value = []
        self.engine.fail('start', GONE)

        self.assertRaises(
            exception.EngineUnavailable,
            self.lifecycle.power_on,
            self.instance,
            self.vifs,
        )
        self.network.unplug.assert_called_once_with(self.instance, [])

    def test_server_whose_sandbox_was_removed_keeps_its_content(self):
        self.spawn()
        old = self.engine.inspect(self.name).id
        self.engine.end(self.name)
        self.engine.remove(self.box)

        self.lifecycle.power_on(self.instance, self.vifs)

        found = self.engine.inspect(self.name)
        self.assertNotEqual(old, found.id)
        self.assertIs(model.ContainerState.RUNNING, found.state)
        self.assertEqual({self.name, self.box}, set(self.states()))
        self.assertEqual(
            found.image_id,
            self.engine.inspect_image(
                naming.rebind_reference(self.instance.uuid, 'host1')
            ).id,
        )

    def test_move_to_a_new_sandbox_that_fails_keeps_the_old_container(self):
        self.spawn()
        old = self.engine.inspect(self.name).id
        self.engine.end(self.name)
        self.engine.remove(self.box)
        self.engine.fail('create', GONE, skip=1)

        self.assertRaises(
            exception.EngineUnavailable,
            self.lifecycle.power_on,
            self.instance,
            self.vifs,
        )
        self.assertEqual(old, self.engine.inspect(self.name).id)

    def test_request_is_in_the_server_before_it_runs(self):
        order = guest.Order(None, (('/etc/motd', b'hello'),))
        self.engine.fail('start', GONE, skip=1)
        with mock.patch.object(self.engine, 'remove', autospec=True):
            self.assertRaises(
                exception.EngineUnavailable,
                self.lifecycle.spawn,
                None,
                self.instance,
                order,
                self.vifs,
            )

        found = self.engine.read_file(self.name, '/etc/motd')
        self.assertEqual(b'hello', found.content)

    def test_request_that_cannot_be_met_leaves_nothing(self):
        for path in ('/', 'etc/'):
            self.assertRaises(
                exception.FileRefused,
                self.lifecycle.spawn,
                None,
                self.instance,
                guest.Order(None, ((path, b'hello'),)),
                self.vifs,
            )
            self.assertEqual({}, self.states())

    def test_config_drive_is_there_before_the_server_and_goes_with_it(self):
        self.instance.config_drive = 'True'
        self.spawn()
        [mount] = self.engine.containers[
            self.engine.inspect(self.name).id
        ].spec.mounts
        self.assertTrue(
            os.path.exists(f'{mount.source}/openstack/latest/meta_data.json')
        )
        self.lifecycle.destroy(self.instance, self.vifs, True)
        self.assertEqual([], os.listdir(self.path))

    def test_servers_run_again_after_a_boot_of_the_host_but_jobs(self):
        self.spawn()
        self.engine.end(self.name, 137)
        self.instance.flavor.extra_specs = {'docker:lifecycle': 'job'}
        self.lifecycle.resume_after_boot(self.instance, self.vifs)
        self.assertEqual(power_state.SHUTDOWN, self.state())

        self.instance.flavor.extra_specs = {}
        self.lifecycle.resume_after_boot(self.instance, self.vifs)
        self.assertEqual(power_state.RUNNING, self.state())

    def test_reboot(self):
        self.spawn()
        self.lifecycle.reboot(self.instance, self.vifs, 0)

        self.assertEqual(power_state.RUNNING, self.state())
        self.assertEqual(1, self.engine.requests['stop'])

    # And back

    def grace(self):
        with mock.patch.object(self.engine, 'stop', autospec=True) as stop:
            self.lifecycle.power_off(self.instance, 60)
        (_, grace), _ = stop.call_args
        return grace

    def test_a_process_is_given_the_time_that_it_may_take(self):
        self.spawn()
        self.assertEqual(60, self.grace())

        self.hears.return_value = False
        self.assertEqual(0, self.grace())
        pid = self.engine.inspect(self.name).pid
        self.hears.assert_called_with(pid, 'SIGTERM')

    def test_pause_and_unpause(self):
        self.spawn()
        self.lifecycle.pause(self.instance)
        self.assertEqual(power_state.PAUSED, self.state())
        self.lifecycle.unpause(self.instance)
        self.assertEqual(power_state.RUNNING, self.state())

    def test_suspend_and_resume(self):
        self.spawn()
        self.lifecycle.suspend(self.instance)
        self.assertEqual(power_state.SUSPENDED, self.state())
        pid = self.engine.inspect(self.name).pid
        self.lifecycle.resume(self.instance, self.vifs)
        self.assertEqual(power_state.RUNNING, self.state())
        self.assertEqual(pid, self.engine.inspect(self.name).pid)
        self.lifecycle.pause(self.instance)
        self.assertEqual(power_state.PAUSED, self.state())

    def test_suspend_that_fails_is_forgotten(self):
        self.spawn()
        self.engine.fail('pause', GONE)

        self.assertRaises(
            exception.EngineUnavailable,
            self.lifecycle.suspend,
            self.instance,
        )
        self.lifecycle.pause(self.instance)
        self.assertEqual(power_state.PAUSED, self.state())

    def test_resume_that_fails_leaves_it_suspended(self):
        self.spawn()
        self.lifecycle.suspend(self.instance)
        self.engine.fail('unpause', GONE)

        self.assertRaises(
            exception.EngineUnavailable,
            self.lifecycle.resume,
            self.instance,
            self.vifs,
        )
        self.assertEqual(power_state.SUSPENDED, self.state())

    def test_resume_without_the_memory_is_a_start_that_says_so(self):
        self.spawn()
        self.lifecycle.suspend(self.instance)
        self.engine.end(self.name, 137)
        self.assertEqual(power_state.SHUTDOWN, self.state())
        with mock.patch.object(
            lifecycle.action_log, 'tell', autospec=True
        ) as tell:
            self.lifecycle.resume(self.instance, self.vifs)

        tell.assert_called_once_with(
            self.instance.uuid, 'cold_start', mock.ANY
        )
        self.assertEqual(power_state.RUNNING, self.state())
        self.lifecycle.pause(self.instance)
        self.assertEqual(power_state.PAUSED, self.state())

    def test_ends_that_were_asked_for_are_expected(self):
        self.spawn()
        self.lifecycle.reboot(self.instance, self.vifs, 0)
        self.lifecycle.destroy(self.instance, self.vifs, True)

        uuid = self.instance.uuid
        self.assertEqual(
            [
                mock.call.begin(uuid),
                mock.call.expect(uuid),
                mock.call.begin(uuid),
                mock.call.expect(uuid),
                mock.call.forget(uuid),
            ],
            self.obituaries.mock_calls,
        )

    def test_reboot_ends_a_suspension(self):
        self.spawn()
        self.lifecycle.suspend(self.instance)
        self.lifecycle.reboot(self.instance, self.vifs, 0)
        self.lifecycle.pause(self.instance)

        self.assertEqual(power_state.PAUSED, self.state())

    def test_crash_dump_is_a_signal_of_the_flavors_choice(self):
        self.spawn()
        flavor = self.instance.flavor
        flavor.extra_specs = {'docker:crash_dump_signal': 'SIGABRT'}
        with mock.patch.object(self.engine, 'kill', autospec=True) as kill:
            self.lifecycle.crash(self.instance)
            kill.assert_called_once_with(self.name, 'SIGABRT')

            self.hears.return_value = False
            self.assertRaises(
                exception.CrashDumpRefused,
                self.lifecycle.crash,
                self.instance,
            )
            flavor.extra_specs = {}
            self.assertRaises(
                exception.FeatureNotSupported,
                self.lifecycle.crash,
                self.instance,
            )
            kill.assert_called_once()

    def test_what_is_not_there_is_no_instance(self):
        for work in (
            lambda: self.lifecycle.power_off(self.instance, 0),
            lambda: self.lifecycle.pause(self.instance),
            lambda: self.lifecycle.unpause(self.instance),
            lambda: self.lifecycle.suspend(self.instance),
            lambda: self.lifecycle.resume(self.instance, self.vifs),
            lambda: self.lifecycle.power_on(self.instance, self.vifs),
        ):
            self.assertRaises(nova_exception.InstanceNotFound, work)

    def test_destroy_leaves_nothing(self):
        self.spawn()
        self.lifecycle.destroy(self.instance, self.vifs, True)

        self.assertEqual({}, self.states())
        self.assertEqual([], os.listdir(self.path))
        self.network.unlink.assert_called_with(self.instance.uuid)

    def test_destroy_of_nothing_is_success(self):
        self.lifecycle.destroy(self.instance, self.vifs, True)

    def test_destroy_unplugs_what_was_plugged(self):
        """Even if Nova by now knows nothing, or something else, of it."""
        self.spawn()
        other = test_ports.vif()
        self.lifecycle.destroy(
            self.instance, [test_ports.unbound(self.vifs[0]), other], True
        )

        [vifs] = [call.args[1] for call in self.network.unplug.call_args_list]
        self.assertEqual(
            [(self.vifs[0]['id'], 'ovs'), (other['id'], 'ovs')],
            [(vif['id'], vif['type']) for vif in vifs],
        )

    def test_destroy_that_fails_can_be_tried_again(self):
        self.spawn()
        self.network.unplug.side_effect = (
            nova_exception.VirtualInterfaceUnplugException(reason='no')
        )
        self.assertRaises(
            nova_exception.VirtualInterfaceUnplugException,
            self.lifecycle.destroy,
            self.instance,
            None,
            True,
        )
        self.network.unplug.side_effect = None
        self.lifecycle.destroy(self.instance, None, True)

        vifs = self.network.unplug.call_args.args[1]
        self.assertEqual([self.vifs[0]['id']], [vif['id'] for vif in vifs])
        self.assertEqual([], os.listdir(self.path))

    def test_destroy_with_the_engine_away_keeps_the_checkpoint(self):
        self.spawn()
        self.engine.go_down()

        self.assertRaises(
            exception.EngineUnavailable,
            self.lifecycle.destroy,
            self.instance,
            None,
            True,
        )
        self.assertEqual([self.instance.uuid], os.listdir(self.path))

    def test_destroy_leaves_the_containers_of_another_host(self):
        """Of the same engine, with the same name."""
        self.spawn()
        other = lifecycle.Lifecycle(self.rooms, 'host2', SETTINGS)
        other.destroy(self.instance, self.vifs, True)

        self.assertEqual(
            {self.name: 'running', self.box: 'running'}, self.states()
        )

    def test_server_that_was_set_aside_is_found_by_a_start(self):
        """As nova-compute leaves it that ends while it replaces one."""
        self.spawn()
        self.lifecycle.power_off(self.instance, 0)
        self.rooms.aside.put(
            self.name, 'old', undoing.Undo(self.instance)
        )
        self.assertEqual([], self.roster.uuids())

        self.lifecycle.power_on(self.instance, self.vifs)

        self.assertEqual(
            {self.name: 'running', self.box: 'running'}, self.states()
        )

    def test_server_that_was_set_aside_is_found_by_a_reboot(self):
        self.spawn()
        self.rooms.aside.put(
            self.name, 'old', undoing.Undo(self.instance)
        )
        self.lifecycle.reboot(self.instance, self.vifs, 0)

        self.assertEqual(
            {self.name: 'running', self.box: 'running'}, self.states()
        )

    def test_destroy_that_keeps_disks_keeps_the_container(self):
        self.spawn()
        self.lifecycle.destroy(self.instance, self.vifs, False)

        self.assertEqual(
            {self.name: 'exited', self.box: 'exited'}, self.states()
        )

    def test_image_that_goes_before_its_container_is_loaded_again(self):
        def gone_once(context, instance, image_meta):
            if self.images.ensure.call_count == 1:
                self.engine.remove_image(IMAGE.id)
                return mock.Mock(id=IMAGE.id, command=IMAGE.command)
            self.engine.load([IMAGE.archive()])
            return self.ensure_image(context, instance, image_meta)

        self.images.ensure.side_effect = gone_once
        self.spawn()
        self.assertEqual('running', self.states()[self.name])
