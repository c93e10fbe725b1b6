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

"""What the tests of the plugin have in common."""

import pathlib
import subprocess

import testtools
from testtools import content

from novadocker.tests.devstack import machine
from novadocker.tests.fixtures import images

# What the default image is made from, and its name in the engine.
GUEST = images.Image(command=('sh',), tags=('guest:latest',))
SERVICES = 'key,n-api,n-cpu,n-cond,n-sch,n-novnc,g-api,mysql,rabbit'


def docker(*arguments: str, data: bytes = b'') -> str:
    """Call the engine that DOCKER_HOST names."""
    return subprocess.run(
        ['docker', *arguments], input=data, check=True, capture_output=True
    ).stdout.decode()


class DevStackTestCase(testtools.TestCase):
    """Tests on a machine of their own, on which nothing has been done yet."""

    def setUp(self) -> None:
        super().setUp()
        self.machine = self.useFixture(machine.Machine())

    def load_guest(self) -> None:
        docker('load', data=GUEST.archive())
        self.addCleanup(docker, 'rmi', '--force', *GUEST.tags)

    def configure(self, *lines: str) -> None:
        self.machine.configure(f'ENABLED_SERVICES={SERVICES}', *lines)

    def _run(self, script: str) -> subprocess.CompletedProcess[str]:
        result = self.machine.run(script)
        self.addDetailUniqueName(script, content.text_content(result.stdout))
        return result

    def runs(self, script: str) -> str:
        """Run the phases of a script, and give what they said."""
        result = self._run(script)
        self.assertEqual(0, result.returncode)
        return result.stdout

    def fails(self, *reasons: str) -> None:
        """Run the phases of stack.sh, which are to end with reasons."""
        result = self._run('stack')
        self.assertNotEqual(0, result.returncode)
        for reason in reasons:
            self.assertIn(reason, result.stdout)

    def archive(self) -> pathlib.Path:
        """A file as docker save writes it."""
        path = self.machine.root / 'guest.tar'
        path.write_bytes(GUEST.archive())
        return path
