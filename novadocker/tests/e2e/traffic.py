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
"""Real traffic between network namespaces: bytes that go and come back.

Runs the host's Python in the namespaces: an image would have to have one.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import json
import socket
import struct
import subprocess
import sys
from typing import Any

PORT = 5001
PATIENCE = 60

# All that comes goes back, over both protocols at once.
_ECHO = """
import socket
import threading

def streams():
    while True:
        connection, _ = listener.accept()
        with connection:
            kept = []
            while data := connection.recv(1 << 16):
                if {at_once}:
                    connection.sendall(data)
                else:
                    kept.append(data)
            connection.sendall(b''.join(kept))

def datagrams():
    while True:
        data, sender = receiver.recvfrom(1 << 16)
        receiver.sendto(data, sender)

everywhere = ('::', {port})
listener = socket.create_server(
    everywhere, family=socket.AF_INET6, dualstack_ipv6=True)
receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
receiver.bind(everywhere)
threading.Thread(target=streams, daemon=True).start()
print('ready', flush=True)
datagrams()
"""

_TCP = """
import os
import socket
import threading

data = os.urandom({size})
with socket.create_connection(('{address}', {port}), 3) as connection:
    connection.settimeout(10)
    def send():
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
    threading.Thread(target=send).start()
    found = bytearray()
    while len(found) < len(data) and (some := connection.recv(1 << 16)):
        found += some
print(found == data)
"""

# Up to sixteen datagrams are on their way at any time: more would be lost in
# the buffers of sockets.
_UDP = """
import os
import socket

PIECE = 1200
family = socket.getaddrinfo('{address}', None)[0][0]
data = os.urandom({size})
pieces = [data[at:at + PIECE] for at in range(0, len(data), PIECE)]
found = []
with socket.socket(family, socket.SOCK_DGRAM) as connection:
    connection.settimeout(3)
    connection.connect(('{address}', {port}))
    for number, piece in enumerate(pieces):
        connection.send(piece)
        if number >= 16:
            found.append(connection.recv(1 << 16))
    while len(found) < len(pieces):
        found.append(connection.recv(1 << 16))
print(found == pieces)
"""

# Says what comes until nothing has come for some seconds.
_HEAR = """
import socket

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
    receiver.bind(('0.0.0.0', {port}))
    receiver.settimeout(3)
    print('ready', flush=True)
    try:
        while True:
            print(receiver.recv(1 << 16).decode(), flush=True)
    except TimeoutError:
        pass
"""

_SEND = """
import socket
import time

with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
    sender.bind(('{device}', 0))
    for _ in range(3):
        for frame in {frames}:
            sender.send(bytes.fromhex(frame))
        time.sleep(0.2)
"""


@dataclasses.dataclass(frozen=True)
class Station:
    """Who sends or gets a frame."""

    mac: str
    ip: str


def _command(namespace: str | None, program: str) -> list[str]:
    inside = ['ip', 'netns', 'exec', namespace] if namespace else []
    return [*inside, sys.executable, '-c', program]


@contextlib.contextmanager
def _running(namespace: str | None, program: str) -> Iterator[Any]:
    """Run a program from when it is ready until the end of the block."""
    with subprocess.Popen(
        _command(namespace, program), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            if not process.stdout or not process.stdout.readline():
                raise AssertionError(f'nothing listens in {namespace}')
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def echo(namespace: str | None, at_once: bool = True) -> Iterator[None]:
    """Have a namespace send back what it gets, over TCP and UDP.

    :param namespace: None for that of the host
    :param at_once: with TCP, send while it still gets
    """
    with _running(namespace, _ECHO.format(port=PORT, at_once=at_once)):
        yield


def comes_back(
    namespace: str | None, address: str, protocol: str, size: int
) -> bool:
    """Whether bytes come back whole from an :func:`echo`.

    :param protocol: tcp or udp
    """
    program = {'tcp': _TCP, 'udp': _UDP}[protocol]
    done = subprocess.run(
        _command(
            namespace, program.format(address=address, port=PORT, size=size)
        ),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.stdout == 'True\n'


def heard(
    source: str,
    target: str | None,
    to: Station,
    device: str = 'eth0',
    **senders: Station,
) -> set[str]:
    """Which of several senders a namespace hears.

    :param source: the namespace that sends
    :param target: None for the host
    :param device: what it is sent through
    :param senders: who a frame says that it is from, by what it says
    """
    frames = [_frame(text, sender, to) for text, sender in senders.items()]
    with _running(target, _HEAR.format(port=PORT)) as hearing:
        program = _SEND.format(device=device, frames=json.dumps(frames))
        subprocess.run(_command(source, program), timeout=PATIENCE, check=True)
        return set(hearing.stdout.read().split())


def _frame(text: str, sender: Station, to: Station) -> str:
    """A UDP datagram with all that is around it, in hexadecimal digits."""
    size = 8 + len(text)
    udp = struct.pack('!HHHH', PORT, PORT, size, 0) + text.encode()
    header = struct.pack(
        '!BBHHHBBH4s4s',
        *(0x45, 0, 20 + size, 0, 0, 64, socket.IPPROTO_UDP, 0),
        socket.inet_aton(sender.ip),
        socket.inet_aton(to.ip),
    )
    words = sum(struct.unpack('!10H', header))
    checksum = 0xFFFF - (words % 0xFFFF)
    ip = header[:10] + struct.pack('!H', checksum) + header[12:]
    ethernet = bytes.fromhex((to.mac + sender.mac).replace(':', '') + '0800')
    return (ethernet + ip + udp).hex()
