#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.
"""What a server is doing, in numbers."""

import dataclasses
import datetime
from typing import Any

from nova import exception as nova_exception
from nova.objects import diagnostics as nova_diagnostics
from nova.objects import fields
from nova.virt import configdrive
from oslo_utils import timeutils
from oslo_utils import units

import novadocker.privsep.netns
from novadocker.virt.docker import cgroup
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import sandbox

# Nova has no name for a driver out of its tree, and its API shows no other.
_DRIVER = fields.HypervisorDriver.LIBVIRT

# Nova's names of a NIC's counters, by the kernel's.
_COUNTERS = {
    'rx_bytes': 'rx_octets',
    'rx_errors': 'rx_errors',
    'rx_dropped': 'rx_drop',
    'rx_packets': 'rx_packets',
    'tx_bytes': 'tx_octets',
    'tx_errors': 'tx_errors',
    'tx_dropped': 'tx_drop',
    'tx_packets': 'tx_packets',
}


@dataclasses.dataclass(frozen=True)
class _Seen:
    """All that is known of a running server at one moment.

    :ivar uptime: seconds since its process was started
    """

    info: model.ContainerInfo
    usage: cgroup.Usage
    nics: list[dict[str, Any]]
    uptime: int


class Diagnostics:
    """Looks at the servers of this host."""

    def __init__(
        self, client: engine.Client, sandboxes: sandbox.Sandboxes
    ) -> None:
        self._client = client
        self._sandboxes = sandboxes

    def _look(self, instance: Any) -> _Seen:
        """:raises: InstanceInvalidState if its process has ended"""
        info = self._client.inspect(naming.instance_name(instance.uuid))
        try:
            usage = cgroup.usage(info.pid)
        except OSError as exc:
            raise nova_exception.InstanceInvalidState(
                attr='power state',
                instance_uuid=instance.uuid,
                state=info.state,
                method='get_diagnostics',
            ) from exc
        return _Seen(
            info=info,
            usage=usage,
            nics=self._nics(instance),
            uptime=_seconds_since(info.started_at),
        )

    def _nics(self, instance: Any) -> list[dict[str, Any]]:
        box = self._sandboxes.find(instance.uuid)
        if box is None:
            return []
        found: list[dict[str, Any]] = novadocker.privsep.netns.interfaces(
            box.pid, box.netns
        )
        return found

    def details(self, instance: Any) -> nova_diagnostics.Diagnostics:
        """In the form that Nova has for all hypervisors."""
        seen = self._look(instance)
        usage, vcpus = seen.usage, instance.flavor.vcpus
        found = nova_diagnostics.Diagnostics(
            state='running',
            driver=_DRIVER,
            hypervisor='docker',
            hypervisor_os='linux',
            uptime=seen.uptime,
            config_drive=bool(configdrive.required_by(instance)),
            memory_details=nova_diagnostics.MemoryDiagnostics(
                maximum=instance.flavor.memory_mb,
                # Begun ones count: a small process is not nothing.
                used=usage.memory and -(-usage.memory // units.Mi),
            ),
        )
        # A container has a share of all processors: the time is that of no
        # one of them.
        for number in range(vcpus):
            time = None if usage.cpu_time is None else usage.cpu_time // vcpus
            found.add_cpu(number, time, _percent(time, seen.uptime))
        for nic in seen.nics:
            found.add_nic(mac_address=nic['mac'], **_counted(nic))
        found.add_disk(
            read_bytes=usage.read_bytes,
            read_requests=usage.read_requests,
            write_bytes=usage.write_bytes,
            write_requests=usage.write_requests,
        )
        return found

    def plain(self, instance: Any) -> dict[str, Any]:
        """By name, with what only a container has."""
        seen = self._look(instance)
        found = {
            'uptime': seen.uptime,
            'cpu_time': seen.usage.cpu_time,
            'memory': instance.flavor.memory_mb * units.Mi,
            'memory_used': seen.usage.memory,
            'pids': seen.usage.pids,
            'oom_kills': seen.usage.oom_kills,
            'oom_killed': seen.info.oom_killed,
            'exit_code': seen.info.exit_code,
            'restarts': seen.info.restarts,
            'root_read': seen.usage.read_bytes,
            'root_read_req': seen.usage.read_requests,
            'root_write': seen.usage.write_bytes,
            'root_write_req': seen.usage.write_requests,
        }
        for nic in seen.nics:
            found |= {
                f'{nic["name"]}_{name}': count
                for name, count in _counted(nic).items()
            }
        return found


def _counted(nic: dict[str, Any]) -> dict[str, int | None]:
    return {
        name: nic['counters'].get(theirs) for theirs, name in _COUNTERS.items()
    }


def _seconds_since(moment: str) -> int:
    """By the engine's clock, which is the host's."""
    started = datetime.datetime.fromisoformat(moment)
    return int(
        (timeutils.utcnow(with_timezone=True) - started).total_seconds()
    )


def _percent(time: int | None, seconds: int) -> int | None:
    """How much of its time a processor was used, on the average."""
    if time is None:
        return None
    return min(100, time // (max(seconds, 1) * 10**7))
