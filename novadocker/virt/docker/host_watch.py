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

"""What others do to the host behind our back, told by the kernel.

The end of a server's NIC on the host may be deleted by anybody who is root,
and so may the name of its network namespace. Both need no privilege to be
watched.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import ctypes
import errno
import os
import pathlib
import selectors
import socket
import struct
import threading

from oslo_log import log as logging

from novadocker.virt.docker import naming
from novadocker.virt.docker import ports

LOG = logging.getLogger(__name__)

# linux/rtnetlink.h, linux/if_link.h
_NETLINK_ROUTE = 0
_RTMGRP_LINK = 1
_RTM_DELLINK = 17
_IFLA_IFNAME = 3
_HEADER = struct.Struct('=IHHII')
_LINK = struct.Struct('=BxHiII')
_ATTRIBUTE = struct.Struct('=HH')

# linux/inotify.h
_IN_MOVED = 0xC0
_IN_CREATE = 0x100
_IN_DELETE = 0x200
_IN_Q_OVERFLOW = 0x4000
_NOTICE = struct.Struct('=iIII')

_BUFFER = 1 << 16

_libc = ctypes.CDLL(None, use_errno=True)


class HostWatch:
    """Has servers mended whose devices or names on the host are gone."""

    def __init__(
        self,
        plugged: ports.Ports,
        directory: pathlib.Path,
        mend: Callable[[str, str], None],
    ) -> None:
        """:param directory: where network namespaces have their names
        :param mend: is told a server's uuid, and what has happened to it
        """
        self._ports = plugged
        self._directory = directory
        self._mend = mend
        self._end, self._ending = socket.socketpair()

    def start(self) -> None:
        """Watch the network namespace of the calling thread."""
        with contextlib.ExitStack() as opened:
            links = opened.enter_context(_links())
            names = _names(self._directory)
            opened.callback(os.close, names)
            thread = threading.Thread(
                target=self._watch_thread,
                args=(links, names, opened.pop_all()),
                name='novadocker-watch',
                daemon=True,
            )
        thread.start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._end.send(b'.')

    def _watch_thread(
        self, links: socket.socket, names: int, opened: contextlib.ExitStack
    ) -> None:
        with (
            opened,
            self._end,
            self._ending,
            selectors.DefaultSelector() as selector,
        ):
            selector.register(links, selectors.EVENT_READ, self._read_links)
            selector.register(names, selectors.EVENT_READ, self._read_names)
            selector.register(self._ending, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        return
                    try:
                        key.data(key.fileobj)
                    except Exception:
                        # What happens next must still be seen.
                        LOG.exception('An event of the host is lost')

    def _read_links(self, links: socket.socket) -> None:
        try:
            data = links.recv(_BUFFER)
        except OSError as exc:
            if exc.errno != errno.ENOBUFS:
                raise
            self._mend_all()
            return
        for device in deleted(data):
            uuid = self._ports.owner(device)
            if uuid is not None:
                self._mend(uuid, f'its device {device} was deleted')

    def _read_names(self, handle: int) -> None:
        for name in changed(os.read(handle, _BUFFER)):
            if name is None:
                self._mend_all()
                return
            uuid = naming.named_instance(name)
            if uuid is not None and not self._ports.is_named(uuid):
                self._mend(uuid, 'its network namespace had lost its name')

    def _mend_all(self) -> None:
        """After more has happened than the kernel could tell."""
        for uuid in self._ports.servers():
            self._mend(uuid, 'events of the host were lost')


def _links() -> socket.socket:
    links = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
    links.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER * 16)
    links.bind((0, _RTMGRP_LINK))
    return links


def _names(directory: pathlib.Path) -> int:
    handle: int = _libc.inotify_init1(os.O_CLOEXEC)
    wanted = _IN_MOVED | _IN_CREATE | _IN_DELETE
    if _libc.inotify_add_watch(handle, bytes(directory), wanted) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(directory))
    return handle


def deleted(data: bytes) -> Iterator[str]:
    """The devices of whose deletion these netlink messages tell."""
    while len(data) >= _HEADER.size + _LINK.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        family = data[_HEADER.size]
        # Other families tell that a device has left a bridge of theirs.
        if kind == _RTM_DELLINK and family == socket.AF_UNSPEC:
            yield from _device(data[_HEADER.size + _LINK.size : length])
        data = data[_aligned(length) :]


def _device(attributes: bytes) -> Iterator[str]:
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == _IFLA_IFNAME:
            yield attributes[_ATTRIBUTE.size : length].rstrip(b'\0').decode()
            return
        attributes = attributes[_aligned(length) :]


def _aligned(length: int) -> int:
    """Where the next one begins; never here, or it would go on for ever."""
    return max(4, (length + 3) & ~3)


def changed(data: bytes) -> Iterator[str | None]:
    """The names of which these notices tell; None if some are missing."""
    while len(data) >= _NOTICE.size:
        _, mask, _, length = _NOTICE.unpack_from(data)
        if mask & _IN_Q_OVERFLOW:
            yield None
        else:
            name = data[_NOTICE.size : _NOTICE.size + length]
            yield os.fsdecode(name.rstrip(b'\0'))
        data = data[_NOTICE.size + length :]
