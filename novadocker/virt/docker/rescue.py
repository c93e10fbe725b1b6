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

"""Another image in the place of a server's for a while, to look at that.

A second container takes the name, the sandbox and so the ports of the
server's own one, which is set aside. The engine mounts the root file system
of that one in the second, for as long as this runs: nothing of it has to be
repaired when the engine or the host has restarted.
"""

import functools
from typing import Any

from nova.compute import power_state
from nova import exception as nova_exception
from oslo_concurrency import lockutils

from novadocker import exception
from novadocker.virt.docker import guest
from novadocker.virt.docker import lifecycle
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import spec
from novadocker.virt.docker import undo as undoing

# Bytes that the kernel takes of what a mount is told: a page, with its end.
_OPTIONS = 4095


class Rescuer:
    """Rescues the servers of one Nova host."""

    def __init__(
        self, rooms: lifecycle.Rooms, servers: lifecycle.Lifecycle
    ) -> None:
        self._client = rooms.client
        self._sandboxes = rooms.sandboxes
        self._ports = rooms.ports
        self._images = rooms.images
        self._guests = rooms.guests
        self._obituaries = rooms.obituaries
        self._aside = rooms.aside
        self._lifecycle = servers

    def check(self, instance: Any) -> model.Overlay:
        """Refuse a server whose root file system nobody else can have.

        Nova stops a server before it has it rescued. So this is asked twice.

        :returns: what its root file system is made of
        :raises: RescueRefused
        """
        root = self._inspect(instance.uuid).root
        if root is None:
            driver = self._client.info().storage_driver
            raise exception.RescueRefused(
                reason=f'the storage driver {driver} of its engine does not '
                'say where root file systems are, as overlay2 does'
            )
        if len(root.options.encode()) > _OPTIONS:
            layers = root.lower.count(':')
            raise exception.RescueRefused(
                reason=f'its image has {layers} layers, which are more than '
                'can be mounted'
            )
        return root

    def rescue(
        self,
        context: Any,
        instance: Any,
        order: guest.Order,
        network_info: Any,
    ) -> None:
        """Run another image, with the root file system of a server.

        The server has been stopped. Where this fails, it is as it was before.

        :raises: RescueRefused, ImageRejected, CommandRejected,
            InstanceNotFound if it was deleted meanwhile
        """
        uuid = instance.uuid
        with (
            # Nova holds it in much that it does with a server, not in this.
            lockutils.lock(uuid),
            self._lifecycle.changing(),
            undoing.Undo(instance) as undo,
        ):
            self._inspect(uuid)
            if instance.power_state == power_state.RUNNING:
                undo.callback(self._lifecycle.power_on, instance, network_info)
            # Of a rescue that Nova knows nothing of any more.
            self._aside.restore(uuid)
            change = functools.partial(
                spec.rescue,
                image_meta=order.image_meta,
                root=self.check(instance),
            )
            image = self._images.ensure(context, instance, order.image_meta)
            self._aside.put(
                naming.instance_name(uuid), naming.RESCUED, undo
            )
            box = self._sandboxes.ensure(instance, undo)
            with self._ports.wired(instance, network_info, box, undo):
                name = self._lifecycle.create(
                    instance, image, box, undo, change
                )
                self._guests.prepare(instance, name, order)
            self._lifecycle.start(instance, name)

    def unrescue(self, instance: Any) -> None:
        """Let a server be what it was, with what was changed in it.

        Where it cannot be started a reboot tries that again.

        :raises: InstanceNotFound if its own container is gone; what stands
            in for it is kept then
        """
        uuid = instance.uuid
        with lockutils.lock(uuid), self._lifecycle.changing():
            self._obituaries.expect(uuid)
            self._aside.restore(uuid)
            if naming.is_rescue(self._inspect(uuid).labels):
                raise nova_exception.InstanceNotFound(instance_id=uuid)
            self._lifecycle.power_on(instance, instance.get_network_info())

    def _inspect(self, uuid: str) -> model.ContainerInfo:
        try:
            return self._client.inspect(naming.instance_name(uuid))
        except exception.ContainerNotFound as exc:
            raise nova_exception.InstanceNotFound(instance_id=uuid) from exc
