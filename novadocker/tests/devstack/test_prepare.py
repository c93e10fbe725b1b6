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

"""What prepare_devstack.sh does to a local.conf, and to an old localrc."""

import os
import pathlib
import subprocess

import fixtures
import testtools

from novadocker.tests.devstack import machine

_ALL = """\
enable_plugin nova-docker /opt/stack/nova-docker main
VIRT_DRIVER=docker
DEFAULT_IMAGE_NAME=cirros
IMAGE_URLS=
"""
_TITLE = '# Docker as the driver of Nova\n'


class PrepareTestCase(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.stack = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.devstack = self.stack / 'devstack'
        self.devstack.mkdir()
        (self.devstack / 'stackrc').touch()
        self.local = self.devstack / 'local.conf'
        self.localrc = self.devstack / 'localrc'

    def _run(
        self, *arguments: str | os.PathLike[str], **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [machine.PREPARE, *arguments],
            env={
                'PATH': os.environ['PATH'],
                'NOVA_DOCKER_REPO': '/opt/stack/nova-docker',
                'NOVA_DOCKER_BRANCH': 'main',
                **environment,
            },
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
        )

    def _prepare(self, **environment: str) -> list[str]:
        """Prepare the clone, and give what was said."""
        result = self._run(self.devstack, **environment)
        self.assertEqual(0, result.returncode, result.stdout)
        return [line.strip() for line in result.stdout.splitlines()]

    def _setting(self, name: str) -> str:
        """What a shell makes of the localrc section."""
        lines = self.local.read_text().partition('[[local|localrc]]\n')[2]
        return subprocess.run(
            [
                'bash', '-c',
                'function enable_plugin { plugin="$*"; }\n'
                f'{lines.partition("[[")[0]}\nprintf %s "${{{name}-unset}}"',
            ],
            check=True, stdout=subprocess.PIPE, text=True,
        ).stdout

    # local.conf

    def test_without_local_conf(self) -> None:
        said = self._prepare()
        self.assertEqual(
            f'[[local|localrc]]\n{_TITLE}{_ALL}', self.local.read_text()
        )
        self.assertEqual(
            [
                f'{self.local}:',
                *(f'added    {line}'.strip() for line in _ALL.splitlines()),
            ],
            said,
        )

    def test_again(self) -> None:
        self._prepare()
        before = self.local.read_text()
        for _ in range(2):
            said = self._prepare()
            self.assertEqual(before, self.local.read_text())
            self.assertEqual(
                [f'kept     {line}' for line in _ALL.splitlines()], said[1:]
            )

    def test_what_is_there_is_kept(self) -> None:
        text = (
            '# mine\n\n[[local|localrc]]\nADMIN_PASSWORD=secret\n\n\n'
            '[[post-config|$NOVA_CONF]]\n[DEFAULT]\ndebug = True\n'
        )
        self.local.write_text(text)
        self._prepare()
        head, between, tail = self.local.read_text().partition(
            f'\n{_TITLE}{_ALL}'
        )
        self.assertTrue(between)
        self.assertEqual(text, head + tail)
        # It went to the section that a shell reads.
        self.assertTrue(head.endswith('ADMIN_PASSWORD=secret\n'))
        self.assertEqual('docker', self._setting('VIRT_DRIVER'))
        self.assertEqual('secret', self._setting('ADMIN_PASSWORD'))

    def test_local_conf_without_the_section(self) -> None:
        text = '[[post-config|$NOVA_CONF]]\n[DEFAULT]\ndebug = True\n'
        self.local.write_text(text)
        self._prepare()
        self.assertEqual(
            f'{text}\n[[local|localrc]]\n{_TITLE}{_ALL}',
            self.local.read_text(),
        )

    def test_file_without_a_last_newline(self) -> None:
        self.local.write_text('[[local|localrc]]\nHOST_IP=192.0.2.1')
        self._prepare()
        self.assertEqual('192.0.2.1', self._setting('HOST_IP'))
        self.assertEqual('docker', self._setting('VIRT_DRIVER'))

    def test_settings_of_the_user_win(self) -> None:
        self.local.write_text(
            '[[local|localrc]]\n'
            'DEFAULT_IMAGE_NAME="nginx"  # ours\n'
            'IMAGE_URLS+=file:///opt/extra.img\n'
        )
        said = self._prepare()
        self.assertIn('kept     DEFAULT_IMAGE_NAME="nginx"  # ours', said)
        self.assertIn('kept     IMAGE_URLS+=file:///opt/extra.img', said)
        self.assertEqual('nginx', self._setting('DEFAULT_IMAGE_NAME'))
        self.assertEqual(
            'file:///opt/extra.img', self._setting('IMAGE_URLS')
        )

    def test_another_driver_is_chosen_anew(self) -> None:
        self.local.write_text('[[local|localrc]]\nVIRT_DRIVER=libvirt\n')
        said = self._prepare()
        self.assertIn(
            'kept     VIRT_DRIVER=libvirt (without effect: the last one '
            'counts)',
            said,
        )
        self.assertEqual('docker', self._setting('VIRT_DRIVER'))
        before = self.local.read_text()
        self.assertIn('kept     VIRT_DRIVER=docker', self._prepare())
        self.assertEqual(before, self.local.read_text())

    def test_what_others_say_is_not_ours(self) -> None:
        """Comments, other sections, and names that end alike."""
        self.local.write_text(
            '[[local|localrc]]\n'
            '#VIRT_DRIVER=docker\n'
            'MY_DEFAULT_IMAGE_NAME=mine\n'
            'enable_plugin nova-docker-extra https://example.org/extra\n'
            '[[post-config|/etc/mine.conf]]\n'
            'VIRT_DRIVER=docker\n'
        )
        self._prepare()
        self.assertEqual('docker', self._setting('VIRT_DRIVER'))
        self.assertEqual('cirros', self._setting('DEFAULT_IMAGE_NAME'))
        self.assertEqual(
            'nova-docker /opt/stack/nova-docker main', self._setting('plugin')
        )

    def test_plugin_of_another_place_is_kept(self) -> None:
        line = 'enable_plugin nova-docker https://example.org/fork topic'
        self.local.write_text(f'[[local|localrc]]\n{line}\n')
        self.assertIn(f'kept     {line}', self._prepare())
        self.assertEqual(1, self.local.read_text().count('enable_plugin'))

    def test_retired_repository_is_replaced(self) -> None:
        for url in (
            'https://git.openstack.org/openstack/nova-docker',
            'https://opendev.org/openstack/nova-docker.git master',
            'https://github.com/openstack/nova-docker',
        ):
            line = f'enable_plugin nova-docker {url}'
            self.local.write_text(f'[[local|localrc]]\nA=1\n{line}\nB=2\n')
            said = self._prepare()
            self.assertIn(
                f'replaced {line} (that repository is empty)', said
            )
            self.assertEqual(
                'nova-docker /opt/stack/nova-docker main',
                self._setting('plugin'),
            )
            self.assertEqual(1, self.local.read_text().count('enable_plugin'))
            self.assertEqual('2', self._setting('B'))

    def test_mode_and_link_of_the_file_are_kept(self) -> None:
        target = self.stack / 'my.conf'
        target.write_text('[[local|localrc]]\n')
        target.chmod(0o600)
        self.local.symlink_to(target)
        self._prepare()
        self.assertTrue(self.local.is_symlink())
        self.assertEqual(0o600, target.stat().st_mode & 0o777)
        self.assertIn('VIRT_DRIVER=docker', target.read_text())
        self.assertEqual(
            {'stackrc', 'local.conf'},
            {path.name for path in self.devstack.iterdir()},
        )

    def test_the_sample_has_it_all(self) -> None:
        sample = machine.ROOT / 'devstack' / 'local.conf.sample'
        self.local.write_bytes(sample.read_bytes())
        said = self._prepare()
        self.assertEqual(
            [f'kept     {line}' for line in _ALL.splitlines()], said[1:]
        )
        self.assertEqual(sample.read_bytes(), self.local.read_bytes())

    # localrc, which DevStack reads in place of the section

    def test_old_localrc(self) -> None:
        self.localrc.write_text('ADMIN_PASSWORD=secret\n')
        self.local.write_text('[[local|localrc]]\nADMIN_PASSWORD=other\n')
        said = self._prepare()
        self.assertEqual(f'{self.localrc}:', said[0])
        self.assertIn('and not the section [[local|localrc]]', said[-1])
        self.assertEqual(
            f'ADMIN_PASSWORD=secret\n\n{_TITLE}{_ALL}',
            self.localrc.read_text(),
        )
        self.assertEqual(
            '[[local|localrc]]\nADMIN_PASSWORD=other\n', self.local.read_text()
        )

    def test_localrc_of_the_historic_recipe(self) -> None:
        text = (
            'export VIRT_DRIVER=docker\n'
            'export DEFAULT_IMAGE_NAME=cirros\n'
            'export NON_STANDARD_REQS=1\n'
            'export IMAGE_URLS=" "\n'
            'DOCKER_REGISTRY_PORT=5042\n'
            'enable_plugin docker-service https://example.org/docker\n'
            'enable_plugin nova-docker '
            'https://git.openstack.org/openstack/nova-docker\n'
            "GITDIR['nova-docker']=/opt/stack/nova-docker\n"
        )
        self.localrc.write_text(text)
        said = self._prepare()
        self.assertEqual(
            text.replace(
                'https://git.openstack.org/openstack/nova-docker',
                '/opt/stack/nova-docker main',
            ),
            self.localrc.read_text(),
        )
        for line in (
            'export VIRT_DRIVER=docker',
            'export DEFAULT_IMAGE_NAME=cirros',
            'export IMAGE_URLS=" "',
        ):
            self.assertIn(f'kept     {line}', said)
        for line in (
            'export NON_STANDARD_REQS=1',
            'DOCKER_REGISTRY_PORT=5042',
            'enable_plugin docker-service https://example.org/docker',
        ):
            self.assertIn(f'useless  {line} (it may go)', said)

    # Where, and from where

    def test_places_of_the_historic_recipe(self) -> None:
        result = self._run(INSTALLDIR=str(self.stack))
        self.assertEqual(0, result.returncode, result.stdout)
        self.assertTrue(self.local.exists())

    def test_no_devstack(self) -> None:
        result = self._run(self.stack / 'nothing')
        self.assertEqual(1, result.returncode)
        self.assertIn(
            f'There is no clone of DevStack in {self.stack}/nothing',
            result.stdout,
        )
        self.assertIn('git clone https://opendev.org/openstack/devstack',
                      result.stdout)

    def test_hypervisor_file_of_an_older_version(self) -> None:
        stale = self.devstack / 'lib/nova_plugins/hypervisor-docker'
        stale.parent.mkdir(parents=True)
        stale.touch()
        result = self._run(self.devstack)
        self.assertEqual(1, result.returncode)
        self.assertIn(f'Remove {stale} first', result.stdout)
        self.assertFalse(self.local.exists())

    def _copy(self, clone: pathlib.Path) -> pathlib.Path:
        """Copy the script to another tree of the driver."""
        script = clone / 'contrib' / 'devstack' / machine.PREPARE.name
        script.parent.mkdir(parents=True)
        script.write_bytes(machine.PREPARE.read_bytes())
        script.chmod(0o755)
        return script

    def test_no_clone_of_the_driver(self) -> None:
        script = self._copy(self.stack / 'unpacked')
        result = subprocess.run(
            [script, self.devstack], env={'PATH': os.environ['PATH']},
            stderr=subprocess.PIPE, text=True, check=False,
        )
        self.assertEqual(1, result.returncode)
        self.assertIn(
            'is no clone. Set NOVA_DOCKER_REPO and NOVA_DOCKER_BRANCH',
            result.stderr,
        )
        self.assertFalse(self.local.exists())

    def test_clone_that_the_script_is_in(self) -> None:
        clone = self.stack / 'nova-docker'
        script = self._copy(clone)
        environment = {
            'PATH': os.environ['PATH'],
            'GIT_AUTHOR_NAME': 'a', 'GIT_AUTHOR_EMAIL': 'a@example.org',
            'GIT_COMMITTER_NAME': 'a', 'GIT_COMMITTER_EMAIL': 'a@example.org',
        }

        def run(*command: str | os.PathLike[str]) -> str:
            return subprocess.run(
                command, cwd=clone, env=environment, check=True,
                stdout=subprocess.PIPE, text=True,
            ).stdout.strip()

        run('git', 'init', '--quiet', '--initial-branch', 'topic')
        run('git', 'commit', '--quiet', '--allow-empty', '--message', 'a')
        run(script, self.devstack)
        self.assertEqual(f'nova-docker {clone} topic', self._setting('plugin'))
        run('git', 'checkout', '--quiet', '--detach')
        self.local.unlink()
        run(script, self.devstack)
        self.assertEqual(
            f'nova-docker {clone} {run("git", "rev-parse", "HEAD")}',
            self._setting('plugin'),
        )
