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
"""Getting into a server, and seeing what it does."""

import base64
import contextlib
import json

import websocket

from novadocker.tests.e2e import base
from novadocker.tests.fixtures import images

# A system in which somebody may log in.
SYSTEM = images.Image(
    command=('sh',),
    files=(
        (
            'etc/passwd',
            b'root:x:0:0::/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n',
        ),
        ('etc/shadow', b'root:*:1:0:9:7:::\nann:!:1:0:9:7:::\n'),
        ('home/ann/', b''),
    ),
)

DRIVE = '/var/lib/cloud/seed/config_drive/openstack/latest'

# The first that have what is asked for, or the last.
FILES = '2.56'
PLAIN = '2.47'


class TestGuests(base.TestCase):
    def act(self, server, action, **arguments):
        return self.cloud.demo.compute.post(
            f'/servers/{server.id}/action',
            json={action: arguments or None},
            microversion='2.60',
        )

    def served(self, image):
        """A server with all that can be sent along."""
        key = self.cloud.demo.compute.create_keypair(name=self.name)
        self.addCleanup(self.cloud.demo.compute.delete_keypair, key)
        file = {'path': '/etc/motd', 'contents': 'aGVsbG8='}
        answer = self.cloud.demo.compute.post(
            '/servers',
            json={
                'server': {
                    'name': self.name,
                    'imageRef': image.id,
                    'flavorRef': self.cloud.demo.compute.find_flavor(
                        base.FLAVOR
                    ).id,
                    'networks': [{'uuid': self.cloud.network.id}],
                    'security_groups': [{'name': self.group.id}],
                    'key_name': key.name,
                    'adminPass': 'secret',
                    'personality': [file],
                    'metadata': {'env.COLOUR': 'blue'},
                    'config_drive': True,
                    'user_data': base64.b64encode(b'#!/bin/sh\n').decode(),
                }
            },
            microversion=FILES,
        ).json()
        found = self.cloud.demo.compute.get_server(answer['server']['id'])
        self.addCleanup(self.delete, found)
        self.public_key = key.public_key
        return self.wait_for_status(found, 'ACTIVE')

    def test_what_is_sent_along_and_what_is_seen(self):
        server = self.served(self.upload(SYSTEM, os_admin_user='ann'))
        self.assert_running(server)
        for path, expected in (
            ('/etc/motd', 'hello'),
            (
                '/home/ann/.ssh/authorized_keys',
                f'{self.public_key.strip()}\n',
            ),
            (f'{DRIVE}/user_data', '#!/bin/sh\n'),
        ):
            self.assertEqual(expected, self.inside(server, 'cat', path))
        told = json.loads(
            self.inside(server, 'cat', f'{DRIVE}/meta_data.json')
        )
        self.assertEqual(
            (server.id, 'secret'), (told['uuid'], told['admin_pass'])
        )
        self.assertEqual(
            'blue\n', self.inside(server, 'sh', '-c', 'echo $COLOUR')
        )
        before = self.password(server)
        self.assertTrue(before.startswith('$6$'), before)
        self.act(server, 'changePassword', adminPass='another')
        self.wait_for(lambda: self.password(server) != before, 'password')
        self.see(server)
        self.freeze(server)

    def password(self, server):
        lines = self.inside(server, 'grep', '^ann:', '/etc/shadow')
        return lines.split(':')[1]

    def see(self, server):
        with self.console_of(server) as one, self.console_of(server) as two:
            for viewer in (one, two):
                self.say(viewer, 'echo $((6*7))', b'\r\n42\r\n')
            self.say(one, 'echo $COLOUR', b'\r\nblue\r\n')
            self.read(two, b'\r\nblue\r\n')
        self.assertIn('42', self.console(server))
        found = self.diagnostics(server, '2.48')
        self.assertEqual('docker', found['hypervisor'])
        self.assertGreater(found['memory_details']['used'], 0)
        self.assertEqual(
            [port.mac_address for port in self.ports(server)],
            [nic['mac_address'] for nic in found['nic_details']],
        )
        self.assertEqual(1, self.diagnostics(server, PLAIN)['pids'])

    def diagnostics(self, server, microversion):
        return self.cloud.admin.compute.get(
            f'/servers/{server.id}/diagnostics', microversion=microversion
        ).json()

    @contextlib.contextmanager
    def console_of(self, server):
        """As a browser, through Nova's proxy."""
        found = self.cloud.demo.compute.create_console(server, 'serial')
        viewer = websocket.create_connection(
            found['url'], timeout=30, subprotocols=['binary']
        )
        try:
            yield viewer
        finally:
            viewer.close()

    def say(self, viewer, command, expected):
        viewer.send_binary(command.encode() + b'\n')
        self.read(viewer, expected)

    def read(self, viewer, expected):
        output = b''
        while expected not in output:
            output += viewer.recv()

    def freeze(self, server):
        """Suspend a server over a restart of nova-compute, and resume it."""
        before = self.start_of(server)
        self.act(server, 'suspend')
        self.wait_for_status(server, 'SUSPENDED')
        self.cloud.service('restart', 'nova-compute')
        self.wait_for_compute()
        self.wait_for_status(server, 'SUSPENDED')
        container = self.containers(server)['instance']
        self.assertTrue(container['State']['Paused'])
        self.act(server, 'resume')
        self.wait_for_status(server, 'ACTIVE')
        self.assertEqual(before, self.start_of(server))
        self.assert_running(server)
        self.host.docker('kill', container['Id'])
        self.wait_for_status(server, 'SHUTOFF', 5)
        [told] = [
            action['message']
            for action in self.cloud.demo.compute.get(
                f'/servers/{server.id}/os-instance-actions'
            ).json()['instanceActions']
            if action['action'] == 'process_ended'
        ]
        self.assertIn('exit code 137; last output:', told)
