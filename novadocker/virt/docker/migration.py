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

"""Servers that get another size, or another host.

Where a server stays, its container stays as well and gets other limits. Where
it goes its root file system travels through Glance, and what it was is kept
stopped and under another name, until the user has decided.
"""

from collections.abc import Iterator
import contextlib
import functools
from typing import Any

from nova.compute import task_states
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from oslo_log import log as logging
from oslo_utils import units

from novadocker import exception
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import lifecycle
from novadocker.virt.docker import making
from novadocker.virt.docker import naming
from novadocker.virt.docker import parcel as parcel_mod
from novadocker.virt.docker import quotas
from novadocker.virt.docker import resized as resized_mod
from novadocker.virt.docker import spec
from novadocker.virt.docker import transport as transport_mod
from novadocker.virt.docker import undo as undoing

LOG = logging.getLogger(__name__)


class Migrations:
    """Moves and resizes the servers of one Nova host."""

    def __init__(
        self,
        rooms: lifecycle.Rooms,
        servers: lifecycle.Lifecycle,
        transport: transport_mod.Transport,
        settings: spec.ServerSettings,
    ) -> None:
        self._client: engine.Client = rooms.client
        self._ports = rooms.ports
        self._sandboxes = rooms.sandboxes
        self._observed = rooms.observed
        self._resizes = rooms.resizes
        self._aside = rooms.aside
        self._lifecycle = servers
        self._transport = transport
        self._settings = settings

    # Where a server is

    def refuse(self, instance: Any, flavor: Any, stays: bool) -> None:
        """Refuse what cannot be, while the server goes on.

        :raises: InstanceFaultRollback
        """
        try:
            spec.refuse_flavor(flavor)
            if stays:
                _check_container(instance.flavor, flavor)
            else:
                self._transport.check()
            self._check_room(instance, flavor)
        except nova_exception.NovaException as exc:
            raise nova_exception.InstanceFaultRollback(exc) from exc

    def _check_room(self, instance: Any, flavor: Any) -> None:
        old, new = instance.flavor.root_gb, flavor.root_gb
        # Of 0, which is no limit, anything is less.
        if not new or new >= old > 0:
            return
        size = self._client.size(naming.instance_name(instance.uuid))
        if size > new * units.Gi:
            raise nova_exception.ResizeError(
                reason=f'the server has {size} bytes of files, more than '
                f'the root disk of {new} GiB that it would get'
            )

    def stop(self, instance: Any, network_info: Any, grace: int) -> None:
        """Stop a server that is to be resized where it is.

        :raises: InstanceFaultRollback; the server is as before then
        """
        with self._leaving(instance, network_info, grace):
            pass

    def depart(
        self, context: Any, instance: Any, network_info: Any, grace: int
    ) -> str:
        """Stop a server, and send it off.

        Its containers stay, under other names, and its ports are unplugged.

        :returns: what the other host has to be told
        :raises: InstanceFaultRollback; the server is as before then, and
            nothing is left
        """
        with self._leaving(instance, network_info, grace) as undo:
            undo.callback(self._transport.discard, context, instance)
            parcel = self._transport.send(context, instance)
            self._ports.leave(instance, network_info)
            self._sandboxes.stop(instance.uuid)
            self._aside.put_both(instance.uuid, naming.MOVED, undo)
        return parcel.dumps()

    @contextlib.contextmanager
    def _leaving(
        self, instance: Any, network_info: Any, grace: int
    ) -> Iterator[undoing.Undo]:
        """Have a server stopped; it runs again where the block fails."""
        try:
            with self._lifecycle.changing(), undoing.Undo(instance) as undo:
                name = naming.instance_name(instance.uuid)
                if self._client.inspect(name).state.alive:
                    undo.callback(
                        self._lifecycle.power_on, instance, network_info
                    )
                self._lifecycle.power_off(instance, grace)
                yield undo
        except Exception as exc:
            raise nova_exception.InstanceFaultRollback(exc) from exc

    # Where it shall be

    def resize(
        self, instance: Any, network_info: Any, power_on: bool
    ) -> None:
        """Give a server that was stopped here the limits of its flavor.

        Where this fails it has those of its old one.
        """
        uuid = instance.uuid
        with self._lifecycle.changing(), undoing.Undo(instance) as undo:
            undo.callback(self._limit, uuid, instance.old_flavor)
            self._limit(uuid, instance.flavor, waiting=True)
            if power_on:
                self._lifecycle.power_on(instance, network_info)

    def _limit(self, uuid: str, flavor: Any, waiting: bool = False) -> None:
        found = self._client.inspect(naming.instance_name(uuid)).id
        self._client.update(found, spec.limits(flavor, self._settings))
        self._resizes.write(
            uuid, resized_mod.Resized(found, spec.usage(flavor), waiting)
        )

    def arrive(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        parcel: parcel_mod.Parcel,
        power_on: bool,
    ) -> None:
        """Make a server here of what another host has sent.

        Where this fails nothing of it is left here but the word of the
        parcel, by which a hard reboot can finish it.
        """
        self._transport.expect(instance, parcel)
        with undoing.Undo(instance) as undo:
            undo.callback(self._transport.forget, instance)
            self._lifecycle.build(
                instance,
                network_info,
                making.Making(
                    functools.partial(
                        self._transport.receive, context, instance, parcel
                    ),
                    power_on=power_on,
                ),
            )
        self._transport.discard(context, instance)

    def resume(
        self, context: Any, instance: Any, network_info: Any
    ) -> bool:
        """Finish a move that broke off, instead of starting a server.

        Nova has the server here by then, and says that a hard reboot may
        bring it back.

        :returns: whether there was one, so that the server runs
        """
        parcel = self._transport.expected(instance)
        if parcel is None:
            return False
        if not parcel.config:
            # It was to leave from here, and is here.
            self._aside.put_back(instance.uuid, naming.MOVED)
            return False
        self._observed.changed()
        if instance.uuid in self._observed.instances():
            return False
        self._sandboxes.remove(instance.uuid)
        LOG.info('Finishing the move to this host', instance=instance)
        self.arrive(context, instance, network_info, parcel, power_on=True)
        return True

    # When the user has decided

    def confirm(self, context: Any, instance: Any, stayed: bool) -> None:
        """Remove what the server was.

        :param stayed: whether it was resized where it is
        """
        self._transport.discard(context, instance)
        if stayed:
            self._resizes.settle(instance.uuid)
        else:
            self._lifecycle.destroy(instance, (), True)

    def revert(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        power_on: bool,
    ) -> None:
        """Let a server be again what it was, in the very same container."""
        uuid = instance.uuid
        self._transport.discard(context, instance)
        with self._lifecycle.changing():
            self._aside.put_back(uuid, naming.MOVED)
            if self._resizes.waits(uuid):
                self._limit(uuid, instance.flavor)
            if power_on:
                self._lifecycle.power_on(instance, network_info)

    def discard(self, context: Any, instance: Any) -> None:
        """Remove from Glance what a server has travelled in."""
        self._transport.discard(context, instance)

    def keeps(self, instance: Any) -> bool:
        """Whether a server that Nova destroys is the one to revert to.

        Where it was resized in place there is no other.
        """
        return self._resizes.waits(instance.uuid) and (
            instance.task_state == task_states.RESIZE_REVERTING
        )

    def rest(self, instance: Any, grace: int) -> None:
        """Stop a server that is about to be reverted in place."""
        with contextlib.suppress(nova_exception.InstanceNotFound):
            self._lifecycle.power_off(instance, grace)

    def sweep(self) -> None:
        """Remove what servers have left here that were deleted elsewhere.

        Nova does not tell of it: it deletes their migrations with them. A
        server that it does not know is left alone.
        """
        context = nova_context.get_admin_context(read_deleted='yes')
        for uuid in self._aside.servers(naming.MOVED):
            with contextlib.suppress(nova_exception.InstanceNotFound):
                instance = objects.Instance.get_by_uuid(
                    context, uuid, expected_attrs=[]
                )
                if instance.deleted:
                    LOG.info('Deleted elsewhere', instance=instance)
                    self.abandon(instance)

    def abandon(self, instance: Any) -> None:
        """Remove what is left here of a server that was deleted."""
        self._lifecycle.destroy(instance, (), True)
        self._transport.lose(instance)


def _check_container(old: Any, new: Any) -> None:
    """:raises: FeatureNotSupported for what no container can change"""
    if spec.new_privileges(old) != spec.new_privileges(new):
        raise exception.FeatureNotSupported(
            feature=f'a resize to another {spec.NEW_PRIVILEGES} on the same '
            'host'
        )
    if quotas.disk_rates(old) != quotas.disk_rates(new):
        raise exception.FeatureNotSupported(
            feature='a resize to other quota:disk_… on the same host'
        )
