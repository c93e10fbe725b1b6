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


"""Streams of compressed bytes, taken apart in bounded memory.

What a stream is compressed with is told by its first bytes, never by a name.
However much a few bytes expand to, at most one piece is held at a time.
"""

import bz2
from collections.abc import Iterable
from collections.abc import Iterator
import enum
import itertools
import lzma
from typing import cast
from typing import IO
from typing import Protocol
import zlib

import zstandard

# Bytes that are held of what comes out.
PIECE = 1 << 18
# Bytes of memory that a stream may ask for as its dictionary. The highest
# levels of xz and zstd stay below.
_MAX_DICTIONARY = 1 << 27


class BadArchive(ValueError):
    """The bytes are not what they have to be; the text says why."""


class Kind(enum.StrEnum):
    GZIP = 'gzip'
    BZIP2 = 'bzip2'
    XZ = 'xz'
    ZSTD = 'zstd'


_MAGIC = {
    b'\x1f\x8b\x08': Kind.GZIP,
    b'BZh': Kind.BZIP2,
    b'\xfd7zXZ\x00': Kind.XZ,
    b'\x28\xb5\x2f\xfd': Kind.ZSTD,
}
_ERRORS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


def kind_of(head: bytes) -> Kind | None:
    """What compressed the stream that begins like this, None for nothing."""
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    return None


class _Codec(Protocol):
    """What bz2 and lzma offer for one compressed member."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib with the interface of bz2 and lzma."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        data = self._zlib.unconsumed_tail + data
        piece = self._zlib.decompress(data, max_length)
        self.needs_input = len(piece) < max_length
        return piece


def _codec(kind: Kind) -> _Codec:
    if kind is Kind.GZIP:
        return _Gzip()
    if kind is Kind.BZIP2:
        return bz2.BZ2Decompressor()
    if kind is Kind.XZ:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_DICTIONARY)
    raise BadArchive(f'it has a part that is compressed with {kind}')


class Expander:
    """Takes compressed bytes as they come, and gives what they expand to.

    For gzip, bzip2 and xz, one member after another as their tools have it.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._codec = _codec(kind)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """:raises: BadArchive"""
        while data or not (self._codec.eof or self._codec.needs_input):
            if self._codec.eof:
                # Some tools pad a member to the size of a block.
                data = data.lstrip(b'\0')
                if not data:
                    return
                self._codec = _codec(self._kind)
            try:
                piece = self._codec.decompress(data, PIECE)
            except _ERRORS as exc:
                raise BadArchive(
                    f'its {self._kind} data are damaged ({exc})'
                ) from exc
            data = self._codec.unused_data if self._codec.eof else b''
            if piece:
                yield piece

    def close(self) -> None:
        """:raises: BadArchive if the data must have gone on"""
        if not self._codec.eof:
            raise BadArchive(f'its {self._kind} data end too early')


def expanded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What a stream contains, whether it is compressed or not.

    :raises: BadArchive
    """
    rest = iter(chunks)
    head = b''
    for chunk in rest:
        head += chunk
        if len(head) >= max(map(len, _MAGIC)):
            break
    whole = itertools.chain((head,), rest)
    kind = kind_of(head)
    if kind is None:
        yield from whole
    elif kind is Kind.ZSTD:
        yield from _expanded_zstd(whole)
    else:
        expander = Expander(kind)
        for chunk in whole:
            yield from expander.feed(chunk)
        expander.close()


class _Readable:
    """Chunks as the file that zstandard reads from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b''

    def read(self, size: int) -> bytes:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b''
            self._rest = chunk
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


def _expanded_zstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    # Only the reader bounds its output: the push interface of zstandard
    # returns all that a chunk expands to at once.
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_DICTIONARY)
    source = cast(IO[bytes], _Readable(chunks))
    reader = decompressor.stream_reader(source, read_across_frames=True)
    while True:
        try:
            piece = reader.read(PIECE)
        except zstandard.ZstdError as exc:
            raise BadArchive(f'its zstd data are damaged ({exc})') from exc
        if not piece:
            return
        yield piece
