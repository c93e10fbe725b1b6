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

import pathlib

import fixtures
from nova.network import model
from oslotest import base

from novadocker.virt.docker import checkpoint

UUID = '6c4c3d3a-0c37-4a3f-9d5c-7e4f0d1c2b3a'
A_CHECKPOINT = checkpoint.Checkpoint(
    'box',
    4026531840,
    ({'id': 'port'},),
    {'tap1': 'eth0'},
    {'port': 'example.org', 'other': None},
)


class CheckpointsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.checkpoints = checkpoint.Checkpoints(str(self.root / 'instances'))

    def test_reads_what_was_written(self):
        self.checkpoints.write(UUID, A_CHECKPOINT)

        self.assertEqual(A_CHECKPOINT, self.checkpoints.read(UUID))

    def test_keeps_nova_s_own_description_of_a_port(self):
        vif = model.VIF(
            id='port',
            network=model.Network(
                subnets=[model.Subnet(cidr='10.0.0.0/24', dns=[])]
            ),
        )
        self.checkpoints.write(UUID, checkpoint.Checkpoint('box', 1, (vif,)))

        [found] = self.checkpoints.read(UUID).vifs
        self.assertEqual(vif, model.VIF.hydrate(found))

    def test_the_last_one_counts(self):
        self.checkpoints.write(UUID, checkpoint.Checkpoint('old', 1))
        self.checkpoints.write(UUID, A_CHECKPOINT)

        self.assertEqual(A_CHECKPOINT, self.checkpoints.read(UUID))

    def test_those_that_there_are(self):
        self.assertEqual([], self.checkpoints.uuids())
        self.checkpoints.write(UUID, A_CHECKPOINT)
        (self.root / 'instances' / 'locks').mkdir()
        self.assertEqual([UUID], self.checkpoints.uuids())

    def test_absent_is_none(self):
        self.assertIsNone(self.checkpoints.read(UUID))

    def test_one_that_a_power_cut_left_empty_is_none(self):
        self.checkpoints.write(UUID, A_CHECKPOINT)
        for broken in ('', '{"version":', '{"version": 99}', '{}'):
            (self.root / 'instances' / UUID / 'docker.json').write_text(broken)

            self.assertIsNone(self.checkpoints.read(UUID), broken)

    def test_remove_leaves_no_directory(self):
        self.checkpoints.write(UUID, A_CHECKPOINT)

        self.checkpoints.remove(UUID)

        self.assertEqual([], list((self.root / 'instances').iterdir()))

    def test_remove_of_nothing_is_success(self):
        self.checkpoints.remove(UUID)
