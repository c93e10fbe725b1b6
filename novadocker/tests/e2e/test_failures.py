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

import os
import uuid

from novadocker.tests.e2e import base
from novadocker.tests.fixtures import images
from novadocker.virt.docker import naming


class TestFailures(base.TestCase):
    def fault(self, server, seconds=120):
        """The fault of a server that fails to boot."""
        found = self.wait_for_status(server, 'ERROR', seconds)
        # What the cleanups will look at again, after the deletion.
        self.assertEqual({}, self.containers(server))
        self.assertEqual([], self.interfaces(server))
        self.assert_no_stray_port()
        message = found.fault['message']
        self.addDetail('fault', base.text(message))
        return message

    def test_the_command_does_not_exist(self):
        server = self.request(self.upload(images.MISSING_COMMAND))
        self.assertIn('/no/such/command', self.fault(server))

    def test_the_image_has_no_command(self):
        server = self.request(self.upload(images.NO_COMMAND))
        self.assertIn('os_command_line', self.fault(server))

    def test_the_data_in_glance_are_broken(self):
        # Its layer is no other image's, so that the engine has to read it.
        image = self.upload(
            images.Image(
                command=('sh',),
                files=(('only/here', self.name.encode() * 10000),),
            )
        )
        path = self.host.state / 'glance' / 'images' / image.id
        data = path.read_bytes()
        at = data.index(self.name.encode())
        path.write_bytes(data[:at] + b'E' + data[at + 1 :])
        server = self.request(image)
        message = self.fault(server)
        self.assertIn('damaged', message)
        self.assertIn(image.id, message)

    def test_the_image_is_not_signed(self):
        """And the user wants it signed with a certificate."""
        compute = self.cloud.demo.compute
        image = self.upload(images.SHELL)
        made = compute.post(
            '/servers',
            json={
                'server': {
                    'name': self.name,
                    'imageRef': image.id,
                    'flavorRef': compute.find_flavor(base.FLAVOR).id,
                    'networks': [{'uuid': self.cloud.network.id}],
                    'trusted_image_certificates': [str(uuid.uuid4())],
                }
            },
            microversion='2.63',
        ).json()
        server = compute.get_server(made['server']['id'])
        self.addCleanup(self.delete, server)
        self.assertIn('signature', self.fault(server))
        self.assert_running(self.boot(image))

    def test_the_engine_is_down(self):
        image = self.upload(base.WEB)
        running = self.boot(image)
        with self.without('docker'):
            server = self.request(image)
            failed = self.wait_for_status(server, 'ERROR')
        # Nova has looked for another host, and tells that there is none.
        self.assertIn('hosts', failed.fault['message'])
        self.assertEqual({}, self.containers(server))
        # The servers that were there have not noticed.
        self.wait_for_status(running, 'ACTIVE')
        self.assert_running(running)
        self.assert_answers(running)
        self.wait_for_compute()
        another = self.boot(image)
        self.assert_running(another)

    def test_the_network_agent_is_down(self):
        with self.without('neutron-openvswitch'):
            server = self.request(self.upload(images.SHELL))
            message = self.fault(server, seconds=180)
        self.assertIn('etwork', message)

    def test_nova_compute_is_killed_in_a_boot(self):
        image = self.upload(images.SHELL)
        with self.without('neutron-openvswitch'):
            # The boot waits for the agent's word for as long.
            server = self.request(image)
            self.wait_for(lambda: self.interfaces(server), 'the plugging')
            self.kill_compute()
        # Supervisor starts it again.
        self.wait_for_compute()
        self.wait_for_status(server, 'ERROR')
        self.delete(server)
        self.assertFalse(
            os.path.lexists(f'/run/netns/{naming.instance_name(server.id)}')
        )
        self.assert_running(self.boot(image))
