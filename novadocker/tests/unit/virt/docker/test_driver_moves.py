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

from nova import objects
from oslotest import base

from novadocker.tests.fixtures import instances
from novadocker.virt.docker import driver_moves
from novadocker.virt.docker import migration
from novadocker.virt.docker import parcel

PARCEL = parcel.Parcel('image', 'base', 'sha256:1')


class MovesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.moves = driver_moves.Moves()
        self.moves._serial = mock.Mock()
        self.migrations = mock.create_autospec(
            migration.Migrations, instance=True
        )
        self.moves._migrations = self.migrations
        self.instance = instances.an_instance()
        self.instance.migration_context = objects.MigrationContext(
            migration_id=7
        )
        patch = mock.patch.object(
            objects.Migration, 'get_by_id_and_instance', autospec=True
        )
        self.get = patch.start()
        self.addCleanup(patch.stop)
        patch = mock.patch.object(
            driver_moves.tags,
            'device_metadata',
            autospec=True,
            return_value=None,
        )
        patch.start()
        self.addCleanup(patch.stop)

    def between(self, source, dest):
        found = mock.Mock(source_compute=source, dest_compute=dest)
        self.get.return_value = found
        return found

    def leave(self):
        return self.moves.migrate_disk_and_power_off(
            'ctx', self.instance, '192.0.2.1', 'flavor', 'ports', {}, 9, 1
        )

    def test_leave(self):
        self.between('a', 'b')
        self.assertIs(self.migrations.depart.return_value, self.leave())
        self.migrations.refuse.assert_called_once_with(
            self.instance, 'flavor', False
        )
        self.migrations.depart.assert_called_once_with(
            'ctx', self.instance, 'ports', 9
        )
        self.get.assert_called_once_with('ctx', 7, self.instance.uuid)

    def test_stay(self):
        self.between('a', 'a')
        self.assertEqual('', self.leave())
        self.migrations.stop.assert_called_once_with(
            self.instance, 'ports', 9
        )

    def test_refusal_disturbs_nobody(self):
        self.between('a', 'b')
        self.migrations.refuse.side_effect = ValueError
        self.assertRaises(ValueError, self.leave)
        self.assertEqual([], self.moves._serial.mock_calls)

    def finish(self, under_way, disk_info):
        self.moves.finish_migration(
            *('ctx', under_way, self.instance, disk_info, 'ports', 'meta'),
            *(False, {}, {}, False),
            share_info=[],
        )

    def test_finish(self):
        self.finish(self.between('a', 'b'), PARCEL.dumps())
        self.migrations.arrive.assert_called_once_with(
            'ctx', self.instance, 'ports', PARCEL, False
        )
        self.finish(self.between('a', 'a'), '')
        self.migrations.resize.assert_called_once_with(
            self.instance, 'ports', False
        )

    def test_decision(self):
        for dest, stayed in (('b', False), ('a', True)):
            self.moves.confirm_migration(
                'ctx', self.between('a', dest), self.instance, 'ports'
            )
            self.migrations.confirm.assert_called_with(
                'ctx', self.instance, stayed
            )
        self.moves.finish_revert_migration(
            'ctx', self.instance, 'ports', None, {}, False, share_info=[]
        )
        self.migrations.revert.assert_called_once_with(
            'ctx', self.instance, 'ports', False
        )

    def test_files_of_a_deleted_server(self):
        self.assertTrue(self.moves.delete_instance_files(self.instance))
        self.migrations.abandon.assert_called_once_with(self.instance)
