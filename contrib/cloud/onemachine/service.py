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

"""What is known of a process of the cloud."""

import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class Service:
    """A process that supervisor keeps.

    :ivar configuration: files below the folder of configuration; the process
        is started again when one of them changed
    :ivar ready: path of the API that answers when the service is ready
    """

    name: str
    command: str
    user: str = 'root'
    environment: typing.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )
    configuration: tuple[str, ...] = ()
    stop_signal: str = 'TERM'
    stop_seconds: int = 20
    ready: str = ''
