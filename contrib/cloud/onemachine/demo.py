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

"""The main job, step by step, as a user does it."""

import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import time

import click

from onemachine import cloud as cloud_mod
from onemachine import seed
from onemachine import settings as settings_mod
from onemachine import steps

# Programs of busybox that the image has a name for.
_PROGRAMS = (
    'cat echo env false hostname httpd id ip kill ls mkdir nc ping ps rm sh '
    'sleep stty sync touch true wget'
).split()
_NAME = 'hello'


class Demo:
    """Boots an image of Docker and uses the server."""

    def __init__(self, settings: settings_mod.Settings) -> None:
        self._settings = settings
        self._environment = {
            **os.environ,
            **cloud_mod.environment(settings, 'demo'),
            'PATH': f'{settings.bin}:{os.environ["PATH"]}',
            'PYTHONWARNINGS': 'ignore',
            'DOCKER_BUILDKIT': '0',
        }

    def run(self) -> None:
        """Do it all.

        :raises steps.StepFailed: something was not as it has to be
        """
        begin = time.monotonic()
        self._clear()
        with tempfile.TemporaryDirectory(prefix='cloud-demo-') as folder:
            image = self._image(pathlib.Path(folder))
        self._title('The image goes to Glance, and no copy stays in Docker')
        self._do(
            f'docker save {image} | openstack image create {_NAME} '
            '--container-format docker --disk-format raw -c id -c status'
        )
        self._do(f'docker rmi {image}')
        self._title('A server of that image, open for ping and HTTP')
        self._allow()
        self._do(
            f'openstack server create {_NAME} --wait --image {_NAME} '
            f'--flavor docker.tiny --network demo --security-group {_NAME} '
            '-c id -c status -c addresses'
        )
        self._look()
        self._title('A snapshot, and the end')
        self._do(
            f'openstack server image create {_NAME} --wait '
            f'--name {_NAME}-snapshot -c id -c status -c size'
        )
        self._do(f'openstack server delete {_NAME} --wait')
        self._do(f'openstack image delete {_NAME} {_NAME}-snapshot')
        self._do(f'openstack security group delete {_NAME}')
        seconds = time.monotonic() - begin
        click.secho(
            f'\nThe demo has succeeded, in {seconds:.0f} s', fg='green'
        )

    def _clear(self) -> None:
        """Remove what a demo that failed has left."""
        cloud = seed.connect(self._settings, 'demo')
        for server in cloud.compute.servers(name=f'^{_NAME}$'):
            cloud.compute.delete_server(server)
            cloud.compute.wait_for_delete(server)
        for name in (_NAME, f'{_NAME}-snapshot'):
            for image in cloud.image.images(name=name, owner=None):
                cloud.image.delete_image(image)
        for address in cloud.network.ips(description=_NAME):
            cloud.network.delete_ip(address)
        for group in cloud.network.security_groups(name=_NAME):
            cloud.network.delete_security_group(group)

    def _image(self, folder: pathlib.Path) -> str:
        wanted = self._settings.demo_image
        if wanted:
            self._title('An image from a registry')
            self._do(f'docker pull {shlex.quote(wanted)}')
            return wanted
        self._title('An image of one static program and a page')
        write_context(folder)
        self._do(f'docker build --tag {_NAME} {folder}')
        return _NAME

    def _allow(self) -> None:
        group = f'openstack security group rule create {_NAME} -c id'
        self._do(f'openstack security group create {_NAME} -c id')
        self._do(f'{group} --protocol icmp')
        self._do(f'{group} --protocol tcp --dst-port 80')

    def _look(self) -> None:
        cloud = seed.connect(self._settings, 'demo')
        server = next(iter(cloud.compute.servers(name=f'^{_NAME}$')))
        address = server.addresses['demo'][0]['addr']
        network = cloud.network.find_network('demo').id
        # That of the agent for DHCP, or of OVN's for metadata.
        [namespace] = {f'qdhcp-{network}', f'ovnmeta-{network}'} & set(
            os.listdir('/run/netns')
        )
        inside = f'ip netns exec {namespace}'
        self._title('On the host it is two containers')
        said = self._do(
            f'docker ps --filter name={server.id} '
            "--format 'table {{.Names}}\\t{{.Image}}\\t{{.Status}}'"
        )
        self._must(said.count(server.id) >= 2, 'two containers run')
        self._title('It answers on its address, from its network')
        self._do(f'{inside} ping -c 3 -i 0.3 -W 5 {address}')
        if not self._settings.demo_image:
            said = self._do(f'{inside} curl -sS -m 10 http://{address}/')
            self._must('Hello from nova-docker' in said, 'the page comes')
        self._title('From outside it answers on a floating address')
        port = next(iter(cloud.network.ports(device_id=server.id))).id
        address = self._do(
            f'openstack floating ip create public --port {port} '
            f'--description {_NAME} -c floating_ip_address -f value'
        ).strip()
        # The router learns of it after the API has answered.
        self._do(
            "timeout 30 bash -c 'until ping -c 1 -W 1 "
            f"{address}; do sleep 1; done'"
        )
        if not self._settings.demo_image:
            said = self._do(f'curl -sS -m 10 http://{address}/')
            self._must('Hello from nova-docker' in said, 'the page comes')
        self._do(f'openstack floating ip delete {address}')
        self._title('What it has printed')
        said = self._do(f'openstack console log show {_NAME}')
        if not self._settings.demo_image:
            self._must('Hello from' in said, 'the console log is there')

    def _title(self, text: str) -> None:
        click.secho(f'\n# {text}', bold=True)

    def _do(self, command: str) -> str:
        click.secho(f'$ {command}', fg='cyan')
        process = subprocess.Popen(
            ['bash', '-o', 'pipefail', '-c', command],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
        )
        said = []
        for line in process.stdout:
            click.echo(line, nl=False)
            said.append(line)
        code = process.wait()
        self._must(code == 0, f'{command.split()[0]} ends well, not {code}')
        return ''.join(said)

    def _must(self, fact: bool, text: str) -> None:
        if not fact:
            raise steps.StepFailed(
                f'The demo has failed: not so that {text}\nRead '
                f'{self._settings.log}/nova-compute.log'
            )


def write_context(folder: pathlib.Path) -> None:
    """Write what docker build needs for the web server's image."""
    source = settings_mod.CONTRIB / 'image'
    root = folder / 'files'
    for name in ('bin', 'tmp', 'proc', 'sys', 'dev', 'etc', 'www'):
        (root / name).mkdir(parents=True)
    (root / 'tmp').chmod(0o1777)
    shutil.copy(shutil.which('busybox') or '/bin/busybox', root / 'bin')
    for name in _PROGRAMS:
        (root / 'bin' / name).symlink_to('busybox')
    shutil.copy(source / 'serve', root / 'bin' / 'serve')
    (root / 'www' / 'index.html').write_text('Hello from nova-docker\n')
    shutil.copy(source / 'Dockerfile', folder / 'Dockerfile')
