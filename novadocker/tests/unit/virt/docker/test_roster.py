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

from nova.compute import power_state
from nova import exception as nova_exception
from oslotest import base

from novadocker.tests.fixtures import fake_host
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import guest
from novadocker.virt.docker import model
from novadocker.virt.docker import roster


class RosterTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.host = self.useFixture(fake_host.FakeHost())
        self.roster = roster.Roster(
            self.host.observed, self.host.rooms.suspensions
        )

    def state(self):
        return self.roster.get_info(self.host.instance).state

    def test_lists(self):
        self.host.spawn()

        self.assertEqual([self.host.server], self.roster.names())
        self.assertEqual([self.host.uuid], self.roster.uuids())
        self.assertTrue(self.roster.exists(self.host.instance))
        self.assertFalse(self.roster.exists(instances.an_instance()))

    def test_server_that_is_not_there(self):
        self.assertRaises(nova_exception.InstanceNotFound, self.state)

    def test_suspended_server_is_not_merely_paused(self):
        self.host.spawn()
        self.host.lifecycle.pause(self.host.instance)
        self.assertEqual(power_state.PAUSED, self.state())

        self.host.rooms.suspensions.add(self.host.uuid)
        self.assertEqual(power_state.SUSPENDED, self.state())

    def test_requests_do_not_grow_with_the_servers(self):
        def ask_all(number):
            servers = [instances.an_instance() for _ in range(number)]
            for server in servers:
                self.host.lifecycle.spawn(
                    None, server, guest.Order(None), []
                )
            before = self.host.engine.requests.total()
            self.roster.uuids()
            self.roster.names()
            for server in servers:
                self.roster.get_info(server)
            return self.host.engine.requests.total() - before

        self.assertEqual(ask_all(1), ask_all(20))

    def test_every_state_of_the_engine_has_one_of_nova(self):
        self.assertEqual(set(model.ContainerState), set(roster._POWER_STATES))
