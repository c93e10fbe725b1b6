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

"""A server's root file system on its way from one host to another."""

import dataclasses
import json
import pathlib
from typing import Self

_SUFFIX = '.parcel'


@dataclasses.dataclass(frozen=True)
class Parcel:
    """What the other host has to know of it.

    :ivar image_id: the Glance image that it travels in
    :ivar base_id: the Glance image that it stands on, and that does not
        travel; empty if everything does
    :ivar config: the digest by which all of it is known; empty as long as it
        is being made
    :ivar note: the digest of the note that goes with it; empty if none does
    """

    image_id: str
    base_id: str = ''
    config: str = ''
    note: str = ''

    def dumps(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def loads(cls, text: str) -> Self:
        """:raises: ValueError, TypeError for what is none"""
        return cls(**json.loads(text))


class Parcels:
    """Those that this host knows of, in files below Nova's instances_path.

    They stand beside the directories of servers, since one has none yet that
    is to arrive.
    """

    def __init__(self, instances_path: str) -> None:
        self._root = pathlib.Path(instances_path)

    def _path(self, uuid: str) -> pathlib.Path:
        return self._root / (uuid + _SUFFIX)

    def read(self, uuid: str) -> Parcel | None:
        """That of a server, None if it has none that is whole."""
        try:
            return Parcel.loads(self._path(uuid).read_text())
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, uuid: str, parcel: Parcel) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        draft = self._path(uuid).with_suffix('.new')
        draft.write_text(parcel.dumps())
        draft.replace(self._path(uuid))

    def remove(self, uuid: str) -> None:
        self._path(uuid).unlink(missing_ok=True)
