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


"""What was in an archive, and the one image that its documents make of it."""

from collections.abc import Mapping
import dataclasses
import re

from novadocker.virt.docker import compression
from novadocker.virt.docker import image_config
from novadocker.virt.docker import oci
from novadocker.virt.docker import recognition
from novadocker.virt.docker import tar_stream

_MAX_LINKS = 8

# Members that are named by what they must be the sha256 of.
_BLOB = re.compile(r'blobs/sha256/([0-9a-f]{64})')
_CONFIG = re.compile(r'([0-9a-f]{64})\.json')


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer as it went by.

    :ivar name: in the archive as written anew
    :ivar diff_id: digest of its bytes, uncompressed
    :ivar size: bytes, uncompressed
    """

    name: str
    diff_id: str
    size: int


class Contents:
    """The members of an archive, by their names.

    :ivar documents: everything that is no layer
    :ivar links: what leads to another member
    """

    def __init__(self, absent: Mapping[str, Layer] | None = None) -> None:
        """:param absent: layers that need not be there, by their names"""
        self._absent = absent or {}
        self.layers: dict[str, Layer] = {}
        self.documents: dict[str, bytes] = {}
        self.links: dict[str, str] = {}

    def image(self, machine: str) -> tuple[bytes, list[Layer]]:
        """The config of the image for a machine, and its layers.

        The config may still be another machine's, if there is only that.

        :raises: BadArchive
        """
        if 'manifest.json' in self.documents:
            manifest = self._of_docker(machine)
        elif 'index.json' in self.documents:
            manifest = oci.manifest(self.documents, machine)
        else:
            raise compression.BadArchive(self._what_is_missing())
        self._refuse_surplus(manifest)
        return (
            self._document(manifest.config),
            [self._layer_at(path) for path in manifest.layers],
        )

    def _of_docker(self, machine: str) -> image_config.Manifest:
        """The image that `docker save` names, or its twin for this machine.

        It names the one for the machine where it was run. An index beside
        it may have more.
        """
        manifest = image_config.parse_manifest(self.documents['manifest.json'])
        config = image_config.parse_config(self._document(manifest.config))
        wanted = image_config.architecture_of(machine)
        if config.architecture == wanted or 'index.json' not in self.documents:
            return manifest
        try:
            return oci.manifest(self.documents, machine)
        except compression.BadArchive:
            # Of what is in an index, not all need to be in the archive.
            return manifest

    def _what_is_missing(self) -> str:
        if any(name.endswith('/json') for name in self.documents):
            return (
                'it has no manifest.json, as written by Docker before 1.10: '
                'load and save it with a later one'
            )
        for name, content in self.documents.items():
            what = recognition.described(content)
            return (
                'it has no manifest.json or index.json, but '
                f'{ascii(name[:60])}, {what}'
            )
        return 'it has no manifest.json or index.json'

    def _refuse_surplus(self, manifest: image_config.Manifest) -> None:
        """An index may have more images, each member by its digest."""
        named = {self._resolved(path) for path in manifest.layers}
        for name in sorted(self.layers.keys() - named):
            if 'index.json' not in self.documents or not _BLOB.fullmatch(name):
                raise compression.BadArchive(
                    f'it has {ascii(name[:100])}, which is no layer of the '
                    'image'
                )

    def _resolved(self, path: str) -> str:
        name = tar_stream.safe_path(path, 'a path in its manifest')
        for _ in range(_MAX_LINKS):
            if name not in self.links:
                return name
            name = self.links[name]
        raise compression.BadArchive('it has links that lead in a circle')

    def _document(self, path: str) -> bytes:
        content = self.documents.get(self._resolved(path))
        if content is None:
            raise compression.BadArchive(
                f'its config {ascii(path[:100])} is not there'
            )
        return content

    def _layer_at(self, path: str) -> Layer:
        name = self._resolved(path)
        layer = self.layers.get(name) or self._absent.get(name)
        if layer is None:
            raise compression.BadArchive(
                f'its layer {ascii(path[:100])} is not there or no tar archive'
            )
        return layer


def check_name(name: str, digest: str) -> None:
    """:raises: BadArchive for what is named by another digest than it has"""
    named = _BLOB.fullmatch(name) or _CONFIG.fullmatch(name)
    if named and f'sha256:{named[1]}' != digest:
        raise compression.BadArchive(f'its {name} is damaged')
