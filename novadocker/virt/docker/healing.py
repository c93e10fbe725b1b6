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

"""Servers brought back to what Nova says of them.

An engine that ends without live-restore ends every container, or leaves one
frozen that it was about to commit; somebody kills a sandbox, or deletes a
device. Nova believes that these servers run, and nobody has asked for anything
else.
"""

from collections.abc import Callable
import queue
import threading
from typing import Any

from nova.compute import vm_states
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from oslo_concurrency import lockutils
from oslo_log import log as logging

from novadocker import exception
from novadocker.virt.docker import lifecycle
from novadocker.virt.docker import model
from novadocker.virt.docker import observed
from novadocker.virt.docker import ports
from novadocker.virt.docker import spec

LOG = logging.getLogger(__name__)

# Starts at once: a host has as many processors as it takes to start that many
# containers, and more of them only make each other slower.
WORKERS = 2

# Seconds until a repair that failed is tried again, for as long as there is
# something to repair.
RETRY = 3

# What runs, and does so again when the engine has come back.
_RUNNING = (vm_states.ACTIVE, vm_states.RESCUED)

Work = Callable[[], None]


class Healer:
    """Repairs servers, a few at a time, in threads of its own."""

    def __init__(
        self,
        servers: lifecycle.Lifecycle,
        plugged: ports.Ports,
        seen: observed.Observed,
        host: str,
    ) -> None:
        self._lifecycle = servers
        self._ports = plugged
        self._observed = seen
        self._host = host
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        # Servers whose network waits to be looked at.
        self._hurt: set[str] = set()
        self._settled = threading.Event()

    def start(self) -> None:
        for number in range(WORKERS):
            threading.Thread(
                target=self._heal_thread,
                name=f'novadocker-healer-{number}',
                daemon=True,
            ).start()

    def stop(self) -> None:
        for _ in range(WORKERS):
            self._work.put(None)

    def _heal_thread(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception:
                # The next one must find this thread alive.
                LOG.exception('A repair has failed')

    # Servers that have ended

    def heal(self, uuid: str, otherwise: Work) -> None:
        """Have a server run again that ran when the engine went away.

        :param otherwise: called if it is not to run, or cannot
        """
        self._work.put(lambda: self._heal(uuid, otherwise))

    def _heal(self, uuid: str, otherwise: Work) -> None:
        try:
            if not self._start_again(uuid):
                otherwise()
        except Exception:
            otherwise()
            raise

    def _start_again(self, uuid: str) -> bool:
        """Start a server, if it is what Nova still expects of it."""
        # The lock under which nova-compute works on the server itself.
        with lockutils.lock(uuid):
            instance = _instance(uuid)
            if instance.vm_state not in _RUNNING or instance.task_state:
                return False
            if spec.is_job(instance.flavor):
                return False
            LOG.warning(
                'The engine has ended and taken this server with it: it is '
                'started again',
                instance=instance,
            )
            self._lifecycle.power_on(instance, instance.get_network_info())
            return True

    def settle(self, ended: Callable[[str], None]) -> None:
        """Find the servers that Nova has left off when the host started.

        To be called when Nova has resumed those that it wants to run; what
        is not running then will not be, and Nova still says that it is. Does
        something the first time only.

        :param ended: is told of each
        """
        if not self._settled.is_set():
            self._settled.set()
            self._work.put(lambda: self._settle(ended))

    def _settle(self, ended: Callable[[str], None]) -> None:
        rows = self._observed.instances()
        if all(row.state.alive for row in rows.values()):
            return
        for instance in objects.InstanceList.get_by_host(
            nova_context.get_admin_context(), self._host, expected_attrs=[]
        ):
            row = rows.get(instance.uuid)
            if (
                row is not None
                and not row.state.alive
                and instance.vm_state in (vm_states.ACTIVE, vm_states.PAUSED)
                and not instance.task_state
            ):
                ended(instance.uuid)

    # Servers that are frozen

    def thaw(self, uuid: str) -> None:
        """Let a server go on that nobody wants to be paused.

        So an engine leaves it that is killed while it commits a snapshot.
        """
        self._work.put(lambda: self._thaw(uuid))

    def _thaw(self, uuid: str) -> None:
        with lockutils.lock(uuid):
            self._observed.changed()
            row = self._observed.instances().get(uuid)
            if row is None or row.state is not model.ContainerState.PAUSED:
                return
            instance = _instance(uuid)
            if instance.vm_state != vm_states.ACTIVE:
                return
            if not instance.task_state:
                LOG.warning(
                    'This server was frozen when the engine ended: it goes on',
                    instance=instance,
                )
                self._lifecycle.unpause(instance)
                return
        # Nova still works on it, such as on the snapshot that has failed.
        _later(self.thaw, uuid)

    # Networks that are damaged

    def mend(self, uuid: str, cause: str) -> None:
        """Repair the network of a server, if it runs.

        :param cause: what has happened to it, for the log
        """
        if uuid not in self._hurt:
            self._hurt.add(uuid)
            self._work.put(lambda: self._mend(uuid, cause))

    def _mend(self, uuid: str, cause: str) -> None:
        # What happens from now on is to be looked at again.
        self._hurt.discard(uuid)
        try:
            if self._ports.in_use(uuid):
                self._ports.mend(_instance(uuid), cause)
            else:
                self._ports.unname(uuid)
        except exception.EngineUnavailable:
            # All servers are looked at when it is back.
            LOG.debug('The engine has gone before a repair')
        except nova_exception.InstanceNotFound:
            LOG.debug('Server %s was deleted before its repair', uuid)
        except (nova_exception.NovaException, OSError) as exc:
            LOG.warning(
                'Server %(uuid)s could not be repaired, since %(cause)s: '
                '%(error)s. This is tried again.',
                {'uuid': uuid, 'cause': cause, 'error': exc},
            )
            _later(self.mend, uuid, cause)


def _later(work: Callable[..., None], *args: Any) -> None:
    timer = threading.Timer(RETRY, work, args)
    timer.daemon = True
    timer.start()


def _instance(uuid: str) -> Any:
    return objects.Instance.get_by_uuid(
        nova_context.get_admin_context(),
        uuid,
        expected_attrs=['flavor', 'info_cache', 'system_metadata'],
    )
