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

import io
import json
import tarfile
from unittest import mock

import fixtures
from nova.compute import task_states
from nova import exception as nova_exception
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import archives
from novadocker.tests.fixtures import fake_engine
from novadocker.tests.fixtures import glance
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import images
from novadocker.virt.docker import last_use
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import snapshots

PENDING = task_states.IMAGE_PENDING_UPLOAD
UPLOADING = task_states.IMAGE_UPLOADING


class SnapshotsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.engine = fake_engine.FakeEngine()
        self.glance = glance.Glance()
        self.images = self.host_of(self.engine)
        self.snapshots = snapshots.Snapshots(self.engine, self.images, True)
        self.instance = instances.an_instance()
        self.states = []
        self.image_id = self.glance.create(None, {'name': 'snap'})['id']
        self.boot()

    def host_of(self, engine):
        path = self.useFixture(fixtures.TempDir()).path
        return images.Images(
            engine,
            images.ImageSettings(
                lock_path=path, max_size=24 << 20, max_unpacked=24 << 20
            ),
            last_use.LastUse(path),
            self.glance,
        )

    def boot(self):
        """A server that has written a file."""
        uuid = self.instance.uuid
        found = self.images.ensure(
            None, self.instance, self.glance.add(archives.good())
        )
        container_id = self.engine.create(
            model.ContainerSpec(
                name=naming.instance_name(uuid),
                image=found.id,
                labels=naming.labels(uuid, 'instance', 'a-host'),
                network='none',
                limits=model.Limits(),
                log=model.LogLimits(1, 1),
                command=('driver',),
                environment={'DRIVER': 'yes'},
            )
        )
        self.container = self.engine.containers[container_id]
        self.container.written['srv/new'] = b'news'
        self.before = self.engine_images()

    def engine_images(self):
        return dict(self.engine.images.tags), set(self.engine.images.stored)

    def take(self):
        self.snapshots.take(
            None, self.instance, self.image_id, self.update_task_state
        )

    def update_task_state(self, task_state, expected_state=None):
        self.states.append((task_state, expected_state))

    def uploaded(self):
        """The manifest, the config and the layers that Glance has."""
        data = self.glance.data(self.image_id)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            (entry,) = json.load(tar.extractfile('manifest.json'))
            config = json.load(tar.extractfile(entry['Config']))
            layers = [tar.extractfile(one).read() for one in entry['Layers']]
        return entry, config, layers

    def boot_from_it(self, images):
        meta = self.glance.meta(self.image_id)
        return images.ensure(None, self.instance, meta)


class TakeTestCase(SnapshotsTestCase):
    def test_task_states(self):
        self.take()
        self.assertEqual([(PENDING, None), (UPLOADING, PENDING)], self.states)

    def test_record(self):
        self.instance.system_metadata['image_os_command_line'] = 'httpd -f'
        self.take()
        record = self.glance.get(None, self.image_id)
        self.assertEqual('docker', record['container_format'])
        self.assertEqual('raw', record['disk_format'])
        self.assertEqual('snap', record['name'])
        self.assertEqual(
            {
                'hw_architecture': archives.MACHINE,
                'image_location': 'snapshot',
                'image_state': 'available',
                'img_hv_type': 'docker',
                'os_command_line': 'httpd -f',
                'owner_id': 'a-project',
            },
            record['properties'],
        )

    def test_no_command_unless_the_server_has_one(self):
        self.take()
        record = self.glance.get(None, self.image_id)
        self.assertNotIn('os_command_line', record['properties'])

    def test_runs_as_the_image_below(self):
        self.take()
        entry, config, layers = self.uploaded()
        self.assertIsNone(entry['RepoTags'])
        self.assertEqual(
            {
                'Entrypoint': ['/bin/true'],
                'Cmd': ['now'],
                'Labels': None,
            },
            config['config'],
        )
        self.assertEqual([*archives.LAYERS], layers[:-1])
        self.assertIn(b'srv/new', layers[-1])

    def test_nothing_of_the_driver_leaves_the_host(self):
        self.take()
        data = self.glance.data(self.image_id)
        for word in (b'driver', b'DRIVER', b'nova', b'a-host'):
            self.assertNotIn(word, data)

    def test_boots_here_without_a_download(self):
        self.take()
        found = self.boot_from_it(self.images)
        self.assertNotIn(self.image_id, self.glance.downloads)
        self.engine.remove_image(naming.image_reference(self.image_id))
        again = self.boot_from_it(self.images)
        self.assertIn(self.image_id, self.glance.downloads)
        self.assertEqual(found.id, again.id)

    def test_boots_elsewhere(self):
        self.take()
        elsewhere = self.host_of(fake_engine.FakeEngine())
        self.assertEqual(['now'], self.boot_from_it(elsewhere).config['Cmd'])

    def test_commit_leaves_nothing_but_the_image(self):
        self.take()
        tags, stored = self.engine_images()
        reference = naming.image_reference(self.image_id)
        self.assertEqual({reference}, tags.keys() - self.before[0].keys())
        self.assertEqual({tags[reference]}, stored - self.before[1])

    def test_engine_that_wants_the_layers_again(self):
        """The snapshot is good, and the next boot downloads it."""
        self.engine.fail('load', exception.EngineError(500, 'no'))
        self.take()
        self.assertEqual(self.before, self.engine_images())
        self.assertTrue(self.glance.data(self.image_id))

    def test_pause_is_a_choice(self):
        for pause in (True, False):
            one = snapshots.Snapshots(self.engine, self.images, pause)
            with mock.patch.object(
                self.engine, 'commit', wraps=self.engine.commit
            ) as commit:
                one.take(None, self.instance, self.image_id, lambda **_: None)
            self.assertIs(pause, commit.call_args.args[-1])


class FailureTestCase(SnapshotsTestCase):
    """Neither the engine nor Glance keeps anything of it."""

    def assert_fails(self, error):
        self.assertRaises(error, self.take)
        self.assertEqual(self.before, self.engine_images())
        self.assertRaises(
            nova_exception.ImageNotFound, self.glance.get, None, self.image_id
        )
        self.assertFalse(self.snapshots.under_way(self.image_id))

    def test_each_step_of_the_engine(self):
        for verb in ('inspect', 'size', 'commit', 'inspect_image', 'save'):
            self.engine.fail(verb, exception.EngineError(500, 'no'))
            self.assert_fails(exception.EngineError)
            self.image_id = self.glance.create(None, {'name': 'snap'})['id']
        self.take()

    def test_more_than_an_image_may_have_is_never_committed(self):
        with (
            mock.patch.object(
                self.engine, 'size', autospec=True, return_value=1 << 40
            ),
            mock.patch.object(self.engine, 'commit', autospec=True) as commit,
        ):
            self.assert_fails(exception.ImageRejected)
        commit.assert_not_called()

    def test_half_an_upload_is_none(self):
        self.glance.forget_after = 700
        self.assert_fails(nova_exception.CouldNotUploadImage)

    def test_image_deleted_before_the_upload(self):
        self.glance.delete(None, self.image_id)
        self.assert_fails(nova_exception.ImageNotFound)

    def test_image_deleted_in_mid_upload(self):
        save = self.engine.save

        def deleted_meanwhile(reference):
            data = b''.join(save(reference))
            yield data[:5000]
            self.glance.delete(None, self.image_id)
            yield data[5000:]

        self.engine.save = deleted_meanwhile
        self.assert_fails(nova_exception.ImageNotFound)

    def test_engine_fails_in_mid_upload(self):
        def save(reference):
            yield archives.good()[:2000]
            raise exception.EngineUnavailable(reason='gone')

        self.engine.save = save
        self.assert_fails(exception.EngineUnavailable)

    def test_server_deleted_meanwhile(self):
        for step in range(2):
            error = nova_exception.UnexpectedDeletingTaskStateError(
                instance_uuid='u', expected='a', actual='b'
            )
            self.update_task_state = mock.Mock(
                side_effect=[*[None] * step, error]
            )
            self.assert_fails(nova_exception.UnexpectedDeletingTaskStateError)
            self.image_id = self.glance.create(None, {'name': 'snap'})['id']

    def test_no_container(self):
        self.engine.remove(self.container.id)
        self.assert_fails(exception.ContainerNotFound)

    def test_glance_that_does_not_answer_hides_no_error(self):
        self.glance.forget_after = 700
        self.glance.delete = mock.Mock(
            side_effect=nova_exception.GlanceConnectionFailed(
                server='s', reason='r'
            )
        )
        self.assertRaises(nova_exception.CouldNotUploadImage, self.take)

    def test_commit_that_cannot_be_removed_is_no_failure(self):
        self.engine.fail('remove_image', exception.EngineError(500, 'no'))
        self.take()
        self.assertTrue(self.glance.data(self.image_id))
        self.assertIn(
            naming.snapshot_reference(self.image_id), self.engine.images.tags
        )

    def test_under_way_as_long_as_there_is_a_commit(self):
        seen = []
        self.update_task_state = lambda **_: seen.append(
            self.snapshots.under_way(self.image_id)
        )
        self.take()
        self.assertEqual([False, True], seen)
        self.assertFalse(self.snapshots.under_way(self.image_id))
