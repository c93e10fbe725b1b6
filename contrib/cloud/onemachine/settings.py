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

"""What can be chosen about the cloud, and what follows from it.

Every setting is a variable of the environment, or a line of the settings
file that the command ``cloud`` reads first: CLOUD_FOLDER=/srv/cloud.
"""

import dataclasses
import ipaddress
import json
import os
import pathlib
import secrets
import typing

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
CONTRIB = pathlib.Path(__file__).resolve().parents[1]

# The names of the secrets that the cloud makes for itself.
_SECRETS = ('admin', 'demo', 'service', 'database', 'queue', 'metadata')


@dataclasses.dataclass(frozen=True)
class Ports:
    """TCP ports, all on the loopback address."""

    database: int = 13306
    queue: int = 15672
    epmd: int = 14369
    erlang: int = 15673
    ovsdb: int = 16640
    openflow: int = 16633
    keystone: int = 15000
    glance: int = 19292
    placement: int = 18778
    neutron: int = 19696
    nova: int = 18774
    metadata: int = 18775
    serial: int = 16083
    northbound: int = 16641
    southbound: int = 16642


@dataclasses.dataclass(frozen=True)
class Settings:
    """Defaults; see README.rst for the meaning of each."""

    folder: pathlib.Path = pathlib.Path('/opt/nova-docker-cloud')
    # Nova's rootwrap filters accept configuration files below /etc only.
    etc: pathlib.Path = pathlib.Path('/etc/nova-docker-cloud')
    address: str = '127.0.0.1'
    region: str = 'RegionOne'
    admin_password: str = ''
    demo_password: str = ''
    compute_driver: str = 'novadocker.virt.docker.DockerDriver'
    vif_plugging_timeout: int = 60
    debug: bool = False
    workers: int = 1
    threads: int = 6
    # The user of nova-compute, and that of the services of the control plane.
    nova_user: str = 'nova'
    control_user: str = 'nova-docker-cloud'
    # The group of the engine's socket.
    engine_group: str = 'nova-docker-engine'
    engine_bridge: str = 'ndcloud0'
    engine_bridge_address: str = '10.254.77.1/24'
    integration_bridge: str = 'ndc-int'
    external_bridge: str = 'ndc-ex'
    # The host's, and that of the gateway of the external network.
    external_address: str = '10.254.78.1/24'
    # 'ovs' or 'ovn'; '' is what the cloud was made with.
    neutron: str = ''
    # 1 or 2; 0 is what the cloud was made with.
    hosts: int = 0
    # '' detects: system (the kernel's module) or netdev (in userspace).
    datapath: str = ''
    demo_subnet: str = '10.77.0.0/24'
    demo_image: str = ''
    ports: Ports = dataclasses.field(default_factory=Ports)
    # Which host this is about. What is of one host alone follows from it.
    host: int = 1

    def of_host(self, host: int) -> 'Settings':
        """The same cloud, seen from one of its hosts."""
        return dataclasses.replace(self, host=host)

    @property
    def suffix(self) -> str:
        """What the names of a further host's processes and files end with."""
        return '' if self.host == 1 else f'-{self.host}'

    @property
    def hostname(self) -> str:
        return os.uname().nodename + self.suffix

    @property
    def own_address(self) -> str:
        """What tells the host from others; nothing listens there."""
        return str(ipaddress.ip_address(self.address) + self.host - 1)

    @property
    def consoles(self) -> str:
        """The ports where nova-compute serves consoles, as Nova has them."""
        begin = 10000 * self.host
        return f'{begin}:{begin + 999}'

    @property
    def namespace(self) -> str:
        """The name of a further host's network namespace."""
        return f'{self.integration_bridge}{self.suffix}'

    @property
    def mounts(self) -> pathlib.Path:
        """The file that is a further host's mount namespace."""
        return self.folder / 'run' / 'hosts' / str(self.host)

    @property
    def within(self) -> tuple[str, ...]:
        """What makes a command run on the host."""
        if self.host == 1:
            return ()
        return (
            'nsenter',
            f'--net=/run/netns/{self.namespace}',
            f'--mount={self.mounts}',
            '--',
        )

    @property
    def venv(self) -> pathlib.Path:
        return self.folder / 'venv'

    @property
    def bin(self) -> pathlib.Path:
        return self.venv / 'bin'

    @property
    def run(self) -> pathlib.Path:
        return self._of_host('run')

    @property
    def log(self) -> pathlib.Path:
        return self.folder / 'log'

    @property
    def state(self) -> pathlib.Path:
        return self._of_host('state')

    def _of_host(self, name: str) -> pathlib.Path:
        folder = self.folder / name
        return folder if self.host == 1 else folder / f'host{self.suffix}'

    @property
    def engine_socket(self) -> pathlib.Path:
        return self.run / 'docker.sock'

    @property
    def ovsdb_socket(self) -> pathlib.Path:
        return self.run / 'openvswitch' / 'db.sock'

    def url(self, service: str) -> str:
        """The base URL of an API of the cloud."""
        return f'http://{self.address}:{getattr(self.ports, service)}'


def load(environ: typing.Mapping[str, str] = os.environ) -> Settings:
    """Take the settings from the environment.

    :raises ValueError: a value is not of the setting's type
    """
    return typing.cast(
        Settings,
        _overridden(
            Settings(ports=_overridden(Ports(), 'CLOUD_PORT_', environ)),
            'CLOUD_',
            environ,
        ),
    )


def _overridden(
    defaults: typing.Any, prefix: str, environ: typing.Mapping[str, str]
) -> typing.Any:
    found = {}
    for field in dataclasses.fields(defaults):
        name = prefix + field.name.upper()
        if name not in environ or field.name in ('ports', 'host'):
            continue
        kind = type(getattr(defaults, field.name))
        try:
            found[field.name] = _converted(kind, environ[name])
        except ValueError as error:
            raise ValueError(f'{name}={environ[name]}: {error}') from error
    return dataclasses.replace(defaults, **found)


def _converted(kind: type, text: str) -> typing.Any:
    if kind is bool:
        if text.lower() not in ('0', '1', 'true', 'false'):
            raise ValueError('neither true nor false')
        return text.lower() in ('1', 'true')
    if issubclass(kind, pathlib.Path):
        if not text.startswith('/'):
            raise ValueError('not an absolute path')
        return pathlib.Path(text)
    return kind(text)


def secrets_of(settings: Settings) -> dict[str, str]:
    """The passwords of the cloud, made when it is asked for them first."""
    path = settings.of_host(1).state / 'secrets.json'
    known = json.loads(path.read_text()) if path.exists() else {}
    made = {
        name: known.get(name) or secrets.token_urlsafe(18) for name in _SECRETS
    }
    made['admin'] = settings.admin_password or made['admin']
    made['demo'] = settings.demo_password or made['demo']
    if made != known:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps(made, indent=2))
    return made
