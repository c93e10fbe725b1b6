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

"""A compute host with Nova, Neutron's agent and an engine, and no driver.

It has the devices and the switch of a host of the cloud, whose own agent has
to be away for so long. /etc, /run and Nova's environment are layers above
those of the machine, in a mount namespace of its own, and go with it.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import os
import pathlib
import signal
import subprocess
import sys
import time

import fixtures

from novadocker.tests.e2e import cloud
from novadocker.tests.e2e import guide
from novadocker.tests.fixtures import engine

_ROOT = pathlib.Path(__file__).parents[3]
_PROGRAMS = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
PATIENCE = 60

# How a process becomes that of the user nova, in words of setpriv.
NOVA = ('--reuid=nova', '--regid=nova', '--init-groups', '--')

# The mounts, and the accounts that packages of Nova and of the engine make:
# nova is in no group but its own.
_HOLD = """
mount -t tmpfs tmpfs "$ROOT/layers"
mkdir "$ROOT/layers/netns"
mount --bind /run/netns "$ROOT/layers/netns"
for path in /etc /run "$VENV"; do
    layer=$ROOT/layers$path
    mkdir -p "$layer/upper" "$layer/work"
    mount -t overlay overlay "$path" \
        -o "lowerdir=$path,upperdir=$layer/upper,workdir=$layer/work"
done
mount --bind "$ROOT/layers/netns" /run/netns
rm -rf "$CLOUD_ETC" "/etc/sudoers.d/$(basename "$CLOUD_ETC")"
getent group docker || groupadd --system docker
getent passwd nova ||
    useradd --system --user-group --no-create-home --home-dir "$ROOT" nova
usermod --groups '' nova
exec "$PYTHON" -m novadocker.tests.fixtures.engine \
    --directory "$ROOT/engine" -- sh -e -c "$SERVE"
"""

# The engine where a package of it listens.
_SERVE = """
data=$(docker info --format '{{.DockerRootDir}}')
chmod 711 "$(dirname "$data")"
touch /run/docker.sock
mount --bind "${DOCKER_HOST#unix://}" /run/docker.sock
printf %s "$DOCKER_HOST" >"$ROOT/engine.new"
mv "$ROOT/engine.new" "$ROOT/engine.url"
exec sleep infinity
"""

# What came with the driver and is needed by nothing else.
_SOLE = """
from importlib import metadata
import re
wanted = {}
for one in metadata.distributions():
    wanted[re.sub('[-_.]+', '-', one.name).lower()] = {
        re.sub('[-_.]+', '-', re.match('[A-Za-z0-9._-]+', line)[0]).lower()
        for line in one.requires or () if 'extra ==' not in line
    }
ours = wanted.pop('nova-docker')
print('nova-docker', *sorted(ours - set().union(*wanted.values()) - {'nova'}))
"""

# What a distribution's Nova has in these places.
_SUDOERS = """\
Defaults:nova !requiretty
Defaults:nova secure_path={path}
nova ALL=(root) NOPASSWD: {bin}/nova-rootwrap /etc/nova/rootwrap.conf *
"""
_ROOTWRAP = """\
[DEFAULT]
filters_path = /etc/nova/rootwrap.d
exec_dirs = {directories}
use_syslog = False
"""


class Seen(cloud.Host):
    """The host, as one of the cloud's, to look at it from outside."""

    def __init__(
        self, neighbour: cloud.Host, name: str, state: pathlib.Path, url: str
    ) -> None:
        self.env = {**neighbour.env, 'DOCKER_HOST': url}
        self.name = name
        self.state = state
        self.suffix = ''


class ComputeHost(fixtures.Fixture):
    """The host, up to where the installation guide begins.

    :ivar root: all that it has on the machine
    :ivar seen: to look at it
    :ivar log: what nova-compute has said
    """

    def __init__(
        self, neighbour: cloud.Host, name: str, chosen: Iterable[guide.Block]
    ) -> None:
        """:param neighbour: the host whose devices and switch it has

        :param chosen: what is not in its nova.conf yet
        """
        super().__init__()
        self.name = name
        self._neighbour = neighbour
        self._chosen = [block.options() for block in chosen]
        self._folder = pathlib.Path(neighbour.env['CLOUD_FOLDER'])
        self._cloud_etc = pathlib.Path(neighbour.env['CLOUD_ETC'])
        self.venv = self._folder / 'venv'
        self._path = f'{self.venv}/bin:{_PROGRAMS}'
        self._namespace = 'none yet'

    def _setUp(self) -> None:
        # The folder for what a test leaves is closed to others.
        folder = self.useFixture(fixtures.TempDir(rootdir='/tmp'))
        self.root = pathlib.Path(folder.path)
        self.root.chmod(0o711)
        for name in ('layers', 'engine'):
            (self.root / name).mkdir(mode=0o711)
        self.log = self.root / 'nova-compute.log'
        self.log.touch()
        self._start_agent()
        self._enter()
        self._strip()
        self._configure()

    # What a host has before

    def _start_agent(self) -> None:
        """Have Neutron's agent work for a host of this name."""
        own = self.root / 'agent.ini'
        own.write_text(f'[DEFAULT]\nhost = {self.name}\n')
        folder = self._cloud_etc / 'neutron'
        files = (
            folder / 'neutron.conf',
            folder / f'openvswitch_agent{self._neighbour.suffix}.ini',
            own,
        )
        self._keep(
            [
                *self._neighbour.env['CLOUD_WITHIN'].split(),
                f'{self.venv}/bin/neutron-openvswitch-agent',
                *(f'--config-file={path}' for path in files),
            ],
            self.root / 'agent.log',
            self._neighbour.env,
            # It leaves its loop in a second, and then hangs in its exit.
            patience=2,
        )

    def _enter(self) -> None:
        """Make the namespace, which the engine is in as well."""
        log = self.root / 'engine.log'
        holder = self._keep(
            [
                *self._neighbour.env['CLOUD_WITHIN'].split(),
                *('unshare', '--mount', '--propagation', 'private'),
                *('sh', '-e', '-c', _HOLD),
            ],
            log,
            {
                'PATH': os.environ['PATH'] + ':' + _PROGRAMS,
                'PYTHONPATH': str(_ROOT),
                'PYTHON': sys.executable,
                'ROOT': str(self.root),
                'VENV': str(self.venv),
                'CLOUD_ETC': str(self._cloud_etc),
                'SERVE': _SERVE,
            },
        )
        url = self.root / 'engine.url'
        deadline = time.monotonic() + PATIENCE
        while not url.exists():
            if holder.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f'there is no host:\n{log.read_text()}')
            time.sleep(0.05)
        self._process = pathlib.Path('/proc', str(holder.pid))
        self._namespace = os.readlink(self._process / 'ns' / 'mnt')
        self.seen = Seen(
            self._neighbour, self.name, self.root, url.read_text()
        )

    def _strip(self) -> None:
        """Take the driver out of the environment of Nova."""
        python = f'{self.venv}/bin/python'
        sole = self.run(python, '-c', _SOLE).split()
        self.run(python, '-m', 'pip', 'uninstall', '--yes', *sole)

    def _configure(self) -> None:
        stock = self.venv / 'etc' / 'nova' / 'rootwrap.d'
        self.run('mkdir', '-p', '/etc/nova')
        self.run('cp', '-r', str(stock), '/etc/nova/rootwrap.d')
        self.write('/etc/nova/nova.conf', self._nova_conf(), 'root:nova')
        self.write(
            '/etc/nova/rootwrap.conf',
            _ROOTWRAP.format(directories=self._path.replace(':', ',')),
            'root:nova',
        )
        self.write(
            '/etc/sudoers.d/nova',
            _SUDOERS.format(path=self._path, bin=self.venv / 'bin'),
            'root:root',
        )
        state = str(self.root / 'nova')
        self.run(
            *('install', '-d', '-m', '750', '-o', 'nova', '-g', 'nova', state)
        )

    def _nova_conf(self) -> str:
        """That of the cloud's host, without what the guide is to bring."""
        there = self._cloud_etc / f'nova/nova{self._neighbour.suffix}.conf'
        found = guide.options(there.read_text())
        del found['docker']
        del found['DEFAULT']['rootwrap_config']
        for chosen in self._chosen:
            for section, names in chosen.items():
                for name in names:
                    del found[section][name]
        found['DEFAULT']['host'] = self.name
        found['DEFAULT']['state_path'] = f'{self.root}/nova'
        found['oslo_concurrency']['lock_path'] = f'{self.root}/nova/locks'
        return ''.join(
            f'[{section}]\n'
            + ''.join(f'{name} = {value}\n' for name, value in values.items())
            for section, values in found.items()
        )

    def _keep(
        self,
        words: Iterable[str],
        log: pathlib.Path,
        env: Mapping[str, str],
        patience: float = PATIENCE,
    ) -> 'subprocess.Popen[bytes]':
        """Start a process that ends with the host."""
        with log.open('ab') as output:
            process = subprocess.Popen(
                [*words],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd='/',
                start_new_session=True,
            )
        self.addCleanup(engine.stop, process, signal.SIGTERM, patience)
        return process

    # What is done on it

    def run(
        self,
        *words: str,
        env: Mapping[str, str] | None = None,
        outside: bool = False,
        check: bool = True,
    ) -> str:
        """Run a command there as root, and return what it prints.

        :param outside: with the network of the machine, since a host of the
            cloud has no way out
        """
        return cloud.run(
            *self._within(outside),
            *words,
            env={**self._environment(), **(env or {})},
            check=check,
        )

    def type(
        self,
        command: str,
        env: Mapping[str, str] | None = None,
        outside: bool = False,
    ) -> str:
        """Run a command in a shell with Nova's environment active."""
        line = f'. {self.venv}/bin/activate\n{command}'
        shell = ('bash', '-e', '-o', 'pipefail', '-c', line)
        return self.run(*shell, env=env, outside=outside)

    def type_beside_the_api(self, command: str) -> str:
        """Run a command where /etc/nova/nova.conf is that of the API."""
        folder = self._cloud_etc / 'nova'
        there = self.root / 'api' / 'nova'
        there.mkdir(parents=True)
        (there / 'nova.conf').write_text(
            (folder / 'nova.conf').read_text()
            + (folder / 'nova-db.conf').read_text()
        )
        mount = f'mount -t overlay -o lowerdir={there.parent}:/etc o /etc'
        return cloud.run(
            *('unshare', '--mount', '--propagation', 'private'),
            *('bash', '-e', '-c', f'{mount}\n{command}'),
            env=self._environment(),
        )

    def write(self, path: str, text: str, owner: str) -> None:
        """Write a file that its group may read."""
        there = self.file(path)
        there.touch(mode=0o600)
        there.write_text(text)
        self.run('chown', owner, path)
        self.run('chmod', '440', path)

    def file(self, path: str) -> pathlib.Path:
        """A file there, seen from here."""
        return self._process / 'root' / path.lstrip('/')

    def start_compute(self) -> None:
        """Start nova-compute, as a service manager does."""
        self.compute = self._keep(
            [
                *self._within(),
                *('setpriv', *NOVA, f'{self.venv}/bin/nova-compute'),
                *('--config-file', '/etc/nova/nova.conf'),
            ],
            self.log,
            {**self._environment(), 'HOME': str(self.root)},
            # It would wait for its servers, which are gone.
            patience=3,
        )

    def _within(self, outside: bool = False) -> list[str]:
        spaces = self._process / 'ns'
        network = [] if outside else [f'--net={spaces}/net']
        return ['nsenter', f'--mount={spaces}/mnt', *network, '--']

    def _environment(self) -> dict[str, str]:
        return {
            'PATH': self._path,
            'LC_ALL': 'C.UTF-8',
            'PYTHONWARNINGS': 'ignore',
            # Where pip finds what, on this machine.
            **{
                name: value
                for name, value in os.environ.items()
                if name == 'HOME'
                or name.startswith(('PIP_', 'REQUESTS_', 'SSL_'))
                or name.lower().endswith('_proxy')
            },
        }

    def processes(self) -> list[str]:
        """All processes of the host, its engine included."""
        return [
            process.name
            for process in pathlib.Path('/proc').glob('[0-9]*')
            if _namespace(process) == self._namespace
        ]


def _namespace(process: pathlib.Path) -> str:
    try:
        return os.readlink(process / 'ns' / 'mnt')
    except OSError:
        # It has ended meanwhile.
        return ''
