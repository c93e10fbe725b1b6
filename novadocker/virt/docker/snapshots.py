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

"""Servers as Glance images.

A server's root file system is committed to an image of the engine, and that
one streams to Glance, through the filter, without a file.
"""

from collections.abc import Iterator
import contextlib
import functools
from typing import Any

from nova.compute import task_states
from nova import exception as nova_exception
from nova.objects import fields
from oslo_log import log as logging

from novadocker import exception
from novadocker.virt.docker import archive
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import image_check
from novadocker.virt.docker import image_config
from novadocker.virt.docker import images
from novadocker.virt.docker import naming
from novadocker.virt.docker import undo as undoing

LOG = logging.getLogger(__name__)


class Snapshots:
    """Makes Glance images of the servers of this host.

    :param pause: whether servers stand still for a commit
    """

    def __init__(
        self, client: engine.Client, images: images.Images, pause: bool
    ) -> None:
        self._client = client
        self._images = images
        self._pause = pause
        self._under_way: set[str] = set()

    def under_way(self, image_id: str) -> bool:
        """Whether a commit is on its way to this Glance image."""
        return image_id in self._under_way

    def take(
        self,
        context: Any,
        instance: Any,
        image_id: str,
        update_task_state: Any,
    ) -> None:
        """Make a Glance image of a server, whatever state it is in.

        The Glance image goes where this fails.

        :raises: ContainerNotFound, which is not Nova's InstanceNotFound, by
            which Nova would leave the server in its task for ever; Glance's
            errors; CouldNotUploadImage if Glance has not got what was sent
        """
        with undoing.Undo(instance) as undo:
            # Nova does the same, but not for a server that is shelved.
            undo.callback(self._delete, context, image_id)
            update_task_state(task_state=task_states.IMAGE_PENDING_UPLOAD)
            with self.committed(instance, image_id) as run:
                update_task_state(
                    task_state=task_states.IMAGE_UPLOADING,
                    expected_state=task_states.IMAGE_PENDING_UPLOAD,
                )
                image = self._upload(context, instance, image_id, run)
                self._images.keep(image, image_id)

    def _delete(self, context: Any, image_id: str) -> None:
        with contextlib.suppress(nova_exception.ImageNotFound):
            self._images.image_api.delete(context, image_id)

    @contextlib.contextmanager
    def committed(
        self, instance: Any, image_id: str
    ) -> Iterator[image_config.Json]:
        """An engine image of the server, for a while.

        Gives what the image says that the server was made from, of how to
        run it.

        :raises: ImageRejected for one that no host would take
        """
        container = naming.instance_name(instance.uuid)
        reference = naming.snapshot_reference(image_id)
        repository, _, tag = reference.rpartition(':')
        base = self._client.inspect(container).image_id
        # The engine writes holes out: it would fill the host's disk with a
        # sparse file before anybody could say that this is too much.
        self._images.check_unpacked(image_id, self._client.size(container))
        self._under_way.add(image_id)
        try:
            self._client.commit(container, repository, tag, {}, self._pause)
            yield self._client.inspect_image(base).config
        finally:
            self._discard(reference)
            self._under_way.discard(image_id)

    def _discard(self, reference: str) -> None:
        try:
            self._client.remove_image(reference)
        except exception.NovaDockerException as exc:
            LOG.warning(
                '%s is left for the next pass of the image cache: %s',
                reference,
                exc,
            )

    def _upload(
        self,
        context: Any,
        instance: Any,
        image_id: str,
        run: image_config.Json,
    ) -> archive.Image:
        rules = self._images.rules(image_id, None)
        filtered = archive.Archive(
            self._client.save(naming.snapshot_reference(image_id)),
            rules,
            archive.Writing(
                rewrite=functools.partial(image_config.cleaned, run=run)
            ),
        )
        size = self._images.upload(
            context, image_id, _metadata(instance, rules.machine), filtered
        )
        LOG.info(
            'Uploaded %d bytes as image %s',
            size,
            image_id,
            instance=instance,
        )
        return filtered.image


def _metadata(instance: Any, machine: str) -> dict[str, Any]:
    properties = {
        'hw_architecture': fields.Architecture.canonicalize(machine),
        'image_location': 'snapshot',
        'image_state': 'available',
        'img_hv_type': fields.HVType.DOCKER,
        'owner_id': instance.project_id,
    }
    command = instance.image_meta.properties.get('os_command_line')
    if command:
        properties['os_command_line'] = command
    return {
        'container_format': image_check.CONTAINER_FORMATS[0],
        'disk_format': image_check.DISK_FORMAT,
        'properties': properties,
    }
