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
import tarfile
import zipfile

from novadocker.tests.packaging import base


class DistributionsTestCase(base.SourceTestCase):
    """What is in wheel and sdist, and above all what is not."""

    def setUp(self) -> None:
        super().setUp()
        with tarfile.open(self.sdist) as archive:
            # Below one directory, named after the version.
            self.sources = {
                name.partition('/')[2]
                for name in (one.name for one in archive if one.isfile())
            }
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

    def _tracked(self) -> set[str]:
        return set(base.run(
            'git', '-c', f'safe.directory={self.source}', 'ls-files',
            cwd=self.source,
        ).splitlines())

    def test_devstack_is_left_out(self) -> None:
        """DevStack clones the tree; who installs the wheel has no use of it.
        """
        found = [
            name for name in self.names
            if 'devstack' in name
            and not name.startswith('novadocker/tests/devstack/')
        ]
        self.assertEqual([], found)

    def test_every_module_of_the_tree_is_in_it(self) -> None:
        modules = {
            name for name in self._tracked()
            if name.startswith('novadocker/') and name.endswith('.py')
        }
        self.assertGreater(len(modules), 10)
        self.assertEqual(set(), modules - set(self.names))

    def test_the_licence_is_in_both(self) -> None:
        self.assertIn(f'{self.metadata}/licenses/LICENSE', self.names)
        self.assertIn('LICENSE', self.sources)
        metadata = self.archive.read(f'{self.metadata}/METADATA').decode()
        self.assertRegex(metadata, '(?m)^License(-Expression)?: Apache-2.0$')

    def test_the_sdist_is_the_tree_and_what_is_made_of_its_history(
        self
    ) -> None:
        sources = {
            name for name in self.sources
            if not name.startswith('nova_docker.egg-info/')
        }
        self.assertEqual(
            {'AUTHORS', 'ChangeLog', 'PKG-INFO'}, sources - self._tracked()
        )
        self.assertEqual({'.gitignore'}, self._tracked() - sources)

    def test_an_index_takes_both(self) -> None:
        twine = base.environment('twine>=6.1', 'twine') / 'bin' / 'twine'
        base.run(twine, 'check', '--strict', self.wheel, self.sdist)

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
