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

"""The servers that there are on a host, in Nova's words."""

from typing import Any

from nova.compute import power_state
from nova import exception as nova_exception
from nova.virt import hardware

from novadocker.virt.docker import model
from novadocker.virt.docker import observed
from novadocker.virt.docker import suspension

_POWER_STATES = {
    model.ContainerState.CREATED: power_state.SHUTDOWN,
    model.ContainerState.RUNNING: power_state.RUNNING,
    model.ContainerState.PAUSED: power_state.PAUSED,
    model.ContainerState.RESTARTING: power_state.RUNNING,
    model.ContainerState.REMOVING: power_state.SHUTDOWN,
    model.ContainerState.EXITED: power_state.SHUTDOWN,
    model.ContainerState.DEAD: power_state.CRASHED,
}


class Roster:
    """Answers Nova's questions about the servers of one host.

    However many there are, they are answered from one list of the engine.
    """

    def __init__(
        self, seen: observed.Observed, suspensions: suspension.Suspensions
    ) -> None:
        self._observed = seen
        self._suspensions = suspensions

    def get_info(self, instance: Any) -> hardware.InstanceInfo:
        found = self._observed.instances().get(instance.uuid)
        if found is None:
            raise nova_exception.InstanceNotFound(instance_id=instance.uuid)
        state = _POWER_STATES[found.state]
        if state == power_state.PAUSED and instance.uuid in self._suspensions:
            state = power_state.SUSPENDED
        return hardware.InstanceInfo(state=state, internal_id=found.id)

    def exists(self, instance: Any) -> bool:
        return instance.uuid in self._observed.instances()

    def names(self) -> list[str]:
        return [row.name for row in self._observed.instances().values()]

    def uuids(self) -> list[str]:
        return list(self._observed.instances())
