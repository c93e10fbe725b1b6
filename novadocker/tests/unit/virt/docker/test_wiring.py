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
import threading
from unittest import mock

import fixtures
import nova.conf
import os_vif
from oslotest import base

from novadocker.tests.fixtures import fake_engine
from novadocker.virt.docker import wiring

CONF = nova.conf.CONF


class WiringTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        # As nova-compute does before it loads a driver.
        os_vif.initialize()
        CONF([], project='nova', default_config_files=[])
        self.addCleanup(CONF.reset)
        path = self.useFixture(fixtures.TempDir()).path
        CONF.set_override('instances_path', path)
        self.addCleanup(CONF.clear_override, 'instances_path')
        self.sweep = self.useFixture(
            fixtures.MockPatch(
                'novadocker.privsep.netns.sweep', return_value=['nova-x']
            )
        ).mock
        self.useFixture(
            fixtures.MockPatchObject(
                wiring.network.Network, 'names', pathlib.Path(path)
            )
        )
        self.engine = fake_engine.FakeEngine()

    def furnish(self):
        return wiring.furnish(
            self.engine, 'host1', wiring.Nova(None, mock.Mock()), 7
        )

    def test_names_that_a_crash_has_left_are_swept(self):
        self.furnish()

        self.sweep.assert_called_once_with()

    def test_engine_is_asked_once_what_it_is(self):
        self.furnish()

        self.assertEqual(1, self.engine.requests['info'])

    def test_end_of_the_service_ends_its_threads(self):
        before = set(threading.enumerate())
        watchers = self.furnish().watchers
        watchers.start()
        watchers.stop()

        for thread in set(threading.enumerate()) - before:
            thread.join(5)
            self.assertFalse(thread.is_alive(), thread.name)

    def test_nova_is_told_of_what_it_left_off(self):
        watchers = self.furnish().watchers
        with mock.patch.object(
            watchers.healer, 'settle', autospec=True
        ) as settle:
            watchers.settle()

        settle.assert_called_once_with(watchers.events.ended)
