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

"""What is off on a host, put right by the driver's own code.

It works beside a living nova-compute: Nova is asked for each server again
right before it is touched, and whatever is done may be done twice.
"""

from collections.abc import Iterable
import dataclasses
from typing import Any

from nova import exception as nova_exception
from nova.network import model as network_model

from novadocker.virt.docker import client as engine
from novadocker.virt.docker import findings
from novadocker.virt.docker import network
from novadocker.virt.docker import nova_records
from novadocker.virt.docker import observed
from novadocker.virt.docker import ports as ports_mod
from novadocker.virt.docker import survey
from novadocker.virt.docker import switch as switch_mod
from novadocker.virt.docker import traces

Remedy = findings.Remedy

# Where a server has to be for a remedy to be right.
_FATES = {
    Remedy.DETACH: (traces.Fate.HERE,),
    Remedy.PLUG: (traces.Fate.HERE,),
    Remedy.CLEAR: (traces.Fate.NOWHERE, traces.Fate.ELSEWHERE),
    Remedy.REMOVE: (traces.Fate.DELETED,),
}


@dataclasses.dataclass(frozen=True)
class Tools:
    """What repairs are done with."""

    client: engine.Client
    network: network.Network
    ports: ports_mod.Ports
    switch: switch_mod.Switch
    records: nova_records.Records


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a repair.

    :ivar refused: why it was not done, or how it failed
    """

    repair: findings.Repair
    refused: str = ''


class Mender:
    """Repairs the servers of one Nova host, one after the other."""

    def __init__(self, tools: Tools, host: str) -> None:
        self._tools = tools
        self._host = host
        self._remedies = {
            Remedy.DETACH: self._detach,
            Remedy.PLUG: self._plug,
            Remedy.UNLINK: self._unlink,
            Remedy.CLEAR: self._clear,
            Remedy.REMOVE: self._remove,
            Remedy.UNTAG: self._untag,
        }

    def mend(self, found: Iterable[findings.Finding]) -> list[Outcome]:
        """Do each repair once; one that fails does not hold up others."""
        wanted = dict.fromkeys(one.repair for one in found if one.repair)
        return [
            Outcome(one, self._tried(one))
            for remedy in Remedy
            for one in wanted
            if one.remedy is remedy
        ]

    def _tried(self, repair: findings.Repair) -> str:
        """Do a repair; says why if it was not done."""
        try:
            instance = self._tools.records.instance(repair.server)
            refused = self._refused(repair, instance)
            if not refused:
                self._remedies[repair.remedy](repair, instance)
            return refused
        except (nova_exception.NovaException, OSError) as exc:
            return str(exc)

    def _refused(self, repair: findings.Repair, instance: Any) -> str:
        """Why a repair must not be done any more."""
        if instance is None:
            # Only what is of no use to anybody is repaired then.
            return '' if repair.remedy is Remedy.UNLINK else 'it is not known'
        server = self._tools.records.server(instance)
        if server.task:
            return f'it is in work ({server.task})'
        if server.fate not in _FATES.get(repair.remedy, (server.fate,)):
            return 'it has moved on meanwhile'
        return ''

    # Servers that are here

    def _plug(self, repair: findings.Repair, instance: Any) -> None:
        self._tools.ports.repair(instance, instance.get_network_info())

    def _detach(self, repair: findings.Repair, instance: Any) -> None:
        if repair.detail not in {
            vif['id'] for vif in instance.get_network_info()
        }:
            self._tools.ports.detach(instance, _port(repair.detail))

    # Servers that are not

    def _unlink(self, repair: findings.Repair, instance: Any) -> None:
        if survey.dangles(repair.server):
            self._tools.network.unlink(repair.server)

    def _clear(self, repair: findings.Repair, instance: Any) -> None:
        """Remove what is made again wherever the server starts next."""
        uuid = repair.server
        _, boxes = observed.containers(self._tools.client, uuid, self._host)
        if instance.host is None:
            # Else they are plugged there, which may be this machine.
            self._tools.ports.unplug_all(instance, self._plugged(uuid))
        for box in boxes:
            self._tools.client.remove(box)
        if instance.host is None:
            self._tools.ports.forget(uuid)

    def _remove(self, repair: findings.Repair, instance: Any) -> None:
        """Remove a server that was deleted, with its data."""
        uuid = repair.server
        servers, boxes = observed.containers(
            self._tools.client, uuid, self._host
        )
        for container in servers:
            self._tools.client.remove(container)
        self._tools.ports.unplug_all(instance, self._plugged(uuid))
        for box in boxes:
            self._tools.client.remove(box)
        if repair.detail:
            self._tools.client.remove_image(repair.detail)
        self._tools.ports.forget(uuid)

    def _plugged(self, uuid: str) -> list[Any]:
        """The ports that the switch has of a server."""
        return [
            _port(one.port)
            for one in self._tools.switch.ports()
            if one.server == uuid and one.port
        ]

    def _untag(self, repair: findings.Repair, instance: Any) -> None:
        self._tools.client.remove_image(repair.detail)


def _port(port_id: str) -> Any:
    """A port of which nothing is known any more but its id."""
    return network_model.VIF(
        id=port_id, type=network_model.VIF_TYPE_UNBOUND, active=False
    )
