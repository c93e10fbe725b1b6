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

"""What the engine says of this host's servers, asked once for all of them."""

from collections.abc import Mapping
import threading
import time

from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model
from novadocker.virt.docker import naming

# Seconds for which a list is used again. Long enough for one list to serve
# many questions of a periodic task; what changes meanwhile is told at once by
# an operation of ours or by the engine's events.
MAX_AGE = 2.0


def containers(
    client: engine.Client, uuid: str, host: str
) -> tuple[list[str], list[str]]:
    """The ids of a server's containers, and of its sandboxes, asked now.

    First comes what has another one's root file system mounted.
    """
    rows = client.list_containers(naming.instance_filter(uuid, host))
    rows.sort(key=lambda row: not naming.is_rescue(row.labels))
    boxes = [row.id for row in rows if naming.is_sandbox(row.labels)]
    return [row.id for row in rows if row.id not in boxes], boxes


class Observed:
    """The instance containers of one Nova host, by instance uuid.

    Nova asks for the state of one server at a time. With a request for each,
    a host with a thousand servers would send a thousand; here they share one.
    """

    def __init__(self, client: engine.Client, host: str) -> None:
        self._client = client
        self._filter = naming.host_filter(host, naming.ROLE_INSTANCE)
        self._listing = threading.Lock()
        self._counting = threading.Lock()
        self._changes = 0
        self._listed_at_change = -1
        self._listed_at = 0.0
        self._rows: dict[str, model.ContainerSummary] = {}

    def changed(self) -> None:
        """Make the next question go to the engine."""
        with self._counting:
            self._changes += 1

    def instances(self) -> Mapping[str, model.ContainerSummary]:
        """All servers, as they were after the last call of :meth:`changed`.

        Those who ask while a list is on its way wait for it, and use it if
        nothing has changed since it was asked for.
        """
        with self._listing:
            changes = self._changes
            age = time.monotonic() - self._listed_at
            if changes != self._listed_at_change or age > MAX_AGE:
                asked_at = time.monotonic()
                self._rows = self._list()
                self._listed_at_change = changes
                self._listed_at = asked_at
            return self._rows

    def _list(self) -> dict[str, model.ContainerSummary]:
        rows = self._client.list_containers(self._filter)
        # One that was set aside is no server, but may be one again.
        return {
            uuid: row
            for row in rows
            if (uuid := naming.instance_uuid(row.labels)) is not None
            and row.name == naming.instance_name(uuid)
        }
