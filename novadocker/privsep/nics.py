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

"""A NIC in the netlink terms of the thread's own network namespace."""

import array
from collections.abc import Container
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import errno
import fcntl
import ipaddress
import os
import pathlib
import socket
import struct
from typing import Any
from typing import TypedDict

import pyroute2

SYSCTL_DIR = pathlib.Path('/proc/sys/net')

# linux/sockios.h and linux/ethtool.h
_SIOCETHTOOL = 0x8946
_ETHTOOL_GDRVINFO = 0x03
_DRIVER_INFO = struct.Struct('=I32s160x')
_VALUE = struct.Struct('=II')
_ETHTOOL_GTXCSUM = 0x16
_ETHTOOL_STXCSUM = 0x17
# linux/rtnetlink.h: routes of an administrator, and the flag of a next hop
# that is to be believed reachable.
_RTPROT_STATIC = 4
_RT_TABLE_MAIN = 254
_RTNH_F_ONLINK = 4
# linux/if_addr.h
_IFA_F_NODAD = 2
# linux/if.h
IFF_UP = 1

# Neutron says which addresses there are, and that nobody else has them: what
# routers advertise does not count, and nothing is probed for before use.
# The last two let announce() work.
_SYSCTLS = (
    ('ipv6/conf/{}/disable_ipv6', '0'),
    ('ipv6/conf/{}/accept_ra', '0'),
    ('ipv6/conf/{}/accept_dad', '0'),
    ('ipv4/conf/{}/arp_notify', '1'),
    ('ipv6/conf/{}/ndisc_notify', '1'),
)


# Of a route: the NIC's index, destination, gateway.
_Key = tuple[int, str, str | None]


class Address(TypedDict):
    ip: str
    prefix: int


class Route(TypedDict):
    """A gateway of None: the destination is on the link itself.

    With ``onlink`` the gateway is outside of the NIC's own subnets.
    """

    destination: str
    gateway: str | None
    onlink: bool


class Nic(TypedDict):
    """A NIC as it shall be; ``device`` is its end on the host.

    That is in ``linux_bridge``, and its traffic goes through ``bridge`` in the
    end, if there are such. ``inner`` are the bridge of a hybrid plug, and both
    ends of the link from there to the switch. ``withdrawn`` are addresses that
    the NIC had once and shall not have.
    """

    name: str
    device: str
    mac: str
    mtu: int
    addresses: Sequence[Address]
    withdrawn: Sequence[Address]
    routes: Sequence[Route]
    linux_bridge: str | None
    inner: Sequence[str]
    bridge: str | None


def find(ipr: Any, device: str) -> Any | None:
    """A device by its name."""
    try:
        return ipr.link('get', ifname=device)[0]
    except pyroute2.NetlinkError as exc:
        if exc.code == errno.ENODEV:
            return None
        raise


def kind(link: Any) -> str | None:
    """What the kernel calls the type of a device, None for a real one."""
    found: str | None = link.get_nested('IFLA_LINKINFO', 'IFLA_INFO_KIND')
    return found


def takes_offloads(ipr: Any, bridge: str) -> bool:
    """Whether packets may reach a bridge with their checksums yet to come.

    The kernel fills them in where a packet leaves it. A switch in user space
    hands packets on as they are, and whoever gets one drops it, unless the
    kernel tells the switch by a header what is missing. The tap device that
    the switch has for the bridge shows whether it does.
    """
    link = find(ipr, bridge)
    if link is None:
        # One that comes later may be of any kind.
        return False
    if kind(link) != 'tun':
        return True
    return bool(
        link.get_nested('IFLA_LINKINFO', 'IFLA_INFO_DATA', 'IFLA_TUN_VNET_HDR')
    )


def set_sysctls(device: str, values: Sequence[tuple[str, str]]) -> None:
    """Write settings of a device.

    :param values: pairs of a path, with {} for the device, and its content
    """
    for name, value in values:
        # A kernel without IPv6 has no such files.
        with contextlib.suppress(FileNotFoundError):
            (SYSCTL_DIR / name.format(device)).write_text(value)


@contextlib.contextmanager
def telling(device: str) -> Iterator[None]:
    """Have errors say of which device they are.

    :raises: OSError and nothing else
    """
    try:
        yield
    except pyroute2.NetlinkError as exc:
        raise OSError(exc.code, f'{device}: {os.strerror(exc.code)}') from exc
    except OSError as exc:
        raise OSError(exc.errno, f'{device}: {exc.strerror}') from exc


def configure(ipr: Any, wanted: Sequence[Nic]) -> None:
    """Give NICs their addresses and routes, and set them up.

    Addresses that somebody inside has added stay, and so do routes that are
    not of the protocol ``static``. Those that were withdrawn from a port go.
    """
    loopback = find(ipr, 'lo')
    if loopback is not None and not loopback['flags'] & IFF_UP:
        ipr.link('set', index=loopback['index'], state='up')
    there = _addresses(ipr)
    indexes = {}
    for nic in wanted:
        with telling(nic['name']):
            index = index_of(nic['name'])
            set_sysctls(nic['name'], _SYSCTLS)
            ipr.link('set', index=index, state='up', mtu=nic['mtu'])
            _set_addresses(ipr, index, nic, there.get(index, set()))
            indexes[index] = nic
    # A NIC that had no address had no route. To ask takes longer than to make
    # one: the kernel tells of all that it has itself.
    routes = list(_routes(ipr)) if there.keys() & indexes else []
    _set_routes(ipr, indexes, routes)


def announce(ipr: Any, nic: Nic) -> None:
    """Tell the neighbours which MAC address has a NIC's addresses.

    They may remember another server that had one of them a minute ago. The
    kernel tells them when the MAC address is set, even to what it is.
    """
    ipr.link('set', index=index_of(nic['name']), address=nic['mac'])


def index_of(name: str) -> int:
    """A device's index, without a message that has to be taken apart.

    :raises: OSError with ENODEV
    """
    try:
        return socket.if_nametoindex(name)
    except OSError as exc:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from exc


def driver_of(name: str) -> str:
    """What drives a device, or what kind it is; asked as cheaply.

    :raises: OSError with ENODEV
    """
    try:
        found = _ethtool(name, _DRIVER_INFO.pack(_ETHTOOL_GDRVINFO, b''))
    except OSError as exc:
        if exc.errno != errno.EOPNOTSUPP:
            raise
        return ''
    return str(_DRIVER_INFO.unpack(found)[1].rstrip(b'\0').decode())


def set_tx_offload(name: str, wanted: bool) -> None:
    """Let packets leave without checksums, and uncut, or complete."""
    found = _ethtool(name, _VALUE.pack(_ETHTOOL_GTXCSUM, 0))
    if bool(_VALUE.unpack(found)[1]) != wanted:
        _ethtool(name, _VALUE.pack(_ETHTOOL_STXCSUM, int(wanted)))


def _ethtool(name: str, request: bytes) -> bytes:
    """One request of linux/ethtool.h, with the answer in its place."""
    buffer = array.array('B', request)
    address, _ = buffer.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(
            handle, _SIOCETHTOOL, struct.pack('16sP', name.encode(), address)
        )
    return buffer.tobytes()


def _addresses(ipr: Any) -> dict[int, set[tuple[str, int]]]:
    """Addresses and their prefixes, by the devices' indexes."""
    found: dict[int, set[tuple[str, int]]] = {}
    for message in ipr.get_addr():
        found.setdefault(message['index'], set()).add(
            (message.get_attr('IFA_ADDRESS'), message['prefixlen'])
        )
    return found


def _set_addresses(
    ipr: Any, index: int, nic: Nic, there: Container[tuple[str, int]]
) -> None:
    for address in nic['withdrawn']:
        if (address['ip'], address['prefix']) in there:
            ipr.addr(
                'del',
                index=index,
                address=address['ip'],
                prefixlen=address['prefix'],
            )
    for address in nic['addresses']:
        found = ipaddress.ip_interface(f'{address["ip"]}/{address["prefix"]}')
        if (str(found.ip), address['prefix']) in there:
            continue
        extra: dict[str, Any] = {'flags': _IFA_F_NODAD}
        if isinstance(found, ipaddress.IPv4Interface):
            extra = {'broadcast': str(found.network.broadcast_address)}
        ipr.addr(
            'add',
            index=index,
            address=str(found.ip),
            prefixlen=address['prefix'],
            **extra,
        )


def _set_routes(
    ipr: Any,
    wanted: Mapping[int, Nic],
    there: Iterable[tuple[_Key, dict[str, Any]]],
) -> None:
    """Give NICs, by their indexes, their routes.

    What goes goes first: a route may move from one NIC to another, and to
    replace it is to take it away there.
    """
    missing = {
        (index, route['destination'], route['gateway']): (nic['name'], route)
        for index, nic in wanted.items()
        for route in nic['routes']
    }
    for key, message in there:
        if key[0] in wanted and missing.pop(key, None) is None:
            with telling(wanted[key[0]]['name']):
                ipr.route('del', **message)
    for (index, *_), (name, route) in missing.items():
        with telling(name):
            ipr.route('replace', **_route(index, route))


def _routes(ipr: Any) -> Iterator[tuple[_Key, dict[str, Any]]]:
    """The routes that this module has made, whatever NIC they lead to."""
    for family in (socket.AF_INET, socket.AF_INET6):
        everything = '0.0.0.0' if family == socket.AF_INET else '::'
        for message in ipr.get_routes(family=family, table=_RT_TABLE_MAIN):
            if message['proto'] != _RTPROT_STATIC:
                continue
            index = message.get_attr('RTA_OIF')
            address = message.get_attr('RTA_DST') or everything
            destination = f'{address}/{message["dst_len"]}'
            gateway = message.get_attr('RTA_GATEWAY')
            yield (
                (index, destination, gateway),
                _route(
                    index,
                    {
                        'destination': destination,
                        'gateway': gateway,
                        'onlink': False,
                    },
                ),
            )


def _route(index: int, route: Route) -> dict[str, Any]:
    version = ipaddress.ip_network(route['destination']).version
    message: dict[str, Any] = {
        'family': socket.AF_INET if version == 4 else socket.AF_INET6,
        'dst': route['destination'],
        'oif': index,
        'proto': _RTPROT_STATIC,
    }
    if route['gateway'] is None:
        message['scope'] = 'link'
    else:
        message['gateway'] = route['gateway']
    if route['onlink']:
        message['flags'] = _RTNH_F_ONLINK
    return message
