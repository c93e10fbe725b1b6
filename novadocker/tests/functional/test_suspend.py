#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.
"""Suspended servers."""

import time

from novadocker.tests.fixtures import images
from novadocker.tests.functional import base
from novadocker.virt.docker import model

State = model.ContainerState

SUSPENDED = 7
PAUSED = 3

TICKER = images.Image(
    command=('sh', '-c', 'while echo tick; do sleep 0.1; done')
)


class SuspendTestCase(base.FunctionalTestCase):
    def state(self, server):
        found = self.api.get_server(server['id'])
        return found['status'], found['OS-EXT-STS:power_state']

    def ticks(self, server):
        return self.client.logs(self.info(server).id, 10000).count(b'tick')

    def test_suspend_and_resume(self):
        server = self.boot(TICKER)
        before = self.info(server)
        self.act(server, 'suspend', 'SUSPENDED')
        ticks = self.ticks(server)
        self.compute = self.restart_compute_service(
            self.compute, keep_hypervisor_state=False
        )
        self.periodic()
        time.sleep(1)
        self.assertEqual(('SUSPENDED', SUSPENDED), self.state(server))
        self.assertEqual(ticks, self.ticks(server))
        self.act(server, 'resume', 'ACTIVE')
        self.wait_for(lambda: self.ticks(server) > ticks, 'no ticks')
        self.assertEqual(before, self.info(server))
        self.act(server, 'pause', 'PAUSED')
        self.periodic()
        self.assertEqual(('PAUSED', PAUSED), self.state(server))
        self.act(server, 'unpause', 'ACTIVE')

    def test_memory_that_was_lost(self):
        """As by a restart of the host."""
        server = self.boot()
        self.act(server, 'suspend', 'SUSPENDED')
        self.client.kill(self.info(server).id)
        self.client.kill(self.sandbox(server).id)
        self.flags(resume_guests_state_on_host_boot=True)
        self.compute = self.restart_compute_service(
            self.compute, keep_hypervisor_state=False
        )
        self.periodic()
        self.wait_for_status(server, 'SUSPENDED')
        self.assertEqual(State.EXITED, self.info(server).state)
        self.act(server, 'resume', 'ACTIVE')
        self.assertEqual(State.RUNNING, self.info(server).state)
        self.assertIn('192.168.1.30', self.inside(server, 'ip address'))
        actions = {
            action['action']: action['message']
            for action in self.api.get_instance_actions(server['id'])
        }
        self.assertIn('memory is lost', actions['cold_start'])
        self.assertIsNone(actions['resume'])

    def test_suspended_server_is_rebooted_or_deleted(self):
        server = self.boot()
        self.act(server, 'suspend', 'SUSPENDED')
        self.act(server, 'reboot', 'ACTIVE', type='HARD')
        self.assertEqual(State.RUNNING, self.info(server).state)
        self.act(server, 'suspend', 'SUSPENDED')
        self.delete(server)
        self.assert_nothing_left(server)
