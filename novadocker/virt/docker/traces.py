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

"""Servers as Nova has them, and what a host has of them."""

from collections.abc import Mapping
import dataclasses
import enum
from typing import Any
from typing import Protocol

from novadocker.virt.docker import model
from novadocker.virt.docker import naming


class Fate(enum.Enum):
    """Where Nova has a server."""

    HERE = 'on this host'
    ELSEWHERE = 'on another host'
    NOWHERE = 'on no host'
    DELETED = 'deleted'
    UNKNOWN = 'unknown'
    # Nova was asked, and did not answer.
    UNASKED = 'unasked'


@dataclasses.dataclass(frozen=True)
class Server:
    """A server as Nova has it.

    :ivar vm_state: as in nova.compute.vm_states
    :ivar task: what is being done with it; nobody else may touch it then
    :ivar vifs: its ports, in Nova's words
    :ivar host: the last host that it was on
    """

    uuid: str
    fate: Fate
    vm_state: str = ''
    task: str = ''
    vifs: tuple[Mapping[str, Any], ...] = ()
    host: str = ''


class Interface(Protocol):
    """A NIC as it is, see nic.Interface."""

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> str: ...

    @property
    def mac(self) -> str: ...

    @property
    def mtu(self) -> int: ...

    @property
    def up(self) -> bool: ...

    @property
    def addresses(self) -> tuple[str, ...]: ...


@dataclasses.dataclass(frozen=True)
class Namespace:
    """A network namespace of a server, with the NICs in it."""

    netns: int
    interfaces: tuple[Interface, ...] = ()


@dataclasses.dataclass(frozen=True)
class Device:
    """A device of the host.

    :ivar bridge: the Linux bridge that it is in
    """

    up: bool = True
    bridge: str = ''


@dataclasses.dataclass(frozen=True)
class SwitchPort:
    """A port of Open vSwitch that names a server.

    :ivar server: its uuid
    :ivar port: Neutron's id of it
    :ivar error: why the switch cannot use it
    """

    name: str
    server: str
    port: str
    error: str = ''


@dataclasses.dataclass(frozen=True)
class Known:
    """What was written down when a server was plugged last.

    :ivar netns: inode of the namespace
    :ivar names: of the NICs, by their devices on the host
    """

    netns: int
    vifs: tuple[Mapping[str, Any], ...] = ()
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Traces:
    """What a host has of one server.

    :ivar containers: those with the label of this host
    :ivar link: the process that the name of its namespace leads to, 0 for
        no such name
    :ivar dangling: there is no such process
    :ivar known: what was written down of it
    :ivar image: the reference of an image that only this server has
    """

    containers: tuple[model.ContainerInfo, ...] = ()
    namespace: Namespace | None = None
    link: int = 0
    dangling: bool = False
    known: Known | None = None
    switch_ports: tuple[SwitchPort, ...] = ()
    image: str = ''

    def container(self, name: str) -> model.ContainerInfo | None:
        return next((one for one in self.containers if one.name == name), None)

    @property
    def data(self) -> list[model.ContainerInfo]:
        """The containers that hold what users have written."""
        return [
            one for one in self.containers if not naming.is_sandbox(one.labels)
        ]


@dataclasses.dataclass(frozen=True)
class Seen:
    """What there is on a host.

    :ivar traces: by the server's uuid
    :ivar others: servers of other Nova hosts on the same engine
    :ivar devices: of the host's own namespace
    :ivar switched: whether the switch has told its ports
    :ivar snapshots: the images that are on their way to Glance, by
        reference, with the servers that they are of
    """

    traces: Mapping[str, Traces] = dataclasses.field(default_factory=dict)
    others: frozenset[str] = frozenset()
    devices: Mapping[str, Device] = dataclasses.field(default_factory=dict)
    switched: bool = True
    snapshots: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def servers(self) -> set[str]:
        """Those whose fate one has to know to make sense of it."""
        return {*self.traces, *self.snapshots.values()}
