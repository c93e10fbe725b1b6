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

"""The configuration files, made from templates.

The lines that concern the driver come from the same files as those in the
installation guide: the templates include them from the folder etc of this
repository.
"""

import grp
import hashlib
import os
import pathlib
import pwd
import shutil

import jinja2

from onemachine import accounts
from onemachine import network
from onemachine import service as service_mod
from onemachine import services as services_mod
from onemachine import settings as settings_mod

# Rootwrap's filters: ours, Nova's and those of os-vif's Open vSwitch plugin.
_OUR_FILTERS = settings_mod.REPOSITORY / 'etc' / 'nova' / 'rootwrap.d'


class Configuration:
    """Writes the files below the folder of configuration."""

    def __init__(
        self,
        hosts: tuple[settings_mod.Settings, ...],
        datapath: str,
        mechanism: str,
    ) -> None:
        self._hosts = hosts
        self._settings = settings = hosts[0]
        self._values = {
            's': settings,
            'secrets': settings_mod.secrets_of(settings),
            'datapath': datapath,
            'mtu': network.MTU,
            'mechanism': mechanism,
        }
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(
                [
                    settings_mod.CONTRIB / 'templates',
                    settings_mod.REPOSITORY / 'etc',
                ]
            ),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def write(self) -> None:
        """Write all but supervisor's file."""
        settings = self._settings
        control, nova = settings.control_user, settings.nova_user
        for name in ('keystone/keystone', 'glance/glance-api'):
            self._render(f'{name}.conf', control)
        self._render('placement/placement.conf', control)
        for name in (
            'neutron.conf',
            'ml2_conf.ini',
            'dhcp_agent.ini',
            'l3_agent.ini',
            'metadata_agent.ini',
            'ovn_metadata_agent.ini',
        ):
            self._render(f'neutron/{name}', control)
        for host in self._hosts:
            self._render_host(host)
        self._render('nova/nova-db.conf', control)
        self._render('nova/rootwrap.conf', nova)
        self._render('rabbitmq/rabbitmq.conf', 'rabbitmq')
        for api in services_mod.APIS:
            self._render(
                f'uwsgi/{api}.ini',
                control,
                template='uwsgi/service.ini',
                **services_mod.uwsgi_values(settings, api),
            )
        self._write('docker.json', '{}\n', 'root')
        self._copy_filters()

    def _render_host(self, host: settings_mod.Settings) -> None:
        """Write what is of one host."""
        suffix = host.suffix
        self._render(
            f'nova/nova{suffix}.conf',
            host.nova_user,
            template='nova/nova.conf',
            s=host,
        )
        self._render(
            f'neutron/openvswitch_agent{suffix}.ini',
            host.control_user,
            template='neutron/openvswitch_agent.ini',
            s=host,
        )
        if suffix:
            self._render(
                f'loopback{suffix}.cfg',
                'root',
                template='loopback.cfg',
                s=host,
                ports=services_mod.PUBLIC_PORTS,
            )

    def write_supervisor(
        self, services: tuple[service_mod.Service, ...]
    ) -> None:
        """Write what processes there are, and a digest of their files."""
        self._render(
            'supervisord.conf',
            'root',
            services=services,
            digests={
                service.name: self._digest(service) for service in services
            },
            environment={
                'PATH': f'{self._settings.bin}:{os.environ["PATH"]}',
                'LC_ALL': 'C.UTF-8',
                'PYTHONWARNINGS': 'ignore',
                'OVS_RUNDIR': f'{self._settings.run}/openvswitch',
                # Those that leave their parent are found again by this one.
                'NOVA_DOCKER_CLOUD': str(self._settings.folder),
            },
        )

    def _digest(self, service: service_mod.Service) -> str:
        digest = hashlib.sha256()
        for name in service.configuration:
            digest.update((self._settings.etc / name).read_bytes())
        return digest.hexdigest()[:16]

    def _render(
        self, name: str, user: str, template: str = '', **values
    ) -> None:
        found = self._templates.get_template((template or name) + '.j2')
        self._write(name, found.render({**self._values, **values}), user)

    def _write(self, name: str, text: str, user: str) -> None:
        """Write a file that root changes and a user's group reads."""
        path = self._settings.etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + '.new')
        draft.touch(mode=0o600)
        draft.write_text(text)
        group = 'root' if user == 'root' else accounts.primary_group(user)
        os.chown(draft, 0, grp.getgrnam(group).gr_gid)
        draft.chmod(0o640)
        draft.rename(path)

    def _copy_filters(self) -> None:
        folder = self._settings.etc / 'nova' / 'rootwrap.d'
        folder.mkdir(parents=True, exist_ok=True)
        stock = self._settings.venv / 'etc' / 'nova' / 'rootwrap.d'
        for source in (
            *_OUR_FILTERS.glob('*.filters'),
            *stock.glob('*.filters'),
        ):
            shutil.copyfile(source, folder / source.name)


def make_folders(hosts: tuple[settings_mod.Settings, ...]) -> None:
    """Make the folders of the services, owned by their users."""
    settings = hosts[0]
    control, nova = settings.control_user, settings.nova_user
    for host in hosts:
        for folder in (host.run, host.log, host.state):
            folder.mkdir(parents=True, exist_ok=True)
        _make_owned(host.run, {'openvswitch': 'root'})
        _make_owned(
            host.state,
            {'openvswitch': 'root', 'docker': 'root', 'nova': nova},
        )
    _make_owned(settings.run, {'mariadb': 'mysql', 'control': control})
    _make_owned(
        settings.state,
        {
            'mariadb': 'mysql',
            'rabbitmq': 'rabbitmq',
            'keystone': control,
            'glance': control,
            'glance/images': control,
            'glance/staging': control,
            'glance/tasks': control,
            'glance/locks': control,
            'nova-control': control,
        },
    )
    _make_neutron_folder(settings.state / 'neutron', control)


def _make_owned(parent: pathlib.Path, owners: dict[str, str]) -> None:
    for name, user in owners.items():
        path = parent / name
        path.mkdir(exist_ok=True)
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)
        path.chmod(0o710 if name == 'docker' else 0o750)


def _make_neutron_folder(path: pathlib.Path, user: str) -> None:
    # The agents are root and the servers are not; dnsmasq is nobody and
    # reads files below.
    path.mkdir(exist_ok=True)
    path.chmod(0o755)
    locks = path / 'locks'
    locks.mkdir(exist_ok=True)
    group = grp.getgrnam(accounts.primary_group(user)).gr_gid
    os.chown(locks, 0, group)
    locks.chmod(0o2770)
