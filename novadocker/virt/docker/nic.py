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


"""What Neutron says about the ports of a server, as NICs of a container."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import ipaddress
from typing import Any

from nova.network import model as network_model

_NOT_BOUND = (
    network_model.VIF_TYPE_BINDING_FAILED,
    network_model.VIF_TYPE_UNBOUND,
)
_DEFAULT_MTU = 1500
_METADATA = ipaddress.IPv4Network('169.254.169.254/32')
# A subnet with one of these as its name server shall have none.
_NO_DNS = ('0.0.0.0', '::')

_IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclasses.dataclass(frozen=True)
class Address:
    """A fixed IP.

    :ivar prefix: length of its subnet's prefix
    """

    ip: str
    prefix: int

    @property
    def version(self) -> int:
        return ipaddress.ip_address(self.ip).version


@dataclasses.dataclass(frozen=True)
class Route:
    """A way to a destination.

    :ivar destination: in CIDR form
    :ivar gateway: None for a destination on the link itself
    :ivar onlink: the gateway is on the link although it is outside of the
        NIC's subnets
    """

    destination: str
    gateway: str | None = None
    onlink: bool = False


@dataclasses.dataclass(frozen=True)
class Nic:
    """A port as the server sees it.

    :ivar name: inside, ``eth0`` and so on
    :ivar device: the end on the host
    :ivar withdrawn: fixed IPs that the port had before, and has no more
    :ivar dns: addresses of its name servers
    :ivar linux_bridge: the Linux bridge that its host's end is in
    :ivar inner: see :func:`inner`
    :ivar bridge: what its host's end is plugged into, in the end, where that
        is a bridge. Its kind decides about the NIC's offloads.
    """

    port_id: str
    name: str
    device: str
    mac: str
    mtu: int
    addresses: tuple[Address, ...] = ()
    withdrawn: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: tuple[str, ...] = ()
    linux_bridge: str | None = None
    inner: tuple[str, ...] = ()
    bridge: str | None = None


@dataclasses.dataclass(frozen=True)
class Interface:
    """A NIC as it is.

    :ivar device: its end on the host, empty if there is none
    :ivar addresses: in the form address/prefix
    """

    name: str
    device: str
    mac: str
    mtu: int
    up: bool
    addresses: tuple[str, ...]

    def is_end_of(self, wanted: Nic) -> bool:
        return (self.name, self.device, self.mac) == (
            wanted.name,
            wanted.device,
            wanted.mac,
        )


def is_bound(vif: Mapping[str, Any]) -> bool:
    """Whether Neutron has bound a port to this host."""
    return vif['type'] not in _NOT_BOUND


def device(vif: Mapping[str, Any]) -> str:
    """The host's end of a port, by its id alone if nothing else is known."""
    return str(vif.get('devname') or f'tap{vif["id"][:11]}')


def linux_bridge(vif: Mapping[str, Any]) -> str | None:
    """The Linux bridge that a port's device has to be in, if any."""
    if vif['type'] == network_model.VIF_TYPE_BRIDGE:
        return str(vif['network']['bridge'])
    return next(iter(inner(vif)), None)


def inner(vif: Mapping[str, Any]) -> tuple[str, ...]:
    """What os-vif makes between a port's device and the switch.

    Of a hybrid plug that is a Linux bridge, and the link from there to the
    switch; otherwise nothing.
    """
    if not (vif.get('details') or {}).get('ovs_hybrid_plug'):
        return ()
    return tuple(
        f'{kind}{vif["id"]}'[: network_model.NIC_NAME_LEN]
        for kind in ('qbr', 'qvb', 'qvo')
    )


def names(
    network_info: Iterable[Mapping[str, Any]], known: Mapping[str, str]
) -> dict[str, str]:
    """The name of each port's NIC, by its id, in the order of the ports.

    :param known: names that NICs have already, by the device of the host. A
        NIC keeps its name when one before it is detached.
    """
    vifs = list(network_info)
    taken = {
        vif['id']: known[device(vif)] for vif in vifs if device(vif) in known
    }
    free = (
        name
        for name in (f'eth{i}' for i in range(len(vifs) + len(known)))
        if name not in known.values()
    )
    return {vif['id']: taken.get(vif['id']) or next(free) for vif in vifs}


def nics(
    network_info: Iterable[Mapping[str, Any]],
    known: Mapping[str, str] | None = None,
) -> list[Nic]:
    """Nova's network_info as NICs.

    A destination has one route: that of the first port that knows one. So
    there is one default route a family, and two ports on one network do not
    fight for the metadata service.

    :param known: see :func:`names`
    """
    vifs = list(network_info)
    named = names(vifs, known or {})
    routed: set[str] = set()
    found = []
    for vif in vifs:
        one = _nic(vif, named[vif['id']])
        own = tuple(r for r in one.routes if r.destination not in routed)
        routed.update(route.destination for route in own)
        found.append(dataclasses.replace(one, routes=own))
    return found


def _nic(vif: Mapping[str, Any], name: str) -> Nic:
    network = vif['network']
    subnets = network['subnets']
    return Nic(
        port_id=vif['id'],
        name=name,
        device=device(vif),
        mac=vif['address'].lower(),
        mtu=network['meta'].get('mtu') or _DEFAULT_MTU,
        addresses=_addresses(vif),
        routes=_routes(subnets),
        dns=_unique(server for one in subnets for server in _dns(one)),
        linux_bridge=linux_bridge(vif),
        inner=inner(vif),
        bridge=network['bridge'],
    )


def _addresses(vif: Mapping[str, Any]) -> tuple[Address, ...]:
    return tuple(
        Address(ip['address'], _cidr(subnet).prefixlen)
        for subnet in vif['network']['subnets']
        for ip in subnet['ips']
    )


def withdrawn(
    before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]
) -> dict[str, tuple[Address, ...]]:
    """The fixed IPs that ports have lost, by the ports' ids."""
    had = {vif['id']: _addresses(vif) for vif in before}
    lost = {}
    for vif in after:
        has = _addresses(vif)
        lost[vif['id']] = tuple(
            one for one in had.get(vif['id'], ()) if one not in has
        )
    return lost


def _cidr(subnet: Mapping[str, Any]) -> _IPNetwork:
    return ipaddress.ip_network(subnet['cidr'])


def _routes(subnets: Sequence[Mapping[str, Any]]) -> tuple[Route, ...]:
    """The routes of a port: those on the link first, the default last.

    A next hop has to be reachable when a route through it is made.
    """
    # Without an address of its own there is nothing to reach a subnet from.
    subnets = [subnet for subnet in subnets if subnet['ips']]
    local = [_cidr(subnet) for subnet in subnets]
    wanted: dict[str, Route] = {}
    for subnet in subnets:
        for destination, gateway in _hops(subnet):
            route = Route(
                str(destination), gateway, not _reachable(gateway, local)
            )
            wanted.setdefault(route.destination, route)
    return tuple(
        sorted(
            wanted.values(),
            key=lambda route: (
                route.gateway is not None,
                route.destination in ('0.0.0.0/0', '::/0'),
            ),
        )
    )


def _hops(
    subnet: Mapping[str, Any],
) -> Iterator[tuple[_IPNetwork, str | None]]:
    """Destinations and gateways of a subnet, the more explicit ones first."""
    everything = ipaddress.ip_network(
        '0.0.0.0/0' if _cidr(subnet).version == 4 else '::/0'
    )
    for route in subnet['routes']:
        yield ipaddress.ip_network(route['cidr']), _ip(route['gateway'])
    if everything.version == 4:
        yield from _metadata(subnet)
    gateway = _ip(subnet['gateway'])
    if gateway is not None:
        yield everything, gateway


def _metadata(
    subnet: Mapping[str, Any],
) -> Iterator[tuple[_IPNetwork, str | None]]:
    """The way to the metadata service, as Neutron's DHCP would tell it.

    The DHCP agent serves it on its own port. Where Neutron does DHCP without
    an agent, as OVN does, the service has its address on the link.
    """
    meta = subnet['meta']
    if meta.get('dhcp_server'):
        yield _METADATA, meta['dhcp_server']
    elif meta.get('enable_dhcp'):
        yield _METADATA, None


def _ip(address: Mapping[str, Any] | None) -> str | None:
    return address['address'] if address else None


def _reachable(gateway: str | None, local: Iterable[_IPNetwork]) -> bool:
    if gateway is None:
        return True
    found = ipaddress.ip_address(gateway)
    return (found.version == 6 and found.is_link_local) or any(
        found in network for network in local
    )


def _dns(subnet: Mapping[str, Any]) -> list[str]:
    """A subnet's name servers: Neutron's DHCP server, if it names none."""
    servers = [dns['address'] for dns in subnet['dns']]
    if not servers and subnet['meta'].get('dhcp_server'):
        return [subnet['meta']['dhcp_server']]
    return [server for server in servers if server not in _NO_DNS]


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
