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


"""Ends of a transfer that push where we pull, and the other way round.

Glance's client writes a download into a file and reads an upload from one.
There is no file: a few chunks on their way are all that is ever held.
"""

from collections.abc import Callable
from collections.abc import Iterator
from concurrent import futures
import contextlib
import queue
import threading
from typing import Protocol

# Chunks on their way from one thread to the other. Glance's client makes them
# of 1 MiB. So many that one end goes on computing while the other waits for
# the engine, or for the network.
_DEPTH = 8
# Seconds after which the end that waits looks whether the other is gone.
_LOOK = 0.5


class Writable(Protocol):
    """What a download is written to."""

    def write(self, data: bytes, /) -> int: ...
    def truncate(self, size: int = 0, /) -> int: ...


class Abandoned(ConnectionError):
    """Nobody wants the rest of a download."""


class _Pipe:
    """A file for the writer, in a thread of its own, with a reader's end."""

    def __init__(self) -> None:
        self._chunks: queue.Queue[bytes | None] = queue.Queue(_DEPTH)
        self._abandoned = threading.Event()

    def write(self, data: bytes, /) -> int:
        if data:
            self._put(data)
        return len(data)

    def truncate(self, size: int = 0, /) -> int:
        # For a writer that takes everything back: its error follows, by
        # which nothing of it is used.
        return size

    def _put(self, chunk: bytes | None) -> None:
        while not self._abandoned.is_set():
            with contextlib.suppress(queue.Full):
                self._chunks.put(chunk, timeout=_LOOK)
                return
        raise Abandoned('the reader is gone')

    def run(self, produce: Callable[[Writable], None]) -> None:
        try:
            produce(self)
        finally:
            with contextlib.suppress(Abandoned):
                self._put(None)

    def read(self, writer: futures.Future[None]) -> Iterator[bytes]:
        while (chunk := self._chunks.get()) is not None:
            yield chunk
        writer.result()

    def abandon(self) -> None:
        self._abandoned.set()


@contextlib.contextmanager
def produced(produce: Callable[[Writable], None]) -> Iterator[Iterator[bytes]]:
    """The bytes that a function writes, while it runs in its own thread.

    Its error, whatever it is, comes after its last byte. Leaving the context
    early makes its next write fail, and waits for its end.
    """
    pipe = _Pipe()
    with futures.ThreadPoolExecutor(1, 'image-download') as pool:
        writer = pool.submit(pipe.run, produce)
        try:
            yield pipe.read(writer)
        finally:
            pipe.abandon()


class Readable:
    """An iterator of bytes as a file to be read once.

    After an error every read fails with it again, so that nobody takes the
    part that came before for the whole.

    :ivar size: bytes that were read
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b''
        self._error: BaseException | None = None
        self.size = 0
        self.complete = False

    def read(self, size: int = -1) -> bytes:
        """Up to so many bytes, all with -1; none at the end."""
        if self._error is not None:
            raise self._error
        wanted = [self._rest]
        have = len(self._rest)
        while not self.complete and (size < 0 or have < size):
            chunk = self._next()
            wanted.append(chunk)
            have += len(chunk)
        data = b''.join(wanted)
        if size >= 0:
            data, self._rest = data[:size], data[size:]
        else:
            self._rest = b''
        self.size += len(data)
        return data

    def _next(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            self.complete = True
            return b''
        except BaseException as exc:
            self._error = exc
            raise
