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

"""What unstack.sh and clean.sh take away, and what they leave."""

import json
import uuid

from novadocker.tests.devstack import base
from novadocker.tests.devstack import machine
from novadocker.tests.devstack import registry as registry_mod
from novadocker.virt.docker import naming


class RemovalTestCase(base.DevStackTestCase):
    """Stack on machines that have been something before."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self._remove_containers)
        self.load_guest()
        self.host = machine.read_ini(
            self.machine.root / 'cloud' / 'nova' / 'nova.conf'
        )['DEFAULT']['host']

    def _remove_containers(self) -> None:
        if found := base.docker('ps', '--all', '--quiet').split():
            base.docker('rm', '--force', *found)

    def _container(self, name: str, labels: dict[str, str]) -> str:
        options = [f'--label={key}={value}' for key, value in labels.items()]
        base.docker(
            'run', '--detach', '--network=none', f'--name={name}', *options,
            'guest', 'sleep', '600',
        )
        return name

    def _server(self, host: str) -> str:
        """Make the containers of a server, and its name on the host."""
        server = str(uuid.uuid4())
        for role, name in (
            (naming.ROLE_SANDBOX, naming.sandbox_name(server)),
            (naming.ROLE_INSTANCE, naming.instance_name(server)),
        ):
            self._container(name, naming.labels(server, role, host))
        self.machine.execute(
            'ln', '-s', '/proc/1/ns/net',
            f'/run/netns/{naming.instance_name(server)}',
        )
        return server

    def _containers(self) -> set[str]:
        names = base.docker('ps', '--all', '--format', '{{.Names}}')
        return set(names.split())

    def _links(self) -> set[str]:
        return {path.name for path in self.machine.netns('').iterdir()}

    def _tag(self, reference: str) -> str:
        base.docker('tag', 'guest', reference)
        self.addCleanup(base.docker, 'rmi', '--force', reference)
        return reference

    def test_no_trace(self) -> None:
        self.machine.write_localrc(
            f'ENABLED_SERVICES={base.SERVICES}', 'VIRT_DRIVER=docker'
        )
        for script in ('stack', 'unstack', 'clean'):
            self.runs(script)
        never = self.machine.snapshot()
        images = base.docker('images', '--no-trunc')

        registry = self.useFixture(registry_mod.Registry(base.GUEST))
        self.configure(f'NOVA_DOCKER_IMAGE={registry.reference}')
        self.runs('stack')
        self._server(self.host)
        self._tag(naming.image_reference(str(uuid.uuid4())))
        self.assertNotEqual(never, self.machine.snapshot())
        self.runs('unstack')
        self.runs('clean')

        self.assertEqual(never, self.machine.snapshot())
        self.assertEqual(images, base.docker('images', '--no-trunc'))
        self.assertEqual(set(), self._containers())
        self.assertEqual(set(), self._links())
        self.assertEqual({'stack'}, self.machine.groups())
        self.assertFalse(self.machine.state.exists())

    def test_clean_alone(self) -> None:
        """It runs unstack.sh first, and takes the same away once more."""
        self.configure('NOVA_DOCKER_IMAGE=guest')
        self.runs('stack')
        self._server(self.host)
        for _ in range(2):
            self.runs('clean')
            self.assertEqual(set(), self._containers())
            self.assertFalse(self.machine.state.exists())
        # It was there before.
        base.docker('image', 'inspect', 'guest')

    def test_servers_go_with_unstack(self) -> None:
        self.configure('NOVA_DOCKER_IMAGE=guest')
        self.runs('stack')
        for _ in range(2):
            self._server(self.host)
        image = self._tag(naming.image_reference(str(uuid.uuid4())))
        self.runs('unstack')
        self.assertEqual(set(), self._containers())
        self.assertEqual(set(), self._links())
        self.assertEqual('', base.docker('images', '--quiet', image))
        # nova-compute would have started them again.
        self.assertIn(
            'systemctl stop devstack@n-cpu.service',
            self.machine.calls('systemctl'),
        )

    def test_others_stay(self) -> None:
        self.configure('NOVA_DOCKER_IMAGE=guest')
        self.runs('stack')
        self._server(self.host)
        other = self._server('another-cloud')
        self._container('web', {})
        image = self._tag(naming.image_reference(str(uuid.uuid4())))
        mine = self._tag('nova-docker:latest')
        self.runs('unstack')
        self.runs('clean')
        self.assertEqual(
            {
                'web',
                naming.instance_name(other),
                naming.sandbox_name(other),
            },
            self._containers(),
        )
        self.assertEqual({naming.instance_name(other)}, self._links())
        for reference in (image, mine):
            base.docker('image', 'inspect', reference)

    def test_member_of_the_group_stays_one(self) -> None:
        self.machine.execute('usermod', '-a', '-G', 'docker', 'stack')
        self.configure('NOVA_DOCKER_IMAGE=guest')
        for script in ('stack', 'unstack', 'clean'):
            self.runs(script)
        self.assertIn('docker', self.machine.groups())

    def test_member_after_a_second_stack_goes(self) -> None:
        self.configure('NOVA_DOCKER_IMAGE=guest')
        for script in ('stack', 'stack', 'unstack', 'clean'):
            self.runs(script)
        self.assertNotIn('docker', self.machine.groups())

    def test_engine_that_is_down(self) -> None:
        self.configure('NOVA_DOCKER_IMAGE=guest')
        self.runs('stack')
        self._server(self.host)
        self.machine.stop_engine()
        self.assertIn('its containers stay. Start it', self.runs('unstack'))
        self.machine.start_engine()
        self.runs('unstack')
        self.assertEqual(set(), self._containers())

    def test_formats_of_glance_are_what_they_were(self) -> None:
        path = self.machine.root / 'cloud' / 'glance' / 'glance-api.conf'
        path.write_text('[image_format]\ncontainer_formats = bare,ova\n')
        self.configure('NOVA_DOCKER_IMAGE=guest')
        self.runs('stack')
        self.runs('stack')
        self.runs('unstack')
        self.assertEqual(
            {'image_format': {'container_formats': 'bare,ova'}},
            machine.read_ini(self.machine.etc('glance/glance-api.conf')),
        )


class EngineTestCase(base.DevStackTestCase):
    """Machines that have no engine, or one that does not run."""

    def setUp(self) -> None:
        super().setUp()
        self.load_guest()
        self.configure('NOVA_DOCKER_IMAGE=guest')

    def _assert_installed_and_removed(self) -> None:
        self.assertTrue(self.machine.etc('docker/daemon.json').exists())
        self.assertTrue(self.machine.socket.exists())
        self.runs('clean')
        self.assertFalse(self.machine.socket.exists())
        self.assertFalse(self.machine.etc('docker').exists())

    def test_debian(self) -> None:
        self.machine.remove_engine()
        for script in ('stack', 'stack', 'unstack'):
            self.runs(script)
        installed = [
            call.rpartition(' install ')[2]
            for call in self.machine.calls('apt-get')
            if ' install ' in call
        ]
        # The double of docker.io is that of Debian 13, without the command.
        self.assertEqual(['docker.io', 'docker-cli'], installed)
        self._assert_installed_and_removed()

    def test_red_hat(self) -> None:
        release = self.machine.etc('os-release')
        release.unlink()
        release.write_text(
            'ID=rocky\nNAME="Rocky Linux"\nVERSION_ID=9.6\n'
            'VERSION="9.6 (Blue Onyx)"\n'
        )
        self.machine.remove_engine()
        self.runs('stack')
        [repository, installed] = self.machine.calls('dnf')
        self.assertEqual(
            'dnf config-manager --add-repo '
            'https://download.docker.com/linux/centos/docker-ce.repo',
            repository,
        )
        self.assertEqual(
            'dnf install -y docker-ce docker-ce-cli containerd.io', installed
        )
        self._assert_installed_and_removed()
        # There is no environment of DevStack's own that goes.
        [install, uninstall] = self.machine.calls('python3.99')
        self.assertIn(' -m pip install ', install)
        self.assertEqual(
            'python3.99 -m pip uninstall -y nova-docker', uninstall
        )

    def test_engine_leaves_the_packet_filter_alone(self) -> None:
        self.machine.remove_engine()
        self.runs('stack')
        self.assertEqual(
            {'bridge': 'none', 'iptables': False, 'live-restore': True},
            json.loads(self.machine.etc('docker/daemon.json').read_text()),
        )

    def test_configuration_of_an_engine_is_kept(self) -> None:
        self.machine.remove_engine()
        path = self.machine.etc('docker/daemon.json')
        path.parent.mkdir()
        path.write_text('{"debug": true}\n')
        for script in ('stack', 'unstack', 'clean'):
            self.runs(script)
        self.assertEqual('{"debug": true}\n', path.read_text())

    def test_engine_that_was_stopped_is_so_again(self) -> None:
        self.machine.stop_engine()
        self.runs('stack')
        self.assertTrue(self.machine.socket.exists())
        self.assertFalse(self.machine.etc('docker').exists())
        self.runs('clean')
        self.assertFalse(self.machine.socket.exists())

    def test_engine_that_ran_goes_on(self) -> None:
        self.runs('stack')
        self.runs('clean')
        self.assertTrue(self.machine.socket.exists())
        self.assertNotIn(
            'systemctl stop docker', self.machine.calls('systemctl')
        )
