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
import pathlib
import stat

import fixtures
from oslotest import base

from novadocker.tests.fixtures import fake_engine
from novadocker.virt.docker import disk

NUMBER = os.makedev(8, 2)


class DiskTestCase(base.BaseTestCase):
    """A host whose /sys and /dev are directories of the test's."""

    def setUp(self):
        super().setUp()
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.sys = root / 'sys/dev/block'
        self.dev = root / 'dev'
        self.devices = root / 'sys/devices'
        for folder in (self.sys, self.dev, self.devices):
            folder.mkdir(parents=True)
        for name, value in (('_SYS', self.sys), ('_DEV', self.dev)):
            self.useFixture(fixtures.MockPatchObject(disk, name, value))
        self.data = root / 'data'
        self.data.mkdir()
        self.nodes = set()
        real = os.stat

        def stat_as(path, **kwargs):
            found = list(real(path, **kwargs))
            if str(path) == str(self.data):
                found[stat.ST_DEV] = NUMBER
            if str(path) in self.nodes:
                found[stat.ST_MODE] = stat.S_IFBLK | 0o600
            return os.stat_result(found)

        self.useFixture(
            fixtures.MockPatchObject(os, 'stat', side_effect=stat_as)
        )

    def device(self, name, *, partition=False, node=True):
        folder = self.devices / name
        folder.mkdir(parents=True)
        if partition:
            (folder / 'partition').write_text('2\n')
        link = self.sys / '8:2'
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
        whole = folder.parent.name if partition else folder.name
        path = self.dev / whole.replace('!', '/')
        path.parent.mkdir(exist_ok=True)
        path.touch()
        if node:
            self.nodes.add(str(path))
        return str(path)

    def limitable(self, **changes):
        return disk.limitable(
            dataclasses.replace(
                fake_engine.INFO, root_dir=str(self.data), **changes
            )
        )

    def test_a_disk(self):
        self.assertEqual(self.device('sdb'), self.limitable())

    def test_a_partition_is_limited_by_its_disk(self):
        path = self.device('sda/sda2', partition=True)
        self.assertTrue(path.endswith('/sda'))
        self.assertEqual(path, self.limitable())

    def test_a_device_in_a_directory(self):
        self.assertEqual(self.device('cciss!c0d0'), self.limitable())

    def test_a_file_system_on_none(self):
        self.assertEqual('', self.limitable())

    def test_a_device_without_a_node(self):
        self.device('sdb', node=False)
        self.assertEqual('', self.limitable())

    def test_a_directory_that_cannot_be_seen(self):
        self.device('sdb')
        self.assertEqual(
            '',
            disk.limitable(
                dataclasses.replace(
                    fake_engine.INFO, root_dir='/does/not/exist'
                )
            ),
        )

    def test_an_engine_or_a_kernel_that_cannot(self):
        self.device('sdb')
        for warning in (
            'WARNING: No blkio throttle.read_bps_device support',
            'WARNING: No io.max (rbps) support',
        ):
            self.assertEqual(
                '', self.limitable(warnings=('No swap', warning))
            )
        self.assertNotEqual(
            '', self.limitable(warnings=('WARNING: No swap limit support',))
        )
