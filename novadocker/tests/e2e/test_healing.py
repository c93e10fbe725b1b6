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

"""What a user is told when something is broken, and what is left behind."""

import threading
import time

import openstack

from novadocker.tests.e2e import base
from novadocker.tests.e2e import cloud
from novadocker.virt.docker import naming

# Seconds that a server may not be what Nova and Neutron say, after the cause
# is over. The network agent takes some of them.
SOON = 10


class TestHealing(base.TestCase):
    """What is wrong is made good, and nobody has to do anything for it."""

    def setUp(self):
        super().setUp()
        self.image = self.upload(base.WEB)
        self.server = self.boot(self.image)
        self.assert_running(self.server)

    def is_whole(self):
        try:
            self.assert_plugged(self.server)
            self.assert_answers(self.server)
        except (AssertionError, ValueError, OSError) as exc:
            self.last = exc
            return False
        return True

    def assert_whole_soon(self, what):
        """The server is what it was, within seconds and on its own."""
        began = time.monotonic()
        self.wait_for(self.is_whole, f'healing of {what}', seconds=2 * SOON)
        took = time.monotonic() - began
        self.addDetail(what, base.text(f'{took:.1f} s'))
        # A look takes some seconds itself.
        self.assertLess(took, SOON + 3, what)

    def device(self):
        [entry] = self.interfaces(self.server)
        return entry['name']

    def test_accidents_of_the_host(self):
        process = self.containers(self.server)['instance']['State']['Pid']
        cloud.run('ip', 'link', 'delete', self.device())
        self.assert_whole_soon('a deleted device')

        box = naming.sandbox_name(self.server.id)
        self.host.docker('kill', box)
        self.assert_whole_soon('a killed sandbox')

        link = f'/run/netns/{naming.instance_name(self.server.id)}'
        cloud.run('ln', '-sfn', '/proc/0/ns/net', link)
        self.assert_whole_soon('a stale link')

        self.cloud.service('restart', 'openvswitch')
        self.assert_whole_soon('a restart of the switch')

        before = self.heartbeat()
        self.cloud.service('restart', 'neutron-openvswitch')
        self.wait_for(lambda: self.heartbeat() != before, 'the agent')
        self.assert_whole_soon('a restart of the network agent')

        # The server itself has noticed nothing of all this.
        found = self.containers(self.server)['instance']['State']
        self.assertEqual((process, True), (found['Pid'], found['Running']))
        self.host.docker('rm', '--force', box)
        self.cloud.demo.compute.reboot_server(self.server, 'HARD')
        self.wait_for_status(self.server, 'ACTIVE')
        self.assert_running(self.server)

    def test_nova_compute_is_killed_at_work(self):
        compute = self.cloud.demo.compute
        started = self.start_of(self.server)
        compute.reboot_server(self.server, 'HARD')
        self.wait_for(lambda: self.is_off() or self.is_new(started), 'reboot')
        self.kill_compute()
        self.wait_for_compute()
        self.wait_for_status(self.server, 'ACTIVE')
        self.assert_running(self.server)

        # While it plugs: Nova and Neutron know the port by then.
        self.begin(
            compute.create_server_interface,
            self.server,
            net_id=self.cloud.network.id,
        )
        self.wait_for(lambda: len(self.interfaces(self.server)) == 2, 'a port')
        self.kill_compute()
        self.wait_for_compute()
        self.assert_whole_soon('an attachment')
        self.assertEqual(2, len(self.ports(self.server)))

    def is_off(self):
        container = self.containers(self.server)['instance']
        return not container['State']['Running']

    def is_new(self, started):
        return self.start_of(self.server) != started

    def begin(self, request, *args, **kwargs):
        """Ask for what nobody will answer."""
        threading.Thread(
            target=self._ask_thread,
            args=(request, *args),
            kwargs=kwargs,
            daemon=True,
        ).start()

    def _ask_thread(self, request, *args, **kwargs):
        try:
            request(*args, **kwargs)
        except openstack.exceptions.SDKException as exc:
            self.addDetail('an answer', base.text(str(exc)))

    def test_neutron_is_away_while_a_server_is_deleted(self):
        compute = self.cloud.demo.compute
        device = self.device()
        with self.without('neutron'):
            compute.delete_server(self.server)
            self.wait_for(lambda: not self.containers(self.server), 'the end')
            self.assertEqual([], self.interfaces(self.server))
            self.assertNotIn(device, cloud.run('ip', '-o', 'link'))
            self.wait_for(self.nova_gives_up, "Nova's patience", seconds=120)
        # What Nova says of it is that it can be deleted, and it can.
        self.delete(self.server)

    def nova_gives_up(self):
        # Without details, for which Nova would ask Neutron.
        failed = self.cloud.admin.compute.servers(
            details=False, all_projects=True, status='ERROR'
        )
        return self.server.id in {server.id for server in failed}
