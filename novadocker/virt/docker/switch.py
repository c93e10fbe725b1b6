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

"""Open vSwitch, asked for the ports of servers as os-vif asks it."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from vif_plug_ovs.ovsdb import ovsdb_lib

from novadocker import exception
from novadocker.virt.docker import traces


class Switch:
    """The Open vSwitch of this host.

    :param settings: the group of options ``[os_vif_ovs]``
    """

    def __init__(self, settings: Any) -> None:
        self._base = ovsdb_lib.BaseOVS(settings)
        self.connection = str(settings.ovsdb_connection)

    def ports(self) -> list[traces.SwitchPort]:
        """Those that name a server, whoever has made them.

        :raises: SwitchUnavailable
        """
        return [
            traces.SwitchPort(
                name=row['name'],
                server=ids['vm-uuid'],
                port=ids.get('iface-id', ''),
                error=_error(row),
            )
            for row in self._list(
                'Interface', 'name', 'external_ids', 'error', 'ofport'
            )
            if 'vm-uuid' in (ids := dict(row['external_ids']))
        ]

    def bridges(self) -> list[str]:
        """:raises: SwitchUnavailable"""
        return [row['name'] for row in self._list('Bridge', 'name')]

    def has(self, name: str) -> bool:
        """Whether there is a port of this name, with a device or without.

        :raises: SwitchUnavailable
        """
        return bool(self._list('Interface', 'name', records=[name]))

    def _list(
        self, table: str, *columns: str, records: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """:param records: the names of those that are asked for, if not all"""
        try:
            rows: list[dict[str, Any]] = self._base.ovsdb.db_list(
                table,
                records,
                columns=columns,
                if_exists=True,
            ).execute(check_error=True)
        except Exception as exc:
            # It raises whatever came to its authors' minds.
            raise exception.SwitchUnavailable(
                connection=self.connection, reason=exc
            ) from exc
        return rows


def _error(row: Mapping[str, Any]) -> str:
    """Why the switch cannot use an interface; an absent value is a list."""
    error = row['error']
    if error and not isinstance(error, list):
        return str(error)
    return 'it has no number' if row['ofport'] == -1 else ''
