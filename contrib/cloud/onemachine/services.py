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

"""The processes of the cloud, and the order they start in."""

import dataclasses

from onemachine import accounts
from onemachine import ovn
from onemachine import service as service_mod
from onemachine import settings as settings_mod

# What is below the agents of a host.
HOST_FOUNDATION = ('ovsdb', 'openvswitch', 'docker')
APIS = ('keystone', 'glance', 'placement', 'neutron', 'nova', 'nova-metadata')
# Start these before the agents that talk to them.
BRAINS = (
    'neutron-rpc',
    'neutron-periodic',
    'nova-conductor',
    'nova-scheduler',
)
_AGENTS = {
    'ovs': (
        'neutron-openvswitch',
        'neutron-dhcp',
        'neutron-l3',
        'neutron-metadata',
    ),
    'ovn': ('neutron-ovn-metadata',),
}

# Those that work on a further host: what is there once is on the first one.
_FURTHER_AGENTS = ('neutron-openvswitch', 'nova-compute')

_NEUTRON = ('neutron/neutron.conf', 'neutron/ml2_conf.ini')
_NOVA = ('nova/nova.conf', 'nova/nova-db.conf')

# What the processes of a further host ask for.
PUBLIC_PORTS = (
    'database',
    'queue',
    'keystone',
    'glance',
    'placement',
    'neutron',
    'nova',
    'metadata',
)

_PORTS = {'nova-metadata': 'metadata'}
_MODULES = {
    'keystone': 'keystone.wsgi.api',
    'glance': 'glance.wsgi.api',
    'placement': 'placement.wsgi.api',
    'neutron': 'neutron.wsgi.api',
    'nova': 'nova.wsgi.osapi_compute',
    'nova-metadata': 'nova.wsgi.metadata',
}


def port(settings: settings_mod.Settings, api: str) -> int:
    return getattr(settings.ports, _PORTS.get(api, api))


def uwsgi_values(settings: settings_mod.Settings, api: str) -> dict:
    """What the uWSGI configuration of an API is made of."""
    return {
        'module': _MODULES[api],
        'port': port(settings, api),
        # Keystone caches within its process.
        'processes': 1 if api == 'keystone' else settings.workers,
    }


def brains(mechanism: str) -> tuple[str, ...]:
    """Those that work for the APIs."""
    if mechanism == 'ovn':
        return (*BRAINS, 'neutron-ovn-maintenance')
    return BRAINS


def foundation(hosts: tuple[settings_mod.Settings, ...]) -> tuple[str, ...]:
    """What all else is built on."""
    return (
        'mariadb',
        'rabbitmq',
        *(
            name + host.suffix for host in hosts for name in HOST_FOUNDATION
        ),
        *(_loopback(host).name for host in hosts[1:]),
    )


def agents(mechanism: str) -> tuple[str, ...]:
    """Those that work on the first host."""
    return (*_AGENTS[mechanism], 'nova-compute', 'nova-serialproxy')


def further_agents(host: settings_mod.Settings) -> tuple[str, ...]:
    """Those that work on a further host, and the road to their brains."""
    return (
        _loopback(host).name,
        *(name + host.suffix for name in _FURTHER_AGENTS),
    )


def reporting(
    hosts: tuple[settings_mod.Settings, ...], mechanism: str
) -> tuple[tuple[str, str], ...]:
    """The programs that tell Neutron or Nova that they live, and where."""
    if mechanism == 'ovn':
        found: tuple[str, ...] = (
            'ovn-controller',
            'neutron-ovn-metadata-agent',
        )
    else:
        found = tuple(f'{name}-agent' for name in _AGENTS[mechanism])
    first, *further = hosts
    return (
        *(
            (name, first.hostname)
            for name in (
                *found,
                'nova-conductor',
                'nova-scheduler',
                'nova-compute',
            )
        ),
        *(
            (name, host.hostname)
            for host in further
            for name in ('neutron-openvswitch-agent', 'nova-compute')
        ),
    )


def services(
    hosts: tuple[settings_mod.Settings, ...], datapath: str, mechanism: str
) -> tuple[service_mod.Service, ...]:
    """All processes, the ones that others need first.

    :param hosts: the settings of each, the first host's first
    """
    settings, *further = hosts
    return (
        *_foundation(settings),
        *_host_foundation(settings, datapath),
        *(ovn.services(settings) if mechanism == 'ovn' else ()),
        *_apis(settings),
        *_neutron(settings, mechanism),
        *_nova(settings),
        *(
            service
            for host in further
            for service in _further_host(host, datapath)
        ),
    )


def _further_host(
    settings: settings_mod.Settings, datapath: str
) -> tuple[service_mod.Service, ...]:
    """The processes of a further host."""
    known = {
        service.name: service
        for service in (
            *_host_foundation(settings, datapath),
            *_neutron(settings, 'ovs'),
            *_nova(settings),
        )
    }
    return (
        *(
            _moved(known[name], settings)
            for name in (*HOST_FOUNDATION, *_FURTHER_AGENTS)
        ),
        _loopback(settings),
    )


def _moved(
    service: service_mod.Service, settings: settings_mod.Settings
) -> service_mod.Service:
    """A process as it is on a further host."""
    become: tuple[str, ...] = ()
    if service.user != 'root':
        group = accounts.primary_group(service.user)
        become = (
            *('setpriv', f'--reuid={service.user}', f'--regid={group}'),
            *('--init-groups', '--'),
        )
    return dataclasses.replace(
        service,
        name=service.name + settings.suffix,
        command=' '.join((*settings.within, *become, service.command)),
        # Only root enters a namespace.
        user='root',
        environment={
            **service.environment,
            'OVS_RUNDIR': f'{settings.run}/openvswitch',
        },
    )


def _loopback(settings: settings_mod.Settings) -> service_mod.Service:
    """What joins the loopback addresses of the first and a further host.

    The control plane listens there and nowhere else.
    """
    name = f'loopback{settings.suffix}'
    return service_mod.Service(
        name,
        f'haproxy -f {settings.etc}/{name}.cfg',
        configuration=(f'{name}.cfg',),
    )


def _foundation(
    settings: settings_mod.Settings,
) -> tuple[service_mod.Service, ...]:
    state, run, ports = settings.state, settings.run, settings.ports
    return (
        service_mod.Service(
            'mariadb',
            '/usr/sbin/mariadbd --no-defaults '
            f'--datadir={state}/mariadb --socket={run}/mariadb/socket '
            f'--pid-file={run}/mariadb/pid '
            f'--bind-address={settings.address} --port={ports.database} '
            '--max-connections=1000 --skip-name-resolve '
            '--innodb-flush-log-at-trx-commit=2 --performance-schema=off '
            '--character-set-server=utf8mb4',
            user='mysql',
        ),
        service_mod.Service(
            'rabbitmq',
            '/usr/lib/rabbitmq/bin/rabbitmq-server',
            user='rabbitmq',
            environment=rabbitmq_environment(settings),
            configuration=('rabbitmq/rabbitmq.conf',),
        ),
    )


def _host_foundation(
    settings: settings_mod.Settings, datapath: str
) -> tuple[service_mod.Service, ...]:
    state, run, ports = settings.state, settings.run, settings.ports
    ovs = run / 'openvswitch'
    vswitchd = '--disable-system' if datapath == 'netdev' else ''
    return (
        service_mod.Service(
            'ovsdb',
            f'ovsdb-server {state}/openvswitch/conf.db '
            f'--remote=punix:{settings.ovsdb_socket} '
            f'--remote=ptcp:{ports.ovsdb}:{settings.address} '
            f'--pidfile={ovs}/ovsdb-server.pid '
            f'--unixctl={ovs}/ovsdb-server.ctl',
        ),
        service_mod.Service(
            'openvswitch',
            f'ovs-vswitchd unix:{settings.ovsdb_socket} {vswitchd} '
            f'--pidfile={ovs}/ovs-vswitchd.pid '
            f'--unixctl={ovs}/ovs-vswitchd.ctl',
        ),
        service_mod.Service(
            'docker',
            f'dockerd --host=unix://{settings.engine_socket} '
            f'--group={settings.engine_group} '
            f'--data-root={state}/docker --exec-root={run}/docker '
            f'--pidfile={run}/docker.pid --bridge={settings.engine_bridge} '
            '--iptables=false --ip6tables=false --ip-forward=false '
            '--ip-masq=false --live-restore --log-driver=json-file '
            '--log-opt=max-size=10m --log-opt=max-file=2 '
            f'--config-file={settings.etc}/docker.json',
        ),
    )


def rabbitmq_environment(
    settings: settings_mod.Settings,
) -> dict[str, str]:
    state = settings.state / 'rabbitmq'
    arguments = (
        # Schedulers that have nothing to do sleep instead of spinning.
        '+sbwt none +sbwtdcpu none +sbwtdio none '
        '-kernel inet_dist_use_interface {127,0,0,1} '
        f'-kernel inet_dist_listen_min {settings.ports.erlang} '
        f'-kernel inet_dist_listen_max {settings.ports.erlang}'
    )
    return {
        'HOME': str(state),
        'RABBITMQ_CONF_ENV_FILE': '/dev/null',
        'RABBITMQ_CONFIG_FILE': f'{settings.etc}/rabbitmq/rabbitmq.conf',
        'RABBITMQ_ENABLED_PLUGINS_FILE': f'{state}/enabled_plugins',
        'RABBITMQ_MNESIA_BASE': f'{state}/mnesia',
        'RABBITMQ_LOG_BASE': f'{state}/log',
        'RABBITMQ_NODENAME': 'nova-docker-cloud@localhost',
        'RABBITMQ_NODE_IP_ADDRESS': settings.address,
        'RABBITMQ_NODE_PORT': str(settings.ports.queue),
        'RABBITMQ_DIST_PORT': str(settings.ports.erlang),
        'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': arguments,
        'ERL_EPMD_ADDRESS': settings.address,
        'ERL_EPMD_PORT': str(settings.ports.epmd),
    }


def configuration_environment(
    settings: settings_mod.Settings,
) -> dict[str, str]:
    """How the WSGI applications and the commands find their files."""
    etc = settings.etc
    paste = settings.venv / 'etc' / 'nova' / 'api-paste.ini'
    return {
        'OS_KEYSTONE_CONFIG_DIR': f'{etc}/keystone',
        'OS_GLANCE_CONFIG_DIR': f'{etc}/glance',
        'OS_PLACEMENT_CONFIG_DIR': f'{etc}/placement',
        'OS_NEUTRON_CONFIG_DIR': f'{etc}/neutron',
        'OS_NEUTRON_CONFIG_FILES': 'neutron.conf;ml2_conf.ini',
        'OS_NOVA_CONFIG_DIR': f'{etc}/nova',
        # Nova takes the first file for that of paste.
        'OS_NOVA_CONFIG_FILES': f'{paste};nova.conf;nova-db.conf',
    }


def _apis(settings: settings_mod.Settings) -> tuple[service_mod.Service, ...]:
    files = {
        'keystone': ('keystone/keystone.conf',),
        'glance': ('glance/glance-api.conf',),
        'placement': ('placement/placement.conf',),
        'neutron': _NEUTRON,
        'nova': _NOVA,
        'nova-metadata': _NOVA,
    }
    # Neutron leaves a file in the folder for temporary ones.
    environment = {
        **configuration_environment(settings),
        'TMPDIR': f'{settings.run}/control',
    }
    return tuple(
        service_mod.Service(
            name,
            f'{settings.bin}/uwsgi --ini {settings.etc}/uwsgi/{name}.ini',
            user=settings.control_user,
            environment=environment,
            configuration=(*files[name], f'uwsgi/{name}.ini'),
            ready='/healthcheck' if name == 'glance' else '/',
        )
        for name in APIS
    )


def _neutron(
    settings: settings_mod.Settings, mechanism: str
) -> tuple[service_mod.Service, ...]:
    def service(
        name: str, program: str, user: str, *extra: str, patience: int = 20
    ) -> service_mod.Service:
        files = ('neutron/neutron.conf', *extra)
        options = ' '.join(
            f'--config-file {settings.etc}/{path}' for path in files
        )
        return service_mod.Service(
            name,
            f'{settings.bin}/{program} {options}',
            user=user,
            configuration=files,
            stop_seconds=patience,
        )

    control = settings.control_user
    ml2 = 'neutron/ml2_conf.ini'
    common = (
        service('neutron-rpc', 'neutron-rpc-server', control, ml2),
        service('neutron-periodic', 'neutron-periodic-workers', control, ml2),
    )
    if mechanism == 'ovn':
        return (
            *common,
            service(
                'neutron-ovn-maintenance',
                'neutron-ovn-maintenance-worker',
                control,
                ml2,
            ),
            service(
                'neutron-ovn-metadata',
                'neutron-ovn-metadata-agent',
                'root',
                'neutron/ovn_metadata_agent.ini',
            ),
        )
    return (
        *common,
        service(
            'neutron-openvswitch',
            'neutron-openvswitch-agent',
            'root',
            f'neutron/openvswitch_agent{settings.suffix}.ini',
            # It leaves its loop in a second, and then hangs in its exit.
            patience=5,
        ),
        service(
            'neutron-dhcp',
            'neutron-dhcp-agent',
            'root',
            'neutron/dhcp_agent.ini',
        ),
        service(
            'neutron-l3', 'neutron-l3-agent', 'root', 'neutron/l3_agent.ini'
        ),
        service(
            'neutron-metadata',
            'neutron-metadata-agent',
            'root',
            'neutron/metadata_agent.ini',
        ),
    )


def _nova(settings: settings_mod.Settings) -> tuple[service_mod.Service, ...]:
    def service(name: str, user: str, *files: str) -> service_mod.Service:
        options = ' '.join(
            f'--config-file {settings.etc}/{path}' for path in files
        )
        return service_mod.Service(
            name,
            f'{settings.bin}/{name} {options}',
            user=user,
            configuration=files,
            stop_seconds=30,
        )

    control = settings.control_user
    return (
        service('nova-conductor', control, *_NOVA),
        service('nova-scheduler', control, *_NOVA),
        # One file: rootwrap's filters know that shape of a call alone.
        service(
            'nova-compute',
            settings.nova_user,
            f'nova/nova{settings.suffix}.conf',
        ),
        service('nova-serialproxy', control, *_NOVA),
    )
