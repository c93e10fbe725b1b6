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

"""The host as Nova and Placement see it."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import functools
import json
import operator
import os
import re
import time
from typing import Any

from nova.objects import fields
import os_resource_classes as orc
from oslo_utils import versionutils
import psutil

from novadocker import exception
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import observed
from novadocker.virt.docker import processor
from novadocker.virt.docker import resized

HYPERVISOR_TYPE = fields.HVType.DOCKER

_MIB = 1024**2
_GIB = 1024**3


@dataclasses.dataclass(frozen=True)
class Reserved:
    """What the operator keeps for the host itself."""

    cpus: int
    memory_mb: int
    disk_gb: int


class Host:
    """The capacity of this host, from the engine and its file system."""

    def __init__(
        self,
        client: engine.Client,
        seen: observed.Observed,
        resizes: resized.Resizes,
        nodename: str,
        reserved: Reserved,
    ) -> None:
        self._client = client
        self._observed = seen
        self._resizes = resizes
        self._nodename = nodename
        self._reserved = reserved

    def resources(self) -> dict[str, Any]:
        """What Nova's resource tracker wants to know, in two requests."""
        info = self._client.info()
        used = self._usage()
        total_gb, free_gb = _disk_gb(info.root_dir)
        arch = _architecture(info)
        return {
            'vcpus': info.cpus,
            'memory_mb': info.memory // _MIB,
            'local_gb': total_gb,
            'vcpus_used': used.vcpus,
            'memory_mb_used': used.memory_mb + self._reserved.memory_mb,
            'local_gb_used': used.disk_gb,
            'disk_available_least': free_gb,
            'hypervisor_type': HYPERVISOR_TYPE,
            'hypervisor_version': _version_number(info.version),
            'hypervisor_hostname': self._nodename,
            'cpu_info': json.dumps(
                {
                    'arch': arch,
                    'topology': {'cores': info.cpus},
                    'features': sorted(processor.processors().flags),
                }
            ),
            'supported_instances': [
                (arch, HYPERVISOR_TYPE, fields.VMMode.EXE)
            ],
            'numa_topology': None,
        }

    def _usage(self) -> naming.Usage:
        """What the flavors of our servers, and of nobody else's, take."""
        return functools.reduce(
            operator.add,
            (
                self._resizes.usage(uuid, row.id) or naming.usage(row.labels)
                for uuid, row in self._observed.instances().items()
            ),
            naming.Usage(),
        )

    def report(
        self,
        provider_tree: Any,
        nodename: str,
        allocation_ratios: Mapping[str, float],
    ) -> None:
        """Tell Placement what there is, and what it can do.

        Traits that others have set stay.
        """
        info = self._client.info()
        provider_tree.update_inventory(
            nodename, self._inventory(info, allocation_ratios)
        )
        found = processor.traits(
            _architecture(info), processor.processors()
        )
        provider_tree.add_traits(nodename, *found)
        provider_tree.remove_traits(nodename, *(processor.ours() - found))

    def _inventory(
        self, info: model.EngineInfo, allocation_ratios: Mapping[str, float]
    ) -> dict[str, dict[str, Any]]:
        total_gb, _ = _disk_gb(info.root_dir)
        totals = {
            orc.VCPU: (info.cpus, self._reserved.cpus),
            orc.MEMORY_MB: (info.memory // _MIB, self._reserved.memory_mb),
            orc.DISK_GB: (total_gb, self._reserved.disk_gb),
        }
        return {
            name: {
                'total': total,
                'min_unit': 1,
                'max_unit': total,
                'step_size': 1,
                'allocation_ratio': allocation_ratios[name],
                'reserved': reserved,
            }
            for name, (total, reserved) in totals.items()
        }


def _architecture(info: model.EngineInfo) -> str:
    """In Nova's words."""
    return str(fields.Architecture.canonicalize(info.architecture))


def _disk_gb(path: str) -> tuple[int, int]:
    """Size and free space of a file system, in whole GiB.

    :raises: EngineNotSupported if the engine's directory cannot be seen
    """
    try:
        found = os.statvfs(path)
    except OSError as exc:
        raise exception.EngineNotSupported(
            reason=f'its data directory {path} cannot be seen by '
            f'nova-compute ({exc.strerror}); both must run on one host, and '
            'see it at the same path'
        ) from exc
    return (
        found.f_blocks * found.f_frsize // _GIB,
        found.f_bavail * found.f_frsize // _GIB,
    )


def _version_number(version: str) -> int:
    """The engine's version as Nova keeps it, 20.10.24+dfsg1 as 20010024."""
    digits = re.match(r'\d+(\.\d+){0,2}', version)
    return versionutils.convert_version_to_int(digits[0]) if digits else 0


def uptime(clock: Callable[[], float] = time.time) -> str:
    """How long the host has been up, in the form of the command uptime."""
    now = clock()
    minutes = int(now - psutil.boot_time()) // 60
    days, minutes = divmod(minutes, 24 * 60)
    loads = ', '.join(f'{load:.2f}' for load in os.getloadavg())
    return (
        f' {time.strftime("%H:%M:%S", time.localtime(now))} '
        f'up {days} days, {minutes // 60:2d}:{minutes % 60:02d},  '
        f'{len(psutil.users())} users,  load average: {loads}'
    )
