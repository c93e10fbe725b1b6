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
"""What a request puts into a server."""

import base64
import json

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives import serialization
from passlib import hash as crypt

from novadocker.tests.fixtures import images
from novadocker.tests.functional import base
from novadocker.virt.docker import naming

KEY = (
    ed25519.Ed25519PrivateKey.generate()
    .public_key()
    .public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    .decode()
    + ' me'
)

# An operating system in which somebody may log in. Links lead out of it, for
# whoever would follow them on the host.
SYSTEM = images.Image(
    command=('sh',),
    files=(
        (
            'etc/passwd',
            b'root:x:0:0::/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n',
        ),
        ('etc/shadow.real', b'root:*:1:0:9:7:::\nann:!:1:0:9:7:::\n'),
        ('etc/shadow', '/etc/shadow.real'),
        ('home/ann/', b''),
        ('home/ann/.ssh', '/../../../../../../tmp/novadocker-escaped'),
    ),
)

DRIVE = '/var/lib/cloud/seed/config_drive'


class GuestsTestCase(base.FunctionalTestCase):
    def read(self, server, path):
        return self.client.read_file(naming.instance_name(server['id']), path)

    def password(self, server, user):
        shadow = self.read(server, '/etc/shadow').content.decode()
        return dict(line.split(':')[:2] for line in shadow.splitlines())[user]

    def shell(self, server, command):
        """What a command in a running server prints."""
        _, terminal = self.client.shell(
            naming.instance_name(server['id']), ('sh', '-c', command)
        )
        output = b''
        with terminal:
            while received := terminal.receive():
                output += received
        return output.decode()

    def files(self, **files):
        return [
            {
                'path': path.replace('_', '/'),
                'contents': base64.b64encode(content).decode(),
            }
            for path, content in files.items()
        ]

    def test_everything_at_once(self):
        self.api.microversion = '2.56'
        self.api.api_post(
            '/os-keypairs', {'keypair': {'name': 'k', 'public_key': KEY}}
        )
        image = self.glance.add(SYSTEM, os_admin_user='ann')
        server = self.create(
            image,
            key_name='k',
            adminPass='secret',
            personality=self.files(_etc_motd=b'hello', _new_file=b'two'),
            metadata={'env.COLOUR': 'blue and $green', 'env': 'no'},
            user_data=base64.b64encode(b'#!/bin/sh\n').decode(),
            config_drive=True,
            networks=[{'uuid': self.neutron.network_1['id']}],
        )
        self.wait_for_status(server, 'ACTIVE')
        self.assert_inside(server, b'hello', 'secret', 'blue and $green')
        drive = self.drive(server)
        self.assertEqual('secret', drive['admin_pass'])
        self.assertEqual({'k': KEY}, drive['public_keys'])
        self.assertEqual(
            '#!/bin/sh\n', self.seen(server, 'openstack/latest/user_data')
        )
        network = json.loads(
            self.seen(server, 'openstack/latest/network_data.json')
        )
        [link] = network['links']
        [port] = self.api.get_server(server['id'])['addresses']['private'][:1]
        self.assertEqual(
            port['OS-EXT-IPS-MAC:mac_addr'], link['ethernet_mac_address']
        )
        self.assertIn(
            'Read-only', self.shell(server, f'touch {DRIVE}/x; rm -rf {DRIVE}')
        )
        self.act(server, 'reboot', 'ACTIVE', type='HARD')
        self.assert_inside(server, b'hello', 'secret', 'blue and $green')
        self.api.api_post(
            f'/servers/{server["id"]}/metadata',
            {'metadata': {'env.COLOUR': 'red'}},
        )
        self.act(
            server,
            'rebuild',
            'ACTIVE',
            imageRef=image,
            adminPass='other',
            personality=self.files(_etc_motd=b'bye'),
        )
        self.assert_inside(server, b'bye', 'other', 'red')
        self.assertEqual('other', self.drive(server)['admin_pass'])
        self.assertIsNone(self.read(server, '/new/file'))
        self.api.post_server_action(
            server['id'], {'changePassword': {'adminPass': 'later'}}
        )
        self.wait_for(
            lambda: self.verify(server, 'ann', 'later'), 'no password'
        )
        self.delete(server)
        self.assert_nothing_left(server)

    def verify(self, server, user, password):
        return crypt.sha512_crypt.verify(password, self.password(server, user))

    def assert_inside(self, server, motd, password, colour):
        self.assertEqual(motd, self.read(server, '/etc/motd').content)
        found = self.read(server, '/home/ann/.ssh/authorized_keys')
        self.assertEqual(f'{KEY}\n'.encode(), found.content)
        self.assertEqual(
            (0o600, 1000, 100), (found.mode, found.uid, found.gid)
        )
        self.assertTrue(self.verify(server, 'ann', password))
        self.assertEqual('*', self.password(server, 'root'))
        self.assertEqual(
            f'{colour}--OpenStack Nova\r\n',
            self.shell(server, 'echo "$COLOUR-$env-$product_name"'),
        )

    def seen(self, server, path):
        """A file of the config drive, as the server sees it."""
        output = self.shell(server, f'cat {DRIVE}/{path}')
        return output.replace('\r\n', '\n')

    def drive(self, server):
        return json.loads(self.seen(server, 'openstack/latest/meta_data.json'))

    def test_image_of_one_program(self):
        server = self.boot(images.Image(command=('sh',)), adminPass='secret')
        self.assertIn('passwd', self.shell(server, 'ls /etc'))
        self.api.post_server_action(
            server['id'],
            {'changePassword': {'adminPass': 'x'}},
            check_response_status=[409],
        )
        self.wait_for_status(server, 'ACTIVE')
        self.assertNotIn('escaped', str(list(self.instances.iterdir())))

    def test_requests_that_cannot_be_met(self):
        for request, properties, word in (
            ({'metadata': {'env.A-B': 'x'}}, {}, 'environment variable'),
            ({}, {'os_admin_user': 'bob'}, 'bob'),
        ):
            self.api.api_post(
                '/os-keypairs',
                {
                    'keypair': {
                        'name': word[:3],
                        'public_key': KEY,
                        'type': 'ssh',
                    }
                },
            )
            server = self.create(
                self.glance.add(SYSTEM, **properties),
                key_name=word[:3],
                **request,
            )
            fault = self.wait_for_fault(server)
            self.assertIn(word, fault['message'])
            self.delete(server)
            self.assert_nothing_left(server)
