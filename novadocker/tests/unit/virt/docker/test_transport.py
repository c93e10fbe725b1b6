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

import contextlib
import dataclasses
import io
import json
import tarfile
from unittest import mock

import fixtures
from nova import exception as nova_exception
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import archives
from novadocker.tests.fixtures import fake_engine
from novadocker.tests.fixtures import fake_host
from novadocker.tests.fixtures import glance
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import images
from novadocker.virt.docker import last_use
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import parcel
from novadocker.virt.docker import snapshots
from novadocker.virt.docker import transport

NO = exception.EngineError(500, 'no')


class Engine(fake_engine.FakeEngine):
    """One that saves layers under the names of an OCI layout."""

    def save(self, reference):
        data = b''.join(super().save(reference))
        members = []
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                content = tar.extractfile(member).read()
                name = member.name.replace('/layer.tar', '')
                if name != member.name:
                    name = f'blobs/sha256/{name}'
                if name == 'manifest.json':
                    (entry,) = json.loads(content)
                    entry['Layers'] = [
                        f'blobs/sha256/{one.removesuffix("/layer.tar")}'
                        for one in entry['Layers']
                    ]
                    content = json.dumps([entry]).encode()
                members.append(archives.Member(name, content))
        yield archives.tar(members)


class Host:
    """One end: an engine, and what works with it."""

    def __init__(self, test, name, image_api):
        path = test.useFixture(fixtures.TempDir()).path
        self.engine = Engine()
        self.images = images.Images(
            self.engine,
            images.ImageSettings(lock_path=path, max_size=24 << 20),
            last_use.LastUse(path),
            image_api,
        )
        self.snapshots = snapshots.Snapshots(self.engine, self.images, True)
        self.parcels = parcel.Parcels(path)
        self.transport = transport.Transport(
            self.engine,
            self.images,
            self.snapshots,
            self.parcels,
            transport.TransportSettings(name),
        )

    def state(self):
        tags = dict(self.engine.images.tags)
        return tags, set(self.engine.images.stored)


class TransportTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.extras = self.useFixture(fake_host.NoExtras())
        self.glance = glance.Glance()
        self.here = Host(self, 'here', self.glance)
        self.there = Host(self, 'there', self.glance)
        self.instance = instances.an_instance()
        self.context = mock.Mock(
            user_id='a-user', project_id=self.instance.project_id
        )
        meta = self.glance.add(archives.good())
        self.instance.image_ref = meta.id
        self.base = self.here.images.ensure(None, self.instance, meta)
        self.container = self.boot()
        self.before = self.here.state()
        self.there_before = self.there.state()

    def boot(self):
        """A server that has written a file."""
        uuid = self.instance.uuid
        made = self.here.engine.create(
            model.ContainerSpec(
                name=naming.instance_name(uuid),
                image=self.base.id,
                labels=naming.labels(uuid, 'instance', 'here'),
                network='none',
                limits=model.Limits(),
                log=model.LogLimits(1, 1),
                command=('driver',),
                environment={'DRIVER': 'yes'},
            )
        )
        container = self.here.engine.containers[made]
        container.written['srv/new'] = b'news'
        return container

    def send(self):
        return self.here.transport.send(self.context, self.instance)

    def receive(self, sent):
        return self.there.transport.receive(
            self.context, self.instance, sent
        )

    def layers(self, sent):
        """How many travel."""
        data = io.BytesIO(self.glance.data(sent.image_id))
        with tarfile.open(fileobj=data) as tar:
            return sum(one.endswith('.tar') for one in tar.getnames())

    @contextlib.contextmanager
    def told(self, answer):
        """Have Glance say this of the image that the server is of."""
        get = self.glance.get

        def say(context, image_id):
            if image_id != self.instance.image_ref:
                return get(context, image_id)
            if isinstance(answer, Exception):
                raise answer
            return answer

        with mock.patch.object(self.glance, 'get', say):
            yield

    def assert_nothing_is_left(self):
        self.assertEqual(self.before, self.here.state())
        self.assertEqual({self.instance.image_ref}, set(self.glance._records))
        self.assertIsNone(self.here.parcels.read(self.instance.uuid))


class SendTestCase(TransportTestCase):
    def test_only_what_differs_travels(self):
        sent = self.send()
        self.assertEqual(self.instance.image_ref, sent.base_id)
        self.assertEqual(1, self.layers(sent))

    def test_all_travels_where_the_other_host_could_not_have_the_image(self):
        gone = nova_exception.ImageNotFound(image_id='i')
        hidden = nova_exception.ImageNotAuthorized(image_id='i')
        for answer in (gone, hidden, {'status': 'deactivated'}):
            with self.told(answer):
                sent = self.send()
            self.assertEqual('', sent.base_id)
            self.assertEqual(1 + len(archives.LAYERS), self.layers(sent))

    def test_all_travels_where_the_server_stands_on_something_else(self):
        other = archives.tar(archives.saved(archives.LAYERS[1:]))
        self.instance.image_ref = self.glance.add(other).id
        self.here.images.fetch(None, self.instance.image_ref)
        self.assertEqual('', self.send().base_id)

    def test_record(self):
        sent = self.send()
        record = self.glance.get(None, sent.image_id)
        self.assertTrue(record['os_hidden'])
        self.assertEqual('private', record['visibility'])
        self.assertEqual('docker', record['container_format'])
        self.assertEqual(
            {
                'image_state': 'available',
                'image_type': 'migration',
                'instance_uuid': self.instance.uuid,
            },
            record['properties'],
        )
        self.assertNotIn('owner', record)
        self.context.project_id = 'operators'
        record = self.glance.get(None, self.send().image_id)
        self.assertEqual('a-project', record['owner'])

    def test_a_second_try_removes_what_the_first_has_left(self):
        first = self.send()
        self.send()
        self.assertRaises(
            nova_exception.ImageNotFound, self.glance.get, None, first.image_id
        )

    def test_failure_of_each_step_leaves_nothing(self):
        for verb in ('inspect', 'inspect_image', 'commit', 'save'):
            self.here.engine.fail(verb, NO)
            self.assertRaises(exception.EngineError, self.send)
            self.assert_nothing_is_left()
        for name in ('create', 'update'):
            failure = nova_exception.GlanceConnectionFailed(
                server='s', reason='r'
            )
            with mock.patch.object(
                self.glance, name, autospec=True, side_effect=failure
            ):
                self.assertRaises(type(failure), self.send)
            self.assert_nothing_is_left()
        self.glance.forget_after = 700
        self.assertRaises(nova_exception.CouldNotUploadImage, self.send)
        self.assert_nothing_is_left()

    def test_nothing_of_the_driver_leaves_the_host(self):
        data = self.glance.data(self.send().image_id)
        for word in (b'driver', b'DRIVER'):
            self.assertNotIn(word, data)

    def test_failure_to_read_what_a_commit_loses(self):
        self.extras.read.side_effect = OSError('too many')
        self.assertRaises(OSError, self.send)
        self.assert_nothing_is_left()

    def test_signed_images_are_refused(self):
        self.here.transport.check()
        self.here.transport._signed = True
        self.assertRaises(
            exception.FeatureNotSupported, self.here.transport.check
        )


class ReceiveTestCase(TransportTestCase):
    def received(self, sent):
        found = self.receive(sent)
        (config,) = [
            one
            for one in self.there.engine.images.stored.values()
            if one.id == found.id
        ]
        return found, config

    def test_content_and_names(self):
        found, stored = self.received(self.send())
        self.assertEqual([*archives.LAYERS], list(stored.layers[:-1]))
        self.assertIn(b'srv/new', stored.layers[-1])
        uuid = self.instance.uuid
        self.assertEqual(
            (naming.rebind_reference(uuid, 'there'),), found.tags
        )
        self.assertEqual(
            naming.labels(uuid, naming.ROLE_INSTANCE, 'there'), found.labels
        )
        self.assertEqual(('now',), found.command)
        self.assertEqual(('/bin/true',), found.entrypoint)

    def test_whole(self):
        with self.told(nova_exception.ImageNotFound(image_id='i')):
            sent = self.send()
        self.glance.delete(None, self.instance.image_ref)
        _, stored = self.received(sent)
        self.assertIn(b'srv/new', stored.layers[-1])

    def test_something_else_is_refused(self):
        sent = dataclasses.replace(self.send(), config='sha256:' + '0' * 64)
        self.assertRaises(exception.ImageRejected, self.receive, sent)
        self.assertNotIn(
            naming.rebind_reference(self.instance.uuid, 'there'),
            self.there.engine.images.tags,
        )

    def test_layers_of_another_base_are_refused(self):
        other = archives.tar(archives.saved(archives.LAYERS[1:]))
        sent = dataclasses.replace(
            self.send(), base_id=self.glance.add(other).id
        )
        self.assertRaises(exception.ImageRejected, self.receive, sent)

    def test_what_a_commit_loses_is_added(self):
        extra = ('srv/new', {'user.a': b'1'}, True)
        self.extras.read.return_value = [extra]
        sent = self.send()
        # The container's own layer alone: that of the image is there.
        self.assertEqual(1, self.extras.read.call_count)
        root = model.Overlay('/below', '/top', '/work')
        real = self.there.engine.inspect_image

        def located(name):
            return dataclasses.replace(real(name), root=root)

        with (
            mock.patch.object(self.there.engine, 'inspect_image', located),
            mock.patch(
                'novadocker.privsep.layers.add_extras', autospec=True
            ) as add,
        ):
            self.receive(sent)
        add.assert_called_once_with('/top', [extra])

    def test_note_that_is_not_what_was_sent_is_refused(self):
        self.extras.read.return_value = [('srv/new', {}, True)]
        sent = dataclasses.replace(self.send(), note='')
        self.assertRaises(exception.ImageRejected, self.receive, sent)

    def test_engine_that_cannot_be_given_it(self):
        self.extras.read.return_value = [('srv/new', {}, True)]
        log = self.useFixture(fixtures.FakeLogger())
        self.receive(self.send())
        self.assertIn('attributes of its files are lost', log.output)

    def test_forgotten(self):
        self.receive(self.send())
        self.there.transport.forget(self.instance)
        self.assertEqual(
            {naming.image_reference(self.instance.image_ref)},
            set(self.there.engine.images.tags),
        )


class DiscardTestCase(TransportTestCase):
    def discard(self):
        self.here.transport.discard(self.context, self.instance)

    def known(self):
        return self.here.transport.expected(self.instance)

    def test_removed_once(self):
        self.send()
        self.discard()
        self.assert_nothing_is_left()
        self.discard()

    def test_removed_by_the_other_host(self):
        sent = self.send()
        self.there.transport.expect(self.instance, sent)
        self.there.transport.discard(self.context, self.instance)
        self.discard()
        self.assert_nothing_is_left()

    def test_tried_again_by_the_next_user(self):
        self.send()
        failure = nova_exception.ImageNotAuthorized(image_id='i')
        with mock.patch.object(
            self.glance, 'delete', autospec=True, side_effect=failure
        ):
            self.discard()
        self.assertIsNotNone(self.known())
        self.context.user_id = None
        self.discard()
        self.assertIsNotNone(self.known())
        self.context.user_id = 'a-user'
        self.discard()
        self.assertIsNone(self.known())

    def test_lost(self):
        self.send()
        self.here.transport.lose(self.instance)
        self.assertIsNone(self.known())
