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

"""What a server has written to its console."""

from typing import Any

from nova import exception as nova_exception

from novadocker import exception
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model
from novadocker.virt.docker import naming

# Lines that the engine is asked for. Nova cuts what its user wants from these.
MAX_LINES = 10000


class Console:
    """The consoles of this host's servers."""

    def __init__(self, client: engine.Client) -> None:
        self._client = client

    def output(self, instance: Any) -> bytes:
        """The end of what the server's processes have written.

        Below the output of a server whose process has ended stands how it
        ended: a VM's console would show the kernel's last words there.
        """
        name = naming.instance_name(instance.uuid)
        try:
            info = self._client.inspect(name)
            written = self._client.logs(name, MAX_LINES)
        except exception.ContainerNotFound as exc:
            raise nova_exception.InstanceNotFound(
                instance_id=instance.uuid
            ) from exc
        if info.state is not model.ContainerState.EXITED:
            return written
        return written + _last_words(info.exit_code, info.oom_killed)


def _last_words(exit_code: int, oom_killed: bool) -> bytes:
    reason = ', out of memory' if oom_killed else ''
    return (
        f'\r\n[nova-docker] the process has ended with exit code '
        f'{exit_code}{reason}\r\n'
    ).encode()
