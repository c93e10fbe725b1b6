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

"""Root file systems between hosts that know nothing of each other.

A server is committed as for a snapshot, and what it has more than the Glance
image that it was made from goes into a Glance image of its own, which nobody
sees in a list, and which is gone when it was taken out at the other end.
"""

import dataclasses
import functools
from typing import Any
import uuid

from nova import exception as nova_exception
from oslo_log import log as logging

from novadocker import exception
from novadocker.virt.docker import archive
from novadocker.virt.docker import below as below_mod
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import compression
from novadocker.virt.docker import download
from novadocker.virt.docker import extras
from novadocker.virt.docker import image_check
from novadocker.virt.docker import image_config
from novadocker.virt.docker import images
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import parcel as parcel_mod
from novadocker.virt.docker import snapshots
from novadocker.virt.docker import undo as undoing

LOG = logging.getLogger(__name__)

_UNKNOWN = (
    nova_exception.ImageNotFound,
    nova_exception.ImageNotAuthorized,
    exception.ImageNotFoundInEngine,
)


@dataclasses.dataclass(frozen=True)
class TransportSettings:
    """What is decided elsewhere.

    :ivar host: Nova's name of this host
    :ivar signed: whether Nova takes from Glance what is signed, alone
    """

    host: str
    signed: bool = False


class Transport:
    """Both ends of it, for the servers of one Nova host."""

    def __init__(
        self,
        client: engine.Client,
        images: images.Images,
        snapshots: snapshots.Snapshots,
        parcels: parcel_mod.Parcels,
        settings: TransportSettings,
    ) -> None:
        self._client = client
        self._images = images
        self._snapshots = snapshots
        self._parcels = parcels
        self._host = settings.host
        self._signed = settings.signed

    # This end

    def check(self) -> None:
        """:raises: FeatureNotSupported where nothing could be received"""
        if self._signed:
            raise exception.FeatureNotSupported(
                feature='a move to another host in a cloud whose images have '
                'to be signed'
            )

    def send(self, context: Any, instance: Any) -> parcel_mod.Parcel:
        """Put a stopped server into Glance; nothing is left if this fails.

        :raises: Glance's errors, ImageRejected for more than an image may be
        """
        self.discard(context, instance)
        container = self._client.inspect(naming.instance_name(instance.uuid))
        image = self._client.inspect_image(container.image_id)
        base_id, below = self._base(context, instance, image)
        parcel = parcel_mod.Parcel(str(uuid.uuid4()), base_id)
        note = self._note(container, image, len(below))
        with undoing.Undo(instance) as undo:
            # Known before it is there, so that nothing can be left.
            undo.callback(self.discard, context, instance)
            self._parcels.write(instance.uuid, parcel)
            self._images.image_api.create(
                context, _record(context, instance, parcel.image_id)
            )
            with self._snapshots.committed(instance, parcel.image_id) as run:
                packed = archive.Archive(
                    self._client.save(
                        naming.snapshot_reference(parcel.image_id)
                    ),
                    self._images.rules(parcel.image_id, None),
                    archive.Writing(
                        rewrite=functools.partial(
                            image_config.cleaned, run=run
                        ),
                        below=below_mod.Below(below),
                        note=note,
                    ),
                )
                self._images.upload(
                    context,
                    parcel.image_id,
                    {'properties': {'image_state': 'available'}},
                    packed,
                )
        return dataclasses.replace(
            parcel,
            config=packed.image.id,
            note=image_config.digest(note) if note else '',
        )

    def _note(
        self,
        container: model.ContainerInfo,
        image: model.ImageInfo,
        below: int,
    ) -> bytes:
        """What the layers that travel have, and the archive has not."""
        layers = image.root.layers if image.root else ()
        return extras.collected(
            self._client, container, layers[: len(image.layers) - below]
        )

    def _base(
        self, context: Any, instance: Any, own: model.ImageInfo
    ) -> tuple[str, tuple[str, ...]]:
        """What need not travel: a Glance image, and the layers that it is.

        None if the other host could not have it, or if the server stands on
        something else by now.

        :param own: the engine's image that the server stands on
        """
        image_id = instance.image_ref or ''
        try:
            found = self._images.image_api.get(context, image_id)
            reference = naming.image_reference(image_id)
            layers = self._client.inspect_image(reference).layers
        except _UNKNOWN:
            return '', ()
        if (
            found['status'] != 'active'
            or own.layers[: len(layers)] != layers
        ):
            return '', ()
        return image_id, layers

    # The other end

    def receive(
        self, context: Any, instance: Any, parcel: parcel_mod.Parcel
    ) -> model.ImageInfo:
        """Have in the engine what has come, as the server's own image.

        :raises: ImageRejected, Glance's errors
        """
        below: tuple[str, ...] = ()
        if parcel.base_id:
            self._images.fetch(context, parcel.base_id, instance)
            below = self._client.inspect_image(
                naming.image_reference(parcel.base_id)
            ).layers
        image_api = self._images.image_api
        record = download.record(image_api, context, parcel.image_id)
        with download.opened(image_api, context, record, None) as chunks:
            unpacked = archive.Archive(
                chunks,
                self._images.rules(parcel.image_id, record.size),
                archive.Writing(
                    self._reference(instance),
                    functools.partial(self._owned, instance, parcel),
                    below_mod.Below(below),
                ),
            )
            image = self._images.load(unpacked)
        self._complete(instance, image, parcel, unpacked.note)
        return image

    def _complete(
        self,
        instance: Any,
        image: model.ImageInfo,
        parcel: parcel_mod.Parcel,
        note: bytes,
    ) -> None:
        if (image_config.digest(note) if note else '') != parcel.note:
            raise exception.ImageRejected(
                image_id=parcel.image_id, reason='it is not what was sent.'
            )
        if not extras.restore(image, note):
            LOG.warning(
                'The extended attributes of its files are lost: the engine '
                'does not say where its layers are, as it does with overlay2',
                instance=instance,
            )

    def _owned(
        self, instance: Any, parcel: parcel_mod.Parcel, config: bytes
    ) -> bytes:
        """Mark what has come as the server's, if it is what was sent.

        The config has the digests of all layers, as this is the config's.
        """
        if image_config.digest(config) != parcel.config:
            raise compression.BadArchive('it is not what was sent')
        labels = naming.labels(
            instance.uuid, naming.ROLE_INSTANCE, self._host
        )
        return image_config.labelled(config, labels)

    def _reference(self, instance: Any) -> str:
        return naming.rebind_reference(instance.uuid, self._host)

    def forget(self, instance: Any) -> None:
        """Remove from the engine what has come."""
        self._client.remove_image(self._reference(instance))

    # Its end

    def expect(self, instance: Any, parcel: parcel_mod.Parcel) -> None:
        """Remember a parcel that is to be received."""
        self._parcels.write(instance.uuid, parcel)

    def expected(self, instance: Any) -> parcel_mod.Parcel | None:
        return self._parcels.read(instance.uuid)

    def lose(self, instance: Any) -> None:
        """Know nothing more of the parcel of a server that is gone."""
        self._parcels.remove(instance.uuid)

    def discard(self, context: Any, instance: Any) -> None:
        """Remove a server's parcel from Glance, if this host knows of one.

        Where Glance does not do it the next one who comes by tries again:
        what this is done for is no failure on that account.
        """
        parcel = self._parcels.read(instance.uuid)
        # Nova's own context, such as it has when it starts, has no say in
        # Glance.
        if parcel is None or context.user_id is None:
            return
        try:
            self._images.image_api.delete(context, parcel.image_id)
        except nova_exception.ImageNotFound:
            pass
        except nova_exception.NovaException as exc:
            LOG.warning(
                'Image %s, in which this server has travelled, is left in '
                'Glance: %s',
                parcel.image_id,
                exc,
                instance=instance,
            )
            return
        self._parcels.remove(instance.uuid)


def _record(context: Any, instance: Any, image_id: str) -> dict[str, Any]:
    record = {
        'id': image_id,
        'name': f'nova-docker migration of {instance.uuid}',
        'visibility': 'private',
        # Not to be seen in lists.
        'os_hidden': True,
        'container_format': image_check.CONTAINER_FORMATS[0],
        'disk_format': image_check.DISK_FORMAT,
        'properties': {
            'image_type': 'migration',
            'instance_uuid': instance.uuid,
        },
    }
    if context.project_id != instance.project_id:
        # An operator moves it, and its user may have to finish that.
        record['owner'] = instance.project_id
    return record
