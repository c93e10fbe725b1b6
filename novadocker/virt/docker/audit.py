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

"""What a host has of servers, compared with what it should have.

Nothing is asked or changed here.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import functools
import ipaddress
from typing import Any

from nova.compute import vm_states
from nova.network import model as network_model

from novadocker.virt.docker import findings
from novadocker.virt.docker import leftovers
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import nic
from novadocker.virt.docker import traces as seen_mod

_RUNNING = (vm_states.ACTIVE, vm_states.PAUSED, vm_states.RESCUED)
# The server's other self is kept until the user decides.
_TWOFOLD = (vm_states.RESCUED, vm_states.RESIZED)
# Of a server in such a state nothing is certain.
_ANYTHING = (vm_states.ERROR, vm_states.BUILDING)
_REPAIR = 'Run nova-docker-status --repair.'


def compare(
    host: str,
    servers: Mapping[str, seen_mod.Server],
    seen: seen_mod.Seen,
) -> list[findings.Finding]:
    """Find what is off, server by server.

    :param servers: what Nova says of those on this host, and of those that
        something was seen of
    """
    found: list[findings.Finding] = []
    here = {
        uuid for uuid, one in servers.items() if one.fate is seen_mod.Fate.HERE
    }
    for uuid in sorted(here | set(seen.traces)):
        server = servers.get(uuid) or seen_mod.Server(
            uuid, seen_mod.Fate.UNKNOWN
        )
        traces = seen.traces.get(uuid, seen_mod.Traces())
        if server.task:
            found.append(
                findings.note(
                    f'server {uuid}',
                    f'is in work ({server.task}), and was left alone',
                )
            )
        elif uuid in here:
            found += _Server(server, traces, seen).examine()
        else:
            found += leftovers.examine(host, server, traces, seen)
    return found + list(_snapshots(servers, seen))


def _snapshots(
    servers: Mapping[str, seen_mod.Server], seen: seen_mod.Seen
) -> Iterator[findings.Finding]:
    for reference, uuid in sorted(seen.snapshots.items()):
        if uuid not in servers or servers[uuid].task:
            continue
        yield findings.warning(
            f'server {uuid}',
            f'no snapshot is made, and image {reference} is still there',
            'Run nova-docker-status --repair, which removes it.',
            findings.Repair(findings.Remedy.UNTAG, uuid, reference),
        )


class _Server:
    """A server that is on this host, and nobody is working on."""

    def __init__(
        self,
        server: seen_mod.Server,
        traces: seen_mod.Traces,
        seen: seen_mod.Seen,
    ) -> None:
        uuid = server.uuid
        self._server = server
        self._traces = traces
        self._seen = seen
        self._container = traces.container(naming.instance_name(uuid))
        self._sandbox = traces.container(naming.sandbox_name(uuid))
        subject = f'server {uuid}'
        self._warning = functools.partial(findings.warning, subject)
        self._failure = functools.partial(findings.failure, subject)
        self._plug = findings.Repair(findings.Remedy.PLUG, uuid)
        # Nova does nothing else with a server that is rescued.
        rescued = server.vm_state == vm_states.RESCUED
        self._start = 'unrescue' if rescued else 'start'
        self._restart = 'unrescue' if rescued else 'reboot --hard'

    def examine(self) -> Iterator[findings.Finding]:
        yield from self._containers()
        if self._traces.namespace is not None:
            yield from self._network(self._traces.namespace)
        elif self._traces.dangling:
            yield leftovers.dangling(self._server.uuid)

    # Containers

    def _containers(self) -> Iterator[findings.Finding]:
        if self._container is None:
            yield from self._missing()
            return
        if naming.is_rescue(self._container.labels):
            yield from self._rescued()
        elif self._server.vm_state not in _TWOFOLD:
            yield from self._more()
        yield from self._state(self._container)
        yield from self._joined(self._container)

    def _missing(self) -> Iterator[findings.Finding]:
        uuid = self._server.uuid
        if self._traces.data:
            names = ', '.join(one.name for one in self._traces.data)
            yield self._warning(
                f'has a container that was set aside, {names}',
                f'openstack server {self._restart} {uuid} brings it back.',
            )
        elif self._server.vm_state not in _ANYTHING:
            yield self._failure(
                'has no container: somebody has removed it with its data',
                f'openstack server rebuild {uuid}, or delete it.',
            )

    def _more(self) -> Iterator[findings.Finding]:
        names = {one.name for one in (self._container, self._sandbox) if one}
        for one in self._traces.containers:
            if one.name not in names:
                yield self._warning(
                    f'has a container more, {one.name}',
                    'It is what a repair of the server has left: see that '
                    'the server has its files, then docker rm --force '
                    f'{one.name}.',
                )

    def _rescued(self) -> Iterator[findings.Finding]:
        uuid = self._server.uuid
        if all(naming.is_rescue(one.labels) for one in self._traces.data):
            yield self._failure(
                'is rescued, and its own container is gone: somebody has '
                'removed it with its data',
                f'openstack server delete {uuid}.',
            )
        elif self._server.vm_state != vm_states.RESCUED:
            yield self._warning(
                f'is {self._server.vm_state} in Nova, and still rescued here',
                f'openstack server reboot --hard {uuid} ends that.',
            )

    def _state(
        self, container: model.ContainerInfo
    ) -> Iterator[findings.Finding]:
        uuid, vm_state = self._server.uuid, self._server.vm_state
        if vm_state in _RUNNING and not container.state.alive:
            yield self._failure(
                f'is {vm_state} in Nova, and its container is '
                f'{container.state} (exit code {container.exit_code})',
                'See that nova-compute runs, which tells Nova; then '
                f'openstack server {self._start} {uuid}.',
            )
        elif vm_state == vm_states.STOPPED and container.state.alive:
            yield self._warning(
                f'is stopped in Nova, and its container is {container.state}',
                'See that nova-compute runs, which stops it.',
            )

    def _joined(
        self, container: model.ContainerInfo
    ) -> Iterator[findings.Finding]:
        """Whether it is in its sandbox, and that is well."""
        again = (
            'It keeps its network while it runs. When that suits: openstack '
            f'server {self._restart} {self._server.uuid}.'
            if container.state.alive
            else f'openstack server {self._start} {self._server.uuid} makes '
            'it again.'
        )
        if self._sandbox is None:
            yield self._warning('has no sandbox', again)
        elif container.network != f'container:{self._sandbox.id}':
            yield self._warning('is not in its sandbox', again)
        elif container.state.alive and not self._sandbox.state.alive:
            yield self._warning('has a sandbox that has ended', again)

    # The network

    def _network(
        self, namespace: seen_mod.Namespace
    ) -> Iterator[findings.Finding]:
        known = self._traces.known
        names = dict(known.names) if known else {}
        names |= {one.device: one.name for one in namespace.interfaces}
        there = {one.device: one for one in namespace.interfaces}
        wanted = nic.nics(self._server.vifs, names)
        for vif, one in zip(self._server.vifs, wanted, strict=True):
            if not nic.is_bound(vif):
                yield self._unbound(vif)
                continue
            what = _difference(one, there.get(one.device))
            if not what:
                what = self._host_end(one) or self._at_the_switch(vif)
            if what:
                yield self._failure(
                    f'port {one.port_id}: {what}',
                    _REPAIR,
                    self._plug,
                )
        yield from self._strays({one.port_id for one in wanted})
        yield from self._remembered(namespace)

    def _unbound(self, vif: Mapping[str, Any]) -> findings.Finding:
        return self._failure(
            f'port {vif["id"]} is not bound to this host ({vif["type"]})',
            'See that the network agent of this host is alive, then '
            f'openstack server reboot --hard {self._server.uuid}.',
        )

    def _host_end(self, wanted: nic.Nic) -> str:
        """What is wrong at the host's end of a NIC."""
        device = self._seen.devices.get(wanted.device)
        if device is None:
            return f'there is no device {wanted.device}'
        if not device.up:
            return f'{wanted.device} is down'
        if device.bridge != (wanted.linux_bridge or device.bridge):
            return f'{wanted.device} is not in bridge {wanted.linux_bridge}'
        return ''

    def _at_the_switch(self, vif: Mapping[str, Any]) -> str:
        """What is wrong where Open vSwitch has the port."""
        if vif['type'] != network_model.VIF_TYPE_OVS or not (
            self._seen.switched
        ):
            return ''
        found = [
            one for one in self._traces.switch_ports if one.port == vif['id']
        ]
        if not found:
            return 'the switch does not have it'
        errors = [one.error for one in found if one.error]
        return f'the switch says: {errors[0]}' if errors else ''

    def _strays(self, wanted: set[str]) -> Iterator[findings.Finding]:
        """Ports that the server does not have any more."""
        known = self._traces.known
        there = {vif['id'] for vif in known.vifs} if known else set()
        there |= {one.port for one in self._traces.switch_ports}
        for port in sorted(there - wanted):
            yield self._warning(
                f'port {port} is still plugged, and not one of its ports',
                _REPAIR,
                findings.Repair(
                    findings.Remedy.DETACH, self._server.uuid, port
                ),
            )

    def _remembered(
        self, namespace: seen_mod.Namespace
    ) -> Iterator[findings.Finding]:
        """What lets people look, and what lets the driver clean up."""
        known = self._traces.known
        alive = {one.pid for one in self._traces.containers if one.pid}
        if self._traces.link not in alive:
            name = naming.instance_name(self._server.uuid)
            yield self._warning(
                f'ip netns exec {name} does not find it', _REPAIR, self._plug
            )
        there = {vif['id'] for vif in known.vifs} if known else set()
        if (
            known is None
            or known.netns != namespace.netns
            or not {vif['id'] for vif in self._server.vifs} <= there
        ):
            yield self._warning(
                'its checkpoint is missing, or of other ports',
                _REPAIR,
                self._plug,
            )


def _difference(wanted: nic.Nic, there: seen_mod.Interface | None) -> str:
    """How the end inside differs from what it shall be."""
    if there is None:
        return f'there is no {wanted.name}'
    if there.mac != wanted.mac:
        return f'{there.name} has MAC {there.mac} instead of {wanted.mac}'
    if not there.up:
        return f'{there.name} is down'
    if there.mtu != wanted.mtu:
        return f'{there.name} has MTU {there.mtu} instead of {wanted.mtu}'
    there_are = {ipaddress.ip_interface(one) for one in there.addresses}
    missing = [
        f'{one.ip}/{one.prefix}'
        for one in wanted.addresses
        if ipaddress.ip_interface((one.ip, one.prefix)) not in there_are
    ]
    if missing:
        return f'{there.name} lacks {", ".join(missing)}'
    return ''
