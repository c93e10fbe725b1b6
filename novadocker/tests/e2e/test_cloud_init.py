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

"""A distribution's system as a server, and its user at work in it."""

import base64
import json
import pathlib
import re
import shlex

import fixtures

from novadocker.tests.e2e import base
from novadocker.tests.e2e import debian

_CONFIG = b"""\
#cloud-config
write_files:
  - {path: /etc/colour, content: blue}
runcmd:
  - [sh, -c, 'echo "$(cat /etc/colour) is the colour"']
"""

_SCRIPT = b"""\
#!/bin/sh
echo green >/etc/colour
echo "$(cat /etc/colour) is the colour"
"""

_HOST_KEYS = re.compile(
    '-----BEGIN SSH HOST KEY KEYS-----(.*)-----END SSH HOST KEY KEYS-----',
    re.DOTALL,
)


class TestCloudInit(base.TestCase):
    def test_a_user_gets_in(self):
        image = self.upload(debian.Debian())
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        key = self.cloud.demo.compute.create_keypair(name=self.name)
        self.addCleanup(self.cloud.demo.compute.delete_keypair, key)
        self.key = self.folder / 'key'
        self.key.write_text(key.private_key)
        self.key.chmod(0o600)
        flavor = self.cloud.demo.compute.find_flavor('docker.small')

        def request(data, **more):
            return self.request(
                image,
                flavor_id=flavor.id,
                key_name=key.name,
                user_data=base64.b64encode(data).decode(),
                **more,
            )

        # They begin at the same time.
        served = request(_CONFIG)
        driven = request(_SCRIPT, name=f'{self.name}-d', config_drive=True)
        self.assert_made(served, 'DataSourceOpenStack', 'blue', debian.USER)
        self.assert_another_password(served)
        self.assert_made(driven, 'DataSourceConfigDrive', 'green', 'root')

    def assert_made(self, server, source, colour, user):
        """All was done that cloud-init is there for."""
        server = self.wait_for_status(server, 'ACTIVE')
        self.assert_running(server)
        self.assertEqual(self.name, server.key_name)
        address = self.give_address(server)
        self.wait_for(
            lambda: 'Server listening' in self.console(server), 'sshd'
        )
        console = self.console(server)
        self.assertIn(f'{colour} is the colour', console)
        # A server is known by the keys that only its owner can see.
        [keys] = _HOST_KEYS.findall(console)
        self.known(server).write_text(f'{address} {keys.strip()}\n')
        *said, result = self.ssh(
            server,
            'whoami; hostname; echo $(cat /etc/colour); cloud-init status;'
            'echo $(cat /run/cloud-init/result.json)',
            user=user,
        ).splitlines()
        self.assertEqual([user, server.name, colour, 'status: done'], said)
        told = json.loads(result)['v1']
        self.assertEqual([], told['errors'])
        self.assertIn(source, told['datasource'])

    def give_address(self, server):
        """Let a server be reached from the host, which is outside."""
        network = self.cloud.demo.network
        [port] = self.ports(server)
        public = network.find_network('public')
        floating = network.create_ip(
            floating_network_id=public.id, port_id=port.id
        )
        self.addCleanup(network.delete_ip, floating, ignore_missing=True)
        address = floating.floating_ip_address
        self.wait_for(
            lambda: address
            in {
                entry['addr']
                for entry in self.show(server).addresses[base.NETWORK]
            },
            'the floating address',
        )
        return address

    def known(self, server):
        """The file of a server's own keys."""
        return self.folder / server.id

    def ssh(self, server, command, *options, user, env=None):
        return base.run(
            *('openstack', 'server', 'ssh', '--public', server.id, '--'),
            *('-l', user, '-i', str(self.key), '-o', 'ConnectionAttempts=9'),
            *('-o', f'UserKnownHostsFile={self.known(server)}', *options),
            # A shell beside the command openstack comes first.
            shlex.quote(command),
            env=self.cloud.env | (env or {}),
        )

    def assert_another_password(self, server):
        """A password that is set lets root in."""
        base.run(
            *('openstack', 'server', 'set', '--password', 'new', server.id),
            env=self.cloud.env,
        )
        asked = self.folder / 'asked'
        asked.write_text('#!/bin/sh\necho new\n')
        asked.chmod(0o700)
        said = self.ssh(
            server,
            'whoami',
            '-o',
            'PreferredAuthentications=password',
            user='root',
            env={'SSH_ASKPASS': str(asked), 'SSH_ASKPASS_REQUIRE': 'force'},
        )
        self.assertEqual('root\n', said)
