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

"""What a host has of servers, looked at from all sides."""

from collections.abc import Iterable
import dataclasses
import os
import pathlib
import re

from novadocker import exception
import novadocker.privsep.devices
import novadocker.privsep.netns
from novadocker.virt.docker import checkpoint
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import network
from novadocker.virt.docker import switch as switch_mod
from novadocker.virt.docker import traces

_TARGET = re.compile(r'/proc/(\d+)/ns/net')


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where one can look."""

    client: engine.Client
    network: network.Network
    checkpoints: checkpoint.Checkpoints
    switch: switch_mod.Switch


@dataclasses.dataclass(frozen=True)
class _Process:
    """A process, by which its namespace is found."""

    pid: int
    netns: int


class Survey:
    """Looks at the servers of one Nova host, and changes nothing."""

    def __init__(self, sources: Sources, host: str) -> None:
        self._client = sources.client
        self._network = sources.network
        self._checkpoints = sources.checkpoints
        self._switch = sources.switch
        self._host = host

    def look(self) -> traces.Seen:
        """See everything once.

        :raises: EngineUnavailable, OSError
        """
        ours, others = self._containers()
        links = _links()
        ports, switched = self._ports()
        images = {
            uuid: reference
            for reference, uuid in self._images(
                naming.REBIND_REPOSITORY
            ).items()
        }
        uuids = {
            *ours,
            *links,
            *(one.server for one in ports),
            *self._checkpoints.uuids(),
            *images,
        }
        found = {}
        for uuid in uuids:
            containers = self._inspected(ours.get(uuid, ()))
            found[uuid] = traces.Traces(
                containers=containers,
                namespace=self._namespace(containers),
                link=links.get(uuid, 0),
                dangling=uuid in links and not _lives(links[uuid]),
                known=self._known(uuid),
                switch_ports=tuple(p for p in ports if p.server == uuid),
                image=images.get(uuid, ''),
            )
        return traces.Seen(
            traces=found,
            others=frozenset(others - set(ours)),
            devices=_devices(),
            switched=switched,
            snapshots=self._images(naming.SNAPSHOT_REPOSITORY),
        )

    def _known(self, uuid: str) -> traces.Known | None:
        found = self._checkpoints.read(uuid)
        if found is None:
            return None
        return traces.Known(found.netns, found.vifs, found.names)

    def _containers(self) -> tuple[dict[str, list[str]], set[str]]:
        """Ids of our containers by server, and the servers of others."""
        ours: dict[str, list[str]] = {}
        others = set()
        for row in (
            row
            for role in (naming.ROLE_INSTANCE, naming.ROLE_SANDBOX)
            for row in self._client.list_containers({naming.LABEL_ROLE: role})
        ):
            uuid = naming.instance_uuid(row.labels)
            if uuid is None:
                continue
            if row.labels.get(naming.LABEL_HOST) == self._host:
                ours.setdefault(uuid, []).append(row.id)
            else:
                others.add(uuid)
        return ours, others

    def _inspected(
        self, ids: Iterable[str]
    ) -> tuple[model.ContainerInfo, ...]:
        found = []
        for one in ids:
            try:
                found.append(self._client.inspect(one))
            except exception.ContainerNotFound:
                # Removed since it was listed.
                continue
        return tuple(found)

    def _namespace(
        self, containers: Iterable[model.ContainerInfo]
    ) -> traces.Namespace | None:
        """The server's namespace, which outlives the sandbox's process."""
        alive = sorted(
            (one for one in containers if one.pid),
            key=lambda one: not naming.is_sandbox(one.labels),
        )
        for one in alive:
            try:
                inode = novadocker.privsep.netns.inode(one.pid)
                there = self._network.interfaces(_Process(one.pid, inode))
            except (FileNotFoundError, ProcessLookupError):
                # Ended since it was inspected.
                continue
            return traces.Namespace(inode, tuple(there))
        return None

    def _ports(self) -> tuple[list[traces.SwitchPort], bool]:
        try:
            return self._switch.ports(), True
        except exception.SwitchUnavailable:
            # The checks of the host say so.
            return [], False

    def _images(self, repository: str) -> dict[str, str]:
        """References of a repository that are of servers of this host."""
        return {
            tag: image.labels[naming.LABEL_INSTANCE]
            for image in self._client.list_images(repository)
            if image.labels.get(naming.LABEL_HOST) == self._host
            and naming.LABEL_INSTANCE in image.labels
            for tag in image.tags
            if tag.startswith(f'{repository}:')
        }


def _links() -> dict[str, int]:
    """The names of namespaces that are ours, and where they lead."""
    found = {}
    names = novadocker.privsep.netns.NETNS_DIR
    for name in os.listdir(names) if names.is_dir() else ():
        uuid = naming.named_instance(name)
        leads = _TARGET.fullmatch(novadocker.privsep.netns.target(name) or '')
        if uuid and leads:
            found[uuid] = int(leads[1])
    return found


def dangles(uuid: str) -> bool:
    """Whether the name of a server's namespace leads to nothing."""
    links = _links()
    return uuid in links and not _lives(links[uuid])


def _lives(pid: int) -> bool:
    return pathlib.Path(f'/proc/{pid}').exists()


def _devices() -> dict[str, traces.Device]:
    return {
        one['name']: traces.Device(one['up'], one['bridge'])
        for one in novadocker.privsep.devices.devices()
    }
