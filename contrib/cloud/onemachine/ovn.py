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

"""OVN of the cloud's own: databases, northd, and the host's controller."""

import pathlib
import socket

from onemachine import network
from onemachine import service as service_mod
from onemachine import settings as settings_mod
from onemachine import steps

_SCHEMAS = pathlib.Path('/usr/share/ovn')

# Neutron writes to one of the databases, the controller reads the other.
DATABASES = ('ovn-northbound', 'ovn-southbound')
SERVICES = ('ovn-controller', 'ovn-northd', *reversed(DATABASES))


def services(
    settings: settings_mod.Settings,
) -> tuple[service_mod.Service, ...]:
    run = settings.run / 'ovn'
    environment = {'OVN_RUNDIR': str(run)}
    files = f'--pidfile={run}/%s.pid --unixctl={run}/%s.ctl'
    return (
        *(
            service_mod.Service(
                name,
                f'ovsdb-server {_database(settings, name)} '
                f'--remote=punix:{run}/{name}.sock '
                f'--remote=ptcp:{_port(settings, name)}:{settings.address} '
                + files
                % (name, name),
            )
            for name in DATABASES
        ),
        service_mod.Service(
            'ovn-northd',
            f'ovn-northd --ovnnb-db=unix:{run}/{DATABASES[0]}.sock '
            f'--ovnsb-db=unix:{run}/{DATABASES[1]}.sock '
            + files
            % ('northd', 'northd'),
            environment=environment,
        ),
        service_mod.Service(
            'ovn-controller',
            f'ovn-controller unix:{settings.ovsdb_socket} '
            f'--pidfile={run}/controller.pid',
            environment=environment,
        ),
    )


def _database(settings: settings_mod.Settings, name: str) -> pathlib.Path:
    return settings.state / 'ovn' / f'{name}.db'


def _port(settings: settings_mod.Settings, name: str) -> int:
    port: int = getattr(settings.ports, name.removeprefix('ovn-'))
    return port


def create_databases(settings: settings_mod.Settings) -> None:
    log = settings.log / 'bootstrap.log'
    (settings.run / 'ovn').mkdir(exist_ok=True)
    for name, schema in zip(DATABASES, ('nb', 'sb'), strict=True):
        path = _database(settings, name)
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            steps.run(
                [
                    'ovsdb-tool',
                    'create',
                    path,
                    _SCHEMAS / f'ovn-{schema}.ovsschema',
                ],
                log,
            )


def listen(settings: settings_mod.Settings, name: str) -> None:
    """Fail unless a database takes connections."""
    address = (settings.address, _port(settings, name))
    socket.create_connection(address, 5).close()


def _southbound(settings: settings_mod.Settings, *words: str) -> str:
    """Call ovn-sbctl on the cloud's database."""
    database = settings.run / 'ovn' / f'{DATABASES[1]}.sock'
    return steps.answer(
        ['ovn-sbctl', '--timeout=10', f'--db=unix:{database}', *words]
    )


def translated(settings: settings_mod.Settings) -> None:
    """Fail unless northd has written what every controller reads.

    :raises RuntimeError: it has not yet
    """
    words = ('--bare', '--columns=_uuid', 'list', 'SB_Global')
    if not _southbound(settings, *words):
        raise RuntimeError('the southbound database is empty')


def introduce(settings: settings_mod.Settings, kind: str) -> None:
    """Tell the controller, by way of Open vSwitch, what its host is.

    :param kind: of the datapath
    """
    run = settings.run / 'ovn'
    values = {
        'hostname': socket.gethostname(),
        'ovn-remote': f'unix:{run}/{DATABASES[1]}.sock',
        'ovn-encap-type': 'geneve',
        'ovn-encap-ip': settings.address,
        'ovn-bridge': settings.integration_bridge,
        'ovn-bridge-datapath-type': kind,
        'ovn-bridge-mappings': f'physnet1:{settings.external_bridge}',
        'ovn-cms-options': 'enable-chassis-as-gw',
    }
    network.vsctl(
        settings,
        'set',
        'Open_vSwitch',
        '.',
        *(f'external_ids:{name}="{value}"' for name, value in values.items()),
    )


def known(settings: settings_mod.Settings) -> None:
    """Have Neutron know the controller's bridge.

    The agent for metadata writes its name to the record of the controller.
    Neutron remembers that record as it was when the controller has last
    answered, and without the name it binds ports to br-int.

    :raises RuntimeError: the name is not written yet
    """
    columns = ('--bare', '--columns=external_ids', 'list', 'Chassis_Private')
    if 'neutron:ovn-bridge=' not in _southbound(settings, *columns):
        raise RuntimeError('the bridge of OVN has not been told yet')
    database = settings.run / 'ovn' / f'{DATABASES[0]}.sock'
    # The controller answers.
    steps.answer(
        [
            *('ovn-nbctl', '--timeout=30', f'--db=unix:{database}'),
            *('--wait=hv', 'sync'),
        ]
    )
