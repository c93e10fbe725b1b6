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

import dataclasses
import os
import time
from unittest import mock

import fixtures
from oslo_utils import uuidutils
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import fake_engine
from novadocker.tests.fixtures import glance
from novadocker.tests.fixtures import images as test_images
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import image_cache
from novadocker.virt.docker import images
from novadocker.virt.docker import last_use
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import snapshots

DAY = 24 * 3600
SETTINGS = image_cache.CacheSettings(
    host='host1',
    sandbox_image='nova-docker/sandbox:new',
    remove_unused=True,
    min_age=DAY,
)


class ImageCacheTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.engine = fake_engine.FakeEngine()
        self.path = self.useFixture(fixtures.TempDir()).path
        self.last_use = last_use.LastUse(self.path)
        locks = self.useFixture(fixtures.TempDir()).path
        self.images = images.Images(
            self.engine,
            images.ImageSettings(locks),
            self.last_use,
            glance.Glance(),
        )
        self.snapshots = snapshots.Snapshots(self.engine, self.images, True)
        self.settings = SETTINGS

    def manage(self, *servers):
        rooms = image_cache.Rooms(
            self.engine, self.images, self.snapshots, self.last_use
        )
        image_cache.ImageCache(rooms, self.settings).manage(servers)

    def have(self, *tags, **parts):
        """An image that differs from all others."""
        image = test_images.Image(
            command=('x',),
            files=(('bin/x', os.urandom(16)),),
            base=False,
            tags=tags,
            **parts,
        )
        self.engine.load([image.archive()])
        return image.id

    def cached(self, unused_for=None, *tags):
        """An image of Glance; gives its Glance id."""
        image_id = uuidutils.generate_uuid()
        self.have(naming.image_reference(image_id), *tags)
        if unused_for is not None:
            self.last_use.note(image_id)
            then = time.time() - unused_for
            os.utime(os.path.join(self.path, image_id), (then, then))
        return image_id

    def run_on(self, image, **labels):
        spec = model.ContainerSpec(
            name=uuidutils.generate_uuid(),
            image=image,
            labels=labels,
            network='none',
            limits=model.Limits(),
            log=model.LogLimits(1, 1),
        )
        return self.engine.create(spec)

    def tags(self):
        return set(self.engine.images.tags)

    def assert_kept(self, image_id):
        self.assertIn(naming.image_reference(image_id), self.tags())

    def assert_gone(self, image_id):
        self.assertNotIn(naming.image_reference(image_id), self.tags())
        self.assertIsNone(self.last_use.age(image_id))


class AgeTestCase(ImageCacheTestCase):
    def test_unused_for_long(self):
        old, young = self.cached(DAY + 1), self.cached(DAY - 60)
        self.manage()
        self.assert_gone(old)
        self.assert_kept(young)
        self.assertEqual(1, len(self.engine.images.stored))

    def test_age_is_counted_from_the_first_look(self):
        found = self.cached()
        self.manage()
        self.assert_kept(found)
        self.assertLess(self.last_use.age(found), 60)

    def test_nothing_goes_where_the_operator_wants_none_to(self):
        self.settings = dataclasses.replace(SETTINGS, remove_unused=False)
        old = self.cached(DAY + 1)
        self.manage()
        self.assert_kept(old)

    def test_containers_of_anybody_keep_an_image(self):
        old = self.cached(DAY + 1)
        container = self.run_on(naming.image_reference(old))
        self.manage()
        self.assert_kept(old)
        self.assertLess(self.last_use.age(old), 60)
        self.engine.remove(container)
        self.manage()
        self.assert_kept(old)

    def test_image_of_a_server_without_a_container(self):
        old = self.cached(DAY + 1)
        server = instances.an_instance()
        server.image_ref = old
        self.manage(server)
        self.assert_kept(old)

    def test_names_of_others_keep_their_image(self):
        old = self.cached(DAY + 1, 'somebody/else:1')
        self.manage()
        self.assert_gone(old)
        self.assertEqual({'somebody/else:1'}, self.tags())
        self.assertEqual(1, len(self.engine.images.stored))

    def test_images_of_others_are_not_looked_at(self):
        names = {'a:1', 'nova/glance:1', 'nova-docker/other:1'}
        for name in names:
            self.have(name)
        self.manage()
        self.assertEqual(names, self.tags())

    def test_container_that_comes_after_the_look(self):
        old, other = self.cached(DAY + 1), self.cached(DAY + 1)
        self.engine.fail(
            'remove_image', exception.ContainerConflict(409, 'used')
        )
        self.manage()
        kept = {old, other} & {tag.partition(':')[2] for tag in self.tags()}
        self.assertEqual(1, len(kept))

    def test_use_that_comes_after_the_look(self):
        old = self.cached(DAY + 1)
        list_containers = self.engine.list_containers

        def used_meanwhile(labels):
            ages = self.last_use.ages()
            self.images.ensure(None, instances.an_instance(), meta)
            self.last_use.ages = lambda: ages
            return list_containers(labels)

        meta = self.images.image_api.add(b'', id=old)
        meta.id = old
        self.engine.list_containers = used_meanwhile
        self.manage()
        self.assert_kept(old)

    def test_an_image_that_will_not_go_does_not_keep_others(self):
        for _ in range(3):
            self.cached(DAY + 1)
        self.engine.fail('remove_image', exception.EngineError(500, 'no'))
        self.manage()
        self.assertEqual(1, len(self.tags()))
        self.manage()
        self.assertEqual(set(), self.tags())

    def test_an_engine_that_is_gone_is_told_of(self):
        self.cached(DAY + 1)
        self.engine.fail(
            'remove_image', exception.EngineUnavailable(reason='gone')
        )
        self.assertRaises(exception.EngineUnavailable, self.manage)

    def test_images_removed_by_hand_are_forgotten(self):
        old, young = self.cached(DAY + 1), self.cached(60)
        for image_id in (old, young):
            self.engine.remove_image(naming.image_reference(image_id))
        self.manage()
        self.assertEqual({young}, set(self.last_use.ages()))

    def test_requests_do_not_grow_with_the_images(self):
        for number in range(20):
            self.run_on(
                naming.image_reference(self.cached(DAY + 1)),
                **{naming.LABEL_INSTANCE: str(number)},
            )
        self.engine.requests.clear()
        self.manage()
        self.assertEqual(2, self.engine.requests.total())


class LeftBehindTestCase(ImageCacheTestCase):
    def committed(self, reference, host='host1', uuid=None):
        """What a container of a Nova host was committed to."""
        image = self.have()
        uuid = uuid or uuidutils.generate_uuid()
        container = self.run_on(
            image, **naming.labels(uuid, naming.ROLE_INSTANCE, host)
        )
        repository, _, tag = reference.rpartition(':')
        self.engine.commit(container, repository, tag, {}, True)
        self.engine.remove(container)
        self.engine.remove_image(image)

    def test_snapshot_that_nobody_makes_any_more(self):
        self.committed(naming.snapshot_reference('left'))
        self.committed(naming.snapshot_reference('of-another'), host='host2')
        self.committed(naming.snapshot_reference('under-way'))
        with mock.patch.object(
            self.snapshots, 'under_way', lambda name: name == 'under-way'
        ):
            self.manage()
        self.assertEqual(
            {
                naming.snapshot_reference('of-another'),
                naming.snapshot_reference('under-way'),
            },
            self.tags(),
        )

    def test_root_file_systems_of_servers_that_are_gone(self):
        server = instances.an_instance()
        hidden = uuidutils.generate_uuid()
        gone = naming.rebind_reference(uuidutils.generate_uuid(), 'host1')
        kept = {
            naming.rebind_reference(uuid, host): (host, uuid)
            for uuid, host in (
                (server.uuid, 'host1'),
                (uuidutils.generate_uuid(), 'host2'),
                (hidden, 'host1'),
            )
        }
        self.committed(gone)
        for reference, owner in kept.items():
            self.committed(reference, *owner)
        # Nova does not know it, but it has a container.
        self.run_on(self.have(), **{naming.LABEL_INSTANCE: hidden})
        self.manage(server)
        self.assertEqual(set(kept), self.tags())

    def test_images_of_earlier_sandboxes(self):
        self.have('nova-docker/sandbox:new')
        self.have('nova-docker/sandbox:old')
        self.have('nova-docker/sandbox:used')
        self.run_on('nova-docker/sandbox:used')
        self.manage()
        self.assertEqual(
            {'nova-docker/sandbox:new', 'nova-docker/sandbox:used'},
            self.tags(),
        )
