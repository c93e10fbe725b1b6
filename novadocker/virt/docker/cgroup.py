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
"""What a container uses, from the files of its control groups.

Tenths of a millisecond, where the engine's own statistics take a second or
two. A machine has version 1 of control groups, version 2, or both.
"""

import collections
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import pathlib
import posixpath

_PROC = pathlib.Path('/proc')


@dataclasses.dataclass(frozen=True)
class Usage:
    """What the processes of a container use and have used.

    None is what the host does not count.

    :ivar cpu_time: nanoseconds of processor time
    :ivar memory: bytes, without those that the kernel would give back
    :ivar oom_kills: processes that were killed for want of memory
    :ivar pids: processes and threads
    """

    cpu_time: int | None = None
    memory: int | None = None
    oom_kills: int | None = None
    pids: int | None = None
    read_bytes: int = 0
    read_requests: int = 0
    write_bytes: int = 0
    write_requests: int = 0


def usage(pid: int, proc: pathlib.Path = _PROC) -> Usage:
    """What the container of this process uses.

    :raises: OSError if the process has ended
    """
    groups = _groups(pid, proc)
    if 'memory' in groups:
        return _version_1(groups)
    return _version_2(groups[''])


class _Group:
    """A directory of counters; a counter that is not there is None."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path

    def lines(self, name: str) -> list[str]:
        try:
            return (self._path / name).read_text().splitlines()
        except OSError:
            return []

    def number(self, name: str) -> int | None:
        lines = self.lines(name)
        return int(lines[0]) if lines and lines[0].isdecimal() else None

    def numbers(self, name: str) -> dict[str, int]:
        """The numbers of a file that has a name and a number in a line."""
        pairs = (line.split() for line in self.lines(name))
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _groups(pid: int, proc: pathlib.Path) -> Mapping[str, _Group]:
    """The control groups of a process, by controller; '' for version 2."""
    mounts = dict(_mounts(proc))
    found = {}
    for line in (proc / str(pid) / 'cgroup').read_text().splitlines():
        _, controllers, path = line.split(':', 2)
        for controller in controllers.split(','):
            if controller in mounts:
                root, mountpoint = mounts[controller]
                inside = posixpath.relpath(path, root)
                found[controller] = _Group(mountpoint / inside)
    return found


def _mounts(
    proc: pathlib.Path,
) -> Iterator[tuple[str, tuple[str, pathlib.Path]]]:
    """What is mounted of each hierarchy, and where, by controller."""
    mountinfo = (proc / 'self' / 'mountinfo').read_text()
    for line in mountinfo.splitlines():
        place, _, kind = line.partition(' - ')
        _, _, _, root, mountpoint = place.split()[:5]
        filesystem, _, options = kind.split()[:3]
        where = root, pathlib.Path(mountpoint)
        if filesystem == 'cgroup2':
            yield '', where
        elif filesystem == 'cgroup':
            for option in options.split(','):
                yield option, where


def _used(memory: int | None, inactive_file: int | None) -> int | None:
    return None if memory is None else max(memory - (inactive_file or 0), 0)


def _version_2(group: _Group) -> Usage:
    cpu = group.numbers('cpu.stat').get('usage_usec')
    moved = _added(
        part for line in group.lines('io.stat') for part in line.split()[1:]
    )
    return Usage(
        cpu_time=None if cpu is None else cpu * 1000,
        memory=_used(
            group.number('memory.current'),
            group.numbers('memory.stat').get('inactive_file'),
        ),
        oom_kills=group.numbers('memory.events').get('oom_kill'),
        pids=group.number('pids.current'),
        read_bytes=moved['rbytes'],
        read_requests=moved['rios'],
        write_bytes=moved['wbytes'],
        write_requests=moved['wios'],
    )


def _version_1(groups: Mapping[str, _Group]) -> Usage:
    nothing = _Group(pathlib.Path('/nonexistent'))
    memory, io = groups['memory'], groups.get('blkio', nothing)
    moved = _added(_per_device(io, 'io_service_bytes'))
    asked = _added(_per_device(io, 'io_serviced'))
    return Usage(
        cpu_time=groups.get('cpuacct', nothing).number('cpuacct.usage'),
        memory=_used(
            memory.number('memory.usage_in_bytes'),
            memory.numbers('memory.stat').get('total_inactive_file'),
        ),
        oom_kills=memory.numbers('memory.oom_control').get('oom_kill'),
        pids=groups.get('pids', nothing).number('pids.current'),
        read_bytes=moved['Read'],
        read_requests=asked['Read'],
        write_bytes=moved['Write'],
        write_requests=asked['Write'],
    )


def _per_device(group: _Group, name: str) -> Iterator[str]:
    """Version 1's lines of device, kind and number, as version 2's parts."""
    for line in group.lines(f'blkio.throttle.{name}_recursive'):
        match line.split():
            case [_, kind, number]:
                yield f'{kind}={number}'


def _added(parts: Iterator[str]) -> collections.Counter[str]:
    """Add up for all devices; none is there before it has been used."""
    found: collections.Counter[str] = collections.Counter()
    for part in parts:
        kind, _, number = part.partition('=')
        found[kind] += int(number)
    return found
