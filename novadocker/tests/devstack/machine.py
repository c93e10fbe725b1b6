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

"""A machine to run DevStack's phases on, that leaves nothing behind.

/etc is a layer above the host's and goes with the mount namespace that it is
in; so do users and groups. Commands that would change the host, or need the
world outside, are doubles that write down their calls. The engine is the one
that DOCKER_HOST names. Needs root.
"""

from collections.abc import Iterator
import configparser
import contextlib
import importlib.util
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import types

import fixtures
import jinja2

ROOT = pathlib.Path(__file__).resolve().parents[3]
_CONTRIB = ROOT / 'contrib' / 'devstack'
PREPARE = _CONTRIB / 'prepare_devstack.sh'
_TESTS = _CONTRIB / 'tests'
STAND_IN = _TESTS / 'standin'

# A checkout of DevStack whose functions and libraries are to be used.
DEVSTACK = os.environ.get('DEVSTACK_DIR', '')

PATIENCE = 60

_DOUBLES = (
    'a2dissite apt-get dnf edit-constraints iptables iscsiadm lsb_release '
    'nvme openstack python3.99 service sudo systemctl virsh'
).split()
_PROGRAMS = (
    '/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin',
    '/bin',
)

# What the cloud's templates say of the driver themselves.
_OF_THE_DRIVER = re.compile(
    r'^(\[docker\]\n[^[]*|compute_driver = .*\n)', re.MULTILINE
)

_HOLD = """
set -e
mount -t tmpfs tmpfs {root}/layers
mkdir {root}/layers/upper {root}/layers/work
mount -t overlay overlay /etc \
    -o lowerdir=/etc,upperdir={root}/layers/upper,workdir={root}/layers/work
rm -rf /etc/docker
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
getent group docker || groupadd --system docker
useradd --no-create-home --user-group stack
touch {root}/ready
exec sleep infinity
"""


class Machine(fixtures.Fixture):
    """A host with a clone of DevStack, and what there is of the cloud.

    :ivar devstack: the clone
    :ivar socket: where the engine is to listen
    """

    def _setUp(self) -> None:
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.devstack = self.root / 'devstack'
        self.doubles = self.root / 'doubles'
        self.socket = self.doubles / 'docker.sock'
        self._engine = pathlib.Path(
            os.environ['DOCKER_HOST'].removeprefix('unix://')
        )
        self._installed = self.root / 'installed'
        self._programs = [*_PROGRAMS]
        for name in (
            'doubles/glance', 'installed', 'layers', 'bin', 'stack/nova/etc',
            'stack/requirements/.venv/bin', 'stack/data/venv/bin',
        ):
            (self.root / name).mkdir(parents=True)
        self._make_doubles()
        self._clone()
        self._enter()
        self._render()
        self.start_engine()

    # What there is at the beginning

    def _make_doubles(self) -> None:
        for name in (
            *(f'bin/{name}' for name in _DOUBLES),
            'stack/data/venv/bin/pip',
            'stack/requirements/.venv/bin/edit-constraints',
        ):
            shutil.copy(_TESTS / 'double.sh', self.root / name)

    def _clone(self) -> None:
        shutil.copytree(
            DEVSTACK or STAND_IN, self.devstack,
            ignore=shutil.ignore_patterns(
                '.git', 'extras.d', 'local.conf', 'localrc', '.localrc.auto'
            ),
        )
        # enable_plugin would clone it there. Nova's filters are installed.
        (self.root / 'stack' / 'nova-docker').symlink_to(ROOT)
        (self.root / 'stack' / 'nova' / 'etc' / 'nova').symlink_to(
            pathlib.Path(sys.prefix) / 'etc' / 'nova'
        )

    def _enter(self) -> None:
        holder = subprocess.Popen(
            [
                'unshare', '--mount', '--propagation', 'private', 'sh', '-c',
                _HOLD.format(root=self.root),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self.addCleanup(holder.wait, PATIENCE)
        self.addCleanup(holder.send_signal, signal.SIGKILL)
        self._holder = holder.pid
        deadline = time.monotonic() + PATIENCE
        while not (self.root / 'ready').exists():
            if holder.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError('there is no namespace for the machine')
            time.sleep(0.02)

    def _render(self) -> None:
        """Write the files of the cloud, but what they say of the driver."""
        settings = _cloud_settings()
        cloud = settings.load({'CLOUD_FOLDER': str(self.root / 'cloud')})
        templates = jinja2.Environment(
            loader=jinja2.ChoiceLoader([
                jinja2.FileSystemLoader(ROOT / 'contrib/cloud/templates'),
                jinja2.DictLoader({
                    'glance/glance-api-docker.conf': '',
                    'nova/nova-docker.conf': '',
                }),
            ]),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for name in ('glance/glance-api.conf', 'nova/nova.conf'):
            path = self.root / 'cloud' / name
            path.parent.mkdir(parents=True)
            text = templates.get_template(f'{name}.j2').render(
                s=cloud, secrets=settings.secrets_of(cloud)
            )
            path.write_text(_OF_THE_DRIVER.sub('', text))

    # What is done to it

    def execute(
        self, *command: str | os.PathLike[str], **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine; stdout has its errors as well."""
        programs = [
            str(self.root / 'bin'), str(self._installed), *self._programs
        ]
        return subprocess.run(
            [
                'nsenter', f'--mount=/proc/{self._holder}/ns/mnt', '--',
                *command,
            ],
            env={
                'PATH': ':'.join(programs),
                'HOME': str(self.root),
                'LC_ALL': 'C.UTF-8',
                # Whatever is called, no package of the host changes.
                'PIP_REQUIRE_VIRTUALENV': '1',
                'TOP_DIR': str(self.devstack),
                'CLOUD_CONF': str(self.root / 'cloud'),
                'DOUBLES': str(self.doubles),
                'INSTALLED': str(self._installed),
                'ENGINE_SOCKET': str(self._engine),
                'DOCKER': shutil.which('docker') or '',
                'DOCKERD': shutil.which('dockerd') or '',
                **environment,
            },
            cwd=self.root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
        )

    def configure(self, *lines: str) -> None:
        """Write a local.conf, and have prepare_devstack.sh complete it."""
        self.forget_configuration()
        self.write_localrc(*lines)
        subprocess.run(
            [PREPARE, self.devstack],
            env={**os.environ, 'NOVA_DOCKER_BRANCH': 'main'},
            check=True, stdout=subprocess.DEVNULL,
        )

    def write_localrc(self, *lines: str) -> None:
        (self.devstack / 'local.conf').write_text('\n'.join((
            '[[local|localrc]]',
            f'DEST={self.root}/stack',
            f'DATA_DIR={self.root}/stack/data',
            'HOST_IP=192.0.2.1',
            # A double, by which packages are installed on the host.
            'PYTHON3_VERSION=3.99',
            'SERVICE_TIMEOUT=2',
            'CELLSV2_SETUP=singleconductor',
            f'NOVA_DOCKER_SOCKET={self.socket}',
            *lines,
            '',
        )))

    def forget_configuration(self) -> None:
        for name in ('local.conf', '.localrc.auto', 'localrc'):
            (self.devstack / name).unlink(missing_ok=True)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run the phases of stack, unstack or clean."""
        return self.execute(_TESTS / 'run_phases.sh', script)

    def start_engine(self) -> None:
        self.socket.unlink(missing_ok=True)
        self.socket.symlink_to(self._engine)

    def stop_engine(self) -> None:
        self.socket.unlink()

    def remove_engine(self) -> None:
        """Have a machine that the engine was never installed on."""
        self.stop_engine()
        programs = self.root / 'programs'
        programs.mkdir()
        for folder in self._programs:
            for path in pathlib.Path(folder).iterdir():
                if path.name not in ('docker', 'dockerd'):
                    with contextlib.suppress(FileExistsError):
                        (programs / path.name).symlink_to(path)
        self._programs = [str(programs)]

    # What is there then

    def etc(self, name: str) -> pathlib.Path:
        return pathlib.Path(f'/proc/{self._holder}/root/etc/{name}')

    def netns(self, name: str) -> pathlib.Path:
        return pathlib.Path(f'/proc/{self._holder}/root/run/netns/{name}')

    @property
    def state(self) -> pathlib.Path:
        """What the plugin remembers."""
        return self.root / 'stack' / 'data' / 'nova-docker'

    @property
    def images(self) -> list[pathlib.Path]:
        """The images in Glance, each a folder."""
        return sorted((self.doubles / 'glance').iterdir())

    def calls(self, name: str) -> list[str]:
        """How a command was called, so far."""
        path = self.doubles / 'calls'
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.split()[0] == name]

    def groups(self) -> set[str]:
        """The groups of the stack user."""
        return set(self.execute('id', '-nG', 'stack').stdout.split())

    def snapshot(self) -> dict[str, object]:
        """What is configured, file by file; ini files by their options.

        nova-cpu.conf is DevStack's copy of nova.conf, made by each stack.sh.
        """
        return {
            str(path.relative_to(self.etc(''))): _content(path)
            for top in ('docker', 'glance', 'group', 'gshadow', 'nova')
            for path in _files(self.etc(top))
            if path.name != 'nova-cpu.conf'
        }


def _cloud_settings() -> types.ModuleType:
    """The module of the cloud's settings, which needs no other."""
    spec = importlib.util.spec_from_file_location(
        'cloud_settings', ROOT / 'contrib/cloud/onemachine/settings.py'
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _files(path: pathlib.Path) -> Iterator[pathlib.Path]:
    if path.is_dir():
        for entry in path.iterdir():
            yield from _files(entry)
    elif path.exists():
        yield path


def _content(path: pathlib.Path) -> object:
    if path.suffix not in ('.conf', '.ini'):
        return path.read_text()
    return read_ini(path)


def read_ini(path: pathlib.Path) -> dict[str, dict[str, str]]:
    """The options of a file; a section without any is none."""
    parser = configparser.RawConfigParser(
        strict=False, default_section='no default', delimiters=['=']
    )
    parser.optionxform = str
    parser.read_string(path.read_text())
    return {
        name: dict(parser[name]) for name in parser.sections() if parser[name]
    }
