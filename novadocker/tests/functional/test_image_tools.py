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

"""Images as the tools of others write them, on a real engine."""

import pathlib
import subprocess

import fixtures

from novadocker.tests.fixtures import images as busybox
from novadocker.tests.functional import test_images
from novadocker.virt.docker import naming

_IMAGE = busybox.Image(
    command=('sh', '-c', 'cat /here'),
    tags=('a:1',),
    files=(('here', b'it is me\n'),),
)


class ToolsTestCase(test_images.ImagesTestCase):
    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.source = self.directory / 'source.tar'
        self.source.write_bytes(_IMAGE.archive())
        self.made = self.directory / 'made.tar'

    def run_tool(self, *command):
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            timeout=test_images.PATIENCE,
        )

    def assert_boots(self, *command, container_format='docker'):
        """What was made is an image that runs, and nothing else."""
        meta = self.glance.add(
            self.made.read_bytes(), container_format=container_format
        )
        self.ensure(meta)
        reference = naming.image_reference(meta.id)
        output = self.docker(
            'run', '--rm', '--network=none', reference, *command
        )
        self.assertEqual(b'it is me\n', output)
        self.assertEqual(1, len(self.seen()))
        self.remove_images()
        self.made.unlink()

    def test_skopeo(self):
        for target in ('docker-archive', 'oci-archive'):
            self.run_tool(
                'skopeo',
                '--insecure-policy',
                'copy',
                f'docker-archive:{self.source}',
                f'{target}:{self.made}',
            )
            self.assert_boots()

    def test_podman(self):
        podman = (
            'podman',
            f'--root={self.directory}/root',
            f'--runroot={self.directory}/run',
            '--storage-driver=vfs',
            '--cgroup-manager=cgroupfs',
        )
        self.run_tool(*podman, 'load', f'--input={self.source}')
        for form in ('docker-archive', 'oci-archive'):
            self.run_tool(
                *podman,
                'save',
                f'--format={form}',
                f'--output={self.made}',
                'localhost/a:1',
            )
            self.assert_boots()

    def test_tar_of_a_directory(self):
        """As made of what debootstrap leaves."""
        root = self.directory / 'root'
        root.mkdir()
        for layer in _IMAGE.layers():
            self.made.write_bytes(layer)
            self.run_tool('tar', '-xf', self.made, '-C', root)
        for packed in ('--gzip', '--xz', '--no-auto-compress'):
            self.run_tool('tar', packed, '-cf', self.made, '-C', root, '.')
            self.assert_boots('/bin/cat', '/here', container_format='bare')
