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


"""The filter that every image passes on its way to the engine.

Anybody may upload an image, and the engine believes what a saved archive
says: it obeys tags, loads as many images as there are, and takes a layer that
it has already without a look at the bytes. So the archive is written anew
while it streams by. Layers go through as they come, under names of ours;
config and manifest are held back, and written when everything before them
was proved. Until then the engine has nothing that it could make an image of.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import hashlib
import itertools

from novadocker import exception
from novadocker.virt.docker import below as below_mod
from novadocker.virt.docker import compression
from novadocker.virt.docker import contents
from novadocker.virt.docker import image_config
from novadocker.virt.docker import naming
from novadocker.virt.docker import recognition
from novadocker.virt.docker import tar_stream

# Bytes of all members that are not layers: they are held in memory.
_MAX_DOCUMENTS = 1 << 24

# The member that is a note.
_NOTE = 'nova-docker.json'

# What a root file system runs that no command was given for.
_INIT = ('/sbin/init',)


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much an image may take.

    :ivar size: bytes of the archive, decompressed
    :ivar unpacked: bytes of all layers together, decompressed
    """

    size: int
    unpacked: int
    members: int
    layers: int


@dataclasses.dataclass(frozen=True)
class Rules:
    """What an archive is held against.

    :ivar image_id: the Glance image that it is, for errors
    :ivar machine: of this host, as ``uname -m`` has it
    :ivar size: bytes of the stream as Glance has counted them, if it has
    """

    image_id: str
    machine: str
    limits: Limits
    size: int | None = None


@dataclasses.dataclass(frozen=True)
class Writing:
    """How an archive is written anew.

    :ivar reference: the name that the engine gives to the image; none if it
        is empty
    :ivar rewrite: changes the config of an image that is trusted
    :ivar below: an image below it, whose layers are left out, and may be
        missing
    :ivar note: of ours, that travels with it and that no engine takes
    """

    reference: str = ''
    rewrite: Callable[[bytes], bytes] | None = None
    below: below_mod.Below = dataclasses.field(default_factory=below_mod.Below)
    note: bytes = b''


@dataclasses.dataclass(frozen=True)
class Image:
    """What an archive has turned out to be.

    :ivar id: the image's id in the engine, the digest of its config
    :ivar layers: the names of its layers in the archive as written anew
    :ivar size: bytes of its layers, uncompressed
    """

    id: str
    config: bytes
    layers: tuple[str, ...]
    size: int
    architecture: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]


def finish(
    config: bytes, layers: Iterable[str], reference: str = ''
) -> bytes:
    """The last part of an archive, which makes an image of what came before.

    Alone it is an archive for an engine that has all the layers.

    :param reference: the name that the image gets, if any
    """
    name = image_config.digest(config).removeprefix('sha256:') + '.json'
    manifest = image_config.manifest_json(name, list(layers), reference)
    return (
        tar_stream.file(name, config)
        + tar_stream.file('manifest.json', manifest)
        + tar_stream.END
    )


class Archive:
    """An archive, to be iterated once; raises ImageRejected.

    Takes what `docker save`, Podman and Skopeo write, an OCI layout, or the
    tar of a root file system, compressed or not. Gives an archive for the
    engine's load that has one image, and no name from outside.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        rules: Rules,
        writing: Writing | None = None,
    ) -> None:
        self._chunks = iter(chunks)
        self._rules = rules
        self._writing = writing or Writing()
        self._contents = contents.Contents(self._writing.below.layers)
        self._held = 0
        self._unpacked = 0
        self._image: Image | None = None

    @property
    def image(self) -> Image:
        """What it was; known when the iteration has ended."""
        if self._image is None:
            raise RuntimeError('the archive was not read to its end')
        return self._image

    @property
    def reference(self) -> str:
        """The name that the engine gives to the image."""
        return self._writing.reference

    @property
    def note(self) -> bytes:
        """What came with it; known when the iteration has ended."""
        return self._contents.documents.get(_NOTE, b'')

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._filtered()
        except compression.BadArchive as exc:
            raise exception.ImageRejected(
                image_id=self._rules.image_id,
                reason='the archive of one image, as "docker save" writes '
                f'it, was expected, but {exc}.',
            ) from exc

    def _filtered(self) -> Iterator[bytes]:
        head, chunks = recognition.peek(self._chunks)
        if not tar_stream.is_header(head):
            what = recognition.described(head)
            raise compression.BadArchive(f'it is {what}')
        if recognition.is_root_file_system(head):
            yield from self._root_file_system(chunks)
        else:
            yield from self._saved(chunks)

    # A root file system becomes an image of one layer

    def _root_file_system(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        size = self._rules.size
        if size is None:
            raise compression.BadArchive(
                'it is a root file system of unknown size'
            )
        first = next(chunks)
        kind = compression.kind_of(first)
        pieces = _exactly(size, itertools.chain((first,), chunks))
        yield from self._layer('root', size, kind, pieces)
        layer = self._contents.layers['root']
        architecture = image_config.architecture_of(self._rules.machine)
        config = image_config.of_root_file_system(
            architecture, layer.diff_id, _INIT
        )
        yield self._concluded(config, [layer])

    # A saved image

    def _saved(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        reader = tar_stream.Reader(
            self._limited(compression.expanded(chunks)),
            self._rules.limits.members,
        )
        seen = set()
        for member in reader:
            if member.type is tar_stream.Type.DIRECTORY:
                continue
            if member.name in seen:
                raise compression.BadArchive(
                    f'it has {ascii(member.name)} twice'
                )
            seen.add(member.name)
            if member.type is tar_stream.Type.FILE:
                yield from self._file(member, reader)
            else:
                self._contents.links[member.name] = member.target
        yield self._proved()

    def _limited(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        limit = self._rules.limits.size
        size = 0
        for chunk in chunks:
            size += len(chunk)
            _check_size(size, limit)
            yield chunk

    def _file(
        self, member: tar_stream.Member, reader: tar_stream.Reader
    ) -> Iterator[bytes]:
        head = reader.take(recognition.HEAD)
        plain = tar_stream.is_header(head)
        kind = None if plain else compression.kind_of(head)
        if plain or kind:
            known = self._writing.below.recognised(
                member.name, self._contents.documents
            )
            if known is not None:
                self._contents.layers[member.name] = known
                return
            pieces = itertools.chain((head,), reader.content())
            yield from self._layer(member.name, member.size, kind, pieces)
            return
        self._held += member.size
        if self._held > _MAX_DOCUMENTS:
            raise compression.BadArchive(
                f'its member {ascii(member.name[:100])} is no layer, but '
                f'{recognition.described(head)} of {member.size} bytes'
            )
        content = head + reader.take(member.size)
        contents.check_name(member.name, image_config.digest(content))
        self._contents.documents[member.name] = content

    def _layer(
        self,
        name: str,
        size: int,
        kind: compression.Kind | None,
        pieces: Iterable[bytes],
    ) -> Iterator[bytes]:
        """Let a layer through, as it is, and note what it is.

        The engine expands a compressed one itself: what it expands to has
        no place in a stream, since its size is known too late.
        """
        written = f'{len(self._contents.layers) + 1}.tar'
        yield tar_stream.header(written, size)
        blob = hashlib.sha256()
        content = blob if kind is None else hashlib.sha256()
        expander = None if kind is None else compression.Expander(kind)
        expanded = 0
        for piece in pieces:
            blob.update(piece)
            if expander is None:
                expanded += len(piece)
            else:
                for plain in expander.feed(piece):
                    expanded += len(plain)
                    content.update(plain)
                    self._check_unpacked(expanded)
            yield piece
        if expander is not None:
            expander.close()
        self._check_unpacked(expanded)
        self._unpacked += expanded
        contents.check_name(name, f'sha256:{blob.hexdigest()}')
        self._contents.layers[name] = contents.Layer(
            written, f'sha256:{content.hexdigest()}', expanded
        )
        yield tar_stream.padding(size)

    def _check_unpacked(self, expanded: int) -> None:
        _check_size(self._unpacked + expanded, self._rules.limits.unpacked)

    # The proof

    def _proved(self) -> bytes:
        content, layers = self._contents.image(self._rules.machine)
        self._check_config(image_config.parse_config(content), layers)
        rewrite = self._writing.rewrite or image_config.without_volumes
        return self._concluded(rewrite(content), layers)

    def _check_config(
        self, config: image_config.Config, layers: list[contents.Layer]
    ) -> None:
        wanted = image_config.architecture_of(self._rules.machine)
        if (config.os, config.architecture) != ('linux', wanted):
            found = f'{config.os[:40]}/{config.architecture[:40]}'
            raise compression.BadArchive(
                f'it is an image for {ascii(found)}, and this host needs '
                f'linux/{wanted}'
            )
        if not 0 < len(layers) <= self._rules.limits.layers:
            raise compression.BadArchive(
                f'it has {len(layers)} layers, and 1 to '
                f'{self._rules.limits.layers} are allowed'
            )
        if config.diff_ids != tuple(layer.diff_id for layer in layers):
            raise compression.BadArchive(
                'its layers are damaged: they are not those that its config '
                'has the digests of'
            )
        if self._writing.rewrite is None and any(
            naming.is_our_label(label) for label in config.labels
        ):
            raise compression.BadArchive(
                'it has labels that only Nova may set: make it with '
                '"openstack server image create"'
            )

    def _concluded(
        self, content: bytes, layers: list[contents.Layer]
    ) -> bytes:
        config = image_config.parse_config(content)
        self._image = Image(
            id=image_config.digest(content),
            config=content,
            layers=tuple(layer.name for layer in layers),
            size=sum(layer.size for layer in layers),
            architecture=config.architecture,
            entrypoint=config.entrypoint,
            command=config.command,
        )
        note = self._writing.note
        return (tar_stream.file(_NOTE, note) if note else b'') + finish(
            content, self._image.layers, self._writing.reference
        )


def _exactly(size: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    left = size
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise compression.BadArchive(f'it is not of {size} bytes as recorded')


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise compression.BadArchive(
            f'it unpacks to more than {limit} bytes, the most that this host '
            'takes'
        )
