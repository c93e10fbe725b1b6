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


"""The index of an OCI layout: which of its images is the one for this host.

Docker writes one beside its own manifest since version 25, Podman and Skopeo
alone. It may hold an image for several platforms, of which one is taken; two
images for one platform are two images.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from novadocker.virt.docker import compression
from novadocker.virt.docker import image_config

# An index of indexes is as deep as it gets.
_MAX_INDEXES = 3

# What describes an image, but is none, is for this platform.
_NO_PLATFORM = 'unknown/unknown'

# Variants of its architecture that a machine can run, best first; most
# architectures know none.
_VARIANTS = {
    'x86_64': ('', 'v1'),
    'aarch64': ('', 'v8'),
    'armv7l': ('v7', 'v6', 'v5', ''),
    'armv6l': ('v6', 'v5', ''),
}

# What names an image in an index: Docker's key, and the specification's.
_NAMES = ('io.containerd.image.name', 'org.opencontainers.image.ref.name')

_SCHEMA_1 = 'application/vnd.docker.distribution.manifest.v1+'


@dataclasses.dataclass(frozen=True)
class _Entry:
    """An image of an index.

    :ivar path: where its manifest lies
    :ivar platform: like linux/arm, empty if it is not said
    """

    path: str
    platform: str
    variant: str
    name: str

    def __str__(self) -> str:
        full = '/'.join(filter(None, (self.platform, self.variant)))
        return ascii((full or self.name or 'without a name')[:60])


def manifest(
    documents: Mapping[str, bytes], machine: str
) -> image_config.Manifest:
    """The image that an OCI layout has for a machine.

    :param documents: the JSON members of the archive by their names
    :param machine: as ``uname -m`` has it
    :raises: BadArchive
    """
    found = _read(documents, 'index.json')
    for _ in range(_MAX_INDEXES):
        _refuse_schema_1(found)
        if 'manifests' not in found:
            return image_config.Manifest(
                config=_blob(found.get('config')),
                layers=tuple(
                    _blob(layer) for layer in found.get('layers') or ()
                ),
            )
        found = _read(documents, _chosen(found['manifests'], machine))
    raise compression.BadArchive('its index leads from index to index')


def _read(documents: Mapping[str, bytes], path: str) -> image_config.Json:
    if path not in documents:
        raise compression.BadArchive(
            f'its index names {path}, which is not there'
        )
    content = image_config.parse(documents[path], path)
    return image_config.mapping(content, path, ())


def _refuse_schema_1(found: image_config.Json) -> None:
    if found.get('schemaVersion') == 1 or str(
        found.get('mediaType')
    ).startswith(_SCHEMA_1):
        raise compression.BadArchive(
            'it is an image of schema 1, from before Docker 1.10: load and '
            'save it with a later one'
        )


def _blob(descriptor: Any) -> str:
    """Where the content of a descriptor lies in an OCI layout."""
    found = image_config.mapping(descriptor, 'OCI descriptor', ())
    digest = image_config.as_digest(found.get('digest'), 'OCI digest')
    return 'blobs/sha256/' + digest.removeprefix('sha256:')


def _chosen(manifests: Any, machine: str) -> str:
    if not isinstance(manifests, list):
        raise compression.BadArchive('its index is no list of images')
    # An image with two tags is in there twice.
    images = {
        entry.path: entry
        for entry in map(_entry, manifests)
        if entry.platform != _NO_PLATFORM
    }
    if len(images) == 1:
        return next(iter(images))
    wanted = f'linux/{image_config.architecture_of(machine)}'
    mine = [one for one in images.values() if one.platform == wanted]
    for variant in _VARIANTS.get(machine, ('',)):
        fitting = [one for one in mine if one.variant == variant]
        if len(fitting) == 1:
            return fitting[0].path
        if fitting:
            break
    shown = ', '.join(map(str, list(images.values())[:5]))
    raise compression.BadArchive(
        f'it holds {len(images)} images ({shown}) where one image for '
        f'{wanted} is expected'
    )


def _entry(descriptor: Any) -> _Entry:
    found = image_config.mapping(descriptor, 'OCI descriptor', ())
    _refuse_schema_1({'mediaType': found.get('mediaType')})
    platform = _part(found, 'platform')
    notes = _part(found, 'annotations')
    names = [str(notes[key]) for key in _NAMES if key in notes]
    system, machine = platform.get('os'), platform.get('architecture')
    return _Entry(
        path=_blob(found),
        platform=f'{system}/{machine}' if system or machine else '',
        variant=str(platform.get('variant') or ''),
        name=names[0] if names else '',
    )


def _part(found: image_config.Json, key: str) -> image_config.Json:
    return image_config.mapping(found.get(key) or {}, key, ())
