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

"""The layers of an image that both ends of a transport have.

The engine saves all layers of an image, and says at the end which is which.
Those of the image below are known by their names before they come: by their
digest where the engine writes an OCI layout, by the id that Docker had for a
layer before 1.10 in the older layout. A layer that is not recognised travels
with the others, and what comes of it all is proved by its digests.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import json

from novadocker.virt.docker import contents
from novadocker.virt.docker import image_config

_BLOB = 'blobs/sha256/'
_LAYER = '/layer.tar'
_DOCUMENT = '/json'

# Of a layer's document: what the engine adds when it has the id.
_ADDED = ('id', 'parent', 'os')


class Below:
    """An image's layers, which need not be in the archive of another.

    :param diff_ids: digests of the layers, uncompressed, lowest first
    :ivar layers: the same, by the names that they have in such an archive
    """

    def __init__(self, diff_ids: Sequence[str] = ()) -> None:
        self._diff_ids = tuple(diff_ids)
        self.layers = {
            layer.name: layer
            for layer in (
                contents.Layer(f'below/{number}.tar', diff_id, 0)
                for number, diff_id in enumerate(self._diff_ids, 1)
            )
        }

    def recognised(
        self, name: str, documents: Mapping[str, bytes]
    ) -> contents.Layer | None:
        """The layer that a member of a saved archive is, if it is one.

        :param documents: the members before it that are no layers
        :raises: BadArchive
        """
        if not self._diff_ids:
            # Nobody's documents are looked at without need.
            return None
        names = self._names(name, documents)
        known = dict(zip(names, self.layers.values(), strict=True))
        return known.get(name)

    def _names(
        self, name: str, documents: Mapping[str, bytes]
    ) -> list[str]:
        """What the layers are called in the archive that has this member."""
        if name.endswith(_LAYER):
            document = documents.get(name.removesuffix(_LAYER) + _DOCUMENT)
            if document is not None:
                return self._old_names(document)
        return [_BLOB + _hex(one) for one in self._diff_ids]

    def _old_names(self, document: bytes) -> list[str]:
        """By the ids of old, which are digests of a chain of documents.

        :param document: of any layer; all but the topmost say the same
        """
        what = 'document of a layer'
        found = image_config.mapping(
            image_config.parse(document, what), what, ()
        )
        common = {key: found[key] for key in found if key not in _ADDED}
        names, chain, parent = [], '', ''
        for diff_id in self._diff_ids:
            chain = _digest(f'{chain} {diff_id}') if chain else diff_id
            hashed = common | {'layer_id': chain}
            if parent:
                hashed['parent'] = parent
            # As the engine writes it: sorted, and without a space.
            parent = _digest(
                json.dumps(
                    {key: hashed[key] for key in sorted(hashed)},
                    separators=(',', ':'),
                )
            )
            names.append(_hex(parent) + _LAYER)
        return names


def _digest(text: str) -> str:
    return image_config.digest(text.encode())


def _hex(digest: str) -> str:
    return digest.removeprefix('sha256:')
