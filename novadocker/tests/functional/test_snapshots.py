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

"""Servers as images, and images as servers, by Nova's API."""

import os
import threading
from unittest import mock

from nova import context as nova_context
from oslo_utils import uuidutils

from novadocker import exception
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import ovs
from novadocker.tests.functional import base
from novadocker.virt.docker import client
from novadocker.virt.docker import model
from novadocker.virt.docker import naming

State = model.ContainerState

# Writes what it is when it is made, and says so whenever it is started.
KEEPER = images.Image(
    command=('sh', '-c', 'cat /kept || echo first >/kept; exec sleep 86400')
)


class SnapshotsTestCase(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        self.server = self.boot(KEEPER)
        self.wait_for(lambda: 'kept' in self.console(self.server), 'no output')
        self.addCleanup(self.remove_images)

    def remove_images(self):
        self._remove_containers()
        for row in self.client.list_images(naming.REPOSITORIES):
            for tag in row.tags:
                if not tag.startswith(naming.SANDBOX_REPOSITORY):
                    self.client.remove_image(tag)

    def tags(self, repository):
        rows = self.client.list_images(repository)
        return {tag for row in rows for tag in row.tags}

    def image(self, name):
        found = [
            one for one in self.glance.images.values() if one['name'] == name
        ]
        return found[0] if found else None

    def snapshot(self, status='ACTIVE'):
        """Make a snapshot; gives the image."""
        name = uuidutils.generate_uuid()
        self.act(self.server, 'createImage', name=name)
        self.wait_for_status(self.server, status)
        return self.image(name)

    def first_boot_of(self, server):
        """Whether the server is no copy of another."""
        said = self.wait_for(lambda: self.console(server), 'no output')
        return 'first' not in said


class SnapshotTestCase(SnapshotsTestCase):
    def test_in_every_state(self):
        for action, status, state in (
            (None, 'ACTIVE', State.RUNNING),
            ('pause', 'PAUSED', State.PAUSED),
            ('unpause', 'ACTIVE', State.RUNNING),
            ('suspend', 'SUSPENDED', State.PAUSED),
            ('resume', 'ACTIVE', State.RUNNING),
            ('os-stop', 'SHUTOFF', State.EXITED),
        ):
            if action:
                self.act(self.server, action, status)
            before = self.info(self.server)
            made = self.snapshot(status)
            self.assertEqual('active', made['status'])
            self.assertEqual(before, self.info(self.server))
            self.assertIs(state, before.state)
        self.assertEqual(set(), self.tags(naming.SNAPSHOT_REPOSITORY))
        self.assert_boots_here(made)

    def assert_boots_here(self, made):
        del self.glance.downloads[:]
        server = self.wait_for_status(self.create(made['id']), 'ACTIVE')
        self.assertFalse(self.first_boot_of(server))
        self.assertEqual([], self.glance.downloads)

    def test_record(self):
        found = self.api.get_server(self.server['id'])
        made = self.snapshot()
        self.assertEqual('docker', made['container_format'])
        self.assertEqual('raw', made['disk_format'])
        wanted = {
            'base_image_ref': found['image']['id'],
            'hw_architecture': 'x86_64',
            'image_type': 'snapshot',
            'img_hv_type': 'docker',
            'instance_uuid': found['id'],
            'owner_id': found['tenant_id'],
            'user_id': found['user_id'],
        }
        self.assertLessEqual(wanted.items(), made['properties'].items())

    def test_failures_leave_nothing(self):
        """Whatever fails: the server is as before, and there is no image."""
        before = self.info(self.server)
        glance_images = set(self.glance.images)
        tags = self.tags(naming.REPOSITORIES)
        failing = exception.EngineError(500, 'injected')
        for verb in ('inspect', 'commit', 'inspect_image', 'save'):
            with mock.patch.object(
                client.Client, verb, autospec=True, side_effect=failing
            ):
                self.assertIsNone(self.snapshot())
            self.assert_as_before(before, glance_images, tags)
        for uploading in (
            self.glance.images.pop,
            mock.Mock(side_effect=exception.EngineUnavailable(reason='x')),
        ):
            self.glance.uploading = uploading
            self.assertIsNone(self.snapshot())
            self.assert_as_before(before, glance_images, tags)

    def test_sparse_file_cannot_fill_the_disk(self):
        """The engine would write its holes out."""
        before = self.info(self.server)
        glance_images = set(self.glance.images)
        tags = self.tags(naming.REPOSITORIES)
        path = f'/proc/{before.pid}/root/sparse'
        with open(path, 'wb') as file:
            file.truncate(10 << 40)
        self.assertIsNone(self.snapshot())
        self.assert_as_before(before, glance_images, tags)
        os.unlink(path)
        self.assertEqual('active', self.snapshot()['status'])

    def assert_as_before(self, info, glance_images, tags):
        self.assertEqual(info, self.info(self.server))
        self.assertEqual(glance_images, set(self.glance.images))
        self.assertEqual(tags, self.tags(naming.REPOSITORIES))

    def test_server_whose_container_is_gone(self):
        """It can be asked for something else afterwards."""
        self.client.remove(self.info(self.server).id)
        self.act(self.server, 'createImage', name='mine')
        self.wait_for(lambda: not self.image('mine'), 'the image is kept')
        self.wait_for(
            lambda: (
                self.api.get_server(self.server['id'])['OS-EXT-STS:task_state']
                is None
            ),
            'the server stays in its task',
        )

    def test_server_that_is_deleted_in_mid_upload(self):
        deleted = threading.Event()
        uploading = threading.Event()

        def wait(image_id):
            uploading.set()
            deleted.wait(base.PATIENCE)

        self.glance.uploading = wait
        self.act(self.server, 'createImage', name='mine')
        self.assertTrue(uploading.wait(base.PATIENCE))
        self.delete(self.server)
        self.assert_nothing_left(self.server)
        deleted.set()
        # It is whole: what was committed before the end is in it.
        self.wait_for(
            lambda: self.image('mine')['status'] == 'active', 'no image'
        )
        self.wait_for(
            lambda: not self.tags(naming.SNAPSHOT_REPOSITORY),
            'the commit is kept',
        )


class BackupTestCase(SnapshotsTestCase):
    def test_rotation(self):
        for name in ('one', 'two', 'three'):
            self.act(
                self.server,
                'createBackup',
                name=name,
                backup_type='daily',
                rotation=2,
            )
            self.wait_for_status(self.server, 'ACTIVE')
        self.assertEqual(
            [None, 'active', 'active'],
            [
                found and found['status']
                for found in map(self.image, ('one', 'two', 'three'))
            ],
        )
        self.assertEqual(
            'backup', self.image('three')['properties']['image_type']
        )


class ShelveTestCase(SnapshotsTestCase):
    def shelve(self, status):
        self.act(self.server, 'shelve', status)
        return self.image(f'{self.server["name"]}-shelved')

    def unshelve(self):
        self.act(self.server, 'unshelve', 'ACTIVE')
        self.wait_for(lambda: self.console(self.server), 'no output')
        self.assertFalse(self.first_boot_of(self.server))

    def test_offloaded_at_once_from_any_state(self):
        del self.glance.downloads[:]
        for action, status in (
            (None, 'ACTIVE'),
            ('pause', 'PAUSED'),
            ('suspend', 'SUSPENDED'),
            ('os-stop', 'SHUTOFF'),
        ):
            if action:
                self.act(self.server, action, status)
            made = self.shelve('SHELVED_OFFLOADED')
            self.assertEqual('active', made['status'])
            self.assert_nothing_left(self.server)
            self.unshelve()
            self.assertIsNone(self.image(made['name']))
        self.assertEqual([], self.glance.downloads)

    def test_offloaded_later(self):
        self.flags(shelved_offload_time=-1)
        self.shelve('SHELVED')
        self.assertIs(State.EXITED, self.info(self.server).state)
        self.unshelve()
        self.shelve('SHELVED')
        self.act(self.server, 'shelveOffload', 'SHELVED_OFFLOADED')
        self.assert_nothing_left(self.server)
        self.unshelve()

    def test_larger_than_its_flavor(self):
        """It had the room before, so that it has to get it again."""
        self.shelve('SHELVED_OFFLOADED')
        with mock.patch('oslo_utils.units.Gi', 1 << 20):
            self.unshelve()

    def test_failure_leaves_no_image(self):
        failing = exception.EngineError(500, 'injected')
        with mock.patch.object(
            client.Client, 'save', autospec=True, side_effect=failing
        ):
            self.act(self.server, 'shelve')
            self.wait_for(
                lambda: (
                    self.api.get_server(self.server['id'])['status']
                    == 'SHUTOFF'
                ),
                'the server is not said to be stopped',
            )
        self.assertIsNone(self.image(f'{self.server["name"]}-shelved'))
        self.act(self.server, 'os-start', 'ACTIVE')
        self.assertFalse(self.first_boot_of(self.server))


class ImageCacheTestCase(SnapshotsTestCase):
    def run_pass(self):
        context = nova_context.get_admin_context()
        self.compute.manager._run_image_cache_manager_pass(context)

    def has(self, image_id):
        return naming.image_reference(image_id) in self.tags(
            naming.IMAGE_REPOSITORY
        )

    def setUp(self):
        super().setUp()
        self.base_id = self.server['image']['id']
        self.restart_with(remove_unused_original_minimum_age_seconds=0)

    def restart_with(self, **flags):
        self.flags(group='image_cache', **flags)
        self.compute.manager.driver.cleanup_host(self.host)
        self.compute.manager.driver.init_host(self.host)

    def test_images_without_a_server(self):
        snapshot = self.snapshot()
        other = self.wait_for_status(self.create(snapshot['id']), 'ACTIVE')
        self.delete(self.server)
        self.run_pass()
        self.assertFalse(self.has(self.base_id))
        self.assertTrue(self.has(snapshot['id']))
        self.assertIs(State.RUNNING, self.info(other).state)
        self.delete(other)
        self.restart_with(remove_unused_original_minimum_age_seconds=3600)
        self.run_pass()
        self.assertTrue(self.has(snapshot['id']))
        self.restart_with(remove_unused_original_minimum_age_seconds=0)
        self.run_pass()
        self.assertEqual(set(), self.tags(naming.IMAGE_REPOSITORY))

    def test_what_others_have_stays(self):
        """A container and a name that Nova knows nothing of."""
        used, named = (
            self.glance.add(images.Image(command=('sh', '-c', word)))
            for word in ('used', 'named')
        )
        for image_id in (used, named):
            self.compute.manager.driver.cache_image(None, image_id)
        reference = naming.image_reference(named)
        ovs.run('docker', 'tag', reference, 'somebody/else:1')
        self.addCleanup(self.client.remove_image, 'somebody/else:1')
        image = self.client.inspect_image(reference)
        self.container(naming.image_reference(used))
        self.run_pass()
        self.assertTrue(self.has(used))
        self.assertFalse(self.has(named))
        found = self.client.inspect_image('somebody/else:1')
        self.assertEqual(image.id, found.id)

    def test_images_on_the_hosts_of_an_aggregate(self):
        image_id = self.glance.add(images.SERVICE)
        del self.glance.downloads[:]
        aggregate = self.admin_api.post_aggregate(
            {'aggregate': {'name': 'an-aggregate'}}
        )
        self.admin_api.add_host_to_aggregate(aggregate['id'], self.host)
        for _ in range(2):
            self.admin_api.api_post(
                f'/os-aggregates/{aggregate["id"]}/images',
                {'cache': [{'id': image_id}]},
                check_response_status=[202],
            )
            self.wait_for(lambda: self.has(image_id), 'the image is not there')
        self.wait_for_status(self.create(image_id), 'ACTIVE')
        self.assertEqual([image_id], self.glance.downloads)

    def container(self, image, **labels):
        """A container that is made behind Nova's back."""
        made = self.client.create(
            model.ContainerSpec(
                name=uuidutils.generate_uuid(),
                image=image,
                labels=labels,
                network='none',
                limits=model.Limits(),
                log=model.LogLimits(65536, 2),
            )
        )
        self.addCleanup(self.client.remove, made)
        return made

    def commit(self, container, reference):
        repository, _, tag = reference.rpartition(':')
        self.client.commit(container, repository, tag, {}, False)

    def test_left_behind_by_a_nova_compute_that_was_killed(self):
        server = self.server['id']
        gone = uuidutils.generate_uuid()
        left = {
            naming.snapshot_reference('a'),
            naming.rebind_reference(gone, self.host),
        }
        owner = naming.labels(gone, naming.ROLE_INSTANCE, self.host)
        container = self.container(self.info(self.server).image_id, **owner)
        for reference in left:
            self.commit(container, reference)
        self.client.remove(container)
        self.commit(
            self.info(self.server).id,
            naming.rebind_reference(server, self.host),
        )
        before = self.tags(naming.REPOSITORIES)
        self.run_pass()
        self.assertEqual(left, before - self.tags(naming.REPOSITORIES))
