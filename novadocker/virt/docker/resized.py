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

"""What a container takes of its host since it was resized.

Its limits can be changed while it exists, its labels cannot. So there is a
file beside the checkpoint of a server that was resized where it is.
"""

import dataclasses
import json
import pathlib

from novadocker.virt.docker import naming

_FILE = 'resized.json'


@dataclasses.dataclass(frozen=True)
class Resized:
    """A container with other limits than it was made with.

    :ivar waiting: whether the user has still to confirm it
    """

    container: str
    usage: naming.Usage
    waiting: bool = False


class Resizes:
    """The resized servers of this host, below Nova's instances_path."""

    def __init__(self, instances_path: str) -> None:
        self._root = pathlib.Path(instances_path)

    def _path(self, uuid: str) -> pathlib.Path:
        return self._root / uuid / _FILE

    def read(self, uuid: str) -> Resized | None:
        try:
            found = json.loads(self._path(uuid).read_text())
            usage = naming.Usage(**found.pop('usage'))
            return Resized(usage=usage, **found)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, uuid: str, resized: Resized) -> None:
        path = self._path(uuid)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix('.new')
        draft.write_text(json.dumps(dataclasses.asdict(resized)))
        draft.replace(path)

    def waits(self, uuid: str) -> bool:
        """Whether a server was resized here, and that is not settled."""
        found = self.read(uuid)
        return found is not None and found.waiting

    def settle(self, uuid: str) -> None:
        """Let what a server has now be what it has."""
        found = self.read(uuid)
        if found is not None and found.waiting:
            self.write(uuid, dataclasses.replace(found, waiting=False))

    def usage(self, uuid: str, container: str) -> naming.Usage | None:
        """What a container takes; None if its labels are true of it."""
        found = self.read(uuid)
        if found is None or found.container != container:
            return None
        return found.usage
