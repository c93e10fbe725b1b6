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
import tarfile
from unittest import mock

import fixtures
from oslotest import base

from novadocker.privsep import layers
from novadocker.virt.docker import extras
from novadocker.virt.docker import model

ROOT = model.Overlay('/2:/1', '/3', '/work')

FOUND = {
    '/3': [('a', {'user.x': b'\xff'}, True), ('caf\udce9', {}, True)],
    '/2': [],
}


class ExtrasTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.client = mock.Mock()
        self.container = mock.Mock(id='c', root=ROOT)
        self.image = mock.Mock(root=model.Overlay('/8:/7', '/9', '/work'))
        self.read = self.privileged('read_extras')
        self.read.side_effect = lambda path: FOUND[path]
        self.add = self.privileged('add_extras')

    def privileged(self, name):
        return self.useFixture(
            fixtures.MockPatchObject(layers, name, autospec=True)
        ).mock

    def collected(self):
        return extras.collected(self.client, self.container, ['/2'])

    def test_what_is_noted_comes_back(self):
        self.assertTrue(extras.restore(self.image, self.collected()))
        self.assertEqual([mock.call('/9', FOUND['/3'])], self.add.mock_calls)

    def test_a_layer_with_attributes_is_no_others(self):
        self.collected()
        self.collected()
        contents = set()
        for call in self.client.write_files.mock_calls:
            container, written = call.args
            self.assertEqual('c', container)
            with tarfile.open(fileobj=io.BytesIO(written)) as tar:
                self.assertEqual(['.dockerenv'], tar.getnames())
                contents.add(tar.extractfile('.dockerenv').read())
        self.assertEqual(2, len(contents))

    def test_nothing_to_note(self):
        self.read.side_effect = lambda path: []
        self.assertEqual(b'', self.collected())
        self.assertTrue(extras.restore(self.image, b''))
        self.client.write_files.assert_not_called()
        self.add.assert_not_called()

    def test_only_layers_of_earlier_moves_have_some(self):
        self.read.side_effect = lambda path: FOUND['/3'] * (path == '/2')
        note = self.collected()
        self.client.write_files.assert_not_called()
        extras.restore(self.image, note)
        self.assertEqual([mock.call('/8', FOUND['/3'])], self.add.mock_calls)

    def test_engine_that_does_not_say_where_layers_are(self):
        note = self.collected()
        self.image.root = None
        self.assertFalse(extras.restore(self.image, note))
        self.container.root = None
        self.assertEqual(b'', self.collected())

    def test_note_of_more_layers_than_there_are(self):
        self.image.root = model.Overlay('', '/9', '/work')
        note = self.collected()
        self.assertRaises(ValueError, extras.restore, self.image, note)
