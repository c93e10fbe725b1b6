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

from unittest import mock

from nova.compute import task_states
from nova import exception as nova_exception
from nova import objects
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import fake_host
from novadocker.virt.docker import checkpoint
from novadocker.virt.docker import migration
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import parcel
from novadocker.virt.docker import transport

GONE = fake_host.GONE
PARCEL = parcel.Parcel('image', 'base', 'sha256:1')

Rollback = nova_exception.InstanceFaultRollback


def a_flavor(**changes):
    return objects.Flavor(
        **{
            'vcpus': 2,
            'memory_mb': 128,
            'root_gb': 2,
            'ephemeral_gb': 0,
            'swap': 0,
            'extra_specs': {},
        }
        | changes
    )


class MigrationsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.host = self.useFixture(fake_host.FakeHost())
        self.engine = self.host.engine
        self.instance = self.host.instance
        self.instance.task_state = None
        self.carrier = mock.create_autospec(
            transport.Transport, instance=True
        )
        self.carrier.send.return_value = PARCEL
        self.carrier.expected.return_value = None
        self.carrier.receive.side_effect = lambda *_: (
            self.engine.inspect_image(fake_host.OTHER_IMAGE.id)
        )
        self.migrations = migration.Migrations(
            self.host.rooms,
            self.host.lifecycle,
            self.carrier,
            fake_host.SETTINGS,
        )
        self.host.spawn()
        self.before = self.host.containers()

    def checkpoint(self):
        return checkpoint.Checkpoints(self.host.path).read(self.host.uuid)

    def limits(self):
        return self.engine.inspect(self.host.server).limits


class RefuseTestCase(MigrationsTestCase):
    def refused(self, flavor, stays=False):
        found = self.assertRaises(
            Rollback, self.migrations.refuse, self.instance, flavor, stays
        )
        self.assertEqual(self.before, self.host.containers())
        return found.inner_exception

    def test_what_is_refused_at_a_boot(self):
        for changes in (
            {'ephemeral_gb': 1},
            {'swap': 1},
            {'extra_specs': {'docker:lifecycle': 'other'}},
        ):
            self.assertIsInstance(
                self.refused(a_flavor(**changes)),
                exception.FeatureNotSupported,
            )

    def test_less_room_than_there_are_files(self):
        for old, new, size, fits in (
            (3, 2, (2 << 30) + 1, False),
            (0, 2, (2 << 30) + 1, False),
            (3, 2, 2 << 30, True),
            (2, 2, 9 << 30, True),
            (1, 2, 9 << 30, True),
            (1, 0, 9 << 30, True),
        ):
            self.instance.flavor = a_flavor(root_gb=old)
            wanted = a_flavor(root_gb=new)
            with mock.patch.object(
                self.engine, 'size', autospec=True, return_value=size
            ):
                if fits:
                    self.migrations.refuse(self.instance, wanted, True)
                else:
                    self.assertIsInstance(
                        self.refused(wanted), nova_exception.ResizeError
                    )

    def test_what_no_container_can_change(self):
        for name, value in (
            ('docker:allow_new_privileges', 'true'),
            ('quota:disk_read_bytes_sec', '1000'),
        ):
            wanted = a_flavor(extra_specs={name: value})
            self.assertIsInstance(
                self.refused(wanted, stays=True),
                exception.FeatureNotSupported,
            )
            self.migrations.refuse(self.instance, wanted, False)

    def test_what_could_not_be_received(self):
        self.carrier.check.side_effect = exception.FeatureNotSupported(
            feature='it'
        )
        self.refused(a_flavor())
        self.migrations.refuse(self.instance, a_flavor(), True)


class DepartTestCase(MigrationsTestCase):
    def depart(self):
        return self.migrations.depart(
            None, self.instance, self.host.vifs, 0
        )

    def test_server_is_kept_out_of_the_way(self):
        self.assertEqual(PARCEL.dumps(), self.depart())
        after = self.host.containers()
        self.assertEqual(
            {one for one, _ in self.before.values()},
            {one for one, _ in after.values()},
        )
        self.assertEqual({'exited'}, {state for _, state in after.values()})
        self.assertEqual(set(), set(after) & set(self.before))
        self.assertEqual({}, dict(self.host.observed.instances()))

    def test_ports_go_and_their_names_stay(self):
        names = self.checkpoint().names
        self.depart()
        self.assertEqual((), self.checkpoint().vifs)
        self.assertEqual(names, self.checkpoint().names)
        self.host.network.unplug.assert_called()

    def test_failure_of_each_step_rolls_back(self):
        for arrange in (
            lambda: self.engine.fail('stop', GONE),
            lambda: self.carrier.send.configure_mock(side_effect=[GONE]),
            lambda: self.engine.fail('stop_if_there', GONE),
            lambda: self.engine.fail('rename', GONE),
            lambda: self.engine.fail('rename', GONE, skip=1),
        ):
            arrange()
            found = self.assertRaises(Rollback, self.depart)
            self.assertIs(GONE, found.inner_exception)
            self.assertEqual(self.before, self.host.containers())
            self.assertEqual(1, len(self.checkpoint().vifs))
            self.carrier.send.side_effect = None
        self.carrier.discard.assert_called_with(None, self.instance)

    def test_one_that_is_stopped_stays_so(self):
        self.host.lifecycle.power_off(self.instance, 0)
        self.carrier.send.side_effect = GONE
        self.assertRaises(Rollback, self.depart)
        self.assertEqual('exited', self.host.states()[self.host.server])

    def test_no_container(self):
        self.engine.remove(self.host.server)
        found = self.assertRaises(Rollback, self.depart)
        self.assertIsInstance(
            found.inner_exception, exception.ContainerNotFound
        )

    def sweep(self, found):
        with mock.patch.object(
            objects.Instance, 'get_by_uuid', autospec=True, side_effect=found
        ):
            self.migrations.sweep()

    def test_only_what_nova_has_deleted_is_swept(self):
        self.sweep(AssertionError)
        self.depart()
        kept = self.host.containers()
        self.instance.deleted = False
        for found in (
            [self.instance],
            nova_exception.InstanceNotFound(instance_id=self.host.uuid),
        ):
            self.sweep(found)
            self.assertEqual(kept, self.host.containers())
        self.instance.deleted = True
        self.sweep([self.instance])
        self.assertEqual({}, self.host.containers())

    def test_back_again_in_the_same_containers(self):
        for power_on in (True, False):
            self.depart()
            self.migrations.revert(
                None, self.instance, self.host.vifs, power_on
            )
            self.assertEqual(
                'running' if power_on else 'exited',
                self.host.states()[self.host.server],
            )
            self.host.lifecycle.power_on(self.instance, self.host.vifs)
            self.assertEqual(self.before, self.host.containers())

    def test_confirmed(self):
        self.depart()
        self.host.network.reset_mock()
        self.migrations.confirm(None, self.instance, False)
        self.assertEqual({}, self.host.containers())
        self.assertIsNone(self.checkpoint())
        # Another host of this machine may have given it the name by now.
        self.host.network.unlink.assert_not_called()
        self.carrier.discard.assert_called_with(None, self.instance)

    def test_deleted_elsewhere(self):
        self.depart()
        self.migrations.abandon(self.instance)
        self.assertEqual({}, self.host.containers())
        self.carrier.lose.assert_called_once_with(self.instance)


class ArriveTestCase(MigrationsTestCase):
    def setUp(self):
        super().setUp()
        self.host.lifecycle.destroy(self.instance, self.host.vifs, True)

    def arrive(self, power_on=True):
        self.migrations.arrive(
            None, self.instance, self.host.vifs, PARCEL, power_on
        )

    def test_runs_what_has_come(self):
        self.arrive()
        self.assertEqual(
            {self.host.server: 'running', self.host.box: 'running'},
            self.host.states(),
        )
        self.assertEqual(
            fake_host.OTHER_IMAGE.id,
            self.engine.inspect(self.host.server).image_id,
        )
        self.carrier.receive.assert_called_once_with(
            None, self.instance, PARCEL
        )
        self.carrier.discard.assert_called_once_with(None, self.instance)

    def test_stays_off(self):
        self.arrive(False)
        self.assertEqual('created', self.host.states()[self.host.server])

    def test_failure_of_each_step_leaves_nothing(self):
        for arrange in (
            lambda: self.engine.fail('create', GONE),
            lambda: self.engine.fail('start', GONE),
            lambda: self.engine.fail('create', GONE, skip=1),
            lambda: self.engine.fail('start', GONE, skip=1),
        ):
            arrange()
            self.assertRaises(exception.EngineUnavailable, self.arrive)
            self.assertEqual({}, self.host.containers())
            self.carrier.forget.assert_called_with(self.instance)
        # It is to be tried again.
        self.carrier.expect.assert_called_with(self.instance, PARCEL)
        self.carrier.discard.assert_not_called()

    def resume(self):
        return self.migrations.resume(None, self.instance, self.host.vifs)

    def test_finished_by_a_hard_reboot(self):
        self.assertFalse(self.resume())
        self.carrier.expected.return_value = PARCEL
        self.assertTrue(self.resume())
        self.assertEqual('running', self.host.states()[self.host.server])
        # With a container there is nothing to be finished.
        before = self.host.containers()
        self.assertFalse(self.resume())
        self.assertEqual(before, self.host.containers())

    def test_sandbox_that_was_left_is_no_hindrance(self):
        self.arrive()
        self.engine.remove(self.host.server)
        self.carrier.expected.return_value = PARCEL
        self.assertTrue(self.resume())
        self.assertEqual('running', self.host.states()[self.host.server])

    def test_one_that_has_been_here_before_gets_what_is_new(self):
        """What an earlier move has left is not what it is now."""
        self.host.spawn()
        self.migrations.depart(None, self.instance, self.host.vifs, 0)
        self.carrier.expected.return_value = PARCEL
        self.assertTrue(self.resume())
        self.assertEqual(
            fake_host.OTHER_IMAGE.id,
            self.engine.inspect(self.host.server).image_id,
        )

    def test_one_that_has_left_is_not_started(self):
        self.host.spawn()
        self.migrations.depart(None, self.instance, self.host.vifs, 0)
        self.assertRaises(
            nova_exception.InstanceNotFound,
            self.host.lifecycle.power_on,
            self.instance,
            self.host.vifs,
        )

    def test_one_that_has_never_left(self):
        self.host.spawn()
        before = self.host.containers()
        self.migrations.depart(None, self.instance, self.host.vifs, 0)
        self.carrier.expected.return_value = parcel.Parcel('image')
        self.assertFalse(self.resume())
        self.host.lifecycle.power_on(self.instance, self.host.vifs)
        self.assertEqual(before, self.host.containers())


class ResizeTestCase(MigrationsTestCase):
    def setUp(self):
        super().setUp()
        self.old = self.instance.flavor
        self.old_limits = self.limits()
        self.new_limits = model.Limits(128 << 20, 2, 2048, 100)
        self.instance.old_flavor = self.old
        self.migrations.stop(self.instance, self.host.vifs, 0)
        self.instance.flavor = a_flavor()

    def resize(self, power_on=True):
        self.migrations.resize(self.instance, self.host.vifs, power_on)

    def usage(self):
        return self.host.rooms.resizes.usage(
            self.host.uuid, self.before[self.host.server][0]
        )

    def test_same_container_with_other_limits(self):
        self.resize()
        self.assertEqual(self.before, self.host.containers())
        self.assertEqual(self.new_limits, self.limits())
        self.assertEqual(naming.Usage(2, 128, 2), self.usage())

    def test_confirmed(self):
        self.resize()
        self.migrations.confirm(None, self.instance, True)
        self.assertEqual(self.before, self.host.containers())
        self.assertEqual(naming.Usage(2, 128, 2), self.usage())
        self.instance.task_state = task_states.RESIZE_REVERTING
        self.assertFalse(self.migrations.keeps(self.instance))

    def test_reverted(self):
        self.resize(False)
        self.assertFalse(self.migrations.keeps(self.instance))
        self.instance.task_state = task_states.RESIZE_REVERTING
        self.assertTrue(self.migrations.keeps(self.instance))
        self.migrations.rest(self.instance, 0)
        self.instance.flavor = self.old
        self.migrations.revert(None, self.instance, self.host.vifs, True)
        self.assertEqual(self.before, self.host.containers())
        self.assertEqual(self.old_limits, self.limits())
        self.assertEqual(naming.Usage(1, 64, 1), self.usage())
        self.assertFalse(self.migrations.keeps(self.instance))

    def test_failure_of_each_step_keeps_the_old_limits(self):
        for verb in ('update', 'start'):
            self.engine.fail(verb, GONE)
            self.assertRaises(exception.EngineUnavailable, self.resize)
            self.assertEqual(self.old_limits, self.limits())
            self.assertFalse(self.host.rooms.resizes.waits(self.host.uuid))

    def test_nothing_rests(self):
        self.engine.remove(self.host.server)
        self.migrations.rest(self.instance, 0)

    def test_stop_that_fails_starts_it_again(self):
        self.host.lifecycle.power_on(self.instance, self.host.vifs)
        self.engine.fail('stop', GONE)
        self.assertRaises(
            Rollback, self.migrations.stop, self.instance, self.host.vifs, 0
        )
        self.assertEqual(self.before, self.host.containers())

    def test_discard(self):
        self.migrations.discard('ctx', self.instance)
        self.carrier.discard.assert_called_once_with('ctx', self.instance)
