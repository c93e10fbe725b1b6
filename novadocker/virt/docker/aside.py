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

"""Containers that others stand in for, for a while or until all is well."""

import contextlib
from typing import Any

from nova.compute import vm_states

from novadocker import exception
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import undo as undoing


class Asides:
    """Which of its containers is the server, by its name."""

    def __init__(self, client: engine.Client, host: str) -> None:
        self._client = client
        self._host = host

    def set_aside(self, uuid: str, why: str, undo: undoing.Undo) -> str | None:
        """Give the name of a server's container free for another.

        :returns: its name from now on; None if there is no container
        """
        name = naming.instance_name(uuid)
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

    def current(self, instance: Any) -> model.ContainerInfo:
        """The container that is the server, which may have been set aside.

        :raises: ContainerNotFound
        """
        name = naming.instance_name(instance.uuid)
        rescued = instance.vm_state == vm_states.RESCUED
        with contextlib.suppress(exception.ContainerNotFound):
            found = self._client.inspect(name)
            if rescued or not naming.is_rescue(found.labels):
                return found
        self.put_back(instance.uuid)
        return self._client.inspect(name)

    def put_back(self, uuid: str) -> None:
        """Let a container be the server again that was set aside.

        For one that was to be replaced when nova-compute ended, or that is
        rescued no more: what stands in for it goes. A server that is its own
        container is left as it is.
        """
        name = naming.instance_name(uuid)
        wanted = naming.instance_filter(uuid, self._host)
        wanted[naming.LABEL_ROLE] = naming.ROLE_INSTANCE
        rows = self._client.list_containers(wanted)
        own = [row for row in rows if not naming.is_rescue(row.labels)]
        if own and name not in [row.name for row in own]:
            for row in rows:
                if row not in own:
                    self._client.remove(row.id)
            # The youngest comes first: older ones were to be removed.
            self._client.rename(own[0].id, name)
