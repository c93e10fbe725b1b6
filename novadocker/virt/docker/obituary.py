#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.
"""Why a server's process has ended, told to its users.

Nova only learns that it has. What the process said at last, and whether it
ran out of memory, stands in the list of the server's actions.
"""

from collections.abc import Callable
import threading

from nova.virt import event as virtevent

from novadocker.virt.docker import action_log
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model
from novadocker.virt.docker import naming

Emit = Callable[[virtevent.LifecycleEvent], None]

# Lines of output, of which as much is told as a message holds.
_LINES = 10
_LENGTH = 250


class Obituaries:
    """Stands between the engine's events and Nova.

    Ends that the driver itself brings about are no news.
    """

    def __init__(self, client: engine.Client, emit: Emit) -> None:
        self._client = client
        self._emit = emit
        self._lock = threading.Lock()
        self._expected: set[str] = set()
        self._told: dict[str, str] = {}

    def expect(self, uuid: str) -> None:
        """Take the end of a server for what was asked for, from now on."""
        with self._lock:
            self._expected.add(uuid)

    def begin(self, uuid: str) -> None:
        """Take the next end of a server for news: it is to run."""
        with self._lock:
            self._expected.discard(uuid)

    def forget(self, uuid: str) -> None:
        """Know nothing more of a server that is gone."""
        with self._lock:
            self._expected.discard(uuid)
            self._told.pop(uuid, None)

    def emit(self, event: virtevent.LifecycleEvent) -> None:
        """Pass an event on; where it is an end that is news, say why."""
        try:
            if event.transition == virtevent.EVENT_LIFECYCLE_STOPPED:
                self._tell(event.uuid)
        finally:
            self._emit(event)

    def _tell(self, uuid: str) -> None:
        name = naming.instance_name(uuid)
        info = self._client.inspect(name)
        if not self._is_news(uuid, info):
            return
        written = self._client.logs(name, _LINES)
        action_log.tell(uuid, action_log.PROCESS_ENDED, _words(info, written))
        with self._lock:
            self._told[uuid] = info.finished_at

    def _is_news(self, uuid: str, info: model.ContainerInfo) -> bool:
        with self._lock:
            return (
                not info.state.alive
                and uuid not in self._expected
                and self._told.get(uuid) != info.finished_at
            )


def _words(info: model.ContainerInfo, written: bytes) -> str:
    why = f'exit code {info.exit_code}'
    if info.oom_killed:
        why += ', out of memory'
    said = ' '.join(written.decode(errors='replace').split())
    if not said:
        return why
    room = _LENGTH - len(why) - len('; last output: ')
    return f'{why}; last output: {said[-room:]}'
