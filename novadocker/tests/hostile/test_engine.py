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

"""The attacks against a real engine behind the filter."""

import json
import os
import pathlib

from nova import exception as nova_exception

from novadocker import exception
from novadocker.tests.fixtures import archives
from novadocker.tests.fixtures import images as busybox
from novadocker.tests.fixtures import instances
from novadocker.tests.functional import test_images
from novadocker.tests.hostile import attacks
from novadocker.virt.docker import naming
from novadocker.virt.docker import spec

# Where the files of a layer that breaks out would land.
_OUTSIDE = (pathlib.Path('/evil'), pathlib.Path('/tmp/evil'))

_SETTINGS = spec.ServerSettings(
    pids_limit=100, capabilities=('CHOWN',), console_log_size=65536
)


class EngineTestCase(test_images.ImagesTestCase):
    def setUp(self):
        super().setUp()
        victim = busybox.Image(command=('sh',), tags=(archives.VICTIM,))
        self.docker('load', data=victim.archive())
        self.victim = victim.id
        self.before = self.seen()

    def assert_as_before(self, name):
        self.assertEqual(self.before, self.seen(), name)
        for path in _OUTSIDE:
            self.assertFalse(path.exists(), name)

    def test_refused_archives(self):
        """Whatever the engine would do with them: it does not come to that."""
        for name, (data, word) in attacks.table().items():
            found = self.assertRaises(
                nova_exception.ImageUnacceptable,
                self.ensure,
                self.glance.add(data),
            )
            self.assertIn(word, str(found), name)
            self.assert_as_before(name)
        self.assert_nothing_is_left_of_loads()
        self.ensure(self.glance.add(archives.good()))

    def test_harmless_archives(self):
        foreign = (naming.image_reference(instances.GLANCE_ID), self.victim)
        for name, data in attacks.harmless(foreign).items():
            meta = self.glance.add(data)
            found = self.ensure(meta)
            self.assertEqual(archives.image_id(), found.id, name)
            reference = naming.image_reference(meta.id)
            self.assertEqual((reference,), found.tags, name)
            self.client.remove_image(reference)
            self.assert_as_before(name)

    def test_layers_that_cannot_be_unpacked(self):
        for name, layer in attacks.unruly_layers().items():
            meta = self.glance.add(archives.tar(archives.saved([layer])))
            try:
                self.ensure(meta)
            except exception.EngineError:
                pass
            else:
                self.client.remove_image(naming.image_reference(meta.id))
            self.assert_as_before(name)
        self.assert_nothing_is_left_of_loads()
        self.ensure(self.glance.add(archives.good()))

    def test_wishes_of_a_config(self):
        layers = busybox.SHELL.layers()
        for name, data in attacks.wishes(layers).items():
            meta = self.glance.add(data)
            self.run_as_server(name, self.ensure(meta))
            self.client.remove_image(naming.image_reference(meta.id))
        self.assert_as_before('all')
        self.assertEqual(b'', self.docker('volume', 'ls', '--quiet'))

    def run_as_server(self, name, image):
        """Have what the driver makes of an image, and look at it."""
        instance = instances.an_instance()
        sandbox = self.run_container(instance.uuid, self.victim)
        self.docker('rename', sandbox, naming.sandbox_name(instance.uuid))
        self.addCleanup(
            self.docker, 'rm', '--force', naming.sandbox_name(instance.uuid)
        )
        container = self.client.create(
            spec.server(
                instance,
                'a-host',
                image,
                naming.sandbox_name(instance.uuid),
                _SETTINGS,
            )
        )
        try:
            self.client.start(container)
            self.assert_safe(name, container)
        finally:
            self.client.remove(container)

    def assert_safe(self, name, container):
        (found,) = json.loads(self.docker('inspect', container))
        host = found['HostConfig']
        self.assertTrue(found['State']['Running'], name)
        self.assertNotIn('Health', found['State'], name)
        self.assertIs(False, host['Privileged'], name)
        for key in ('Binds', 'Devices', 'PortBindings', 'Sysctls'):
            self.assertFalse(host[key] if key in host else None, (name, key))
        self.assertEqual(['CHOWN'], host['CapAdd'], name)
        self.assertTrue(host['NetworkMode'].startswith('container:'), name)
        self.assertEqual(
            [],
            [one for one in found['Mounts'] if one['Type'] != 'volume'],
            name,
        )
        devices = self.docker('exec', container, 'ls', '/dev')
        self.assertNotIn(b'kmsg', devices, name)
        self.assertEqual(
            b'secret\n', self.docker('exec', container, 'hostname'), name
        )

    def assert_nothing_is_left_of_loads(self):
        super().assert_nothing_is_left_of_loads()
        root = self.client.info().root_dir
        layers = os.path.join(root, 'image', 'overlay2', 'layerdb', 'tmp')
        self.assertEqual([], os.listdir(layers))
