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

import fixtures
from oslotest import base

from novadocker.privsep import files
from novadocker.tests.fixtures import ovs

CONTAINER = '0123456789abcdef' * 4


class WriteSandboxFileTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(ovs.PrivilegedHere())
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.container = self.root / 'containers' / CONTAINER
        self.container.mkdir(parents=True)
        self.hosts = self.container / 'hosts'
        self.hosts.write_text('what was there before, and is long')

    def assertRefused(self, path):
        self.assertRaises(OSError, files.write_sandbox_file, str(path), 'x')

    def test_content_is_replaced_in_the_same_file(self):
        before = self.hosts.stat().st_ino
        files.write_sandbox_file(str(self.hosts), '127.0.0.1 localhost\n')
        self.assertEqual('127.0.0.1 localhost\n', self.hosts.read_text())
        self.assertEqual(before, self.hosts.stat().st_ino)

    def test_resolv_conf(self):
        path = self.container / 'resolv.conf'
        path.touch()
        files.write_sandbox_file(str(path), 'nameserver 10.0.0.2\n')
        self.assertEqual('nameserver 10.0.0.2\n', path.read_text())

    def test_file_that_is_not_there_is_not_made(self):
        path = self.container / 'resolv.conf'
        self.assertRefused(path)
        self.assertFalse(path.exists())

    def test_other_files(self):
        for name in ('hostname', 'config.v2.json'):
            path = self.container / name
            path.write_text('precious')
            self.assertRefused(path)
            self.assertEqual('precious', path.read_text())

    def test_other_directories(self):
        for directory in (
            self.root / 'containers' / CONTAINER[:12],
            self.root / 'images' / CONTAINER,
            self.container / 'deeper',
        ):
            directory.mkdir(parents=True)
            path = directory / 'hosts'
            path.write_text('precious')
            self.assertRefused(path)
            self.assertEqual('precious', path.read_text())

    def test_file_of_the_host(self):
        self.assertRefused('/etc/hosts')
        self.assertRefused(f'{self.container}/../../../etc/hosts')

    def test_links(self):
        precious = self.root / 'precious'
        precious.mkdir()
        target = precious / 'hosts'
        target.write_text('precious')
        for make in (os.symlink, os.link):
            self.hosts.unlink()
            make(target, self.hosts)
            self.assertRefused(self.hosts)
        other = self.root / 'containers' / CONTAINER[::-1]
        other.symlink_to(precious)
        self.assertRefused(other / 'hosts')
        self.assertEqual('precious', target.read_text())

    def test_directory_of_containers_that_is_a_link(self):
        elsewhere = self.root / 'elsewhere'
        elsewhere.mkdir()
        (elsewhere / 'containers').symlink_to(self.root / 'containers')
        self.assertRefused(elsewhere / 'containers' / CONTAINER / 'hosts')

    def test_what_is_no_file(self):
        self.hosts.unlink()
        os.mkfifo(self.hosts)
        reader = os.open(self.hosts, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.assertRefused(self.hosts)
