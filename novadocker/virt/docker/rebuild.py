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


"""Another image for a server that stays where it is, with its ports."""

from collections.abc import Callable
from typing import Any

from novadocker.virt.docker import guest
from novadocker.virt.docker import lifecycle
from novadocker.virt.docker import naming
from novadocker.virt.docker import undo as undoing


class Rebuilder:
    """Rebuilds the servers of one Nova host."""

    def __init__(
        self, rooms: lifecycle.Rooms, servers: lifecycle.Lifecycle, host: str
    ) -> None:
        self._client = rooms.client
        self._sandboxes = rooms.sandboxes
        self._ports = rooms.ports
        self._images = rooms.images
        self._guests = rooms.guests
        self._drives = rooms.drives
        self._aside = rooms.aside
        self._lifecycle = servers
        self._host = host

    def rebuild(
        self,
        context: Any,
        instance: Any,
        order: guest.Order,
        network_info: Any,
        stopping: Callable[[], None],
    ) -> None:
        """Give a server a new root file system.

        It goes on with its old one for as long as the image loads. The
        sandbox stays, and its ports are not touched, unless the server has
        another host name now. Where this fails it still has what it had.

        :param stopping: called when the server is about to be replaced;
            stops it
        """
        uuid = instance.uuid
        with self._lifecycle.changing(), undoing.Undo(instance) as undo:
            image = self._images.ensure(context, instance, order.image_meta)
            stopping()
            # Of a rescue that Nova knows nothing of any more.
            self._aside.restore(uuid)
            old = self._aside.put(
                naming.instance_name(uuid), naming.REPLACED, undo
            )
            box = self._sandboxes.renewed(instance, undo)
            with self._ports.wired(instance, network_info, box, undo):
                self._drives.write(instance, network_info, order)
                name = self._lifecycle.create(instance, image, box, undo)
                self._guests.prepare(instance, name, order)
            self._lifecycle.start(instance, name)
        if old is not None:
            self._client.remove(old)
        self._client.remove_image(naming.rebind_reference(uuid, self._host))
