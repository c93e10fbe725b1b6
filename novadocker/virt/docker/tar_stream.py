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


"""Tar archives as streams: read member by member, and written again.

Nothing is held but the header at hand. The reader is stricter than the
format: what no tool for images writes is refused, so that no two readers of
one archive can come to see different files in it.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import enum
import posixpath
import tarfile

from novadocker.virt.docker import compression

BLOCK = 512
END = b'\0' * (2 * BLOCK)
# Bytes of an extended header; names are far shorter.
_MAX_EXTENSION = 1 << 16

_EXTENSIONS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}
_STRANGE = {
    tarfile.CHRTYPE: 'a character device',
    tarfile.BLKTYPE: 'a block device',
    tarfile.FIFOTYPE: 'a named pipe',
    tarfile.GNUTYPE_SPARSE: 'a sparse file',
}


class Type(enum.Enum):
    FILE = 'file'
    DIRECTORY = 'directory'
    SYMLINK = 'symbolic link'
    HARDLINK = 'hard link'


_TYPES = {
    tarfile.REGTYPE: Type.FILE,
    tarfile.AREGTYPE: Type.FILE,
    tarfile.DIRTYPE: Type.DIRECTORY,
    tarfile.SYMTYPE: Type.SYMLINK,
    tarfile.LNKTYPE: Type.HARDLINK,
}


@dataclasses.dataclass(frozen=True)
class Member:
    """A member of an archive.

    :ivar name: a relative path without any '.' or '..'; '.' for the root
    :ivar size: bytes of content, 0 for anything but a file
    :ivar target: of a link, the path of what it leads to, like ``name``
    """

    name: str
    type: Type
    size: int
    target: str = ''


def is_header(block: bytes) -> bool:
    """Whether a tar archive can begin with this block.

    A block of zeros is the beginning of an empty archive.
    """
    if len(block) < BLOCK:
        return False
    try:
        _parsed(block[:BLOCK])
    except compression.BadArchive:
        return False
    return True


def _parsed(block: bytes) -> tarfile.TarInfo | None:
    """The header in a block, None in one of zeros."""
    if not block.strip(b'\0'):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, 'utf-8', 'surrogateescape')
    except (tarfile.HeaderError, ValueError, OverflowError) as exc:
        raise compression.BadArchive('it has a damaged tar header') from exc


def safe_path(path: str, what: str = 'a member') -> str:
    """The one spelling of a relative path that stays in its directory.

    :raises: BadArchive
    """
    shown = ascii(path[:100])
    if not path or '\0' in path or path.startswith('/'):
        raise compression.BadArchive(f'it has {what} named {shown}')
    normal = posixpath.normpath(path)
    if '..' in path.split('/'):
        # Even one that would lead back: nobody needs it.
        raise compression.BadArchive(
            f'it has {what} outside of its directory, {shown}'
        )
    return normal


class _Bytes:
    """Chunks, read by count."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b''
        self._at = 0

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next bytes, as they happen to be cut.

        :raises: BadArchive if there are not so many
        """
        while size:
            if self._at == len(self._chunk):
                self._chunk, self._at = self._next(), 0
            piece = self._chunk[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            yield piece

    def _next(self) -> bytes:
        for chunk in self._chunks:
            if chunk:
                return chunk
        raise compression.BadArchive('it ends too early, it was cut')

    def take(self, size: int) -> bytes:
        return b''.join(self.pieces(size))

    def rest(self) -> Iterator[bytes]:
        yield self._chunk[self._at :]
        self._chunk, self._at = b'', 0
        yield from self._chunks


@dataclasses.dataclass
class _Extended:
    """What extended headers say of the member that follows them."""

    path: str | None = None
    linkpath: str | None = None
    size: int | None = None


class Reader:
    """Reads an archive once, from its first byte to its last.

    Iterate over the members; the content of each can be had by
    :meth:`content` until the next is asked for. Everything raises BadArchive.
    """

    def __init__(self, chunks: Iterable[bytes], max_members: int) -> None:
        self._bytes = _Bytes(chunks)
        self._max_members = max_members
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        count = 0
        while (header := self._next_header()) is not None:
            count += 1
            if count > self._max_members:
                raise compression.BadArchive(
                    f'it has more than {self._max_members} members'
                )
            yield self._member(*header)
            self._skip()
        self._end()

    def content(self) -> Iterator[bytes]:
        """The content of the member at hand, in pieces."""
        while self._left:
            for piece in self._bytes.pieces(self._left):
                self._left -= len(piece)
                yield piece

    def take(self, size: int) -> bytes:
        """So many bytes of the content, or what there is of it."""
        piece = self._bytes.take(min(size, self._left))
        self._left -= len(piece)
        return piece

    def _skip(self) -> None:
        for _ in self.content():
            pass
        self._bytes.take(self._padding)
        self._padding = 0

    def _expect(self, size: int) -> None:
        self._left = size
        self._padding = -size % BLOCK

    def _next_header(self) -> tuple[tarfile.TarInfo, _Extended] | None:
        extended = _Extended()
        while (header := _parsed(self._bytes.take(BLOCK))) is not None:
            if header.type not in _EXTENSIONS:
                return header, extended
            if not 0 <= header.size <= _MAX_EXTENSION:
                raise compression.BadArchive(
                    f'it has an extended header of {header.size} bytes'
                )
            self._expect(header.size)
            self._extend(extended, header.type, self.take(header.size))
            self._skip()
        if extended != _Extended():
            raise compression.BadArchive('it ends after an extended header')
        return None

    def _extend(self, extended: _Extended, kind: bytes, body: bytes) -> None:
        if kind == tarfile.GNUTYPE_LONGNAME:
            extended.path = _decoded(body.rstrip(b'\0'))
        elif kind == tarfile.GNUTYPE_LONGLINK:
            extended.linkpath = _decoded(body.rstrip(b'\0'))
        else:
            records = _pax_records(body)
            if kind == tarfile.XGLTYPE and records.keys() & _DECISIVE:
                raise compression.BadArchive(
                    'it has a global header that renames or resizes members'
                )
            extended.path = records.get('path', extended.path)
            extended.linkpath = records.get('linkpath', extended.linkpath)
            if 'size' in records:
                extended.size = _number(records['size'])

    def _member(self, header: tarfile.TarInfo, extended: _Extended) -> Member:
        path = extended.path or header.name
        kind = _TYPES.get(header.type)
        if kind is None:
            strange = _STRANGE.get(header.type, 'a member of unknown type')
            raise compression.BadArchive(
                f'it has {strange}, {ascii(path[:100])}'
            )
        name = safe_path(path)
        size = header.size if extended.size is None else extended.size
        if size < 0 or (kind is not Type.FILE and size):
            raise compression.BadArchive(
                f'its member {ascii(name[:100])} claims {size} bytes'
            )
        self._expect(size)
        target = ''
        if kind in (Type.SYMLINK, Type.HARDLINK):
            target = _target(name, kind, extended.linkpath or header.linkname)
        return Member(name, kind, size, target)

    def _end(self) -> None:
        """The second of two blocks of zeros, and whatever pads a tape."""
        if self._bytes.take(BLOCK).strip(b'\0'):
            raise compression.BadArchive('its end is damaged')
        for chunk in self._bytes.rest():
            if chunk.strip(b'\0'):
                raise compression.BadArchive('it goes on after its end')


def _target(name: str, kind: Type, link: str) -> str:
    """Where a link leads to; it may climb, but not out of the archive."""
    if kind is Type.HARDLINK:
        return safe_path(link, 'a link')
    if not link or link.startswith('/') or '\0' in link:
        raise compression.BadArchive(f'it has a link to {ascii(link[:100])}')
    return safe_path(
        posixpath.normpath(posixpath.join(posixpath.dirname(name), link)),
        'a link',
    )


# The records of a pax header that change what a member is.
_DECISIVE = {'path', 'linkpath', 'size'}


def _pax_records(body: bytes) -> dict[str, str]:
    """Records of the form "LENGTH KEY=VALUE\\n", LENGTH being of it all."""
    records: dict[str, str] = {}
    while body:
        digits, space, _ = body.partition(b' ')
        length = _number(_decoded(digits)) if space else 0
        record = body[len(digits) + 1 : length]
        key, equals, value = record.partition(b'=')
        if not equals or length > len(body) or not value.endswith(b'\n'):
            raise compression.BadArchive('it has a damaged pax header')
        name = _decoded(key)
        if name.startswith('GNU.sparse.'):
            raise compression.BadArchive('it has a sparse file')
        if name in records:
            raise compression.BadArchive(
                f'it has a pax header that says {ascii(name)} twice'
            )
        records[name] = _decoded(value[:-1])
        body = body[length:]
    return records


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise compression.BadArchive('it has a damaged pax header')
    return int(text)


def _decoded(raw: bytes) -> str:
    return raw.decode('utf-8', 'surrogateescape')


def header(name: str, size: int) -> bytes:
    """The header of a file, the same for the same arguments."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def padding(size: int) -> bytes:
    """What fills up the last block of a content of this size."""
    return b'\0' * (-size % BLOCK)


def file(name: str, content: bytes) -> bytes:
    """A file of a few bytes, complete."""
    return header(name, len(content)) + content + padding(len(content))
