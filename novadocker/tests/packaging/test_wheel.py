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

import configparser
import zipfile

from novadocker.tests.packaging import base


class WheelTestCase(base.SourceTestCase):
    """What is in the wheel, and above all what is not."""

    def setUp(self) -> None:
        super().setUp()
        self.archive = zipfile.ZipFile(self.wheel)
        self.addCleanup(self.archive.close)
        names = self.archive.namelist()
        [self.metadata] = {
            name.split('/')[0] for name in names if '.dist-info/' in name
        }
        self.data = self.metadata.replace('.dist-info', '.data') + '/data/'
        self.names = names

    def test_only_our_package_is_installed_as_code(self) -> None:
        tops = {name.split('/')[0] for name in self.names}
        tops -= {self.metadata, self.data.split('/')[0]}
        self.assertEqual({'novadocker'}, tops)

    def test_code_is_nothing_but_python(self) -> None:
        others = [
            name for name in self.names
            if name.startswith('novadocker/') and not name.endswith('.py')
        ]
        self.assertEqual([], others)

    def test_operators_find_filters_and_configuration_below_etc(self) -> None:
        data = {
            name.removeprefix(self.data) for name in self.names
            if name.startswith(self.data)
        }
        self.assertEqual(
            {
                'etc/glance/glance-api-docker.conf',
                'etc/glance/metadefs/compute-docker-image.json',
                'etc/glance/metadefs/compute-docker.json',
                'etc/nova/nova-docker-config-generator.conf',
                'etc/nova/nova-docker.conf',
                'etc/nova/rootwrap.d/docker.filters',
            },
            data,
        )

    def test_every_module_of_the_tree_is_in_it(self) -> None:
        package = self.source / 'novadocker'
        tracked = base.run(
            'git', '-c', f'safe.directory={self.source}',
            'ls-files', '*.py', cwd=package,
        ).split()
        self.assertGreater(len(tracked), 10)
        missing = {f'novadocker/{name}' for name in tracked} - set(self.names)
        self.assertEqual(set(), missing)

    def test_entry_points(self) -> None:
        parser = configparser.ConfigParser(delimiters=['='])
        parser.read_string(
            self.archive.read(f'{self.metadata}/entry_points.txt').decode()
        )
        self.assertEqual(
            {'nova-docker-status': 'novadocker.cmd.launch:status'},
            dict(parser['console_scripts']),
        )
        self.assertEqual(
            {'novadocker': 'novadocker.os_vif_plugin:NovaDockerPlugin'},
            dict(parser['os_vif']),
        )
        self.assertEqual(
            {'novadocker': 'novadocker.conf:list_opts'},
            dict(parser['oslo.config.opts']),
        )
        self.assertEqual(
            {'novadocker': 'novadocker.extra_specs'},
            dict(parser['nova.api.extra_spec_validators']),
        )
