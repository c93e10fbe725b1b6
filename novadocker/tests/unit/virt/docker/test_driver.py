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

import inspect
import pathlib
from unittest import mock

import fixtures
from nova.compute import task_states
import nova.conf
from nova import exception as nova_exception
from nova.virt import driver as nova_driver
import os_vif
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import fake_engine
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import driver
from novadocker.virt.docker import pause
from novadocker.virt.docker import wiring

CONF = nova.conf.CONF

# Those of Nova's methods that some release calls with a name that this one's
# signature does not have yet.
ADDED = {'share_info'}


class DriverTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        # As nova-compute does before it loads a driver.
        os_vif.initialize()
        CONF([], project='nova', default_config_files=[])
        self.addCleanup(CONF.reset)
        self.engine = fake_engine.FakeEngine()
        patch = mock.patch.object(
            driver.engine, 'Client', autospec=True, return_value=self.engine
        )
        patch.start()
        self.addCleanup(patch.stop)
        path = self.useFixture(fixtures.TempDir()).path
        CONF.set_override('instances_path', path)
        self.addCleanup(CONF.clear_override, 'instances_path')
        self.useFixture(
            fixtures.MockPatch(
                'novadocker.privsep.netns.sweep', return_value=[]
            )
        )
        self.useFixture(
            fixtures.MockPatchObject(
                wiring.network.Network, 'names', pathlib.Path(path)
            )
        )
        self.driver = driver.DockerDriver(None)

    def start(self):
        self.driver.init_host('host1')
        self.addCleanup(self.driver.cleanup_host, 'host1')

    def test_nova_31_asks_a_new_host_before_it_begins(self):
        """It refuses one that has servers, since its database is another's."""
        self.assertEqual([], self.driver.list_instance_uuids())

    def test_overrides_take_what_nova_passes(self):
        for name, method in inspect.getmembers(
            driver.DockerDriver, inspect.isfunction
        ):
            theirs = getattr(nova_driver.ComputeDriver, name, None)
            if theirs is None or theirs is method or name == '__init__':
                continue
            wanted = list(inspect.signature(theirs).parameters)
            found = [
                parameter
                for parameter in inspect.signature(method).parameters
                if parameter in wanted or parameter not in ADDED
            ]
            self.assertEqual(wanted, found, name)

    def test_node_is_the_host(self):
        self.start()

        self.assertEqual(['host1'], self.driver.get_available_nodes())

    def test_an_engine_that_is_away_keeps_the_service_from_starting(self):
        self.engine.go_down()

        self.assertRaises(
            nova_exception.HypervisorUnavailable,
            self.driver.init_host,
            'host1',
        )

    def test_inventory_reaches_placement_with_the_ratios(self):
        self.start()
        CONF.set_override('cpu_allocation_ratio', 8.0)
        self.addCleanup(CONF.clear_override, 'cpu_allocation_ratio')
        tree = mock.Mock()
        tree.data.return_value.inventory = {}
        with mock.patch('os.statvfs', autospec=True) as statvfs:
            statvfs.return_value = mock.Mock(
                f_blocks=10 << 30, f_bavail=5 << 30, f_frsize=1
            )
            self.driver.update_provider_tree(tree, 'host1')

        (node, found), _ = tree.update_inventory.call_args
        self.assertEqual('host1', node)
        self.assertEqual(8.0, found['VCPU']['allocation_ratio'])
        self.assertEqual(10, found['DISK_GB']['total'])

    def test_volumes_are_refused_before_anything_is_made(self):
        self.start()
        requests = self.engine.requests.total()

        self.assertRaises(
            exception.FeatureNotSupported,
            self.driver.spawn,
            None,
            instances.an_instance(),
            None,
            [],
            None,
            {},
            [],
            {'block_device_mapping': [{}]},
        )
        self.assertEqual(
            {'create': 0, 'load': 0},
            {verb: self.engine.requests[verb] for verb in ('create', 'load')},
        )
        self.assertGreaterEqual(self.engine.requests.total(), requests)

    def test_live_migration_is_refused_in_the_way_that_keeps_the_server(self):
        self.assertRaises(
            nova_exception.MigrationPreCheckError,
            self.driver.check_can_live_migrate_destination,
            None,
            None,
            None,
            None,
        )

    def test_soft_reboot_gives_the_process_time(self):
        self.start()
        CONF.set_override('shutdown_timeout', 33)
        self.addCleanup(CONF.clear_override, 'shutdown_timeout')
        with mock.patch.object(
            self.driver, '_lifecycle', autospec=True
        ) as lifecycle:
            instance = instances.an_instance()
            for kind, grace in (('SOFT', 33), ('HARD', 0)):
                self.driver.reboot(None, instance, 'ports', kind)
                lifecycle.reboot.assert_called_with(instance, 'ports', grace)

    def double(self, name):
        """A mock in the place of one that does the driver's work."""
        return self.useFixture(
            fixtures.MockPatchObject(self.driver, name, autospec=True)
        ).mock

    def test_start_and_reboot_finish_a_move_first(self):
        self.start()
        instance = instances.an_instance()
        lifecycle = self.double('_lifecycle')
        migrations = self.double('_migrations')
        for finished in (True, False):
            migrations.resume.return_value = finished
            self.driver.power_on('ctx', instance, 'ports')
            self.driver.reboot('ctx', instance, 'ports', 'HARD')
            self.assertEqual(
                0 if finished else 2, len(lifecycle.mock_calls)
            )
        migrations.resume.assert_called_with('ctx', instance, 'ports')

    def test_one_that_is_reverted_in_place_is_not_destroyed(self):
        self.start()
        instance = instances.an_instance()
        lifecycle = self.double('_lifecycle')
        migrations = self.double('_migrations')
        migrations.keeps.return_value = True
        self.driver.destroy('ctx', instance, 'ports')
        migrations.rest.assert_called_once_with(instance, 60)
        lifecycle.destroy.assert_not_called()
        migrations.keeps.return_value = False
        self.driver.destroy('ctx', instance, 'ports')
        lifecycle.destroy.assert_called_once_with(instance, 'ports', True)
        migrations.discard.assert_called_once_with('ctx', instance)

    def test_rescue_is_refused_before_the_server_is_stopped(self):
        self.start()
        instance = instances.an_instance()
        lifecycle = self.double('_lifecycle')
        rescuer = self.double('_rescuer')
        rescuer.check.side_effect = exception.RescueRefused(reason='r')
        self.driver.power_off(instance, 3)
        lifecycle.power_off.assert_called_once_with(instance, 3)

        instance.task_state = task_states.RESCUING
        self.assertRaises(
            exception.RescueRefused, self.driver.power_off, instance, 3
        )
        lifecycle.power_off.assert_called_once_with(instance, 3)

    def rebuild(self, instance, **arguments):
        self.driver.rebuild(
            *(None, instance, 'meta', [], None, {}, [], None, None),
            **arguments,
        )

    def test_evacuation_is_left_to_nova(self):
        self.assertRaises(
            NotImplementedError,
            self.rebuild,
            instances.an_instance(),
            evacuate=True,
        )

    def test_what_a_rebuild_cannot_do_is_refused(self):
        self.start()
        for arguments in (
            {'preserve_ephemeral': True},
            {'block_device_info': {'block_device_mapping': [{}]}},
        ):
            self.assertRaises(
                (
                    nova_exception.PreserveEphemeralNotSupported,
                    exception.FeatureNotSupported,
                ),
                self.rebuild,
                instances.an_instance(),
                **arguments,
            )

    def test_rebuild_tells_nova_how_far_it_is(self):
        self.start()
        instance = mock.Mock(
            wraps=instances.an_instance(),
            config_drive='',
            flavor=instances.an_instance().flavor,
            metadata={},
        )
        told = []
        instance.save.side_effect = lambda expected_task_state: told.append(
            (expected_task_state, instance.task_state)
        )
        with (
            mock.patch.object(driver.tags, 'device_metadata', autospec=True),
            mock.patch.object(
                self.driver, '_rebuilder', autospec=True
            ) as rebuilder,
        ):
            self.rebuild(instance, network_info='ports')
            *given, stopping = rebuilder.rebuild.call_args.args
            stopping()

        order = driver.guest.Order('meta')
        self.assertEqual([None, instance, order, 'ports'], given)
        self.assertEqual(
            [
                (['rebuilding'], 'rebuild_block_device_mapping'),
                (['rebuild_block_device_mapping'], 'rebuild_spawning'),
            ],
            told,
        )

    def test_volume_connector_does_without_volumes(self):
        """Nova asks for it whenever a server goes, volumes or none."""
        with mock.patch.object(
            driver.connector, 'get_connector_properties', autospec=True
        ) as properties:
            properties.return_value = {'host': 'host1'}
            self.assertEqual(
                {'host': 'host1'}, self.driver.get_volume_connector(None)
            )

    def test_image_cache(self):
        self.start()
        with (
            mock.patch.object(
                self.driver, '_image_cache', autospec=True
            ) as cache,
            mock.patch.object(self.driver, '_images', autospec=True) as images,
        ):
            self.driver.manage_image_cache(None, ['server'])
            found = self.driver.cache_image('context', 'image')
        cache.manage.assert_called_once_with(['server'])
        images.fetch.assert_called_once_with('context', 'image')
        self.assertIs(images.fetch.return_value, found)

    def test_cache_keeps_the_image_of_todays_sandboxes(self):
        self.start()
        image = pause.sandbox_image(fake_engine.INFO.architecture)
        self.engine.load([image.archive])
        self.driver.manage_image_cache(None, [])
        self.assertIn(image.reference, self.engine.images.tags)
