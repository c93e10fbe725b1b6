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

"""The images that are kept for the next server, and for how long.

What is in use is what the engine says: a container of anybody. Nothing is
touched that has no name of this driver's, and the engine has the last word
where another name, a container or another image needs what is to go.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
from typing import Any

from oslo_log import log as logging

from novadocker import exception
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import images
from novadocker.virt.docker import last_use
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import snapshots

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CacheSettings:
    """How long images are kept.

    :ivar host: Nova's name of this host
    :ivar sandbox_image: the tag of the image that sandboxes are made from
    :ivar remove_unused: whether images are ever removed
    :ivar min_age: seconds that an image is kept after its last use
    """

    host: str
    sandbox_image: str
    remove_unused: bool
    min_age: int


@dataclasses.dataclass(frozen=True)
class Rooms:
    """What the cache works with."""

    client: engine.Client
    images: images.Images
    snapshots: snapshots.Snapshots
    last_use: last_use.LastUse


@dataclasses.dataclass(frozen=True)
class _Tag:
    """A name of ours, and the image that has it.

    :ivar name: what the tag is made from, such as a Glance image's id
    """

    reference: str
    name: str
    image: model.ImageInfo


class ImageCache:
    """Gives back the images of this host that nobody needs."""

    def __init__(self, rooms: Rooms, settings: CacheSettings) -> None:
        self._client = rooms.client
        self._images = rooms.images
        self._snapshots = rooms.snapshots
        self._last_use = rooms.last_use
        self._settings = settings

    def manage(self, instances: Iterable[Any]) -> None:
        """Remove what has not been used for long, and what was left behind.

        Two requests to the engine, however many images and containers, and
        one for each image that goes.

        :param instances: of all hosts that may use the same images
        """
        instances = list(instances)
        tags = _by_repository(self._client.list_images(naming.REPOSITORIES))
        # After the images, so that a container made meanwhile is seen.
        containers = self._client.list_containers({})
        in_use = {row.image_id for row in containers}
        self._age(
            tags[naming.IMAGE_REPOSITORY],
            in_use,
            {instance.image_ref for instance in instances},
        )
        servers = {naming.instance_uuid(row.labels) for row in containers}
        servers |= {instance.uuid for instance in instances}
        for tag in self._left_behind(tags, servers):
            if tag.image.id not in in_use:
                LOG.info('Removing %s, which was left behind', tag.reference)
                self._try(self._client.remove_image, tag.reference)

    # Images of Glance

    def _age(
        self, tags: Iterable[_Tag], in_use: set[str], wanted: set[str]
    ) -> None:
        ages = dict(self._last_use.ages())
        for tag in tags:
            age = ages.pop(tag.name, None)
            # One that nobody has noted yet is as good as new.
            if age is None or tag.image.id in in_use or tag.name in wanted:
                self._last_use.note(tag.name)
            elif self._is_old(age):
                self._try(
                    self._images.give_up, tag.name, self._settings.min_age
                )
        # Those that were removed by hand.
        for name, age in ages.items():
            if age >= self._settings.min_age:
                self._last_use.forget(name)

    def _is_old(self, age: float) -> bool:
        return self._settings.remove_unused and age >= self._settings.min_age

    # What a nova-compute that was killed has not cleared up

    def _left_behind(
        self, tags: dict[str, list[_Tag]], servers: set[str | None]
    ) -> Iterator[_Tag]:
        for tag in tags[naming.SNAPSHOT_REPOSITORY]:
            if self._is_ours(tag) and not self._snapshots.under_way(tag.name):
                yield tag
        for tag in tags[naming.REBIND_REPOSITORY]:
            server = naming.instance_uuid(tag.image.labels)
            if self._is_ours(tag) and server not in servers:
                yield tag
        for tag in tags[naming.SANDBOX_REPOSITORY]:
            if tag.reference != self._settings.sandbox_image:
                yield tag

    def _is_ours(self, tag: _Tag) -> bool:
        """Whether it was committed from a container of this Nova host."""
        found = tag.image.labels.get(naming.LABEL_HOST)
        return found == self._settings.host

    def _try(self, remove: Callable[..., None], *args: Any) -> None:
        """Go on with the next image where the engine keeps one."""
        try:
            remove(*args)
        except exception.ContainerConflict:
            LOG.info('Image %s has come into use again', args[0])
        except exception.EngineError as exc:
            LOG.warning('Image %s could not be removed: %s', args[0], exc)


def _by_repository(
    rows: Iterable[model.ImageInfo],
) -> dict[str, list[_Tag]]:
    found: dict[str, list[_Tag]] = {
        name: [] for name in naming.OUR_REPOSITORIES
    }
    for row in rows:
        for reference in row.tags:
            repository, _, name = reference.rpartition(':')
            if repository in found:
                found[repository].append(_Tag(reference, name, row))
    return found
