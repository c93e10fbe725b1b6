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

"""The sandbox: the container that owns an instance's network namespace."""

import contextlib
import dataclasses
from typing import Any

from novadocker import exception
import novadocker.privsep.files
import novadocker.privsep.netns
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import domains as port_domains
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import nic
from novadocker.virt.docker import pause
from novadocker.virt.docker import resolver
from novadocker.virt.docker import spec
from novadocker.virt.docker import undo as undoing

# How the engine says whose namespace a container has joined.
_JOINED = 'container:'


@dataclasses.dataclass(frozen=True)
class Sandbox:
    """A sandbox with a namespace that lives.

    :ivar pid: of a process in the namespace, on the host: the sandbox's own,
        or that of the server where the sandbox has died under it
    :ivar netns: inode of its network namespace, which tells this life of the
        sandbox from an earlier one, and its pid from a reused one
    """

    id: str
    pid: int
    netns: int
    resolv_conf_path: str
    hosts_path: str


class Sandboxes:
    """The sandboxes of this host."""

    def __init__(
        self,
        client: engine.Client,
        host: str,
        architecture: str,
        settings: spec.ServerSettings,
        domains: port_domains.Domains,
    ) -> None:
        self._client = client
        self._host = host
        self._architecture = architecture
        self._settings = settings
        self._domains = domains

    def create(self, instance: Any, undo: undoing.Undo) -> Sandbox:
        """Make a sandbox for a new instance.

        :raises: ContainerConflict if the instance has one
        """
        self._create(instance)
        undo.callback(self.remove, instance.uuid)
        return self._start(instance, undo)

    def ensure(self, instance: Any, undo: undoing.Undo) -> Sandbox:
        """Have the sandbox of an instance that exists run.

        A sandbox that has died is started again rather than replaced, since
        the instance container is tied to it by its id for ever. Its namespace
        is then a new, empty one: that is not done under a server that runs.
        """
        running = self.find(instance.uuid)
        if running is not None:
            return running
        try:
            return self.create(instance, undo)
        except exception.ContainerConflict:
            return self._start(instance, undo)

    def renewed(self, instance: Any, undo: undoing.Undo) -> Sandbox:
        """Have one run that has the host name which the instance has now.

        The engine gives a container its host name once and for all.
        """
        uuid = instance.uuid
        with contextlib.suppress(exception.ContainerNotFound):
            found = self._client.inspect(naming.sandbox_name(uuid))
            if found.hostname != instance.hostname:
                self.remove(uuid)
        return self.ensure(instance, undo)

    def _start(self, instance: Any, undo: undoing.Undo) -> Sandbox:
        self._client.start(naming.sandbox_name(instance.uuid))
        undo.callback(self.stop, instance.uuid)
        started = self.find(instance.uuid)
        if started is None:
            raise exception.EngineError(
                500, 'the sandbox ended as soon as it was started'
            )
        return started

    def _create(self, instance: Any) -> None:
        image = pause.sandbox_image(self._architecture)
        wanted = spec.sandbox(instance, self._host, image.id, self._settings)
        try:
            self._client.create(wanted)
        except exception.ImageNotFoundInEngine:
            self._client.load([image.archive])
            self._client.create(wanted)

    def find(self, uuid: str) -> Sandbox | None:
        """The instance's sandbox, None if nothing lives in its namespace.

        Where somebody has ended the sandbox of a server that runs, the
        server's own processes hold the namespace.
        """
        found = self._alive(naming.sandbox_name(uuid))
        if found is not None:
            return _described(found, found.id)
        found = self._alive(naming.instance_name(uuid))
        if found is not None:
            return _described(found, found.network.removeprefix(_JOINED))
        return None

    def in_use(self, uuid: str) -> bool:
        """Whether the instance has processes of its own."""
        return self._alive(naming.instance_name(uuid)) is not None

    def _alive(self, container: str) -> model.ContainerInfo | None:
        try:
            found = self._client.inspect(container)
        except exception.ContainerNotFound:
            return None
        # Another Nova host of the same engine may have the name.
        ours = found.labels.get(naming.LABEL_HOST) == self._host
        return found if ours and found.state.alive else None

    def write_names(
        self, sandbox: Sandbox, instance: Any, network_info: Any
    ) -> None:
        """Tell the instance its name servers, and its own names.

        The engine wants to know these when the sandbox is created, which is
        before Neutron has told them.
        """
        nics = nic.nics(network_info)
        domains = self._domains.of(instance, network_info)
        hosts = resolver.hosts(instance.hostname, nics, domains)
        for path, text in (
            (sandbox.resolv_conf_path, resolver.resolv_conf(nics, domains)),
            (sandbox.hosts_path, hosts),
        ):
            # Somebody who removes a sandbox removes its files. A server that
            # runs on keeps them as they were until it gets another one.
            with contextlib.suppress(FileNotFoundError):
                novadocker.privsep.files.write_sandbox_file(path, text)

    def stop(self, uuid: str) -> None:
        self._client.stop_if_there(naming.sandbox_name(uuid))

    def remove(self, uuid: str) -> None:
        self._client.remove(naming.sandbox_name(uuid))


def _described(holder: model.ContainerInfo, sandbox_id: str) -> Sandbox:
    return Sandbox(
        id=sandbox_id,
        pid=holder.pid,
        netns=novadocker.privsep.netns.inode(holder.pid),
        resolv_conf_path=holder.resolv_conf_path,
        hosts_path=holder.hosts_path,
    )
