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

"""What flavors say of quotas, in Nova's words: pure functions.

The extra specs are those of Nova's libvirt driver, with its meanings.
"""

import re
from typing import Any

from novadocker import exception

_SHARES = 'quota:cpu_shares'
_QUOTA = 'quota:cpu_quota'
_PERIOD = 'quota:cpu_period'

# Microseconds, where a flavor has a quota and no period.
_DEFAULT_PERIOD = 100_000

# What one CPU weighs, and the ends of what the kernel takes.
_SHARES_PER_CPU = 1024
_MIN_SHARES = 2
_MAX_SHARES = 262144

# The kernel gives out no less of a CPU's time.
_MIN_CPUS = 0.01

_DISK = {
    'quota:disk_read_bytes_sec': 'read_bytes',
    'quota:disk_read_iops_sec': 'read_requests',
    'quota:disk_write_bytes_sec': 'write_bytes',
    'quota:disk_write_iops_sec': 'write_requests',
}

_REFUSED = (
    (
        re.compile(r'quota:disk_total_(bytes|iops)_sec'),
        'which limits reading and writing together; they can be limited each',
    ),
    (
        re.compile(r'quota:vif_(in|out)bound_(average|peak|burst)'),
        'which a QoS policy of the port can have instead',
    ),
)


def check(flavor: Any) -> None:
    """:raises: FeatureNotSupported for what would have no effect"""
    cpus(flavor)
    cpu_shares(flavor)
    disk_rates(flavor)
    for name in flavor.extra_specs:
        for pattern, why in _REFUSED:
            if pattern.fullmatch(name):
                raise exception.FeatureNotSupported(
                    feature=f'a flavor with {name}, {why}'
                )


def cpus(flavor: Any) -> float:
    """CPUs' worth of time; the quota is that of each of them.

    A quota that is not positive is none, and so is a period of 0.
    """
    quota = _number(flavor, _QUOTA)
    period = _number(flavor, _PERIOD) or _DEFAULT_PERIOD
    count = int(flavor.vcpus)
    if quota is None or quota <= 0:
        return count
    return max(min(count * quota / period, count), _MIN_CPUS)


def cpu_shares(flavor: Any) -> int:
    """The weight against others when CPUs are scarce."""
    shares = _number(flavor, _SHARES)
    if shares is None:
        shares = flavor.vcpus * _SHARES_PER_CPU
    return max(min(shares, _MAX_SHARES), _MIN_SHARES)


def disk_rates(flavor: Any) -> dict[str, int]:
    """How fast a server may use its disk, by the fields of DiskRates."""
    return {
        field: rate
        for name, field in _DISK.items()
        # As in libvirt 0 is no limit.
        if (rate := _number(flavor, name))
    }


def _number(flavor: Any, name: str) -> int | None:
    found = flavor.extra_specs.get(name)
    if found is None:
        return None
    # Nova's API takes a negative one to mean that there is no quota.
    if not re.fullmatch(r'-?\d+' if name == _QUOTA else r'\d+', found):
        raise exception.FeatureNotSupported(
            feature=f'a flavor with {name}={found}, which has to be a number'
        )
    return int(found)
