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

"""Containers that make room for another under their name, and come back."""

import contextlib
from typing import Any

from nova.compute import vm_states

from novadocker import exception
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import undo as undoing

# Why one is put aside that is the server again if nothing comes of it. Of two
# the first is the younger one.
_FOR_A_WHILE = (naming.RESCUED, naming.REPLACED)


class Aside:
    """Those of one Nova host."""

    def __init__(self, client: engine.Client, host: str) -> None:
        self._client = client
        self._host = host

    def put(self, name: str, why: str, undo: undoing.Undo) -> str | None:
        """Give the name of a container free.

        :returns: its name from now on; None if there is no container
        """
        aside = naming.aside_name(name, self._host, why)
        try:
            self._client.rename(name, aside)
        except exception.ContainerNotFound:
            return None
        except exception.ContainerConflict:
            # What was replaced by this one, and should have been removed.
            self._client.remove(aside)
            self._client.rename(name, aside)
        undo.callback(self._client.rename, aside, name)
        return aside

    def put_both(self, uuid: str, why: str, undo: undoing.Undo) -> None:
        """Put a server aside, with its sandbox."""
        for name in (naming.sandbox_name(uuid), naming.instance_name(uuid)):
            self.put(name, why, undo)

    def put_back(self, uuid: str, why: str) -> None:
        """Let what was put aside for this reason be the server's again.

        What was not, or is not there, is left alone.
        """
        there = self._containers(uuid)
        for name in (naming.instance_name(uuid), naming.sandbox_name(uuid)):
            aside = naming.aside_name(name, self._host, why)
            if aside in there and name not in there:
                self._client.rename(aside, name)

    def servers(self, why: str) -> list[str]:
        """Those whose container is aside for this reason."""
        rows = self._client.list_containers(
            naming.host_filter(self._host, naming.ROLE_INSTANCE)
        )
        return [
            uuid
            for row in rows
            if (uuid := naming.instance_uuid(row.labels)) is not None
            and row.name
            == naming.aside_name(naming.instance_name(uuid), self._host, why)
        ]

    def current(self, instance: Any) -> model.ContainerInfo:
        """The container that is the server, which may have been put aside.

        :raises: ContainerNotFound
        """
        name = naming.instance_name(instance.uuid)
        rescued = instance.vm_state == vm_states.RESCUED
        with contextlib.suppress(exception.ContainerNotFound):
            found = self._client.inspect(name)
            if rescued or not naming.is_rescue(found.labels):
                return found
        self.restore(instance.uuid)
        return self._client.inspect(name)

    def restore(self, uuid: str) -> None:
        """Let a server be its own container again.

        For one that was to be replaced when nova-compute ended, or that is
        rescued no more: what stands in for it goes. A server that is its own
        container is left as it is.
        """
        name = naming.instance_name(uuid)
        rows = self._containers(uuid)
        there = rows.get(name)
        if there is not None and not naming.is_rescue(there.labels):
            return
        for why in _FOR_A_WHILE:
            own = rows.get(naming.aside_name(name, self._host, why))
            if own is not None:
                if there is not None:
                    self._client.remove(there.id)
                self._client.rename(own.id, name)
                return

    def _containers(self, uuid: str) -> dict[str, model.ContainerSummary]:
        """All of a server, by their names."""
        rows = self._client.list_containers(
            naming.instance_filter(uuid, self._host)
        )
        return {row.name: row for row in rows}
