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

import os
import pathlib
from unittest import mock

import fixtures
from oslotest import base

from novadocker.privsep import layers
from novadocker.tests.fixtures import ovs

NAME = '0123456789abcdef' * 4
MIB = 1 << 20


class LayersTestCase(base.BaseTestCase):
    """What can be seen without the attributes of a real file system."""

    def setUp(self):
        super().setUp()
        self.useFixture(ovs.PrivilegedHere())
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.layer = self.root / 'overlay2' / NAME / 'diff'
        (self.layer / 'srv').mkdir(parents=True)
        self.file = self.layer / 'srv' / 'file'
        self.file.write_bytes(b'content')

    def read(self):
        return layers.read_extras(str(self.layer))

    def assert_refused(self, path, name='user.a'):
        with mock.patch.object(os, 'setxattr', autospec=True) as set_attribute:
            self.assertRaises(
                OSError,
                layers.add_extras,
                str(self.layer),
                [(path, {name: b'1'}, False)],
            )
        set_attribute.assert_not_called()

    def test_files_with_holes(self):
        os.truncate(self.file, MIB)
        (self.layer / 'full').write_bytes(b'x' * MIB)
        self.assertEqual([('srv/file', {}, True)], self.read())

    def test_so_many_that_some_are_not_named(self):
        os.truncate(self.file, MIB)
        with mock.patch.object(layers, '_MAX_SIZE', -1):
            self.assertEqual([], self.read())

    def test_what_is_no_layer(self):
        for path in (
            '/etc',
            str(self.layer.parent),
            str(self.layer / 'srv'),
            f'{self.layer.parent}/../{NAME}/diff',
            str(self.layer).replace('overlay2', 'overlay3'),
            str(self.layer).lstrip('/'),
        ):
            self.assertRaises(OSError, layers.read_extras, path)
            self.assertRaises(OSError, layers.add_extras, path, [])

    def test_ways_out_of_a_layer(self):
        outside = self.root / 'outside'
        outside.mkdir()
        (outside / 'file').touch()
        (self.layer / 'link').symlink_to(outside)
        (self.layer / 'file').symlink_to(outside / 'file')
        os.mkfifo(self.layer / 'pipe')
        for path in (
            'link/file',
            'file',
            'pipe',
            '..',
            '../diff',
            'srv/../../../../outside/file',
            str(outside / 'file'),
            '',
        ):
            self.assert_refused(path)

    def test_attributes_that_a_server_cannot_set(self):
        for name in ('trusted.overlay.opaque', 'security.capability'):
            self.assert_refused('srv/file', name)
