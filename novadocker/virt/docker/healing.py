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

"""Servers that the engine took down with it, started again.

An engine that ends without live-restore ends every container. Nova believes
that these servers run, and nobody has asked for anything else.
"""

from collections.abc import Callable
import queue
import threading

from nova.compute import vm_states
from nova import context as nova_context
from nova import objects
from oslo_concurrency import lockutils
from oslo_log import log as logging

from novadocker.virt.docker import lifecycle

LOG = logging.getLogger(__name__)

# Starts at once: a host has as many processors as it takes to start that many
# containers, and more of them only make each other slower.
WORKERS = 2


class Healer:
    """Starts servers again, a few at a time, in threads of its own."""

    def __init__(self, servers: lifecycle.Lifecycle) -> None:
        self._lifecycle = servers
        self._patients: queue.SimpleQueue[
            tuple[str, Callable[[], None]] | None
        ] = queue.SimpleQueue()

    def start(self) -> None:
        for number in range(WORKERS):
            threading.Thread(
                target=self._heal_thread,
                name=f'novadocker-healer-{number}',
                daemon=True,
            ).start()

    def stop(self) -> None:
        for _ in range(WORKERS):
            self._patients.put(None)

    def heal(self, uuid: str, otherwise: Callable[[], None]) -> None:
        """Have a server run again that ran when the engine went away.

        :param otherwise: called if it is not to run, or cannot
        """
        self._patients.put((uuid, otherwise))

    def _heal_thread(self) -> None:
        while (patient := self._patients.get()) is not None:
            uuid, otherwise = patient
            try:
                if not self._start_again(uuid):
                    otherwise()
            except Exception:
                LOG.exception('Server %s could not be started again', uuid)
                otherwise()

    def _start_again(self, uuid: str) -> bool:
        """Start a server, if it is what Nova still expects of it."""

        # The lock under which nova-compute works on the server itself.
        with lockutils.lock(uuid):
            instance = objects.Instance.get_by_uuid(
                nova_context.get_admin_context(),
                uuid,
                expected_attrs=['flavor', 'info_cache', 'system_metadata'],
            )
            if instance.vm_state != vm_states.ACTIVE or instance.task_state:
                return False
            LOG.warning(
                'The engine has ended and taken this server with it: it is '
                'started again',
                instance=instance,
            )
            self._lifecycle.power_on(instance, instance.get_network_info())
            return True
