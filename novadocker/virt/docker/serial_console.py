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
"""Terminals of servers, for Nova's serial proxy to connect to.

The proxy wants a TCP port of this host for each server, and speaks plain
bytes. Who may use it is Nova's to decide: a port listens on the address that
the proxies of the cloud reach, and on no other.
"""

from collections.abc import Callable
import contextlib
import dataclasses
import functools
import socket
import threading
from typing import Any

from nova.console import serial
from nova.console import type as console_type
from nova import exception as nova_exception
from oslo_log import log as logging

from novadocker import exception
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import signals
from novadocker.virt.docker import terminal

LOG = logging.getLogger(__name__)

PROCESS = 'process'
SHELL = 'shell'

# The better shell, where there is one.
_SHELL = (
    '/bin/sh',
    '-c',
    'command -v bash >/dev/null && exec bash -l; exec sh -l',
)

_CHUNK = 65536

Opened = tuple[terminal.Terminal, Callable[[], None]]


@dataclasses.dataclass(frozen=True)
class ConsoleSettings:
    """What an operator decides for the consoles of all servers.

    :ivar address: that the proxies connect to
    :ivar mode: PROCESS or SHELL
    """

    address: str
    mode: str


class SerialConsoles:
    """The consoles of this host's servers."""

    def __init__(
        self, client: engine.Client, settings: ConsoleSettings
    ) -> None:
        self._client = client
        self._settings = settings
        self._lock = threading.Lock()
        self._listeners: dict[str, Listener] = {}

    def get(self, instance: Any) -> console_type.ConsoleSerial:
        """Where the console of a server is reached, from now on.

        :raises: InstanceNotReady if there is no process to talk to
        """
        uuid = instance.uuid
        try:
            found = self._client.inspect(naming.instance_name(uuid))
        except exception.ContainerNotFound as exc:
            raise nova_exception.InstanceNotFound(instance_id=uuid) from exc
        if not found.state.alive:
            raise nova_exception.InstanceNotReady(instance_id=uuid)
        with self._lock:
            if uuid not in self._listeners:
                self._listeners[uuid] = self._listen(uuid)
            port = self._listeners[uuid].port
        return console_type.ConsoleSerial(
            host=self._settings.address, port=port
        )

    def _listen(self, uuid: str) -> 'Listener':
        """:raises: SocketPortRangeExhaustedException"""
        address = self._settings.address
        port = serial.acquire_port(address)
        try:
            return Listener(address, port, lambda: self._open(uuid))
        except OSError as exc:
            serial.release_port(address, port)
            raise nova_exception.SocketPortInUseException(
                host=address, port=port, error=exc
            ) from exc

    def _open(self, uuid: str) -> Opened:
        """A terminal of a server, and what is to be done at its end."""
        name = naming.instance_name(uuid)
        if (
            self._client.inspect(name).state
            is not model.ContainerState.RUNNING
        ):
            raise exception.ContainerConflict(409, 'the server does not run')
        if self._settings.mode == PROCESS:
            return self._client.attach(name), lambda: None
        shell, opened = self._client.shell(name, _SHELL)
        return opened, lambda: self._hang_up(name, shell)

    def _hang_up(self, name: str, shell: str) -> None:
        """End a shell: the engine lets it live when its user has left."""
        with contextlib.suppress(OSError, exception.NovaDockerException):
            pid = self._client.shell_pid(shell)
            if pid:
                told = f'kill -HUP {signals.inner_pid(pid)}'
                self._client.run(name, ('/bin/sh', '-c', told))

    def close(self, uuid: str) -> None:
        """End the console of a server; there need not be one."""
        with self._lock:
            listener = self._listeners.pop(uuid, None)
        if listener is not None:
            listener.close()
            serial.release_port(self._settings.address, listener.port)

    def stop(self) -> None:
        """End all consoles."""
        for uuid in list(self._listeners):
            self.close(uuid)


class Listener:
    """A port, and the viewers that have come to it."""

    def __init__(
        self, address: str, port: int, open_terminal: Callable[[], Opened]
    ) -> None:
        """:raises: OSError if the port cannot be had"""
        self.port = port
        self._open = open_terminal
        self._lock = threading.Lock()
        self._closed = False
        self._viewers: set[socket.socket] = set()
        family = socket.AF_INET6 if ':' in address else socket.AF_INET
        self._server = socket.create_server((address, port), family=family)
        _thread(self._accept_thread, 'console')

    def close(self) -> None:
        """Take no more viewers, and send those away that are there."""
        with self._lock:
            self._closed = True
            sockets = [self._server, *self._viewers]
        for one in sockets:
            _hang_up(one)

    def _accept_thread(self) -> None:
        # Closed by who waits for it: on eventlet nobody else could wake him.
        with self._server:
            while True:
                try:
                    viewer, _ = self._server.accept()
                except OSError:
                    # The port is closed, or was never to be had.
                    return
                with self._lock:
                    if self._closed:
                        viewer.close()
                        return
                    self._viewers.add(viewer)
                _thread(functools.partial(self._serve, viewer), 'viewer')

    def _serve(self, viewer: socket.socket) -> None:
        """Be between a viewer and a terminal until one of them leaves."""
        try:
            with contextlib.suppress(OSError):
                self._connect(viewer)
        finally:
            with self._lock:
                self._viewers.discard(viewer)
            viewer.close()

    def _connect(self, viewer: socket.socket) -> None:
        try:
            opened, at_the_end = self._open()
        except exception.NovaDockerException as exc:
            LOG.info('A console could not be opened: %s', exc)
            viewer.sendall(f'[nova-docker] {exc}\r\n'.encode())
            return
        keyboard = _thread(
            functools.partial(_type, viewer, opened), 'keyboard'
        )
        try:
            with opened:
                while output := opened.receive():
                    viewer.sendall(output)
        finally:
            at_the_end()
            _hang_up(viewer)
            # Who still waits for the viewer has to hear of its end first.
            keyboard.join()


def _type(viewer: socket.socket, opened: terminal.Terminal) -> None:
    """Pass on what a viewer types, until he leaves."""
    with opened, contextlib.suppress(OSError):
        while typed := viewer.recv(_CHUNK):
            opened.send(typed)


def _hang_up(one: socket.socket) -> None:
    """Wake who waits for a socket, in any thread, and let him find its end."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def _thread(work: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(
        target=work, name=f'novadocker-{name}', daemon=True
    )
    thread.start()
    return thread
