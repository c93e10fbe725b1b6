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

"""What a cloud is told by stack.sh."""

import json
import stat
import subprocess
import tarfile

import testtools

from novadocker.tests.devstack import base
from novadocker.tests.devstack import machine as machine_mod
from novadocker.tests.devstack import registry as registry_mod
from novadocker.tests.fixtures import images

_FILTERS = 'nova/rootwrap.d/docker.filters'


class StackedTestCase(testtools.TestCase):
    """One machine, on which stack.sh has run, is looked at by all."""

    machine: machine_mod.Machine
    result: subprocess.CompletedProcess[str]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        base.docker('load', data=base.GUEST.archive())
        cls.addClassCleanup(
            base.docker, 'rmi', '--force', *base.GUEST.tags
        )
        cls.machine = machine_mod.Machine()
        cls.machine.setUp()
        cls.addClassCleanup(cls.machine.cleanUp)
        cls.machine.configure(
            f'ENABLED_SERVICES={base.SERVICES}',
            'DEFAULT_IMAGE_NAME=small',
            'NOVA_DOCKER_IMAGE=guest',
        )
        cls.result = cls.machine.run('stack')

    def setUp(self) -> None:
        super().setUp()
        self.assertEqual(0, self.result.returncode, self.result.stdout)

    def _ini(self, name: str) -> dict[str, dict[str, str]]:
        return machine_mod.read_ini(self.machine.etc(name))

    def test_driver_is_installed_from_the_clone(self) -> None:
        [call] = self.machine.calls('pip')
        self.assertIn(f' -e {self.machine.root}/stack/nova-docker', call)

    def test_nova_compute_loads_it(self) -> None:
        found = self._ini('nova/nova-cpu.conf')
        self.assertEqual(
            'novadocker.virt.docker.DockerDriver',
            found['DEFAULT']['compute_driver'],
        )
        self.assertEqual(
            f'unix://{self.machine.socket}', found['docker']['host_url']
        )

    def test_nova_is_told_what_the_installation_guide_says(self) -> None:
        guide = machine_mod.read_ini(
            machine_mod.ROOT / 'etc' / 'nova' / 'nova-docker.conf'
        )
        found = self._ini('nova/nova-cpu.conf')
        for section, options in guide.items():
            for name, value in options.items():
                self.assertEqual(
                    value.lower(), found[section][name].lower(), name
                )

    def test_nova_keeps_the_rest_of_its_configuration(self) -> None:
        before = machine_mod.read_ini(
            self.machine.root / 'cloud' / 'nova' / 'nova.conf'
        )
        after = self._ini('nova/nova-cpu.conf')
        for name in ('placement', 'neutron', 'service_user', 'os_vif_ovs'):
            self.assertEqual(before[name], after[name])

    def test_nova_compute_may_open_the_socket(self) -> None:
        unit = self._ini('systemd/system/devstack@n-cpu.service')
        self.assertEqual('docker', unit['Service']['Group'])
        self.assertIn('docker', self.machine.groups())

    def test_helper_may_be_started(self) -> None:
        path = self.machine.etc(_FILTERS)
        source = machine_mod.ROOT / 'etc' / 'nova' / 'rootwrap.d' / path.name
        self.assertEqual(source.read_bytes(), path.read_bytes())
        status = path.stat()
        self.assertEqual(
            (0o644, 0, 0),
            (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid),
        )

    def test_consoles_are_serial(self) -> None:
        console = self._ini('nova/nova-cpu.conf')['serial_console']
        self.assertEqual('True', console['enabled'])
        self.assertEqual('ws://192.0.2.1:6082/', console['base_url'])
        services = self.result.stdout.rpartition('services: ')[2].split(',')
        self.assertIn('n-sproxy', [name.strip() for name in services])
        self.assertNotIn('n-novnc', services)

    def test_glance_takes_archives(self) -> None:
        found = self._ini('glance/glance-api.conf')['image_format']
        self.assertEqual(
            set('ami ari aki bare ovf ova docker compressed'.split()),
            set(found['container_formats'].split(',')),
        )

    def test_glance_takes_the_chunks_of_snapshots(self) -> None:
        uwsgi = self._ini('glance/glance-uwsgi.ini')['uwsgi']
        self.assertLess(1 << 20, int(uwsgi['chunked-input-limit']))

    def test_default_image_is_in_glance(self) -> None:
        [image] = self.machine.images
        self.assertEqual('small active', (image / 'is').read_text().strip())
        options = (image / 'options').read_text()
        for option in (
            '--container-format\ndocker\n',
            '--disk-format\nraw\n',
            '--property\nimg_hv_type=docker\n',
            '--public\n',
        ):
            self.assertIn(option, options)

    def test_image_is_that_of_the_engine(self) -> None:
        [image] = self.machine.images
        with tarfile.open(image / 'data') as archive:
            [entry] = json.load(archive.extractfile('manifest.json'))
            config = archive.extractfile(entry['Config']).read()
        self.assertEqual(base.GUEST.id, f'sha256:{images.digest(config)}')

    def test_archive_on_its_way_is_removed(self) -> None:
        self.assertFalse((self.machine.state / 'image.tar').exists())

    def test_nothing_was_installed_where_all_is_there(self) -> None:
        self.assertEqual([], self.machine.calls('apt-get'))
        self.assertFalse(self.machine.etc('docker/daemon.json').exists())


class SettingsTestCase(base.DevStackTestCase):
    """What can be chosen, and what a host has by its services."""

    def test_again(self) -> None:
        self.load_guest()
        self.configure('NOVA_DOCKER_IMAGE=guest:latest')
        self.runs('stack')
        before = self.machine.snapshot()
        self.runs('stack')
        self.assertEqual(before, self.machine.snapshot())
        self.assertEqual(1, len(self.machine.images))

    def test_image_of_a_file(self) -> None:
        self.configure(f'NOVA_DOCKER_IMAGE_FILE=file://{self.archive()}')
        self.runs('stack')
        [image] = self.machine.images
        self.assertEqual(
            base.GUEST.archive(), (image / 'data').read_bytes()
        )

    def test_image_of_a_registry(self) -> None:
        registry = self.useFixture(registry_mod.Registry(base.GUEST))
        self.configure(f'NOVA_DOCKER_IMAGE={registry.reference}')
        self.runs('stack')
        self.assertEqual(1, len(self.machine.images))
        # The engine has it until clean.sh, for another stack.sh.
        self.runs('unstack')
        base.docker('image', 'inspect', registry.reference)
        self.runs('clean')
        self.assertEqual('', base.docker('images', '-q', registry.reference))

    def test_image_of_a_web_server(self) -> None:
        registry = self.useFixture(registry_mod.Registry(base.GUEST))
        name = base.GUEST.id
        self.configure(
            f'NOVA_DOCKER_IMAGE_FILE=http://{registry.host}/v2/blobs/{name}'
        )
        self.runs('stack')
        [image] = self.machine.images
        self.assertEqual(
            base.GUEST.config(), (image / 'data').read_bytes()
        )

    def test_formats_of_glance_are_kept(self) -> None:
        path = self.machine.root / 'cloud' / 'glance' / 'glance-api.conf'
        path.write_text('[image_format]\ncontainer_formats = bare, ova\n')
        self.configure(f'NOVA_DOCKER_IMAGE_FILE={self.archive()}')
        self.runs('stack')
        [formats] = machine_mod.read_ini(
            self.machine.etc('glance/glance-api.conf')
        )['image_format'].values()
        self.assertEqual('bare,ova,docker', formats.replace(' ', ''))

    def test_host_of_servers_alone(self) -> None:
        self.configure('ENABLED_SERVICES=n-cpu,q-agt')
        self.runs('stack')
        self.assertEqual([], self.machine.images)
        self.assertEqual([], self.machine.calls('openstack'))
        self.assertFalse(self.machine.etc('glance/glance-uwsgi.ini').exists())
        console = machine_mod.read_ini(
            self.machine.etc('nova/nova-cpu.conf')
        )['serial_console']
        self.assertEqual('True', console['enabled'])

    def test_host_without_servers(self) -> None:
        self.machine.remove_engine()
        services = base.SERVICES.replace(',n-cpu', '')
        self.configure(
            f'ENABLED_SERVICES={services}',
            f'NOVA_DOCKER_IMAGE_FILE={self.archive()}',
        )
        self.runs('stack')
        self.assertEqual(1, len(self.machine.images))
        self.assertEqual([], self.machine.calls('pip'))
        self.assertEqual([], self.machine.calls('apt-get'))
        self.assertFalse(self.machine.etc(_FILTERS).exists())

    def test_consoles_that_are_not_wanted(self) -> None:
        self.configure(
            'disable_service n-sproxy',
            f'NOVA_DOCKER_IMAGE_FILE={self.archive()}',
        )
        services = self.runs('stack').rpartition('services: ')[2]
        self.assertNotIn('n-sproxy', services)
        found = machine_mod.read_ini(self.machine.etc('nova/nova-cpu.conf'))
        before = machine_mod.read_ini(
            self.machine.root / 'cloud' / 'nova' / 'nova.conf'
        )
        self.assertEqual(before['serial_console'], found['serial_console'])
