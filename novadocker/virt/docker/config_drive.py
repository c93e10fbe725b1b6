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
"""The config drive: a directory that a server can read and not write.

It is where cloud-init looks for one that is no device, and where anybody else
may. It is no part of the root file system, so that no snapshot has it.
"""

from collections.abc import Callable
from collections.abc import Iterable
import pathlib
import shutil
from typing import Any

from nova.api.metadata import base as instance_metadata

from novadocker.virt.docker import guest
from novadocker.virt.docker import naming

# Paths and contents.
Content = Iterable[tuple[str, bytes]]


def content(
    instance: Any, network_info: Any, order: guest.Order | None
) -> Content:
    """What Nova has to say to a server."""
    extra = {}
    if order is not None and order.admin_password:
        extra['admin_pass'] = order.admin_password
    found: Content = instance_metadata.InstanceMetadata(
        instance,
        content=order.files if order else (),
        extra_md=extra,
        network_info=network_info,
    ).metadata_for_config_drive()
    return found


class ConfigDrives:
    """The config drives of this host, below Nova's instances_path."""

    def __init__(
        self,
        instances_path: str,
        write: Callable[[Any, Any, guest.Order | None], Content] = content,
    ) -> None:
        self._root = instances_path
        self._content = write

    def write(
        self, instance: Any, network_info: Any, order: guest.Order | None
    ) -> None:
        """Make the config drive of a server, if it is to have one."""
        if not instance.config_drive:
            return
        tree = naming.config_drive_path(self._root, instance.uuid)
        # What is in it is for the server alone; the engine is root.
        tree.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        tree.parent.chmod(0o700)
        draft = tree.with_name('draft')
        shutil.rmtree(draft, ignore_errors=True)
        for path, data in self._content(instance, network_info, order):
            self._write(draft / guest.inside(path), data)
        for directory in (draft, *draft.rglob('*/')):
            directory.chmod(0o755)
        shutil.rmtree(tree, ignore_errors=True)
        draft.rename(tree)

    def _write(self, file: pathlib.Path, data: bytes | str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)
        file.chmod(0o644)

    def ensure(self, instance: Any) -> None:
        """Have a config drive that a container is about to mount.

        A server that has come from another host has left its own there.
        """
        tree = naming.config_drive_path(self._root, instance.uuid)
        if instance.config_drive and not tree.exists():
            self.write(instance, instance.get_network_info(), None)
