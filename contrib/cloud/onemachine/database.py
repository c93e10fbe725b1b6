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

"""MariaDB and the schemas in it."""

import collections.abc
import hashlib
import os

import pymysql

from onemachine import accounts
from onemachine import settings as settings_mod
from onemachine import steps

DATABASES = (
    'keystone',
    'glance',
    'placement',
    'neutron',
    'nova_api',
    'nova',
    # nova-manage derives this name from the one before.
    'nova_cell0',
)


def create(settings: settings_mod.Settings) -> None:
    """Make the folder of data."""
    folder = settings.state / 'mariadb'
    if (folder / 'mysql').exists():
        return
    steps.run(
        [
            'mariadb-install-db',
            '--no-defaults',
            '--user=mysql',
            f'--datadir={folder}',
            '--auth-root-authentication-method=socket',
            '--skip-test-db',
        ],
        settings.log / 'mariadb.log',
    )


def initialize(settings: settings_mod.Settings) -> None:
    """Make the databases and their user.

    :raises pymysql.Error: MariaDB does not answer yet
    """
    # root is known by the socket's peer.
    connection = pymysql.connect(
        unix_socket=str(settings.run / 'mariadb' / 'socket'), user='root'
    )
    user = f"'cloud'@'{settings.address}'"
    password = connection.escape(settings_mod.secrets_of(settings)['database'])
    with connection, connection.cursor() as cursor:
        cursor.execute(
            f'CREATE OR REPLACE USER {user} IDENTIFIED BY {password}'
        )
        for name in DATABASES:
            cursor.execute(
                f'CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8'
            )
            cursor.execute(f'GRANT ALL ON {name}.* TO {user}')


class Schemas:
    """Brings the schemas to the state of the installed releases."""

    def __init__(self, settings: settings_mod.Settings) -> None:
        self._settings = settings
        self._environment = {
            **os.environ,
            'HOME': str(settings.state),
            'PYTHONWARNINGS': 'ignore',
            'OS_BOOTSTRAP_PASSWORD': settings_mod.secrets_of(settings)[
                'admin'
            ],
        }
        requirements = settings_mod.CONTRIB / 'requirements.txt'
        self._wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()

    def keystone(self) -> None:
        self._once('keystone', self._sync_keystone)

    def nova(self) -> None:
        self._once('nova', self._sync_nova)

    def others(self) -> None:
        self._once('neutron', self._sync_neutron)
        self._once('placement', self._sync_placement)
        self._once('glance', self._sync_glance)

    def _sync_keystone(self) -> None:
        settings = self._settings
        user = settings.control_user
        for kind in ('fernet', 'credential'):
            self._manage_keystone(
                f'{kind}_setup',
                '--keystone-user',
                user,
                '--keystone-group',
                user,
            )
        self._manage_keystone('db_sync')
        url = f'{settings.url("keystone")}/v3'
        self._manage_keystone(
            'bootstrap',
            '--bootstrap-region-id',
            settings.region,
            *(
                word
                for kind in ('admin', 'internal', 'public')
                for word in (f'--bootstrap-{kind}-url', url)
            ),
        )

    def _sync_neutron(self) -> None:
        files = ('neutron/neutron.conf', 'neutron/ml2_conf.ini')
        self._run('neutron-db-manage', files, 'upgrade', 'heads')

    def _sync_placement(self) -> None:
        files = ('placement/placement.conf',)
        self._run('placement-manage', files, 'db', 'sync')

    def _sync_glance(self) -> None:
        self._run('glance-manage', ('glance/glance-api.conf',), 'db_sync')

    def _sync_nova(self) -> None:
        self.manage_nova('api_db', 'sync')
        self.manage_nova('cell_v2', 'map_cell0')
        made = self._settings.state / 'schema.cell1'
        if not made.exists():
            self.manage_nova('cell_v2', 'create_cell', '--name', 'cell1')
            made.touch()
        self.manage_nova('db', 'sync')

    def _manage_keystone(self, *words: str) -> None:
        self._run('keystone-manage', ('keystone/keystone.conf',), *words)

    def manage_nova(self, *words: str) -> None:
        """Call nova-manage."""
        files = ('nova/nova.conf', 'nova/nova-db.conf')
        self._run('nova-manage', files, *words)

    def _run(self, program: str, files: tuple[str, ...], *words: str) -> None:
        options = [
            f'--config-file={self._settings.etc}/{name}' for name in files
        ]
        steps.run(
            [self._settings.bin / program, *options, *words],
            self._settings.log / 'schemas.log',
            env=self._environment,
            user=self._settings.control_user,
            group=self._settings.control_user,
            extra_groups=[accounts.primary_group(self._settings.nova_user)],
        )

    def _once(
        self, name: str, work: collections.abc.Callable[[], None]
    ) -> None:
        stamp = self._settings.state / f'schema.{name}'
        if stamp.exists() and stamp.read_text() == self._wanted:
            return
        work()
        stamp.write_text(self._wanted)
