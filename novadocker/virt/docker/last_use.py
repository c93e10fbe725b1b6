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

"""When images were last used, in files that outlive nova-compute.

The engine cannot tell this of many images at once. So there is an empty file
for each image, with the time of its last use, as Nova's libvirt driver keeps
it with the files of its own cache.
"""

from collections.abc import Mapping
import contextlib
import os
import pathlib
import time


class LastUse:
    """The last use of each image of an engine.

    :param path: a directory for nothing else, shared by all nova-compute
        services that use the same engine
    """

    def __init__(self, path: str) -> None:
        self._root = pathlib.Path(path)

    def note(self, image_id: str) -> None:
        """The image is used now."""
        self._root.mkdir(parents=True, exist_ok=True)
        (self._root / image_id).touch()

    def age(self, image_id: str) -> float | None:
        """Seconds since the image was used; None if it never was."""
        try:
            return time.time() - (self._root / image_id).stat().st_mtime
        except FileNotFoundError:
            return None

    def ages(self) -> Mapping[str, float]:
        """Seconds since its last use, of each image that was ever used."""
        try:
            names = os.listdir(self._root)
        except FileNotFoundError:
            return {}
        found = {name: self.age(name) for name in names}
        return {name: age for name, age in found.items() if age is not None}

    def forget(self, image_id: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._root / image_id).unlink()
