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

"""Bringing the cloud up, and down."""

import datetime
import functools
import pathlib
import shutil

import tenacity

from onemachine import accounts
from onemachine import engine
from onemachine import hosts
from onemachine import network
from onemachine import ovn
from onemachine import packages
from onemachine import service as service_mod
from onemachine import services as services_mod
from onemachine import settings as settings_mod
from onemachine import steps

# What Neutron works with, and the mark of a cloud that was made so. A mark is
# to be changed when "up" can't make what it needs of what is there.
MECHANISMS = {'ovs': 'vlan', 'ovn': 'ovn'}


class Cloud:
    """One cloud on this machine.

    The modules that need OpenStack's packages are imported where they are
    used, after those are installed.
    """

    def __init__(self, settings: settings_mod.Settings) -> None:
        self.settings = settings

    @functools.cached_property
    def _datapath(self) -> str:
        return network.datapath(self.settings)

    @functools.cached_property
    def _mechanism(self) -> str:
        """What Neutron works with: a cloud stays with what it has."""
        stamp = self.settings.state / 'layout'
        if not self.settings.neutron and stamp.exists():
            for mechanism, mark in MECHANISMS.items():
                if stamp.read_text() == mark:
                    return mechanism
        return self.settings.neutron or 'ovs'

    @functools.cached_property
    def hosts(self) -> tuple[settings_mod.Settings, ...]:
        """The settings of each host: what a cloud once had it has."""
        path = self.settings.state / 'hosts'
        count = self.settings.hosts or (
            int(path.read_text()) if path.exists() else 1
        )
        return tuple(
            self.settings.of_host(number + 1) for number in range(count)
        )

    @functools.cached_property
    def _services(self) -> dict[str, service_mod.Service]:
        return {
            service.name: service
            for service in services_mod.services(
                self.hosts, self._datapath, self._mechanism
            )
        }

    @functools.cached_property
    def processes(self):
        from onemachine import processes

        return processes.Processes(self.settings)

    def up(self) -> None:
        """Bring up whatever is not up."""
        begin = datetime.datetime.now(datetime.UTC)
        self._must_fit()
        self._install()
        self._configure()
        fresh = not self._all_run()
        self._start_foundation()
        self._start_control_plane()
        self._start_agents()
        self._furnish(begin if fresh else None)

    def _must_fit(self) -> None:
        """Refuse a cloud that can't be made of the one that is there."""
        mark = MECHANISMS[self._mechanism]
        state = self.settings.state
        if len(self.hosts) > 1 and self._mechanism != 'ovs':
            raise steps.StepFailed('With OVN there is one host')
        stamp = state / 'layout'
        if not (stamp.exists() or (state / 'schema.neutron').exists()):
            state.mkdir(parents=True, exist_ok=True)
            stamp.write_text(mark)
        if not stamp.exists() or stamp.read_text() != mark:
            raise steps.StepFailed(
                'This cloud was made with other networks: "cloud down '
                '--purge" removes it'
            )
        count = state / 'hosts'
        if count.exists() and int(count.read_text()) > len(self.hosts):
            raise steps.StepFailed(
                'This cloud has more hosts: "cloud down --purge" removes it'
            )
        count.write_text(str(len(self.hosts)))

    def _log(self, name: str) -> pathlib.Path:
        return self.settings.log / f'{name}.log'

    def _install(self) -> None:
        settings = self.settings

        def debian() -> None:
            with steps.step('Debian packages', self._log('apt')):
                packages.install_debian(
                    settings, packages.missing(self._mechanism)
                )

        def python() -> None:
            with steps.step('Python packages', self._log('pip')):
                packages.install_python(settings)
                packages.install_driver(settings)

        builders = packages.missing_to_build()
        if builders:
            with steps.step('Compiler and git', self._log('apt')):
                packages.install_debian(settings, builders)
        steps.together(debian, python)

    def _configure(self) -> None:
        from onemachine import configuration

        settings = self.settings
        with steps.step('Users and configuration', self._log('bootstrap')):
            settings.run.mkdir(parents=True, exist_ok=True)
            accounts.create(settings)
            configuration.make_folders(self.hosts)
            files = configuration.Configuration(
                self.hosts, self._datapath, self._mechanism
            )
            files.write()
            files.write_supervisor(tuple(self._services.values()))
        with steps.step('Supervisor', self._log('supervisord')):
            self.processes.keep()

    def _all_run(self) -> bool:
        return all(
            state['statename'] == 'RUNNING'
            for state in self.processes.states().values()
        )

    def _start_foundation(self) -> None:
        engine.remember_strays(self.settings)
        network.make_namespaces_folder(self.settings)
        steps.together(
            self._start_database,
            self._start_queue,
            *(
                functools.partial(self._start_host, host)
                for host in self.hosts
            ),
        )

    def _start_host(self, host: settings_mod.Settings) -> None:
        if host.suffix:
            with steps.step(f'Host {host.host}', self._log('bootstrap')):
                hosts.make(host)
        steps.together(
            functools.partial(self._start_network, host),
            functools.partial(self._start_engine, host),
        )

    def _start_database(self) -> None:
        from onemachine import database

        with steps.step('MariaDB', self._log('mariadb')):
            database.create(self.settings)
            self.processes.start('mariadb')
            self.processes.wait(
                'mariadb', lambda: database.initialize(self.settings)
            )

    def _start_queue(self) -> None:
        import socket

        address = (self.settings.address, self.settings.ports.queue)
        with steps.step('RabbitMQ', self._log('rabbitmq')):
            self.processes.start('rabbitmq')
            self.processes.wait(
                'rabbitmq',
                lambda: socket.create_connection(address, 5).close(),
            )

    def _start_network(self, host: settings_mod.Settings) -> None:
        database = f'ovsdb{host.suffix}'
        switch = f'openvswitch{host.suffix}'
        with steps.step(
            f'Open vSwitch ({self._datapath})', self._log(switch)
        ):
            network.create_database(host)
            self.processes.start(database)
            self.processes.wait(
                database,
                lambda: network.initialize(
                    host, self._datapath, self._mechanism
                ),
            )
            self.processes.start(switch)
            self.processes.wait(switch, lambda: network.switching(host))
            if not host.suffix:
                network.connect_host(host)
        if self._mechanism == 'ovn':
            self._start_ovn()

    def _start_ovn(self) -> None:
        with steps.step('OVN', self._log('ovn-controller')):
            ovn.create_databases(self.settings)
            self.processes.start(*ovn.DATABASES)
            for name in ovn.DATABASES:
                self.processes.wait(
                    name, functools.partial(ovn.listen, self.settings, name)
                )
            ovn.introduce(self.settings, self._datapath)
            self.processes.start('ovn-northd')
            # A controller that finds that database empty crashes.
            self.processes.wait(
                'ovn-northd', lambda: ovn.translated(self.settings)
            )
            self.processes.start('ovn-controller')

    def _start_engine(self, host: settings_mod.Settings) -> None:
        name = f'docker{host.suffix}'
        with steps.step('Docker', self._log(name)):
            engine.create_bridge(host)
            self.processes.start(name)
            self.processes.wait(
                name, lambda: engine.docker(host, 'version')
            )

    def _start_control_plane(self) -> None:
        from onemachine import database
        from onemachine import seed

        schemas = database.Schemas(self.settings)

        def keystone() -> None:
            with steps.step('Keystone', self._log('schemas')):
                schemas.keystone()
                self._start_apis('keystone')
            with steps.step('Users and catalog', self._log('keystone')):
                seed.identity(self.settings)

        def nova() -> None:
            with steps.step("Nova's schemas", self._log('schemas')):
                schemas.nova()

        def others() -> None:
            with steps.step('Other schemas', self._log('schemas')):
                schemas.others()

        steps.together(keystone, nova, others)
        with steps.step('APIs', self._log('nova')):
            self.processes.start(*services_mod.brains(self._mechanism))
            self._start_apis(*services_mod.APIS)

    def _start_apis(self, *names: str) -> None:
        from onemachine import processes as processes_mod

        self.processes.start(*names)
        for name in names:
            self.processes.wait(
                name,
                functools.partial(
                    processes_mod.answers, self.settings, self._services[name]
                ),
            )

    def _start_agents(self) -> None:
        with steps.step('Agents', self.settings.log):
            if len(self.hosts) > 1:
                for host in self.hosts:
                    hosts.plug_cable(host)
            self.processes.start(
                *services_mod.agents(self._mechanism),
                *(
                    name
                    for host in self.hosts[1:]
                    for name in services_mod.further_agents(host)
                ),
            )

    def _furnish(self, begin: datetime.datetime | None) -> None:
        """Make what a user needs to begin.

        :param begin: when given, wait for a report of every agent since
        """
        from onemachine import database
        from onemachine import seed

        settings = self.settings
        if begin is not None:
            with steps.step(
                'Reports of all agents', self._log('nova-compute')
            ):
                wanted = services_mod.reporting(self.hosts, self._mechanism)
                self._patiently(lambda: seed.living(settings, wanted, begin))
            with steps.step('Compute hosts', self._log('schemas')):
                if not seed.mapped(settings, len(self.hosts)):
                    self._patiently(
                        lambda: self._map_host(database.Schemas(settings))
                    )
        if self._mechanism == 'ovn':
            with steps.step(
                "Word of OVN's bridge", self._log('neutron-ovn-metadata')
            ):
                self._patiently(lambda: ovn.known(settings))
        with steps.step('Flavors and networks', self._log('neutron')):
            seed.flavors(settings)
            seed.networks(settings)
            self._patiently(lambda: seed.served(settings, self._mechanism))

    def _map_host(self, schemas) -> None:
        from onemachine import seed

        schemas.manage_nova('cell_v2', 'discover_hosts')
        if not seed.mapped(self.settings, len(self.hosts)):
            raise RuntimeError('nova-compute has made no compute node yet')

    def _patiently(self, work) -> None:
        def check() -> None:
            for name in self._services:
                self.processes.check(name)
            work()

        tenacity.Retrying(
            stop=tenacity.stop_after_delay(120),
            wait=tenacity.wait_fixed(1),
            retry=tenacity.retry_if_not_exception_type(steps.StepFailed),
            reraise=True,
        )(check)

    def names(self) -> tuple[str, ...]:
        """The names of all services."""
        return tuple(self._services)

    def start(self, name: str) -> None:
        """Start a service and wait until it is there."""
        self.processes.start(name)
        if name in services_mod.APIS:
            self._start_apis(name)
        else:
            self.processes.wait(name, lambda: self._must_run(name))

    def _must_run(self, name: str) -> None:
        state = self.processes.states()[name]['statename']
        if state != 'RUNNING':
            raise RuntimeError(f'it is {state}')

    def down(self, purge: bool) -> None:
        """Stop everything, and with purge remove it."""
        settings = self.settings
        foundation = services_mod.foundation(self.hosts)
        if self.processes.kept():
            with steps.step('Agents and APIs', self._log('supervisord')):
                self.processes.stop(
                    *(
                        name
                        for name in self._services
                        if name not in (*foundation, *ovn.SERVICES)
                    )
                )
            with steps.step('Containers', self._log('docker')):
                for host in self.hosts:
                    if self._runs(f'docker{host.suffix}'):
                        self._end_containers(host, purge)
            with steps.step('Foundation', self._log('supervisord')):
                self.processes.stop(
                    *(name for name in ovn.SERVICES if name in self._services)
                )
                for host in self.hosts:
                    name = f'openvswitch{host.suffix}'
                    if self._runs(name):
                        network.leave(host)
                        self.processes.wait_for_end(name)
                self.processes.stop(*foundation)
                self.processes.end()
        with steps.step('What others left', self._log('bootstrap')):
            network.end_helpers(settings)
            network.remove_namespaces(settings)
        if purge:
            with steps.step('Files and users', settings.log):
                self._remove()

    def _runs(self, name: str) -> bool:
        state = self.processes.states().get(name)
        return state is not None and state['statename'] == 'RUNNING'

    def _end_containers(
        self, host: settings_mod.Settings, purge: bool
    ) -> None:
        engine.stop_containers(host)
        if purge:
            engine.remove_containers(host)

    def _remove(self) -> None:
        settings = self.settings
        engine.remove_bridge(settings)
        for host in self.hosts[1:]:
            hosts.unmake(host)
        engine.remove_strays(settings)
        accounts.remove(settings)
        for folder in (settings.etc, settings.folder):
            _unmount_below(folder)
            shutil.rmtree(folder)


def environment(settings: settings_mod.Settings, user: str) -> dict[str, str]:
    """What the command openstack needs, as 'admin' or 'demo'.

    And what commands on the host need that the settings are of.
    """
    return {
        'OS_AUTH_URL': f'{settings.url("keystone")}/v3',
        'OS_IDENTITY_API_VERSION': '3',
        'OS_USERNAME': user,
        'OS_PASSWORD': settings_mod.secrets_of(settings)[user],
        'OS_PROJECT_NAME': user,
        'OS_USER_DOMAIN_NAME': 'Default',
        'OS_PROJECT_DOMAIN_NAME': 'Default',
        'OS_REGION_NAME': settings.region,
        'DOCKER_HOST': f'unix://{settings.engine_socket}',
        'OVS_RUNDIR': f'{settings.run}/openvswitch',
        'CLOUD_FOLDER': str(settings.folder),
        'CLOUD_ETC': str(settings.etc),
        'CLOUD_HOSTNAME': settings.hostname,
        'CLOUD_STATE': str(settings.state),
        'CLOUD_WITHIN': ' '.join(settings.within),
        'CLOUD_INTEGRATION_BRIDGE': settings.integration_bridge,
        'CLOUD_EXTERNAL_BRIDGE': settings.external_bridge,
        'CLOUD_EXTERNAL_ADDRESS': settings.external_address,
    }


def _unmount_below(folder: pathlib.Path) -> None:
    """Unmount what an engine that did not end well has left."""
    table = pathlib.Path('/proc/self/mounts').read_text().splitlines()
    points = [line.split()[1] for line in table]
    for point in reversed(points):
        if point.startswith(f'{folder}/'):
            steps.answer(['umount', '--lazy', point])
