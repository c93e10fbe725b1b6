#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.
import os
import stat
from unittest import mock

import fixtures
from oslotest import base

from novadocker.tests.fixtures import instances
from novadocker.virt.docker import config_drive
from novadocker.virt.docker import guest
from novadocker.virt.docker import naming


class ConfigDrivesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).path
        self.content = mock.Mock(
            return_value=[('openstack/latest/meta_data.json', b'{}')]
        )
        self.drives = config_drive.ConfigDrives(self.path, self.content)
        self.instance = instances.an_instance()
        self.instance.config_drive = 'True'
        self.tree = naming.config_drive_path(self.path, self.instance.uuid)

    def files(self):
        return {
            str(path.relative_to(self.tree)): path.read_bytes()
            for path in self.tree.rglob('*')
            if path.is_file()
        }

    def mode(self, path):
        return stat.S_IMODE(path.stat().st_mode)

    def test_write(self):
        old = os.umask(0o077)
        self.addCleanup(os.umask, old)
        self.drives.write(self.instance, 'ports', 'order')

        self.content.assert_called_once_with(self.instance, 'ports', 'order')
        self.assertEqual(
            {'openstack/latest/meta_data.json': b'{}'}, self.files()
        )
        # Readable by the server, and on the host by nobody else.
        self.assertEqual(0o700, self.mode(self.tree.parent))
        for name in ('', 'openstack', 'openstack/latest'):
            self.assertEqual(0o755, self.mode(self.tree / name), name)
        file = self.tree / 'openstack' / 'latest' / 'meta_data.json'
        self.assertEqual(0o644, self.mode(file))

    def test_what_was_there_is_replaced_as_a_whole(self):
        self.drives.write(self.instance, 'ports', None)
        self.content.return_value = [('/other', 'text')]
        self.drives.write(self.instance, 'ports', None)

        self.assertEqual({'other': b'text'}, self.files())
        self.assertEqual(['tree'], os.listdir(self.tree.parent))

    def test_failure_leaves_what_was_there(self):
        self.drives.write(self.instance, 'ports', None)
        self.content.side_effect = ValueError
        self.assertRaises(
            ValueError, self.drives.write, self.instance, 'ports', None
        )
        self.assertIn('openstack/latest/meta_data.json', self.files())

    def test_server_without(self):
        self.instance.config_drive = ''
        self.drives.write(self.instance, 'ports', None)
        self.drives.ensure(self.instance)

        self.assertEqual([], os.listdir(self.path))

    def test_one_that_is_there_is_kept_and_one_that_is_not_is_made(self):
        with mock.patch.object(
            type(self.instance), 'get_network_info', autospec=True
        ) as ports:
            self.drives.ensure(self.instance)
            self.drives.ensure(self.instance)

        self.content.assert_called_once_with(
            self.instance, ports.return_value, None
        )


class ContentTestCase(base.BaseTestCase):
    def test_is_novas(self):
        with mock.patch.object(
            config_drive.instance_metadata, 'InstanceMetadata', autospec=True
        ) as made:
            found = config_drive.content(
                'instance',
                'ports',
                guest.Order(None, (('/a', b'x'),), 'secret'),
            )
            config_drive.content('instance', 'ports', None)

        self.assertIs(
            made.return_value.metadata_for_config_drive.return_value, found
        )
        self.assertEqual(
            [
                mock.call(
                    'instance',
                    content=(('/a', b'x'),),
                    extra_md={'admin_pass': 'secret'},
                    network_info='ports',
                ),
                mock.call(
                    'instance', content=(), extra_md={}, network_info='ports'
                ),
            ],
            made.call_args_list,
        )
