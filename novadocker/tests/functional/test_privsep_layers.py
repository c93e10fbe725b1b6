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

"""Attributes and holes in the engine's layers, with the privileges we have."""

import os
import pathlib

import fixtures
from oslotest import base

from novadocker.privsep import layers
from novadocker.tests.fixtures import ovs

NAME = '0123456789abcdef' * 4
MIB = 1 << 20


class LayersTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(ovs.PrivilegedApart())
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.old = self.layer(NAME)
        self.new = self.layer(NAME[::-1])

    def layer(self, name):
        path = self.root / 'overlay2' / name / 'diff'
        path.mkdir(parents=True)
        (path / 'srv').mkdir()
        os.chown(path / 'srv', 1000, 1000)
        # Where others may write, but only the owner may do this.
        os.chmod(path / 'srv', 0o1777)
        (path / 'srv' / 'file').write_bytes(b'content')
        os.chown(path / 'srv' / 'file', 1000, 1000)
        os.chmod(path / 'srv' / 'file', 0)
        return path

    def read(self):
        return list(map(tuple, layers.read_extras(str(self.old))))

    def add(self, *extras):
        layers.add_extras(str(self.new), extras)

    def assert_refused(self, *extras):
        self.assertRaises(OSError, self.add, *extras)

    def test_attributes(self):
        os.setxattr(self.old / 'srv', 'user.a', b'\0\xff')
        os.setxattr(self.old / 'srv/file', 'user.b', b'')
        extras = self.read()
        self.assertEqual(
            [
                ('srv', {'user.a': b'\0\xff'}, False),
                ('srv/file', {'user.b': b''}, False),
            ],
            sorted(extras),
        )
        self.add(*extras)
        self.assertEqual(b'\0\xff', os.getxattr(self.new / 'srv', 'user.a'))
        self.assertEqual(b'', os.getxattr(self.new / 'srv/file', 'user.b'))
        self.assertEqual(0, (self.new / 'srv/file').stat().st_mode & 0o7777)

    def test_name_that_is_no_text(self):
        path = os.path.join(bytes(self.old), b'\xe4')
        with open(path, 'wb'):
            os.setxattr(path, 'user.a', b'1')
        ((name, _, _),) = self.read()
        self.assertEqual(b'\xe4', os.fsencode(name))
        with open(os.path.join(bytes(self.new), b'\xe4'), 'wb'):
            self.add((name, {'user.a': b'2'}, False))

    def test_attributes_that_are_not_the_servers(self):
        os.setxattr(self.old / 'srv/file', 'trusted.overlay.x', b'y')
        self.assertEqual([], self.read())
        for name in ('trusted.overlay.opaque', 'security.capability'):
            self.assert_refused(('srv/file', {name: b'y'}, False))

    def test_more_attributes_than_can_be_handled(self):
        for number in range(800):
            path = self.old / str(number)
            path.touch()
            os.setxattr(path, 'user.a', b'x' * 3000)
        self.assertIn(
            'too many', str(self.assertRaises(OSError, self.read))
        )

    def test_holes(self):
        for path in (self.old / 'disk', self.new / 'disk'):
            path.write_bytes(b'begin' + b'\0' * MIB + b'end')
            os.utime(path, (1, 2))
        self.assertEqual([], self.read())
        sparse = self.old / 'sparse'
        sparse.touch()
        os.truncate(sparse, MIB)
        self.assertEqual([('sparse', {}, True)], self.read())
        disk = self.new / 'disk'
        before = disk.read_bytes()
        self.add(('disk', {}, True))
        self.assertLess(disk.stat().st_blocks * 512, MIB // 2)
        self.assertEqual(2, disk.stat().st_mtime)
        self.assertEqual(before, disk.read_bytes())

    def test_programs_keep_their_modes(self):
        program = self.new / 'program'
        program.write_bytes(b'\0' * MIB)
        os.chmod(program, 0o6755)
        self.add(('program', {}, True))
        self.assertEqual(0o6755, program.stat().st_mode & 0o7777)
