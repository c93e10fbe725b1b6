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

"""What crosses the boundary to the engine, as frozen data.

A *spec* is what we want, an *info* what the engine says there is.
"""

from collections.abc import Mapping
import dataclasses
import enum
from typing import Any


@dataclasses.dataclass(frozen=True)
class EngineSettings:
    """How to reach the engine.

    :ivar url: a unix:// or tcp:// address; tcp needs the TLS files
    :ivar timeout: seconds to wait for an answer of a quick request
    """

    url: str
    timeout: int
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class ContainerState(enum.StrEnum):
    """The engine's own words for the state of a container."""

    CREATED = 'created'
    RUNNING = 'running'
    PAUSED = 'paused'
    RESTARTING = 'restarting'
    REMOVING = 'removing'
    EXITED = 'exited'
    DEAD = 'dead'

    @property
    def alive(self) -> bool:
        """Whether there are processes in it."""
        return self in (self.RUNNING, self.PAUSED, self.RESTARTING)


@dataclasses.dataclass(frozen=True)
class DiskRates:
    """How fast a container may use a disk; None is no limit.

    The kernel may count what is written at the time when it reaches the disk.

    :ivar device: its path on the host
    :ivar read_bytes: a second, and so are all
    """

    device: str
    read_bytes: int | None = None
    read_requests: int | None = None
    write_bytes: int | None = None
    write_requests: int | None = None


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a container may use at the most; None is no limit.

    :ivar memory: bytes of memory, swap excluded
    :ivar cpus: CPUs' worth of time, a hard cap
    :ivar cpu_shares: weight against others when CPUs are scarce
    :ivar pids: processes and threads
    :ivar disk: for as long as the container is there
    """

    memory: int | None = None
    cpus: float | None = None
    cpu_shares: int | None = None
    pids: int | None = None
    disk: DiskRates | None = None


@dataclasses.dataclass(frozen=True)
class LogLimits:
    """How much of a container's output the engine keeps.

    :ivar size: bytes of one file
    :ivar files: number of files
    """

    size: int
    files: int


@dataclasses.dataclass(frozen=True)
class Mount:
    """A directory of the host in a container, which cannot write there."""

    source: str
    target: str


@dataclasses.dataclass(frozen=True)
class Overlay:
    """The directories of the host that a root file system is made of.

    :ivar lower: those that are only read, the uppermost first, with colons
        between them
    :ivar upper: that which is written to
    """

    lower: str
    upper: str
    work: str

    @property
    def layers(self) -> tuple[str, ...]:
        """The directories, the uppermost first."""
        lower = self.lower.split(':') if self.lower else ()
        return (self.upper, *lower)

    @property
    def options(self) -> str:
        """How the kernel is told to mount it, and the engine to tell it.

        Without an index, as the engine mounts it for the container itself.
        """
        return (
            f'upperdir={self.upper},workdir={self.work},index=off,'
            f'lowerdir={self.lower}'
        )


@dataclasses.dataclass(frozen=True)
class OverlayMount:
    """The root file system of another container in one, to write in.

    The other one must not run: the kernel does not promise anything of one
    that is mounted twice.
    """

    root: Overlay
    target: str


@dataclasses.dataclass(frozen=True)
class ContainerFile:
    """A file in a container's root file system.

    :ivar content: None for a directory
    """

    path: str
    content: bytes | None
    mode: int
    uid: int
    gid: int


@dataclasses.dataclass(frozen=True)
class ContainerSpec:
    """A container as we want it.

    :ivar command: arguments instead of the image's; None keeps the image's
    :ivar entrypoint: () clears the image's; None keeps it
    :ivar network: 'none', or 'container:<id>' to join a sandbox
    :ivar capabilities: the only ones it has
    :ivar new_privileges: whether a process may get those by a set-user-id
        program that it was not started with
    """

    name: str
    image: str
    labels: Mapping[str, str]
    network: str
    limits: Limits
    log: LogLimits
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    hostname: str | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tty: bool = False
    capabilities: tuple[str, ...] = ()
    new_privileges: bool = False
    read_only: bool = False
    sysctls: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    overlays: tuple[OverlayMount, ...] = ()


@dataclasses.dataclass(frozen=True)
class ContainerSummary:
    """One row of the engine's list of containers."""

    id: str
    name: str
    state: ContainerState
    labels: Mapping[str, str]
    image_id: str


@dataclasses.dataclass(frozen=True)
class ContainerInfo:
    """A container as the engine describes it.

    :ivar pid: process id on the host of its first process, 0 if not alive
    :ivar network: its network mode, with the id of a joined container
    :ivar resolv_conf_path: the file on the host that is its resolv.conf
    :ivar hosts_path: the file on the host that is its /etc/hosts
    :ivar hostname: its own, or that of the container that it has joined
    :ivar stop_signal: asks its first process to end
    :ivar restarts: how often the engine has started it of its own accord
    :ivar root: what its root file system is made of; None where the engine's
        storage driver is not made so
    """

    id: str
    name: str
    state: ContainerState
    pid: int
    exit_code: int
    oom_killed: bool
    error: str
    image_id: str
    labels: Mapping[str, str]
    network: str
    tty: bool
    resolv_conf_path: str
    hosts_path: str
    started_at: str = ''
    finished_at: str = ''
    hostname: str = ''
    stop_signal: str = 'SIGTERM'
    restarts: int = 0
    limits: Limits = Limits()
    root: Overlay | None = None


@dataclasses.dataclass(frozen=True)
class ImageInfo:
    """An image in the engine.

    :ivar size: bytes of all its layers
    :ivar command: whether the image says what to run
    :ivar config: all that it says of how to run it, in the engine's words;
        empty in a list
    :ivar layers: the digests of its layers, uncompressed, lowest first;
        none in a list
    :ivar root: where these layers are, if the engine says so; that which is
        written to in a container is the uppermost here
    """

    id: str
    tags: tuple[str, ...]
    size: int
    architecture: str
    os: str
    labels: Mapping[str, str]
    parent: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    layers: tuple[str, ...] = ()
    root: Overlay | None = None


@dataclasses.dataclass(frozen=True)
class EngineInfo:
    """The engine and the machine below it.

    :ivar id: tells it from the engines of other machines
    :ivar memory: bytes of the machine
    :ivar architecture: as `uname -m` says it
    :ivar warnings: what it misses
    """

    id: str
    name: str
    version: str
    api_version: str
    cpus: int
    memory: int
    architecture: str
    os_type: str
    kernel: str
    root_dir: str
    storage_driver: str
    cgroup_version: str
    live_restore: bool
    swap_limit: bool
    warnings: tuple[str, ...] = ()


class EventAction(enum.StrEnum):
    """Those events of a container that matter to Nova."""

    START = 'start'
    DIE = 'die'
    OOM = 'oom'
    PAUSE = 'pause'
    UNPAUSE = 'unpause'
    DESTROY = 'destroy'


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that happened to a container.

    :ivar time: nanoseconds since the epoch, by the engine's clock
    :ivar exit_code: of a process that died, else None
    """

    action: EventAction
    container_id: str
    labels: Mapping[str, str]
    time: int
    exit_code: int | None = None
