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

"""The names and labels by which this driver knows what is its own.

Ownership and look-up go by label, since a label is set by us alone and can be
filtered by the engine. Names are for people, and make the engine refuse a
second container for the same instance.
"""

from collections.abc import Mapping
import dataclasses
import hashlib
import pathlib
import re

_PREFIX = 'org.openstack.nova.docker.'
LABEL_INSTANCE = _PREFIX + 'instance'
LABEL_ROLE = _PREFIX + 'role'
LABEL_HOST = _PREFIX + 'host'
LABEL_VCPUS = _PREFIX + 'vcpus'
LABEL_MEMORY_MB = _PREFIX + 'memory-mb'
LABEL_DISK_GB = _PREFIX + 'disk-gb'
LABEL_RESCUE = _PREFIX + 'rescue'

ROLE_INSTANCE = 'instance'
ROLE_SANDBOX = 'sandbox'

# Why a container was set aside.
REPLACED = 'old'
MOVED = 'moved'
RESCUED = 'rescued'
_NAME = re.compile(r'nova-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})')

IMAGE_REPOSITORY = 'nova-docker/glance'
SNAPSHOT_REPOSITORY = 'nova-docker/snapshot'
SANDBOX_REPOSITORY = 'nova-docker/sandbox'
REBIND_REPOSITORY = 'nova-docker/instance'
OUR_REPOSITORIES = (
    IMAGE_REPOSITORY,
    SNAPSHOT_REPOSITORY,
    SANDBOX_REPOSITORY,
    REBIND_REPOSITORY,
)
# A pattern for all of them, as the engine understands it.
REPOSITORIES = 'nova-docker/*'


@dataclasses.dataclass(frozen=True)
class Usage:
    """What an instance takes of its host, by its flavor."""

    vcpus: int = 0
    memory_mb: int = 0
    disk_gb: int = 0

    def __add__(self, other: 'Usage') -> 'Usage':
        return Usage(
            self.vcpus + other.vcpus,
            self.memory_mb + other.memory_mb,
            self.disk_gb + other.disk_gb,
        )


def instance_name(uuid: str) -> str:
    """The name of an instance container, and of its netns link."""
    return f'nova-{uuid}'


def named_instance(name: str) -> str | None:
    """The instance whose container or netns link has this name."""
    found = _NAME.fullmatch(name)
    return found[1] if found else None


def sandbox_name(uuid: str) -> str:
    return f'nova-{uuid}-sandbox'


def aside_name(name: str, host: str, why: str) -> str:
    """The name of a container while another one has its own.

    Two Nova hosts that share an engine may each set one aside.
    """
    return f'{name}-{why}-{_mark(host)}'


def _mark(host: str) -> str:
    """A Nova host, in the few letters that a name or a tag may have."""
    return hashlib.sha256(host.encode()).hexdigest()[:8]


def image_reference(image_id: str) -> str:
    """The private tag of the engine image made from a Glance image."""
    return f'{IMAGE_REPOSITORY}:{image_id}'


def snapshot_reference(image_id: str) -> str:
    """The tag of a commit while it goes to a Glance image."""
    return f'{SNAPSHOT_REPOSITORY}:{image_id}'


def rebind_reference(uuid: str, host: str) -> str:
    """The tag of an instance's own image, which was made of its content."""
    return f'{REBIND_REPOSITORY}:{uuid}-{_mark(host)}'


def labels(uuid: str, role: str, host: str) -> dict[str, str]:
    return {LABEL_INSTANCE: uuid, LABEL_ROLE: role, LABEL_HOST: host}


def is_our_label(key: str) -> bool:
    """Whether only this driver may set a label of this name."""
    return key.startswith(_PREFIX)


def host_filter(host: str, role: str | None = None) -> dict[str, str]:
    """The label filter for all containers of one Nova host."""
    wanted = {LABEL_HOST: host}
    if role is not None:
        wanted[LABEL_ROLE] = role
    return wanted


def instance_filter(uuid: str, host: str) -> dict[str, str]:
    """The label filter for all containers of an instance on one host."""
    return {LABEL_INSTANCE: uuid, LABEL_HOST: host}


def instance_uuid(labels: Mapping[str, str]) -> str | None:
    """The instance that a container with these labels belongs to."""
    return labels.get(LABEL_INSTANCE)


def is_sandbox(labels: Mapping[str, str]) -> bool:
    return labels.get(LABEL_ROLE) == ROLE_SANDBOX


def is_rescue(labels: Mapping[str, str]) -> bool:
    """Whether a container stands in for a server that is rescued."""
    return LABEL_RESCUE in labels


def usage_labels(usage: Usage) -> dict[str, str]:
    return {
        LABEL_VCPUS: str(usage.vcpus),
        LABEL_MEMORY_MB: str(usage.memory_mb),
        LABEL_DISK_GB: str(usage.disk_gb),
    }


def usage(labels: Mapping[str, str]) -> Usage:
    """Read back what :func:`usage_labels` wrote."""
    return Usage(
        int(labels.get(LABEL_VCPUS, 0)),
        int(labels.get(LABEL_MEMORY_MB, 0)),
        int(labels.get(LABEL_DISK_GB, 0)),
    )


def config_drive_path(instances_path: str, uuid: str) -> pathlib.Path:
    """The directory on the host that is a server's config drive."""
    return pathlib.Path(instances_path, uuid, 'config_drive', 'tree')
