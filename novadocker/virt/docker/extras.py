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

"""What the engine's commit of a root file system leaves behind.

Extended attributes and holes are looked for in the directories in which the
engine has its layers, and put in there again where the commit has arrived.
"""

import base64
from collections.abc import Sequence
import json
import uuid

from novadocker.privsep import layers as layers_privsep
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model
from novadocker.virt.docker import tar_stream

# The engine makes this file in each container, and hides an older one by it.
_MARK = '.dockerenv'


def collected(
    client: engine.Client,
    container: model.ContainerInfo,
    below: Sequence[str] = (),
) -> bytes:
    """Note what a commit of a stopped container will not have.

    :param below: directories of layers of its image, the uppermost first,
        of which the same is to be noted
    :returns: for :func:`restore`; nothing if there is nothing, or if the
        engine does not say where its layers are
    :raises: OSError for more than can be handled
    """
    if container.root is None:
        return b''
    directories = (container.root.upper, *below)
    found = [layers_privsep.read_extras(path) for path in directories]
    if found[0]:
        # Layers of equal content are one in the engine. That which will be
        # given attributes must be nobody else's, now or later.
        mark = tar_stream.file(_MARK, str(uuid.uuid4()).encode())
        client.write_files(container.id, mark + tar_stream.END)
    return _dumped(found) if any(found) else b''


def restore(image: model.ImageInfo, note: bytes) -> bool:
    """Give an image's upper layers what was noted of those they come from.

    :returns: whether it could be done: whether the engine says where they are
    :raises: OSError, ValueError for a note that does not fit
    """
    if not note:
        return True
    if image.root is None:
        return False
    noted = _loaded(note)
    layers = image.root.layers[: len(noted)]
    for path, extras in zip(layers, noted, strict=True):
        if extras:
            layers_privsep.add_extras(path, extras)
    return True


def _dumped(found: Sequence[Sequence[layers_privsep.Extra]]) -> bytes:
    return json.dumps(
        [
            [
                (
                    path,
                    {
                        name: base64.b64encode(value).decode()
                        for name, value in attributes.items()
                    },
                    sparse,
                )
                for path, attributes, sparse in layer
            ]
            for layer in found
        ]
    ).encode()


def _loaded(note: bytes) -> list[list[layers_privsep.Extra]]:
    return [
        [
            (
                path,
                {
                    name: base64.b64decode(value)
                    for name, value in attributes.items()
                },
                sparse,
            )
            for path, attributes, sparse in layer
        ]
        for layer in json.loads(note)
    ]
