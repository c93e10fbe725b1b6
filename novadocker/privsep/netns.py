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

"""NICs of network namespaces.

A namespace is given by the pid of a process in it *and* by its inode: a pid
may long belong to another process, and a function that finds another inode
there touches nothing and raises ProcessLookupError. All functions may be
repeated, and raise OSError and nothing else.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent import futures
import contextlib
import ctypes
import errno
import os
import pathlib
import re
import socket
from typing import Any
from typing import TypeVar

import pyroute2

from novadocker import privsep
from novadocker.privsep import nics

NETNS_DIR = pathlib.Path('/var/run/netns')

_LINK_NAME = re.compile(r'nova-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')
_LINK_TARGET = re.compile(r'/proc/[0-9]+/ns/net')

# linux/sched.h
_CLONE_NEWNET = 0x40000000
# On a userspace datapath what an instance sends reaches the host's own stack
# as well: it must not find an address of the host there. With a strict
# reverse path filter no source is plausible, since no route leads here.
_SYSCTLS = (
    ('ipv6/conf/{}/disable_ipv6', '1'),
    ('ipv4/conf/{}/rp_filter', '1'),
    ('ipv4/conf/{}/arp_ignore', '8'),
)

_T = TypeVar('_T')

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def _netlink() -> Iterator[Any]:
    """A netlink socket of the thread's namespace."""
    with pyroute2.IPRoute() as ipr:
        try:
            yield ipr
        except pyroute2.NetlinkError as exc:
            # Nova-compute knows errors of the operating system only.
            raise OSError(exc.code, os.strerror(exc.code)) from exc


@contextlib.contextmanager
def _namespace(pid: int, netns: int) -> Iterator[int]:
    """Open a namespace, and hold it for as long as it is needed."""
    opened = os.open(of_process(pid), os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(opened).st_ino != netns:
            raise ProcessLookupError(
                errno.ESRCH, f'process {pid} is not in namespace {netns}'
            )
        yield opened
    finally:
        os.close(opened)


def _inside(pid: int, netns: int, work: Callable[[Any], _T]) -> _T:
    """Run work in a namespace, in a thread that ends with it."""

    def enter() -> _T:
        if _libc.setns(opened, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        with _netlink() as ipr:
            return work(ipr)

    with _namespace(pid, netns) as opened:
        with futures.ThreadPoolExecutor(1, 'novadocker-netns') as thread:
            return thread.submit(enter).result()


def _veth(device: str) -> int | None:
    """The index of a veth of this name.

    :raises: OSError if it is of another kind: no device of the host is ours
    """
    try:
        index = nics.index_of(device)
        driver = nics.driver_of(device)
    except OSError as exc:
        if exc.errno != errno.ENODEV:
            raise
        return None
    if driver != 'veth':
        raise OSError(errno.EINVAL, f'{device} is not a veth')
    return index


def _bridge(name: str) -> int:
    """The index of a Linux bridge."""
    with nics.telling(name):
        if nics.driver_of(name) != 'bridge':
            raise OSError(errno.EINVAL, 'it is not a bridge')
        return nics.index_of(name)


def _delete(ipr: Any, index: int) -> None:
    try:
        ipr.link('del', index=index)
    except pyroute2.NetlinkError as exc:
        if exc.code != errno.ENODEV:
            raise


@privsep.sys_admin_pctxt.entrypoint
def inode(pid: int) -> int:
    """The inode of the network namespace that a process is in."""
    return os.stat(of_process(pid)).st_ino


@privsep.sys_admin_pctxt.entrypoint
def connect(pid: int, netns: int, wanted: Sequence[nics.Nic]) -> None:
    """Make NICs in a namespace, with their other ends on the host; all down.

    A veth that has such an end's name on the host is a leftover, and is
    replaced.
    """
    with _namespace(pid, netns) as opened, _netlink() as ipr:
        for nic in wanted:
            with nics.telling(nic['device']):
                _connect(ipr, opened, nic)


def _connect(ipr: Any, namespace: int, nic: nics.Nic) -> None:
    leftover = _veth(nic['device'])
    if leftover is not None:
        _delete(ipr, leftover)
    ipr.link(
        'add',
        kind='veth',
        ifname=nic['device'],
        mtu=nic['mtu'],
        peer={
            'ifname': nic['name'],
            'address': nic['mac'],
            'mtu': nic['mtu'],
            'net_ns_fd': namespace,
        },
    )


@privsep.sys_admin_pctxt.entrypoint
def complete(pid: int, netns: int, wanted: Sequence[nics.Nic]) -> None:
    """Make NICs, both ends, and the loopback, what they shall be."""
    with _netlink() as ipr:
        for nic in wanted:
            with nics.telling(nic['device']):
                _bring_up(ipr, nic)
        offloads = {
            bridge: bridge is None or nics.takes_offloads(ipr, bridge)
            for bridge in {nic['bridge'] for nic in wanted}
        }

    def work(ipr: Any) -> None:
        for nic in wanted:
            with nics.telling(nic['name']):
                nics.set_tx_offload(nic['name'], offloads[nic['bridge']])
        nics.configure(ipr, wanted)

    _inside(pid, netns, work)


def _bring_up(ipr: Any, nic: nics.Nic) -> None:
    """Let traffic pass the host's end of a NIC."""
    index = _veth(nic['device'])
    if index is None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    changes: dict[str, Any] = {'state': 'up', 'mtu': nic['mtu']}
    if nic['linux_bridge'] is not None:
        changes['master'] = _bridge(nic['linux_bridge'])
    nics.set_sysctls(nic['device'], _SYSCTLS)
    ipr.link('set', index=index, **changes)
    for name in nic['inner'][1:]:
        end = _veth(name)
        if end is not None:
            ipr.link('set', index=end, mtu=nic['mtu'])


@privsep.sys_admin_pctxt.entrypoint
def announce(pid: int, netns: int, wanted: Sequence[nics.Nic]) -> None:
    """Tell the neighbours of NICs that they find their addresses there."""

    def work(ipr: Any) -> None:
        for nic in wanted:
            with nics.telling(nic['name']):
                nics.announce(ipr, nic)

    _inside(pid, netns, work)


@privsep.sys_admin_pctxt.entrypoint
def interfaces(pid: int, netns: int) -> list[dict[str, Any]]:
    """The NICs of a namespace, the loopback excepted.

    Each has the keys name, mac, mtu, up, addresses (of global scope, as
    pairs of address and length of the prefix), counters (of the kernel, by
    its names), and device: the name of its end on the host, empty where there
    is none.
    """
    found = _inside(pid, netns, _describe)
    for one in found:
        try:
            one['device'] = socket.if_indextoname(one.pop('peer'))
        except OSError:
            one['device'] = ''
    return found


def _describe(ipr: Any) -> list[dict[str, Any]]:
    addresses: dict[int, list[tuple[str, int]]] = {}
    for message in ipr.get_addr(scope=0):
        addresses.setdefault(message['index'], []).append(
            (message.get_attr('IFA_ADDRESS'), message['prefixlen'])
        )
    return [
        {
            'name': link.get_attr('IFLA_IFNAME'),
            'mac': link.get_attr('IFLA_ADDRESS'),
            'mtu': link.get_attr('IFLA_MTU'),
            'up': bool(link['flags'] & nics.IFF_UP),
            'addresses': addresses.get(link['index'], []),
            'counters': dict(link.get_attr('IFLA_STATS64') or {}),
            'peer': link.get_attr('IFLA_LINK') or 0,
        }
        for link in ipr.get_links()
        if nics.kind(link) == 'veth'
    ]


@privsep.sys_admin_pctxt.entrypoint
def delete(device: str) -> None:
    """Delete a veth by its end on the host; the NIC goes with it."""
    with _netlink() as ipr:
        index = _veth(device)
        if index is not None:
            _delete(ipr, index)


def of_process(pid: int) -> str:
    """The path by which a process names its network namespace."""
    return f'/proc/{pid:d}/ns/net'


def target(name: str) -> str | None:
    """Where the name of a namespace leads to. Needs no privilege."""
    try:
        return os.readlink(NETNS_DIR / name)
    except OSError:
        return None


def _link_path(name: str) -> pathlib.Path:
    if not _LINK_NAME.fullmatch(name):
        raise OSError(errno.EINVAL, f'{name} is not a name of ours')
    return NETNS_DIR / name


def _is_ours(path: pathlib.Path) -> bool:
    """Whether there is a link of ours, or nothing: never touch a mount."""
    try:
        target = os.readlink(path)
    except FileNotFoundError:
        return False
    if not _LINK_TARGET.fullmatch(target):
        raise OSError(errno.EEXIST, f'{path} is not a link to a namespace')
    return True


@privsep.sys_admin_pctxt.entrypoint
def link(name: str, pid: int, netns: int) -> bool:
    """Let ``ip netns exec`` know a namespace by a name.

    :returns: whether the name was not there, or led elsewhere
    """
    path = _link_path(name)
    wanted = of_process(pid)
    with _namespace(pid, netns):
        NETNS_DIR.mkdir(mode=0o755, exist_ok=True)
        if _is_ours(path) and os.readlink(path) == wanted:
            return False
        draft = path.with_name(f'.{name}.{os.getpid()}')
        draft.unlink(missing_ok=True)
        draft.symlink_to(wanted)
        draft.replace(path)
        return True


@privsep.sys_admin_pctxt.entrypoint
def unlink(name: str) -> None:
    """Forget a name given by :func:`link`."""
    path = _link_path(name)
    if _is_ours(path):
        path.unlink(missing_ok=True)


@privsep.sys_admin_pctxt.entrypoint
def sweep() -> list[str]:
    """Forget the names of namespaces that have gone; returns them.

    They lead nowhere, whoever of the nova-compute services of this host has
    given them. The directory is there afterwards.
    """
    NETNS_DIR.mkdir(mode=0o755, parents=True, exist_ok=True)
    gone = []
    for path in NETNS_DIR.glob('nova-*'):
        if not _LINK_NAME.fullmatch(path.name) or not path.is_symlink():
            continue
        if _is_ours(path) and not path.exists():
            path.unlink(missing_ok=True)
            gone.append(path.name)
    return gone
