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

import json
import pathlib
import tempfile

from novadocker.tests.packaging import base

_DRIVER = 'novadocker.virt.docker.driver.DockerDriver'
_SCRIPT = pathlib.Path(__file__).with_name('load_driver.py')
_CONFIGURATION = """
[DEFAULT]
compute_driver = novadocker.virt.docker.DockerDriver
transport_url = fake:/
state_path = {directory}
[oslo_concurrency]
lock_path = {directory}
"""


class LoadingTestCase(base.SourceTestCase):
    """Unpatched Novas load the driver, however both are installed."""

    def _load(self, python: pathlib.Path, backend: str) -> dict:
        with tempfile.TemporaryDirectory() as directory:
            configuration = pathlib.Path(directory) / 'nova.conf'
            configuration.write_text(
                _CONFIGURATION.format(directory=directory)
            )
            eventlet = backend == 'eventlet'
            output = base.run(
                python, _SCRIPT, '--config-file', configuration,
                env={'OS_NOVA_DISABLE_EVENTLET_PATCHING': str(not eventlet)},
                timeout=120,
            )
        return json.loads(output.splitlines()[-1])

    def _check(self, environment: pathlib.Path, code: pathlib.Path) -> None:
        base.run(environment / 'bin' / 'pip', 'check')
        for backend in ('threading', 'eventlet'):
            found = self._load(environment / 'bin' / 'python', backend)
            self.assertEqual(_DRIVER, found['driver'])
            self.assertEqual(backend == 'eventlet', found['eventlet'])
            self.assertTrue(
                pathlib.Path(found['file']).is_relative_to(code), found
            )

    def _test_nova(self, series: int) -> None:
        environment = base.environment(
            f'nova>={series}.0.0,<{series + 1}', f'nova-{series}'
        )
        pip = environment / 'bin' / 'pip'
        remove = (pip, 'uninstall', '--quiet', '--yes', 'nova-docker')
        # An interrupted run may have left one; without, this is a warning.
        base.run(*remove)
        self.addCleanup(base.run, *remove)

        base.run(pip, 'install', '--quiet', self.wheel)
        self._check(environment, environment)
        self.assertTrue(
            (environment / 'etc/nova/rootwrap.d/docker.filters').is_file()
        )
        base.run(*remove)
        # Nothing of ours is left that could hide Nova or be found by it.
        base.run(
            environment / 'bin' / 'python', '-c', 'import nova; nova.__file__'
        )
        left = environment.glob('lib/python*/site-packages/*nova*docker*')
        self.assertEqual([], list(left))

        base.run(pip, 'install', '--quiet', '--editable', self.source)
        self._check(environment, self.source)

    def test_nova_34(self) -> None:
        self._test_nova(34)

    def test_nova_33(self) -> None:
        self._test_nova(33)

    def test_nova_32(self) -> None:
        self._test_nova(32)

    def test_nova_31(self) -> None:
        self._test_nova(31)
