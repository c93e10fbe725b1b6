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
import os
from unittest import mock

from nova.compute import power_state
from nova.compute import vm_states
from nova import exception as nova_exception
from nova.network import model as network_model
from nova import objects
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import fake_engine
from novadocker.tests.fixtures import fake_host
from novadocker.virt.docker import guest
from novadocker.virt.docker import naming
from novadocker.virt.docker import rescue
from novadocker.virt.docker import spec

GONE = fake_host.GONE


class RescuerTestCase(base.BaseTestCase):
    STORAGE = 'overlay2'

    def setUp(self):
        super().setUp()
        engine = fake_engine.FakeEngine(
            dataclasses.replace(
                fake_engine.INFO, storage_driver=self.STORAGE
            )
        )
        self.host = self.useFixture(fake_host.FakeHost(engine=engine))
        self.engine, self.instance = engine, self.host.instance
        self.instance.info_cache = objects.InstanceInfoCache(
            network_info=network_model.NetworkInfo()
        )
        self.rescuer = rescue.Rescuer(self.host.rooms, self.host.lifecycle)
        self.host.spawn()
        self.before = self.host.containers()
        self.own, _ = self.before[self.host.server]
        self.aside = naming.aside_name(
            self.host.server, self.host.name, naming.RESCUED
        )
        self.host.image = fake_host.OTHER_IMAGE

    def rescue(self, **properties):
        """Do as Nova does."""
        self.host.lifecycle.power_off(self.instance, 0)
        self.rescuer.rescue(
            None,
            self.instance,
            guest.Order(mock.Mock(properties=properties)),
            self.host.vifs,
        )
        self.instance.vm_state = vm_states.RESCUED

    def unrescue(self):
        self.rescuer.unrescue(self.instance)
        self.instance.vm_state = vm_states.ACTIVE

    def assert_rescued(self):
        self.assertEqual(
            {
                self.host.server: 'running',
                self.aside: 'exited',
                self.host.box: 'running',
            },
            self.host.states(),
        )
        self.assertEqual(self.own, self.host.containers()[self.aside][0])


class RescueTestCase(RescuerTestCase):
    def test_another_image_has_the_root_file_system_and_the_sandbox(self):
        root = self.engine.inspect(self.own).root
        self.rescue()

        self.assert_rescued()
        found = self.engine.inspect(self.host.server)
        self.assertEqual(fake_host.OTHER_IMAGE.id, found.image_id)
        box, _ = self.before[self.host.box]
        self.assertEqual(f'container:{box}', found.network)
        [mount] = self.engine.containers[found.id].spec.overlays
        self.assertEqual((root, spec.RESCUE_PATH), (mount.root, mount.target))

    def test_back(self):
        self.rescue()
        self.unrescue()

        self.assertEqual(self.before, self.host.containers())
        self.host.rooms.obituaries.expect.assert_called_with(self.host.uuid)

    def test_start_and_reboot_keep_it_rescued(self):
        self.rescue()
        rescuer = self.host.containers()[self.host.server]
        self.engine.end(self.host.server)
        for start in (
            lambda: self.host.lifecycle.power_on(
                self.instance, self.host.vifs
            ),
            lambda: self.host.lifecycle.reboot(
                self.instance, self.host.vifs, 0
            ),
        ):
            start()
            self.assert_rescued()
            self.assertEqual(
                rescuer, self.host.containers()[self.host.server]
            )

    def test_reboot_of_a_server_in_error_ends_it(self):
        self.rescue()
        self.instance.vm_state = vm_states.ERROR
        self.host.lifecycle.reboot(self.instance, self.host.vifs, 0)

        self.assertEqual(self.before, self.host.containers())

    def test_server_in_error_is_rescued_anew(self):
        self.rescue()
        self.instance.vm_state = vm_states.ERROR
        self.rescue()

        self.assert_rescued()

    def test_destroy_ends_it_first(self):
        self.rescue()
        rescuer = self.host.containers()[self.host.server][0]
        removed = []
        with mock.patch.object(
            self.engine, 'remove', autospec=True, side_effect=removed.append
        ):
            self.host.lifecycle.destroy(self.instance, self.host.vifs, True)
        self.assertEqual([rescuer, self.own], removed[:2])

        self.host.lifecycle.destroy(self.instance, self.host.vifs, True)
        self.assertEqual({}, self.host.containers())


class FailedRescueTestCase(RescuerTestCase):
    def test_failure_of_each_step_starts_the_server_again(self):
        for arrange in (
            lambda: self.engine.fail('inspect', GONE, skip=2),
            lambda: self.engine.fail('list_containers', GONE),
            lambda: self.engine.fail('rename', GONE),
            lambda: self.engine.fail('create', GONE),
            lambda: self.engine.fail('start', GONE),
            lambda: setattr(
                self.host.images.ensure, 'side_effect', (GONE,)
            ),
        ):
            arrange()
            self.assertRaises(exception.EngineUnavailable, self.rescue)

            self.assertEqual(self.before, self.host.containers())

    def test_engine_that_is_gone_at_once_needs_a_reboot(self):
        def gone(*args):
            self.engine.go_down()
            raise GONE

        self.host.network.plug.side_effect = gone
        self.assertRaises(exception.EngineUnavailable, self.rescue)
        self.engine.come_up()
        self.assertIn(self.aside, self.host.containers())

        self.host.network.plug.side_effect = None
        self.host.lifecycle.reboot(self.instance, self.host.vifs, 0)
        self.assertEqual(self.before, self.host.containers())

    def test_server_that_did_not_run_is_not_started(self):
        self.instance.power_state = power_state.SHUTDOWN
        self.engine.fail('create', GONE)
        self.assertRaises(exception.EngineUnavailable, self.rescue)

        self.assertEqual('exited', self.host.states()[self.host.server])

    def test_image_that_cannot_be_run(self):
        self.assertRaises(
            exception.CommandRejected, self.rescue, os_command_line='echo "'
        )
        self.assertEqual(self.before, self.host.containers())

    def test_image_that_is_refused(self):
        self.host.images.ensure.side_effect = exception.ImageRejected(
            image_id='i', reason='bad'
        )
        self.assertRaises(exception.ImageRejected, self.rescue)
        self.assertEqual(self.before, self.host.containers())

    def test_server_that_was_deleted_meanwhile_is_not_made_again(self):
        power_off = self.host.lifecycle.power_off

        def deleted(*args):
            power_off(*args)
            self.host.lifecycle.destroy(self.instance, self.host.vifs, True)

        with mock.patch.object(
            self.host.lifecycle,
            'power_off',
            autospec=True,
            side_effect=deleted,
        ):
            self.assertRaises(nova_exception.InstanceNotFound, self.rescue)
        self.assertEqual({}, self.host.containers())
        self.assertEqual([], os.listdir(self.host.path))

    def test_failure_of_each_step_back_is_made_good_by_a_reboot(self):
        for verb in ('list_containers', 'remove', 'rename', 'start'):
            self.rescue()
            self.engine.fail(verb, GONE)
            self.assertRaises(exception.EngineUnavailable, self.unrescue)

            self.instance.vm_state = vm_states.ERROR
            self.host.lifecycle.reboot(self.instance, self.host.vifs, 0)
            self.assertEqual(self.before, self.host.containers())
            self.instance.vm_state = vm_states.ACTIVE

    def test_what_stands_in_is_kept_if_there_is_nothing_else(self):
        self.rescue()
        self.engine.remove(self.own)
        self.assertRaises(nova_exception.InstanceNotFound, self.unrescue)
        self.assertIn(self.host.server, self.host.states())

        self.engine.remove(self.host.server)
        self.assertRaises(nova_exception.InstanceNotFound, self.unrescue)

    def test_sandbox_that_was_removed_is_the_end_of_it(self):
        self.rescue()
        self.engine.end(self.host.server)
        self.engine.remove(self.host.box)
        self.assertRaises(
            exception.RescueLost,
            self.host.lifecycle.power_on,
            self.instance,
            self.host.vifs,
        )
        self.assertIn(self.aside, self.host.containers())

        self.unrescue()
        self.assertEqual(
            {self.host.server: 'running', self.host.box: 'running'},
            self.host.states(),
        )


class CheckTestCase(RescuerTestCase):
    def test_server_that_is_gone(self):
        self.engine.remove(self.own)
        self.assertRaises(
            nova_exception.InstanceNotFound, self.rescuer.check, self.instance
        )

    def test_more_layers_than_can_be_mounted(self):
        found = self.engine.inspect(self.own)
        root = self.rescuer.check(self.instance)
        for spare, fits in ((0, True), (-1, False)):
            lower = root.lower + 'x' * (
                4095 - len(root.options) - spare
            )
            many = dataclasses.replace(
                found, root=dataclasses.replace(root, lower=lower)
            )
            with mock.patch.object(
                self.engine, 'inspect', autospec=True, return_value=many
            ):
                if fits:
                    self.rescuer.check(self.instance)
                else:
                    self.assertRaises(
                        exception.RescueRefused,
                        self.rescuer.check,
                        self.instance,
                    )


class OtherStorageTestCase(RescuerTestCase):
    STORAGE = 'btrfs'

    def test_it_is_refused_by_its_name(self):
        refused = self.assertRaises(
            exception.RescueRefused, self.rescuer.check, self.instance
        )
        self.assertIn('btrfs', str(refused))
        self.assertIsInstance(refused, nova_exception.InstanceNotRescuable)

    def test_server_is_as_it_was(self):
        self.assertRaises(exception.RescueRefused, self.rescue)
        self.assertEqual(self.before, self.host.containers())
