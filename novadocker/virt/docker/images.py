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


"""Glance images in the engine.

An engine image is known by the id of its Glance image alone. Its content
streams from Glance to the engine, through the filter and the checks, and no
byte of it is stored on the way.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import functools
from typing import Any

from nova import exception as nova_exception
from nova.image import glance
from nova import objects
from oslo_concurrency import lockutils
from oslo_log import log as logging
from oslo_utils import units

from novadocker import exception
from novadocker.virt.docker import archive
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import download
from novadocker.virt.docker import flight
from novadocker.virt.docker import image_check
from novadocker.virt.docker import last_use
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import shared_directory
from novadocker.virt.docker import transfer

LOG = logging.getLogger(__name__)

# What Glance may say to one user and not to the next.
_PERSONAL = (nova_exception.ImageNotAuthorized, nova_exception.ImageNotFound)


@dataclasses.dataclass(frozen=True)
class ImageSettings:
    """Limits for images.

    :ivar lock_path: a directory that all nova-compute services share which
        use the same engine
    :ivar max_size: bytes of an archive
    :ivar max_unpacked: bytes of an image's layers together, unpacked
    :ivar shared_directory: where files of images are, if anywhere; a
        signature is never verified on these
    """

    lock_path: str
    max_size: int = 64 * units.Gi
    max_unpacked: int = 64 * units.Gi
    max_members: int = 4096
    max_layers: int = 125
    shared_directory: str | None = None


class Images:
    """The images of the servers of this host.

    :param image_api: what nova.image.glance.API() offers
    :ivar image_api: the same
    """

    def __init__(
        self,
        client: engine.Client,
        settings: ImageSettings,
        last_use: last_use.LastUse,
        image_api: Any = None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._last_use = last_use
        self.image_api = image_api or glance.API()
        self._limits = archive.Limits(
            size=settings.max_size,
            unpacked=settings.max_unpacked,
            members=settings.max_members,
            layers=settings.max_layers,
        )
        self._flights = flight.SingleFlight[model.ImageInfo](_PERSONAL)

    def ensure(
        self, context: Any, instance: Any, image_meta: Any
    ) -> model.ImageInfo:
        """Have a Glance image in the engine, at the price of one download.

        An image that is there is not asked for at Glance again: image_meta
        is Glance's answer to this very user.

        :raises: ImageRejected, Nova's errors for a flavor that is too small,
            Glance's errors
        """
        self._check(image_meta)
        has_its_room = image_check.is_shelved_as(instance, image_meta)
        if not has_its_room:
            image_check.check_flavor(image_meta, instance.flavor)
        found = self._find(image_meta.id)
        if found is None:
            found = self._fly(context, instance, image_meta.id)
        if not has_its_room:
            image_check.check_disk(instance.flavor, found.size)
        return found

    def fetch(
        self, context: Any, image_id: str, instance: Any = None
    ) -> bool:
        """Have an image in the engine before any server is made of it.

        :param instance: the server that it is for, None for none
        :returns: whether it had to be downloaded
        :raises: ImageRejected, Glance's errors
        """
        found = self.image_api.get(context, image_id)
        self._check(objects.ImageMeta.from_dict(found))
        if self._find(image_id) is not None:
            return False
        self._fly(context, instance, image_id)
        return True

    def give_up(self, image_id: str, min_age: float) -> None:
        """Remove an image, if nobody has used it for so many seconds.

        Whoever asks for it notes that before he looks for it. So he either
        keeps it by that, or finds it gone when this is over.

        :raises: ContainerConflict if a container needs it
        """
        with self._locked(image_id):
            age = self._last_use.age(image_id)
            if age is not None and age < min_age:
                return
            LOG.info('Removing image %s, unused for %s s', image_id, age)
            self._client.remove_image(naming.image_reference(image_id))
            self._last_use.forget(image_id)

    def _check(self, image_meta: Any) -> None:
        """Refuse what no server on this host could run."""
        image_check.check_formats(image_meta)
        image_check.check_properties(image_meta, self._machine)
        image_check.check_size(image_meta, self._limits.size)

    def _machine(self) -> str:
        return self._client.info().architecture

    def _find(self, image_id: str) -> model.ImageInfo | None:
        """Look for an image that is to be used."""
        self._last_use.note(image_id)
        try:
            return self._client.inspect_image(naming.image_reference(image_id))
        except exception.ImageNotFoundInEngine:
            return None

    def _fly(
        self, context: Any, instance: Any, image_id: str
    ) -> model.ImageInfo:
        """Load an image, or wait for who does it already."""
        return self._flights.run(
            image_id,
            functools.partial(self._load_once, context, instance, image_id),
        )

    def _locked(self, image_id: str) -> contextlib.AbstractContextManager[Any]:
        """Keep others from loading or removing an image."""
        lock: contextlib.AbstractContextManager[Any] = lockutils.lock(
            f'image-{image_id}',
            lock_file_prefix='nova-docker-',
            external=True,
            lock_path=self._settings.lock_path,
        )
        return lock

    def _load_once(
        self, context: Any, instance: Any, image_id: str
    ) -> model.ImageInfo:
        """Load an image, if no other process has done it meanwhile.

        :param instance: the server that it is for, None for none
        """
        with self._locked(image_id):
            try:
                return self._client.inspect_image(
                    naming.image_reference(image_id)
                )
            except exception.ImageNotFoundInEngine:
                return self._load(context, instance, image_id)

    def _load(
        self, context: Any, instance: Any, image_id: str
    ) -> model.ImageInfo:
        LOG.info('Loading image %s', image_id, instance=instance)
        trusted_certs = None if instance is None else instance.trusted_certs
        record = download.record(self.image_api, context, image_id)
        if self._settings.shared_directory and not trusted_certs:
            found = self._load_shared(self._settings.shared_directory, record)
            if found is not None:
                return found
        with download.opened(
            self.image_api, context, record, trusted_certs
        ) as chunks:
            return self._load_data(record, chunks)

    def _load_shared(
        self, directory: str, record: download.Record
    ) -> model.ImageInfo | None:
        """Load an image from its file, if there is a good one."""
        try:
            with shared_directory.opened(directory, record) as chunks:
                return self._load_data(record, chunks)
        except FileNotFoundError:
            return None
        except (OSError, exception.ImageRejected) as exc:
            LOG.warning(
                'Image %s is downloaded, its file in %s is not used: %s',
                record.image_id,
                directory,
                exc,
            )
            return None

    def _load_data(
        self, record: download.Record, chunks: Iterator[bytes]
    ) -> model.ImageInfo:
        return self.load(
            archive.Archive(
                chunks,
                self.rules(record.image_id, record.size),
                archive.Writing(naming.image_reference(record.image_id)),
            )
        )

    def load(self, filtered: archive.Archive) -> model.ImageInfo:
        """Have the engine take an image, under the name that it is to have.

        The archive has the name, so that nobody dies between the two.

        :raises: ImageRejected
        """
        references = self._client.load(filtered)
        if references == (filtered.reference,):
            found = self._client.inspect_image(filtered.reference)
            if found.id == filtered.image.id:
                return found
        self._client.remove_image(filtered.reference)
        raise exception.EngineError(
            500,
            f'loaded {", ".join(references)} from an image that is '
            f'{filtered.image.id}',
        )

    def rules(self, image_id: str, size: int | None) -> archive.Rules:
        """What an archive is held against on this host."""
        return archive.Rules(
            image_id=image_id,
            machine=self._machine(),
            limits=self._limits,
            size=size,
        )

    def check_unpacked(self, image_id: str, size: int) -> None:
        """:raises: ImageRejected for more bytes than an image may have"""
        if size > self._limits.unpacked:
            raise exception.ImageRejected(
                image_id=image_id,
                reason=f'it would have {size} bytes, sparse files at their '
                f'full size, and {self._limits.unpacked} are allowed '
                '([docker] image_max_unpacked_size).',
            )

    def upload(
        self,
        context: Any,
        image_id: str,
        metadata: dict[str, Any],
        filtered: archive.Archive,
    ) -> int:
        """Give a Glance image its data.

        :param metadata: changes to its record
        :returns: how many bytes these are
        :raises: Glance's errors; CouldNotUploadImage if Glance has not got
            what was sent
        """
        body = transfer.Readable(iter(filtered))
        answer = self.image_api.update(
            context, image_id, {'status': 'active'} | metadata, data=body
        )
        # Nova's client sends a body again that a broken connection has
        # taken half of: Glance then has the other half.
        if not body.complete or answer.get('size') != body.size:
            raise nova_exception.CouldNotUploadImage(image_id=image_id)
        return body.size

    def keep(self, image: archive.Image, image_id: str) -> None:
        """Have the engine know what was uploaded as what it would download.

        It has all the layers, so that it needs nothing but the config. The
        image is safe in Glance by now: nothing here makes it a failure.
        """
        try:
            reference = naming.image_reference(image_id)
            self._client.load(
                [archive.finish(image.config, image.layers, reference)]
            )
            self._last_use.note(image_id)
        except exception.NovaDockerException as exc:
            LOG.info(
                'Image %s will be downloaded when it is booted here: %s',
                image_id,
                exc,
            )
