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

"""What a server is made of that is not there yet."""

from collections.abc import Callable
import dataclasses
from typing import Any

from novadocker.virt.docker import model


def _nothing(*_: Any) -> None:
    """There is nothing to be prepared."""


@dataclasses.dataclass(frozen=True)
class Making:
    """What differs between a server's first boot and its coming from afar.

    :ivar image: has its image in the engine; called again if that goes
        meanwhile
    :ivar furnish: prepares what its container will mount
    :ivar prepare: is told its container before that is started
    """

    image: Callable[[], model.ImageInfo]
    furnish: Callable[[], None] = _nothing
    prepare: Callable[[str], None] = _nothing
    power_on: bool = True
