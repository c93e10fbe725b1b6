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
"""What a user sees of a server, and of its end."""

import time

from nova import utils as nova_utils

from novadocker.tests.fixtures import images
from novadocker.tests.functional import base
from novadocker.virt.docker import model

State = model.ContainerState

GREEDY = images.Image(
    command=(
        'sh',
        '-c',
        'echo greedy; sleep 1; while :; do x=$x$x$x"........"; done',
    )
)

# Uses its processor, its disk and its memory.
BUSY = images.Image(
    command=(
        'sh',
        '-c',
        'dd if=/dev/zero of=/file bs=1M count=8 conv=fsync; echo done;'
        'while :; do :; done',
    )
)


class EndTestCase(base.FunctionalTestCase):
    def told(self, server):
        return [
            action['message']
            for action in self.api.get_instance_actions(server['id'])
            if action['action'] == 'process_ended'
        ]

    def end(self, server):
        before = time.monotonic()
        self.wait_for_status(server, 'SHUTOFF')
        return time.monotonic() - before

    def test_process_that_is_killed(self):
        server = self.boot(images.CHATTY)
        self.wait_for(
            lambda: 'line 10000' in self.console(server), 'no output'
        )
        self.client.kill(self.info(server).id)
        # Nova is told at once; a second word comes after two seconds only.
        self.assertLess(self.end(server), 2)
        [told] = self.told(server)
        self.assertIn('exit code 137; last output: ', told)
        self.assertTrue(told.endswith('line 9999 line 10000'), told)
        self.assertIn('exit code 137', self.console(server))
        # What Nova does is no news.
        self.act(server, 'os-start', 'ACTIVE')
        self.act(server, 'reboot', 'ACTIVE', type='HARD')
        self.act(server, 'os-stop', 'SHUTOFF')
        self.assertEqual([told], self.told(server))

    def test_out_of_memory(self):
        server = self.boot(GREEDY)
        self.end(server)
        [told] = self.told(server)
        self.assertIn('exit code 137, out of memory; last output:', told)

    def test_process_that_ends_at_once_and_well(self):
        server = self.create(
            self.glance.add(images.SHELL, os_command_line='echo all done')
        )
        self.wait_for_status(server, 'SHUTOFF')
        self.assertEqual(
            ['exit code 0; last output: all done'], self.told(server)
        )

    def test_job(self):
        flavor = self._create_flavor(
            **base.FLAVOR, extra_spec={'docker:lifecycle': 'job'}
        )
        server = self.boot(flavorRef=flavor)
        self.flags(resume_guests_state_on_host_boot=True)
        self.compute.stop()
        self.client.kill(self.info(server).id)
        self.compute = self.restart_compute_service(
            self.compute, keep_hypervisor_state=False
        )
        self.periodic()
        self.end(server)
        self.assertEqual(State.EXITED, self.info(server).state)
        self.act(server, 'os-start', 'ACTIVE')

    def test_lifecycle_that_does_not_exist(self):
        # Before microversion 2.86 Nova's API takes anything.
        with nova_utils.temporary_mutation(
            self.admin_api, microversion='2.85'
        ):
            flavor = self._create_flavor(
                **base.FLAVOR, extra_spec={'docker:lifecycle': 'jop'}
            )
        server = self.create(self.glance.add(images.SHELL), flavorRef=flavor)
        self.assertIn('jop', self.wait_for_fault(server)['message'])


class CrashDumpTestCase(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        self.flavor = self._create_flavor(
            **base.FLAVOR, extra_spec={'docker:crash_dump_signal': 'SIGQUIT'}
        )

    def test_process_that_hears(self):
        image = images.Image(
            command=(
                'sh',
                '-c',
                'trap "echo all threads" QUIT; echo up;'
                'while :; do sleep 0.1; done',
            )
        )
        server = self.boot(image)
        self.wait_for(lambda: 'up' in self.console(server), 'is not up')
        self.act(server, 'trigger_crash_dump')
        self.wait_for(lambda: 'all threads' in self.console(server), 'no dump')
        self.assertEqual(State.RUNNING, self.info(server).state)

    def test_process_that_does_not(self):
        server = self.boot(
            images.Image(command=('sleep', '86400')), networks='none'
        )
        self.act(server, 'trigger_crash_dump')
        self.wait_for(lambda: self.failed(server), 'no error')
        self.wait_for_status(server, 'ACTIVE')

    def failed(self, server):
        return [
            action
            for action in self.api.get_instance_actions(server['id'])
            if action['action'] == 'trigger_crash_dump'
            and action['message'] == 'Error'
        ]


class DiagnosticsTestCase(base.FunctionalTestCase):
    def test_diagnostics(self):
        server = self.boot(BUSY)
        self.wait_for(lambda: 'done' in self.console(server), 'not done')
        self.inside(server, 'ip link set dev eth0 arp off')
        time.sleep(1)
        before = time.monotonic()
        found = self.diagnostics(server)
        self.assertLess(time.monotonic() - before, 0.5)
        self.assertEqual('running', found['state'])
        self.assertEqual('docker', found['hypervisor'])
        self.assertGreaterEqual(found['uptime'], 1)
        [cpu] = found['cpu_details']
        self.assertGreater(cpu['time'], 10**8)
        self.assertGreater(cpu['utilisation'], 1)
        memory = found['memory_details']
        self.assertEqual(64, memory['maximum'])
        self.assertLess(memory['used'], 16)
        [nic] = found['nic_details']
        self.assertEqual(
            server['addresses']['private'][0]['OS-EXT-IPS-MAC:mac_addr'],
            nic['mac_address'],
        )
        self.assertGreater(nic['tx_octets'], 0)
        [disk] = found['disk_details']
        self.assertGreaterEqual(disk['write_bytes'], 0)
        self.api.microversion = '2.47'
        plain = self.diagnostics(server)
        self.assertEqual(nic['rx_octets'], plain['eth0_rx_octets'])
        self.assertEqual(1, plain['pids'])
        self.assertEqual((0, 0), (plain['oom_kills'], plain['exit_code']))

    def diagnostics(self, server):
        return self.api.api_get(f'/servers/{server["id"]}/diagnostics').body

    def test_diagnostics_of_what_does_not_run(self):
        server = self.boot()
        self.act(server, 'os-stop', 'SHUTOFF')
        answer = self.api.api_request(f'/servers/{server["id"]}/diagnostics')
        self.assertEqual(409, answer.status_code)
