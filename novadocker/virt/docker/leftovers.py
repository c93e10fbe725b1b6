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

"""What is left on a host of servers that are not there any more.

What a user has written is removed where Nova says that the server was
deleted, and nowhere else. A server that Nova does not know may have been
deleted long ago; it may as well be that Nova is asked with the settings of
another cell.
"""

from collections.abc import Iterator

from nova.compute import vm_states

from novadocker.virt.docker import findings
from novadocker.virt.docker import naming
from novadocker.virt.docker import traces as seen_mod

_ARCHIVED = (
    'If its records were archived, remove it by hand (docker rm --force); '
    'else see that this nova.conf is of the right cell.'
)


def examine(
    host: str,
    server: seen_mod.Server,
    traces: seen_mod.Traces,
    seen: seen_mod.Seen,
) -> Iterator[findings.Finding]:
    """Find what is left of a server that is not on this host."""
    left = _described(traces, seen)
    judge = {
        seen_mod.Fate.DELETED: _deleted,
        seen_mod.Fate.NOWHERE: _nowhere,
        seen_mod.Fate.ELSEWHERE: _elsewhere,
        seen_mod.Fate.UNASKED: _unasked,
    }.get(server.fate, _unknown)
    there = bool(left or traces.data)
    found = (
        list(judge(server, traces, left))
        if there and _is_ours(host, server, traces, seen)
        else []
    )
    yield from found
    if traces.dangling and not any(one.repair for one in found):
        yield dangling(server.uuid)


def _is_ours(
    host: str,
    server: seen_mod.Server,
    traces: seen_mod.Traces,
    seen: seen_mod.Seen,
) -> bool:
    """Whether this host has made it: it may share all but its containers."""
    if traces.containers:
        return True
    if server.uuid in seen.others:
        return False
    if server.fate in (seen_mod.Fate.ELSEWHERE, seen_mod.Fate.DELETED):
        return server.host == host
    return traces.known is not None or server.host == host


def dangling(uuid: str) -> findings.Finding:
    """A name of a namespace that leads to nothing is of no use to anybody."""
    return findings.warning(
        f'server {uuid}',
        f'/run/netns/{naming.instance_name(uuid)} leads to no process',
        'Run nova-docker-status --repair, which removes it.',
        findings.Repair(findings.Remedy.UNLINK, uuid),
    )


def _described(traces: seen_mod.Traces, seen: seen_mod.Seen) -> list[str]:
    """Name what there is, but for users' data and dangling links."""
    named = [
        f'container {one.name}'
        for one in traces.containers
        if one not in traces.data
    ]
    devices = {one.name for one in traces.switch_ports}
    named += [f'port {name} of the switch' for name in sorted(devices)]
    if traces.known is not None:
        others = set(traces.known.names) & set(seen.devices) - devices
        named += [f'device {name}' for name in sorted(others)]
        named.append('directory with its checkpoint')
    if traces.link and not traces.dangling:
        named.append('name in /run/netns')
    if traces.image:
        named.append(f'image {traces.image}')
    return named


def _deleted(
    server: seen_mod.Server, traces: seen_mod.Traces, left: list[str]
) -> Iterator[findings.Finding]:
    named = [*(f'container {one.name}' for one in traces.data), *left]
    yield findings.warning(
        f'server {server.uuid}',
        f'was deleted, and there is still: {", ".join(named)}',
        'Run nova-docker-status --repair, which removes it.',
        findings.Repair(findings.Remedy.REMOVE, server.uuid, traces.image),
    )


def _nowhere(
    server: seen_mod.Server, traces: seen_mod.Traces, left: list[str]
) -> Iterator[findings.Finding]:
    """Shelved, or never built: its data is in Glance, or there is none."""
    if traces.data:
        yield _kept(server, traces)
    if left:
        yield findings.warning(
            f'server {server.uuid}',
            f'is on no host, and there is still: {", ".join(left)}',
            'Run nova-docker-status --repair, which removes it.',
            findings.Repair(findings.Remedy.CLEAR, server.uuid),
        )


def _elsewhere(
    server: seen_mod.Server, traces: seen_mod.Traces, left: list[str]
) -> Iterator[findings.Finding]:
    """On a host that may share disks with this one, and the switch."""
    if server.vm_state == vm_states.RESIZED:
        # The way back, until the user confirms.
        return
    if traces.data:
        yield _kept(server, traces)
    elif traces.containers:
        yield findings.warning(
            f'server {server.uuid}',
            f'is on host {server.host}, and its sandbox is still here',
            'Run nova-docker-status --repair, which removes it.',
            findings.Repair(findings.Remedy.CLEAR, server.uuid),
        )


def _kept(
    server: seen_mod.Server, traces: seen_mod.Traces
) -> findings.Finding:
    place = (
        f'host {server.host}'
        if server.fate is seen_mod.Fate.ELSEWHERE
        else 'no host'
    )
    names = ', '.join(one.name for one in traces.data)
    return findings.warning(
        f'server {server.uuid}',
        f'is on {place}, and its data is still here: {names}',
        'After an evacuation a restart of nova-compute removes it. Else look '
        'at the server, and remove it by hand (docker rm --force) if nobody '
        'needs it.',
    )


def _unknown(
    server: seen_mod.Server, traces: seen_mod.Traces, left: list[str]
) -> Iterator[findings.Finding]:
    named = [*(f'container {one.name}' for one in traces.data), *left]
    yield findings.warning(
        f'server {server.uuid}',
        f'is not known to Nova, and there is: {", ".join(named)}',
        _ARCHIVED,
    )


def _unasked(
    server: seen_mod.Server, traces: seen_mod.Traces, left: list[str]
) -> Iterator[findings.Finding]:
    yield findings.warning(
        f'server {server.uuid}',
        f'has no container, and there is: {", ".join(left)}',
        'Run nova-docker-status again when Nova answers.',
    )
