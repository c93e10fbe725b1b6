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

"""The engine's events, as Nova's lifecycle events.

A container that dies shows in Nova's API within a second, without anybody
polling.
"""

from collections.abc import Callable
import functools
import heapq
import itertools
import threading
import time
from typing import Protocol

from nova.virt import event as virtevent
from oslo_log import log as logging

from novadocker import exception
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import observed

LOG = logging.getLogger(__name__)

Emit = Callable[[virtevent.LifecycleEvent], None]


class Healer(Protocol):
    """Repairs servers; see healing.Healer."""

    def heal(self, uuid: str, otherwise: Callable[[], None]) -> None: ...

    def mend(self, uuid: str, cause: str) -> None: ...

    def thaw(self, uuid: str) -> None: ...


# Seconds between tries to reach an engine that has gone away.
RETRY = (0.5, 1, 2, 5)

# Nova ignores what happens to a server while it works on that server, so a
# process that ends as soon as it is started would go unnoticed until the
# hourly audit. A server's end is told again after these seconds.
REPEAT_STOPPED = (0, 0.2, 2, 10)

_SANDBOX_ENDED = 'its sandbox has ended'

_TRANSITIONS = {
    model.EventAction.START: virtevent.EVENT_LIFECYCLE_STARTED,
    model.EventAction.DIE: virtevent.EVENT_LIFECYCLE_STOPPED,
    model.EventAction.PAUSE: virtevent.EVENT_LIFECYCLE_PAUSED,
    model.EventAction.UNPAUSE: virtevent.EVENT_LIFECYCLE_RESUMED,
}

# What a state seen in a list says of the event that must have led to it.
_STATE_TRANSITIONS = {
    model.ContainerState.RUNNING: virtevent.EVENT_LIFECYCLE_STARTED,
    model.ContainerState.EXITED: virtevent.EVENT_LIFECYCLE_STOPPED,
    model.ContainerState.DEAD: virtevent.EVENT_LIFECYCLE_STOPPED,
    model.ContainerState.PAUSED: virtevent.EVENT_LIFECYCLE_PAUSED,
}


class Announcer:
    """Tells Nova, now or later, from a thread of its own.

    Nova answers an event with requests to its database: the engine's events
    must not wait for them.

    :ivar states: those that the engine has confirmed, by instance uuid
    :ivar lives: how often the engine has gone away
    """

    def __init__(
        self, emit: Emit, seen: observed.Observed, ping: Callable[[], None]
    ) -> None:
        """:param ping: fails where the engine is not there, or is ending"""
        self.states: dict[str, model.ContainerState] = {}
        self.lives = 0
        self._emit = emit
        self._ping = ping
        self._observed = seen
        self._wakeup = threading.Condition()
        self._due: list[tuple[float, int, str, int, int]] = []
        self._order = itertools.count()
        self._stopped = False

    def announce(self, uuid: str, transition: int) -> None:
        delays = (
            REPEAT_STOPPED
            if transition == virtevent.EVENT_LIFECYCLE_STOPPED
            else (0,)
        )
        now = time.monotonic()
        with self._wakeup:
            for delay in delays:
                heapq.heappush(
                    self._due,
                    (
                        now + delay,
                        next(self._order),
                        uuid,
                        transition,
                        self.lives,
                    ),
                )
            self._wakeup.notify()

    def start(self) -> None:
        threading.Thread(
            target=self._announce_thread,
            name='novadocker-announcer',
            daemon=True,
        ).start()

    def stop(self) -> None:
        with self._wakeup:
            self._stopped = True
            self._wakeup.notify()

    def _next(self) -> tuple[str, int, int] | None:
        """Wait for the next event that is due; None for the end."""
        with self._wakeup:
            while not self._stopped:
                wait = (
                    self._due[0][0] - time.monotonic() if self._due else None
                )
                if wait is not None and wait <= 0:
                    _, _, uuid, transition, life = heapq.heappop(self._due)
                    return uuid, transition, life
                self._wakeup.wait(wait)
        return None

    def _announce_thread(self) -> None:
        while (due := self._next()) is not None:
            try:
                self._tell(*due)
            except exception.EngineUnavailable:
                # An engine that ends tells of containers that end with it.
                # They are seen to when it is back.
                LOG.debug('The engine has gone before confirming an event')
            except Exception:
                # The next event must find this thread alive.
                LOG.exception('Nova could not be told of an event')

    def _tell(self, uuid: str, transition: int, life: int) -> None:
        """Tell Nova, unless the server has moved on meanwhile.

        :param life: that of the engine in which it has happened
        """
        if transition == virtevent.EVENT_LIFECYCLE_STOPPED:
            # An engine that ends ends its containers first, and says so.
            self._ping()
            if self.lives != life:
                # It has been away: what it took with it has been seen to.
                return
        row = self._observed.instances().get(uuid)
        if row is None:
            self.states.pop(uuid, None)
            return
        self.states[uuid] = row.state
        if transition == virtevent.EVENT_LIFECYCLE_STOPPED and row.state.alive:
            # The engine tells of an end before its own list knows.
            self._observed.changed()
        if _STATE_TRANSITIONS.get(row.state) not in (
            transition,
            _equivalent(transition),
        ):
            return
        self._emit(virtevent.LifecycleEvent(uuid, transition))


def _equivalent(transition: int) -> int:
    """A server that was resumed looks like one that was started."""
    if transition == virtevent.EVENT_LIFECYCLE_RESUMED:
        return int(virtevent.EVENT_LIFECYCLE_STARTED)
    return transition


class Events:
    """Follows the engine, through its restarts, until stopped."""

    def __init__(
        self,
        client: engine.Client,
        seen: observed.Observed,
        host: str,
        emit: Emit,
        healer: Healer,
    ) -> None:
        """:param healer: is told of servers that are not as they should be"""
        self._client = client
        self._healer = healer
        self._observed = seen
        self._filter = naming.host_filter(host)
        self._sandboxes = naming.host_filter(host, naming.ROLE_SANDBOX)
        self._announcer = Announcer(emit, seen, client.ping)
        self._stopped = threading.Event()
        self._stream: engine.EventStream | None = None
        self._out_of_memory: set[str] = set()

    def start(self) -> None:
        self._announcer.start()
        threading.Thread(
            target=self._follow_thread, name='novadocker-events', daemon=True
        ).start()

    def stop(self) -> None:
        """End both threads; does not wait for them."""
        self._stopped.set()
        self._announcer.stop()
        stream = self._stream
        if stream is not None:
            stream.close()

    def _follow_thread(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                self._follow()
                failures = 0
            except exception.NovaDockerException as exc:
                if not failures:
                    LOG.warning('The engine gives no events: %s', exc)
                failures += 1
            except Exception:
                LOG.exception('The events of the engine are lost')
                failures += 1
            self._stopped.wait(RETRY[min(failures, len(RETRY) - 1)])

    def _follow(self) -> None:
        """Listen until the engine goes away."""
        with self._client.events(self._filter) as stream:
            self._stream = stream
            if self._stopped.is_set():
                return
            self._catch_up()
            try:
                for event in stream:
                    self._handle(event)
            finally:
                # At once: it may be back before it is listened to again.
                self._announcer.lives += 1

    def _catch_up(self) -> None:
        """Make good for what has changed since events were last heard."""
        self._observed.changed()
        states = {
            uuid: row.state for uuid, row in self._observed.instances().items()
        }
        for uuid, state in states.items():
            if state is model.ContainerState.PAUSED:
                self._healer.thaw(uuid)
            before = self._announcer.states.get(uuid, state)
            transition = _STATE_TRANSITIONS.get(state)
            if before == state or transition is None:
                continue
            tell = functools.partial(
                self._announcer.announce, uuid, transition
            )
            if before.alive and not state.alive:
                # It may have ended by itself, which cannot be told from
                # here: then it will do so again.
                self._healer.heal(uuid, tell)
            else:
                tell()
        self._announcer.states = states
        self._check_sandboxes()

    def _check_sandboxes(self) -> None:
        """Find servers whose sandbox has died while nobody listened."""
        alive = {
            naming.instance_uuid(row.labels)
            for row in self._client.list_containers(self._sandboxes)
            if row.state.alive
        }
        for uuid, row in self._observed.instances().items():
            if row.state.alive and uuid not in alive:
                self._healer.mend(uuid, _SANDBOX_ENDED)

    def ended(self, uuid: str) -> None:
        """Tell Nova of a server that does not run, if that is still so."""
        self._announcer.announce(uuid, virtevent.EVENT_LIFECYCLE_STOPPED)

    def _handle(self, event: model.Event) -> None:
        uuid = naming.instance_uuid(event.labels)
        if uuid is None:
            return
        if naming.is_sandbox(event.labels):
            if event.action is model.EventAction.DIE:
                self._healer.mend(uuid, _SANDBOX_ENDED)
            return
        self._observed.changed()
        if event.action is model.EventAction.OOM:
            self._out_of_memory.add(event.container_id)
        if event.action is model.EventAction.START:
            # That it has ended counts when the engine lives to confirm it.
            self._announcer.states[uuid] = model.ContainerState.RUNNING
        if event.action in _TRANSITIONS:
            self._announcer.announce(uuid, _TRANSITIONS[event.action])
        if event.action is model.EventAction.DIE:
            self._log_end(uuid, event)

    def _log_end(self, uuid: str, event: model.Event) -> None:
        oom = event.container_id in self._out_of_memory
        self._out_of_memory.discard(event.container_id)
        LOG.info(
            'The process of server %(uuid)s has ended with exit code '
            '%(code)s%(oom)s',
            {
                'uuid': uuid,
                'code': event.exit_code,
                'oom': ', out of memory' if oom else '',
            },
        )
