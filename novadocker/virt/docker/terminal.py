#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.
"""A terminal of a container: bytes in both directions over one connection."""

import contextlib
import socket
from typing import Any
from typing import Self

_CHUNK = 65536


class Terminal:
    """What the engine hands over after an attach.

    One thread may receive while another one sends, and any may close.
    """

    def __init__(self, response: Any) -> None:
        """:param response: to the request, its headers read and no more"""
        self._response = response
        # Has what came together with the headers.
        self._reader = response.raw._fp.fp
        raw = self._reader.raw
        self._socket: socket.socket = getattr(raw, '_sock', raw)
        # It may be silent for as long as it likes.
        self._socket.settimeout(None)

    def receive(self) -> bytes:
        """Wait for output; there is none any more if this is empty."""
        try:
            found: bytes = self._reader.read1(_CHUNK)
        except (OSError, ValueError):
            # Closed, by the other side or by ours.
            return b''
        return found

    def send(self, data: bytes) -> None:
        """:raises: OSError if the terminal is closed"""
        self._socket.sendall(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal, and wake who waits for output."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._response.close()
