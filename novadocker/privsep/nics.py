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
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import errno
import fcntl
import ipaddress
import pathlib
import socket
import struct
from typing import Any
from typing import TypedDict

import pyroute2

SYSCTL_DIR = pathlib.Path('/proc/sys/net')

# linux/sockios.h and linux/ethtool.h
_SIOCETHTOOL = 0x8946
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

    Traffic of that goes through ``bridge``, if there is one. ``withdrawn`` are
    addresses that it had once and shall not have.
    """

    name: str
    device: str
    mac: str
    mtu: int
    addresses: Sequence[Address]
    withdrawn: Sequence[Address]
    routes: Sequence[Route]
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


def configure(ipr: Any, nic: Nic) -> None:
    """Give a NIC its addresses and routes, and set it up.

    Addresses that somebody inside has added stay, and so do routes that are
    not of the protocol ``static``. Those that were withdrawn from the port
    go.
    """
    link = find(ipr, nic['name'])
    if link is None:
        raise OSError(errno.ENODEV, f'there is no NIC {nic["name"]}')
    loopback = find(ipr, 'lo')
    if loopback is not None and not loopback['flags'] & IFF_UP:
        ipr.link('set', index=loopback['index'], state='up')
    set_sysctls(nic['name'], _SYSCTLS)
    ipr.link('set', index=link['index'], state='up', mtu=nic['mtu'])
    _set_addresses(ipr, link['index'], nic)
    _set_routes(ipr, link['index'], nic['routes'])


def announce(ipr: Any, name: str) -> None:
    """Tell the neighbours which MAC address has the NIC's addresses.

    They may remember another server that had one of them a minute ago. The
    kernel tells them when the MAC address is set, even to what it is.
    """
    link = find(ipr, name)
    if link is None:
        raise OSError(errno.ENODEV, f'there is no NIC {name}')
    ipr.link('set', index=link['index'], address=link.get_attr('IFLA_ADDRESS'))


def set_tx_offload(name: str, wanted: bool) -> None:
    """Let packets leave without checksums, and uncut, or complete."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        if bool(_ethtool(handle, name, _ETHTOOL_GTXCSUM, 0)) != wanted:
            _ethtool(handle, name, _ETHTOOL_STXCSUM, int(wanted))


def _ethtool(
    handle: socket.socket, name: str, command: int, value: int
) -> int:
    """One request of linux/ethtool.h that takes and gives a number."""
    request = array.array('I', [command, value])
    address, _ = request.buffer_info()
    fcntl.ioctl(
        handle, _SIOCETHTOOL, struct.pack('16sP', name.encode(), address)
    )
    return request[1]


def _addresses(ipr: Any, index: int) -> set[tuple[str, int]]:
    return {
        (message.get_attr('IFA_ADDRESS'), message['prefixlen'])
        for message in ipr.get_addr(index=index)
    }


def _set_addresses(ipr: Any, index: int, nic: Nic) -> None:
    there = _addresses(ipr, index)
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


def _set_routes(ipr: Any, index: int, wanted: Sequence[Route]) -> None:
    there = dict(_routes(ipr, index))
    missing = {
        (route['destination'], route['gateway']): route for route in wanted
    }
    for key, message in there.items():
        if missing.pop(key, None) is None:
            ipr.route('del', **message)
    for route in missing.values():
        ipr.route('replace', **_route(index, route))


def _routes(
    ipr: Any, index: int
) -> Iterator[tuple[tuple[str, str | None], dict[str, Any]]]:
    """The routes that this module has made through a NIC."""
    for family in (socket.AF_INET, socket.AF_INET6):
        everything = '0.0.0.0' if family == socket.AF_INET else '::'
        for message in ipr.get_routes(family=family, table=_RT_TABLE_MAIN):
            if message.get_attr('RTA_OIF') != index:
                continue
            if message['proto'] != _RTPROT_STATIC:
                continue
            address = message.get_attr('RTA_DST') or everything
            destination = f'{address}/{message["dst_len"]}'
            gateway = message.get_attr('RTA_GATEWAY')
            yield (
                (destination, gateway),
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
