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

"""What can be told of a Glance image by its record alone.

Everything is refused before a byte is downloaded.
"""

from collections.abc import Callable
from typing import Any

from nova import exception as nova_exception
from nova.objects import fields
from oslo_utils import units

from novadocker import exception

CONTAINER_FORMATS = ('docker', 'bare')
DISK_FORMAT = 'raw'


def _said(image_meta: Any, name: str) -> Any:
    # What Nova keeps of a server's image does not have everything.
    known = image_meta.obj_attr_is_set(name)
    return getattr(image_meta, name) if known else None


def check_formats(image_meta: Any) -> None:
    """:raises: ImageRejected"""
    container_format = _said(image_meta, 'container_format')
    disk_format = _said(image_meta, 'disk_format')
    if container_format not in CONTAINER_FORMATS or disk_format != DISK_FORMAT:
        raise exception.ImageRejected(
            image_id=image_meta.id,
            reason='its container format and disk format are '
            f'{container_format} and {disk_format}, and docker and raw are '
            'needed.',
        )


def check_properties(image_meta: Any, machine: Callable[[], str]) -> None:
    """Hold an image to what it asks of a host.

    Nova's ImagePropertiesFilter keeps such an image from this host, where it
    is in use and no host was forced.

    :param machine: gives what ``uname -m`` says; asked only if it matters
    :raises: ImageRejected
    """
    properties = _said(image_meta, 'properties')
    if properties is None:
        return

    def refuse_other(name: str, ours: str) -> None:
        wanted = properties.get(name)
        if wanted not in (None, ours):
            raise exception.ImageRejected(
                image_id=image_meta.id,
                reason=f'its property {name} is {wanted}, and this host '
                f'offers {ours}.',
            )

    refuse_other('img_hv_type', fields.HVType.DOCKER)
    refuse_other('hw_vm_mode', fields.VMMode.EXE)
    if properties.get('hw_architecture') is not None:
        refuse_other(
            'hw_architecture', fields.Architecture.canonicalize(machine())
        )


def check_size(image_meta: Any, limit: int) -> None:
    """:raises: ImageRejected"""
    size = _said(image_meta, 'size') or 0
    if size > limit:
        raise exception.ImageRejected(
            image_id=image_meta.id,
            reason=f'it has {size} bytes, and this host takes {limit} at the '
            'most.',
        )


def check_flavor(image_meta: Any, flavor: Any) -> None:
    """Refuse what has no room.

    :raises: FlavorMemoryTooSmall, FlavorDiskTooSmall
    """
    if flavor.memory_mb < (_said(image_meta, 'min_ram') or 0):
        raise nova_exception.FlavorMemoryTooSmall()
    root = flavor.root_gb * units.Gi
    min_disk = (_said(image_meta, 'min_disk') or 0) * units.Gi
    if root and root < min_disk:
        raise nova_exception.FlavorDiskSmallerThanMinDisk(
            flavor_size=root, image_min_disk=min_disk
        )
    check_disk(flavor, _said(image_meta, 'size') or 0)


def check_disk(flavor: Any, size: int) -> None:
    """A root disk of 0 is as large as the image, as everywhere in Nova.

    :raises: FlavorDiskTooSmall
    """
    root = flavor.root_gb * units.Gi
    if root and root < size:
        raise nova_exception.FlavorDiskSmallerThanImage(
            flavor_size=root, image_size=size
        )


def is_shelved_as(instance: Any, image_meta: Any) -> bool:
    """Whether the image is the server itself, made when it was shelved.

    It had all this room before, so that it must not be lost for it now.
    """
    shelved: bool = image_meta.id == instance.system_metadata.get(
        'shelved_image_id'
    )
    return shelved
