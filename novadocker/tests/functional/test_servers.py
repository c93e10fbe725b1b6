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

"""The life of a server, by Nova's API."""

import pathlib

from oslo_utils import uuidutils

from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import ovs
from novadocker.tests.functional import base
from novadocker.virt.docker import disk
from novadocker.virt.docker import model
from novadocker.virt.docker import naming

State = model.ContainerState


class ServersTestCase(base.FunctionalTestCase):
    def test_boot_and_delete(self):
        server = self.boot()
        found, sandbox = self.info(server), self.sandbox(server)
        self.assertEqual(State.RUNNING, found.state)
        self.assertEqual(State.RUNNING, sandbox.state)
        self.assertEqual(f'container:{sandbox.id}', found.network)
        for info, role in (
            (found, naming.ROLE_INSTANCE),
            (sandbox, naming.ROLE_SANDBOX),
        ):
            wanted = naming.labels(server['id'], role, self.host)
            self.assertLessEqual(wanted.items(), info.labels.items())
        self.assertEqual(1, len(self.switch.ports()))
        self.assertEqual(
            {'VCPU': 1, 'MEMORY_MB': 64, 'DISK_GB': 1}, self.usages()
        )
        self.delete(server)
        self.assert_nothing_left(server)

    def test_quotas_of_a_flavor(self):
        wanted = {
            'quota:cpu_quota': '50000',
            'quota:cpu_shares': '10',
            'quota:disk_read_iops_sec': '1000',
            'quota:disk_write_bytes_sec': '1048576',
        }
        flavor = self._create_flavor(**base.FLAVOR, extra_spec=wanted)
        server = self.create(self.glance.add(images.SHELL), flavorRef=flavor)
        device = disk.limitable(self.client.info())
        if not device:
            # This engine keeps its containers in memory, or on several disks.
            self.assertIn('disk', self.wait_for_fault(server)['message'])
            return
        self.wait_for_status(server, 'ACTIVE')
        found = self.info(server).limits
        self.assertEqual((0.5, 10), (found.cpus, found.cpu_shares))
        self.assertEqual(
            model.DiskRates(
                device, read_requests=1000, write_bytes=1 << 20
            ),
            found.disk,
        )
        self.delete(server)
        self.assert_nothing_left(server)

    def test_network(self):
        server = self.boot()
        addresses = self.inside(server, 'ip address show dev eth0')
        for port in server['addresses']['private']:
            self.assertIn(f' {port["addr"]}/', addresses)
            self.assertIn(port['OS-EXT-IPS-MAC:mac_addr'], addresses)
        self.assertIn('mtu 1450', addresses)
        for family, gateway in (
            ('-4', '192.168.1.1'),
            ('-6', 'fd37:44e8:ad06::1'),
        ):
            self.assertIn(
                f'default via {gateway}',
                self.inside(server, f'ip {family} route'),
            )

    def test_server_without_a_network(self):
        server = self.boot(networks='none')
        self.assertEqual([], self.switch.ports())
        self.assertNotIn('eth0', self.inside(server, 'ip address'))
        self.delete(server)
        self.assert_nothing_left(server)

    def test_stop_and_start(self):
        server = self.boot(images.SERVICE)
        self.wait_for(lambda: 'up' in self.console(server), 'is not up')
        sandbox = self.sandbox(server)
        self.act(server, 'os-stop', 'SHUTOFF')
        found = self.info(server)
        self.assertEqual((State.EXITED, 0), (found.state, found.exit_code))
        self.assertIn('bye', self.console(server))
        self.act(server, 'os-start', 'ACTIVE')
        self.assertEqual(State.RUNNING, self.info(server).state)
        self.assertEqual(sandbox, self.sandbox(server))
        self.assertIn('eth0', self.inside(server, 'ip address'))

    def test_reboot(self):
        server = self.boot()
        for kind in ('SOFT', 'HARD'):
            before = self.info(server)
            self.act(server, 'reboot', 'ACTIVE', type=kind)
            after = self.info(server)
            self.assertEqual(State.RUNNING, after.state)
            self.assertEqual(before.id, after.id)
            self.assertNotEqual(before.started_at, after.started_at)

    def test_pause_and_unpause(self):
        server = self.boot()
        before = self.info(server)
        self.act(server, 'pause', 'PAUSED')
        self.assertEqual(State.PAUSED, self.info(server).state)
        self.act(server, 'unpause', 'ACTIVE')
        self.assertEqual(before, self.info(server))

    def test_delete_of_a_server_in_any_state(self):
        for action, status in (
            ('os-stop', 'SHUTOFF'),
            ('pause', 'PAUSED'),
        ):
            server = self.boot()
            self.act(server, action, status)
            self.delete(server)
            self.assert_nothing_left(server)

    def test_command_of_the_image_property(self):
        image = self.glance.add(
            images.SHELL, os_command_line='sh -c "echo $((6*7)); read x"'
        )
        server = self.wait_for_status(self.create(image), 'ACTIVE')
        self.wait_for(lambda: '42' in self.console(server), 'no output')

    def test_new_privileges_are_the_flavors(self):
        wanted = {'docker:allow_new_privileges': 'true'}
        flavor = self._create_flavor(**base.FLAVOR, extra_spec=wanted)
        for given, expected in ((self.flavor, '1'), (flavor, '0')):
            server = self.boot(images.SHELL, flavorRef=given)
            process = pathlib.Path('/proc', str(self.info(server).pid))
            self.assertIn(
                f'NoNewPrivs:\t{expected}\n',
                (process / 'status').read_text(),
            )

    def test_web_server(self):
        server = self.boot(images.HTTPD)
        answer = self.inside(
            server, 'busybox wget -q -O - http://192.168.1.30/'
        )
        self.assertEqual('It is busybox\n', answer)

    def test_two_servers_of_one_image(self):
        image = self.glance.add(images.SHELL)
        servers = [self.create(image) for _ in range(2)]
        for server in servers:
            self.wait_for_status(server, 'ACTIVE')
        self.assertEqual(4, len(self.containers()))
        self.assertEqual(2, len(self.switch.ports()))
        self.delete(servers[0])
        self.assertEqual(State.RUNNING, self.info(servers[1]).state)
        self.assertEqual(1, len(self.switch.ports()))
        self.delete(servers[1])
        self.assert_nothing_left(servers[1])

    def test_live_migration_is_refused(self):
        server = self.boot()
        self._start_compute('other-' + uuidutils.generate_uuid()[:8])
        before = self.info(server)
        self.api.post_server_action(
            server['id'],
            {'os-migrateLive': {'host': None, 'block_migration': 'auto'}},
        )
        self.wait_for(
            lambda: [
                migration
                for migration in self.api.api_get(
                    f'/os-migrations?instance_uuid={server["id"]}'
                ).body['migrations']
                if migration['status'] == 'error'
            ],
            'the migration does not fail',
        )
        self.wait_for_status(server, 'ACTIVE')
        self.assertEqual(before, self.info(server))


class EndTestCase(base.FunctionalTestCase):
    """Servers whose process ends."""

    def test_process_that_ends_at_once(self):
        server = self.create(self.glance.add(images.ENDS))
        self.wait_for_status(server, 'SHUTOFF')
        self.assertIn('hello', self.console(server))
        self.assertEqual(3, self.info(server).exit_code)
        self.delete(server)
        self.assert_nothing_left(server)

    def test_missing_command(self):
        server = self.create(self.glance.add(images.MISSING_COMMAND))
        fault = self.wait_for_fault(server)
        self.assertIn('/no/such/command', fault['message'])
        self.assertIn('os_command_line', fault['message'])
        self.delete(server)
        self.assert_nothing_left(server)

    def test_image_that_is_no_image(self):
        image_id = uuidutils.generate_uuid()
        self.glance.add_data(image_id, b'nothing' * 1000, {})
        server = self.create(image_id)
        fault = self.wait_for_fault(server)
        self.assertIn(image_id, fault['message'])
        self.delete(server)
        self.assert_nothing_left(server)

    def test_process_that_is_killed(self):
        server = self.boot()
        self.client.kill(self.info(server).id)
        self.wait_for_status(server, 'SHUTOFF')
        self.act(server, 'os-start', 'ACTIVE')

    def test_sandbox_that_is_killed(self):
        server = self.boot()
        self.client.kill(self.sandbox(server).id)
        self.act(server, 'reboot', 'ACTIVE', type='HARD')
        self.assertIn('192.168.1.30', self.inside(server, 'ip address'))

    def test_containers_that_are_removed(self):
        server = self.boot()
        for row in self.containers():
            self.client.remove(row.id)
        self.delete(server)
        self.assert_nothing_left(server)
        self.assertNotIn(server['id'], ovs.run('ip', 'netns'))
