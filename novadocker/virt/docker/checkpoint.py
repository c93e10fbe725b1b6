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

"""What the engine can lose, kept in a small file per instance.

A namespace dies with its last process, and Neutron unbinds the ports of a
server before the driver may clean up after it: the checkpoint knows what was
plugged all the same.
"""

import contextlib
import dataclasses
import json
import pathlib
import shutil
from typing import Any

# Of the file's form; another one is not read, and treated as absent.
_VERSION = 1
_FILE = 'docker.json'


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """An instance's network as it was last plugged.

    :ivar sandbox_id: the container that owns the namespace
    :ivar netns: inode of the namespace
    :ivar vifs: Nova's description of each port, as JSON values
    :ivar names: of the NICs, by their devices on the host
    :ivar domains: what Neutron said of the DNS domain of each port, by its
        id; None where it has none to give
    """

    sandbox_id: str
    netns: int
    vifs: tuple[dict[str, Any], ...] = ()
    names: dict[str, str] = dataclasses.field(default_factory=dict)
    domains: dict[str, str | None] = dataclasses.field(default_factory=dict)


class Checkpoints:
    """The checkpoints of this host, below Nova's instances_path."""

    def __init__(self, instances_path: str) -> None:
        self._root = pathlib.Path(instances_path)

    def uuids(self) -> list[str]:
        """The instances that have a checkpoint, whole or not."""
        return [path.parent.name for path in self._root.glob(f'*/{_FILE}')]

    def read(self, uuid: str) -> Checkpoint | None:
        """The instance's checkpoint, None if it has none that is whole."""
        try:
            found = json.loads((self._root / uuid / _FILE).read_text())
            if found.pop('version') != _VERSION:
                return None
            return Checkpoint(
                found['sandbox_id'],
                found['netns'],
                tuple(found['vifs']),
                found['names'],
                found.get('domains', {}),
            )
        except (FileNotFoundError, ValueError, KeyError):
            # A host that lost power may leave an empty file.
            return None

    def write(self, uuid: str, checkpoint: Checkpoint) -> None:
        directory = self._root / uuid
        directory.mkdir(parents=True, exist_ok=True)
        # Field by field: Nova's models do not survive being copied by asdict.
        content = {
            'version': _VERSION,
            'sandbox_id': checkpoint.sandbox_id,
            'netns': checkpoint.netns,
            'vifs': checkpoint.vifs,
            'names': checkpoint.names,
            'domains': checkpoint.domains,
        }
        draft = directory / (_FILE + '.new')
        draft.write_text(json.dumps(content))
        draft.replace(directory / _FILE)

    def remove(self, uuid: str) -> None:
        """Remove the instance's directory with all that is in it."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._root / uuid)
