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
"""Which frozen servers are suspended, and not merely paused.

The engine has one way to freeze a container, and Nova two words for it. The
difference is kept in a file beside the checkpoint, so that it survives
nova-compute and is gone with the server.
"""

import pathlib

_FILE = 'suspended'


class Suspensions:
    """The suspended servers of this host, below Nova's instances_path."""

    def __init__(self, instances_path: str) -> None:
        self._root = pathlib.Path(instances_path)

    def _path(self, uuid: str) -> pathlib.Path:
        return self._root / uuid / _FILE

    def __contains__(self, uuid: str) -> bool:
        return self._path(uuid).exists()

    def add(self, uuid: str) -> None:
        path = self._path(uuid)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def discard(self, uuid: str) -> None:
        self._path(uuid).unlink(missing_ok=True)
