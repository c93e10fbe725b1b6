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

"""The one road to running, and the ways back.

Everything that makes a server run passes the same steps: sandbox, ports,
instance container, Neutron's confirmation, start. Each step that makes
something registers at once how to take it back.
"""

from collections.abc import Callable
from collections.abc import Iterator
from concurrent import futures
import contextlib
import dataclasses
import functools
from typing import Any

from nova import exception as nova_exception
from oslo_log import log as logging

from novadocker import exception
from novadocker.virt.docker import action_log
from novadocker.virt.docker import aside
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import config_drive
from novadocker.virt.docker import extras
from novadocker.virt.docker import guest
from novadocker.virt.docker import images
from novadocker.virt.docker import injection
from novadocker.virt.docker import making as making_mod
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import obituary
from novadocker.virt.docker import observed
from novadocker.virt.docker import ports
from novadocker.virt.docker import resized
from novadocker.virt.docker import sandbox
from novadocker.virt.docker import signals
from novadocker.virt.docker import spec
from novadocker.virt.docker import suspension
from novadocker.virt.docker import undo as undoing

LOG = logging.getLogger(__name__)

# How the engine says that a command cannot be executed.
_BAD_REQUEST = 400

Change = Callable[[model.ContainerSpec], model.ContainerSpec]

_MEMORY_LOST = (
    'The engine or the host has restarted while the server was suspended, '
    'and its memory is lost: its process was started anew.'
)


@dataclasses.dataclass(frozen=True)
class Rooms:
    """What the lifecycle works with."""

    client: engine.Client
    sandboxes: sandbox.Sandboxes
    ports: ports.Ports
    images: images.Images
    observed: observed.Observed
    loaders: futures.Executor
    suspensions: suspension.Suspensions
    obituaries: obituary.Obituaries
    guests: injection.Guests
    drives: config_drive.ConfigDrives
    resizes: resized.Resizes
    aside: aside.Aside


@contextlib.contextmanager
def _instance_container(instance: Any) -> Iterator[str]:
    """Name the container of an instance that Nova believes to exist."""
    try:
        yield naming.instance_name(instance.uuid)
    except exception.ContainerNotFound as exc:
        raise nova_exception.InstanceNotFound(
            instance_id=instance.uuid
        ) from exc


class Lifecycle:
    """Servers of one Nova host, from nothing to running and back."""

    def __init__(
        self, rooms: Rooms, host: str, settings: spec.ServerSettings
    ) -> None:
        self._client = rooms.client
        self._sandboxes = rooms.sandboxes
        self._ports = rooms.ports
        self._images = rooms.images
        self._observed = rooms.observed
        self._loaders = rooms.loaders
        self._suspensions = rooms.suspensions
        self._obituaries = rooms.obituaries
        self._guests = rooms.guests
        self._drives = rooms.drives
        self._aside = rooms.aside
        self._host = host
        self._settings = settings

    # To running

    def spawn(
        self,
        context: Any,
        instance: Any,
        order: guest.Order,
        network_info: Any,
    ) -> None:
        """Make a server from its image."""
        self.build(
            instance,
            network_info,
            making_mod.Making(
                functools.partial(
                    self._images.ensure, context, instance, order.image_meta
                ),
                functools.partial(
                    self._drives.write, instance, network_info, order
                ),
                lambda name: self._guests.prepare(instance, name, order),
                order.power_on,
            ),
        )

    def build(
        self, instance: Any, network_info: Any, making: making_mod.Making
    ) -> None:
        """Make a server; nothing is left of it where this fails.

        The sandbox is made while the image loads and while Neutron still
        allocates: network_info is not looked at before it is needed.

        :raises: FeatureNotSupported before anything is made
        """
        spec.limits(instance.flavor, self._settings)
        with self.changing(), undoing.Undo(instance) as undo:
            loading = self._loaders.submit(making.image)
            try:
                box = self._sandboxes.create(instance, undo)
            except exception.ContainerConflict as exc:
                raise nova_exception.InstanceExists(
                    name=instance.uuid
                ) from exc
            undo.callback(self._ports.forget, instance.uuid)
            with self._ports.wired(instance, network_info, box, undo):
                making.furnish()
                image = loading.result()
                try:
                    name = self.create(instance, image, box, undo)
                except exception.ImageNotFoundInEngine:
                    # Somebody has removed it since it was found.
                    name = self.create(instance, making.image(), box, undo)
                making.prepare(name)
            if making.power_on:
                self.start(instance, name)

    def power_on(
        self, instance: Any, network_info: Any, wait: bool = True
    ) -> None:
        """Make a server run that exists, whatever has happened to it.

        Nothing of it is removed where this fails.

        :param wait: for Neutron to wire its ports
        """
        with self.changing(), undoing.Undo(instance) as undo:
            box = self._sandboxes.ensure(instance, undo)
            with self._ports.wired(instance, network_info, box, undo, wait):
                name = self._existing(instance, box)
            self.start(instance, name)

    def resume_after_boot(self, instance: Any, network_info: Any) -> None:
        """Make a server run that ran before the host went down."""
        if spec.is_job(instance.flavor):
            LOG.info('A job is not started again', instance=instance)
            return
        # Nova takes no events before all servers have been resumed.
        self.power_on(instance, network_info, wait=False)

    def reboot(self, instance: Any, network_info: Any, grace: int) -> None:
        """Stop a server's process within ``grace`` seconds, and start it."""
        with contextlib.suppress(nova_exception.InstanceNotFound):
            # What was set aside does not run, and can be started.
            self.power_off(instance, grace)
        self.power_on(instance, network_info)

    def create(
        self,
        instance: Any,
        image: model.ImageInfo,
        box: sandbox.Sandbox,
        undo: undoing.Undo,
        change: Change | None = None,
    ) -> str:
        """Make a server's container.

        :param change: what is different about it
        """
        self._drives.ensure(instance)
        wanted = spec.server(
            instance, self._host, image, box.id, self._settings
        )
        wanted = change(wanted) if change else wanted
        spec.check_command(wanted, image)
        name = self._client.create(wanted)
        undo.callback(self._client.remove, name)
        return name

    def _existing(self, instance: Any, box: sandbox.Sandbox) -> str:
        with _instance_container(instance):
            found = self._aside.current(instance)
        if found.network == f'container:{box.id}':
            return found.id
        if naming.is_rescue(found.labels):
            raise exception.RescueLost
        return self._rebind(instance, found, box)

    def _rebind(
        self, instance: Any, old: model.ContainerInfo, box: sandbox.Sandbox
    ) -> str:
        """Move a server's root file system to a container on a new sandbox.

        The engine ties a container for ever to the id of the sandbox that it
        joined. Where somebody has removed that one, the content goes through
        an image into a new container, and the old one is kept until that is
        there.
        """
        LOG.warning(
            'The sandbox of this server was removed behind our back: its '
            'container is made again, with its content',
            instance=instance,
        )
        reference = naming.rebind_reference(instance.uuid, self._host)
        repository, _, tag = reference.rpartition(':')
        base = self._client.inspect_image(old.image_id)
        # What the image runs, not what the driver had it run: the new
        # container stands on this as the old one did on its image.
        runs = {
            'Cmd': list(base.command),
            'Entrypoint': list(base.entrypoint),
        }
        note = extras.collected(self._client, old)
        image_id = self._client.commit(old.id, repository, tag, runs, False)
        with undoing.Undo(instance) as undo:
            self._aside.put(
                naming.instance_name(instance.uuid), naming.REPLACED, undo
            )
            image = self._client.inspect_image(image_id)
            extras.restore(image, note)
            name = self.create(instance, image, box, undo)
        self._client.remove(old.id)
        return name

    def start(self, instance: Any, container: str) -> None:
        self._suspensions.discard(instance.uuid)
        self._obituaries.begin(instance.uuid)
        try:
            self._client.start(container)
        except exception.EngineError as exc:
            if exc.status != _BAD_REQUEST:
                raise
            raise exception.CommandRejected(reason=exc.reason) from exc

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Have the engine asked again after this, come of it what may."""
        try:
            yield
        finally:
            self._observed.changed()

    # And back

    def power_off(self, instance: Any, grace: int) -> None:
        """Stop the server's process; its ports stay as they are.

        :param grace: seconds until it is killed, 0 for at once; a process
            that cannot hear is not waited for
        """
        with self.changing(), _instance_container(instance) as name:
            found = self._client.inspect(name)
            self._obituaries.expect(instance.uuid)
            if not signals.hears(found.pid, found.stop_signal):
                grace = 0
            self._client.stop(found.id, grace)

    def crash(self, instance: Any) -> None:
        """Have a server's process tell what it does, or end in a dump.

        :raises: FeatureNotSupported, CrashDumpRefused
        """
        signal = spec.crash_signal(instance.flavor)
        with _instance_container(instance) as name:
            if not signals.hears(self._client.inspect(name).pid, signal):
                raise exception.CrashDumpRefused(signal=signal)
            self._client.kill(name, signal)

    def pause(self, instance: Any) -> None:
        with self.changing(), _instance_container(instance) as name:
            self._client.pause(name)

    def unpause(self, instance: Any) -> None:
        with self.changing(), _instance_container(instance) as name:
            self._client.unpause(name)

    def suspend(self, instance: Any) -> None:
        """Freeze a server for long; its memory stays where it is."""
        with undoing.Undo(instance) as undo:
            # Known before it can be seen.
            undo.callback(self._suspensions.discard, instance.uuid)
            self._suspensions.add(instance.uuid)
            self.pause(instance)

    def resume(self, instance: Any, network_info: Any) -> None:
        """Let a suspended server go on.

        One whose memory the host has lost begins anew, and its user is told.
        """
        with _instance_container(instance) as name:
            lost = not self._client.inspect(name).state.alive
        if lost:
            self.power_on(instance, network_info)
            action_log.tell(
                instance.uuid, action_log.COLD_START, _MEMORY_LOST
            )
            LOG.warning(_MEMORY_LOST, instance=instance)
            return
        self.unpause(instance)
        self._suspensions.discard(instance.uuid)

    def destroy(
        self, instance: Any, network_info: Any, destroy_disks: bool
    ) -> None:
        """Remove a server, or what is left of one; nothing is success.

        Where a step fails the checkpoint is kept, so that a second try still
        knows the ports.

        :param destroy_disks: whether the root file system goes as well
        """
        uuid = instance.uuid
        end = (
            self._client.remove
            if destroy_disks
            else self._client.stop_if_there
        )
        self._obituaries.expect(uuid)
        with self.changing():
            # By label: another host of the same engine may have the name.
            servers, sandboxes = observed.containers(
                self._client, uuid, self._host
            )
            for container in servers:
                end(container)
            with contextlib.ExitStack() as always:
                for container in sandboxes:
                    always.callback(end, container)
                self._ports.unplug_all(instance, network_info)
            if destroy_disks:
                self._client.remove_image(
                    naming.rebind_reference(uuid, self._host)
                )
                self._ports.forget(uuid)
                self._obituaries.forget(uuid)
