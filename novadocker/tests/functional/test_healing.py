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

"""What servers are after an accident of the engine."""

import time
from unittest import mock

import fixtures
from nova.compute import power_state
from nova.compute import vm_states
from nova import objects
from nova.virt import event as virtevent
from oslotest import base

from novadocker.tests.fixtures import driver
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import instances
from novadocker.tests.fixtures import ovs
from novadocker.virt.docker import naming


class EngineAccidentTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.host = self.useFixture(driver.DockerDriver(own_engine=True))
        self.engine = self.host.own_engine
        self.instance = instances.an_instance()
        self.instance.vm_state = vm_states.ACTIVE
        self.instance.task_state = None
        self.network_info = driver.a_network()
        self.instance.info_cache = objects.InstanceInfoCache(
            network_info=self.network_info
        )
        self.useFixture(
            fixtures.MockPatchObject(
                objects.Instance, 'get_by_uuid', return_value=self.instance
            )
        )
        self.name = naming.instance_name(self.instance.uuid)
        self.events = mock.Mock()
        self.host.driver.register_event_listener(self.events)
        self.host.spawn(
            self.instance, self.host.load(images.SHELL), self.network_info
        )

    def restart(self, live_restore):
        self.engine.stop()
        self.engine.start(live_restore)
        self.came_back = time.monotonic()

    def assert_whole_soon(self):
        """As Nova says it is, within ten seconds, without an operator."""
        while True:
            try:
                info = self.host.driver.get_info(self.instance)
                self.assertEqual(power_state.RUNNING, info.state)
                found = ovs.run(
                    *('ip', 'netns', 'exec', self.name),
                    *('ip', 'addr', 'show', 'eth0'),
                )
                self.assertIn('10.0.0.5/24', found)
                return
            except AssertionError:
                if time.monotonic() - self.came_back > 10:
                    raise
                time.sleep(0.2)

    def test_restart_with_live_restore_touches_nothing(self):
        before = self.host.client.inspect(self.name).pid
        self.restart(live_restore=True)
        time.sleep(2)

        self.assert_whole_soon()
        self.assertEqual(before, self.host.client.inspect(self.name).pid)
        self.assertNotIn(
            virtevent.EVENT_LIFECYCLE_STOPPED,
            [call.args[0].transition for call in self.events.mock_calls],
        )

    def test_restart_without_live_restore_starts_servers_again(self):
        self.restart(live_restore=False)
        self.assert_whole_soon()

        before = self.host.client.inspect(self.name).pid
        self.restart(live_restore=False)
        self.assert_whole_soon()
        self.assertNotEqual(before, self.host.client.inspect(self.name).pid)
        self.assertEqual(1, len(self.host.switch.ports()))

    def test_server_that_was_stopped_stays_stopped(self):
        self.host.driver.power_off(self.instance, 0)
        self.instance.vm_state = vm_states.STOPPED
        self.restart(live_restore=False)
        time.sleep(3)

        info = self.host.driver.get_info(self.instance)
        self.assertEqual(power_state.SHUTDOWN, info.state)
