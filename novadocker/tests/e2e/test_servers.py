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

"""The life of a server, as a user and an operator see it."""

import dataclasses
import json
import re

import fixtures

from novadocker.tests.e2e import base
from novadocker.tests.fixtures import images

PAGE = 'It is busybox\n'


class TestServers(base.TestCase):
    def serve(self):
        """A web server."""
        self.image = self.upload(base.WEB)
        return self.boot(self.image)

    def assert_serves(self, server, page=PAGE):
        url = f'http://{self.address(server)}/'
        self.assertEqual(page, self.beside('curl', '-sS', '-m', '10', url))

    def test_the_command_boots_by_name_and_deletes(self):
        archive = self.useFixture(fixtures.TempDir()).join('image')
        with open(archive, 'wb') as output:
            output.write(base.WEB.archive())
        command = self.cloud.openstack
        # fmt: off
        image = command(
            'image', 'create', self.name, '--file', archive,
            '--container-format', 'docker', '--disk-format', 'raw',
        )
        self.addCleanup(self.cloud.demo.image.delete_image, image['id'])
        server = command(
            'server', 'create', self.name, '--image', self.name,
            '--flavor', base.FLAVOR, '--network', base.NETWORK,
            '--security-group', self.group.id, '--wait',
        )
        # fmt: on
        server = self.cloud.demo.compute.get_server(server['id'])
        self.addCleanup(self.delete, server)
        self.assertEqual('ACTIVE', server.status)
        self.assert_running(server)
        self.assert_answers(server)
        self.assert_serves(server)
        base.run(
            'openstack',
            'server',
            'delete',
            '--wait',
            self.name,
            env=self.cloud.env,
        )
        self.assert_nothing_left(server)

    def test_a_server_boots_by_id_with_a_command_of_its_own(self):
        image = self.upload(
            images.SHELL, os_command_line='sh -c "echo mine; sleep 86400"'
        )
        server = self.boot(image)
        self.assert_running(server)
        self.assertEqual(f'{self.name}\n', self.inside(server, 'hostname'))
        self.assertIn('mine', self.console(server))

    def test_an_image_whose_command_is_a_shell_stays_up(self):
        server = self.boot(self.upload(images.SHELL))
        self.assert_running(server)

    def test_stop_and_start(self):
        server = self.serve()
        compute = self.cloud.demo.compute
        compute.stop_server(server)
        self.wait_for_status(server, 'SHUTOFF')
        self.assertFalse(
            self.containers(server)['instance']['State']['Running']
        )
        compute.start_server(server)
        self.wait_for_status(server, 'ACTIVE')
        self.assert_running(server)
        self.assert_serves(server)

    def test_soft_reboot_keeps_the_network(self):
        server = self.serve()
        before = self.start_of(server), self.start_of(server, 'sandbox')
        self.cloud.demo.compute.reboot_server(server, 'SOFT')
        self.wait_for(lambda: self.start_of(server) != before[0], 'reboot')
        self.wait_for_status(server, 'ACTIVE')
        self.assertEqual(before[1], self.start_of(server, 'sandbox'))
        self.assert_running(server)
        self.assert_serves(server)

    def test_hard_reboot_makes_the_network_anew(self):
        server = self.serve()
        self.inside(server, 'touch', '/kept')
        before = self.start_of(server)
        self.cloud.demo.compute.reboot_server(server, 'HARD')
        self.wait_for_status(server, 'ACTIVE')
        self.assertNotEqual(before, self.start_of(server))
        self.assert_running(server)
        self.assert_serves(server)
        self.inside(server, 'test', '-e', '/kept')

    def test_pause_and_unpause(self):
        server = self.serve()
        compute = self.cloud.demo.compute
        compute.pause_server(server)
        self.wait_for_status(server, 'PAUSED')
        self.assertTrue(self.containers(server)['instance']['State']['Paused'])
        compute.unpause_server(server)
        self.wait_for_status(server, 'ACTIVE')
        self.assert_running(server)
        self.assert_serves(server)

    def test_the_command_shows_the_console_log(self):
        server = self.serve()
        self.assert_serves(server)
        log = base.run(
            'openstack',
            'console',
            'log',
            'show',
            server.id,
            env=self.cloud.env,
        )
        self.assertIn('response:200', log)

    def test_a_server_boots_from_a_snapshot(self):
        server = self.serve()
        self.inside(server, 'sh', '-c', 'echo changed > /www/index.html')
        made = self.cloud.demo.compute.create_server_image(
            server, f'{self.name}-snapshot', wait=True, timeout=120
        )
        self.addCleanup(self.cloud.demo.image.delete_image, made.id)
        self.wait_for_status(server, 'ACTIVE')
        self.assert_running(server)
        self.delete(server)
        another = self.boot(made)
        self.assert_running(another)
        url = f'http://{self.address(another)}/'
        self.assertEqual(
            'changed\n', self.beside('curl', '-sS', '-m', '10', url)
        )

    def test_rebuild_from_another_image_keeps_the_ports(self):
        server = self.serve()
        self.assert_running(server)
        self.inside(server, 'touch', '/gone')
        containers = self.containers(server)
        nics = self.nics(server)
        another = self.upload(
            dataclasses.replace(
                base.WEB, files=(('www/index.html', b'another\n'),)
            )
        )
        self.cloud.openstack(
            'server', 'rebuild', server.id, '--image', another.id
        )
        server = self.wait_for_status(server, 'ACTIVE')
        self.assertEqual(another.id, server.image.id)
        self.assert_running(server)
        found = self.containers(server)
        self.assertEqual(
            containers['sandbox']['State']['Pid'],
            found['sandbox']['State']['Pid'],
        )
        self.assertNotEqual(
            containers['instance']['Image'], found['instance']['Image']
        )
        self.assertEqual(nics, self.nics(server))
        self.inside(server, 'test', '!', '-e', '/gone')
        self.assert_serves(server, 'another\n')

    def test_a_process_tells_what_it_does(self):
        compute = self.cloud.admin.compute
        flavor = compute.create_flavor(
            name=self.name, ram=64, vcpus=1, disk=1
        )
        self.addCleanup(compute.delete_flavor, flavor)
        compute.create_flavor_extra_specs(
            flavor, {'docker:crash_dump_signal': 'SIGQUIT'}
        )
        script = 'trap "echo asked" QUIT; echo up; while :; do sleep 1; done'
        image = self.upload(images.Image(command=('sh', '-c', script)))
        server = self.boot(image, flavor_id=flavor.id)
        self.wait_for(lambda: 'up' in self.console(server), 'the process')
        base.run(
            *('openstack', '--os-compute-api-version', '2.17'),
            *('server', 'dump', 'create', server.id),
            env=self.cloud.env,
        )
        self.wait_for(lambda: 'asked' in self.console(server), 'the dump', 10)
        self.assert_running(server)

    def test_a_process_that_ends_shuts_the_server_off(self):
        server = self.request(self.upload(images.ENDS))
        self.wait_for_status(server, 'SHUTOFF')
        self.assertIn('hello', self.console(server))
        instance = self.containers(server)['instance']
        self.assertEqual(3, instance['State']['ExitCode'])

    def test_the_hypervisor_is_one_of_containers(self):
        found = next(self.cloud.admin.compute.hypervisors(details=True))
        self.assertEqual('docker', found.hypervisor_type)
        engine = json.loads(
            self.host.docker('version', '--format', '{{json .Server}}')
        )
        numbers = [
            int(part)
            for part in engine['Version'].split('+')[0].split('.')[:3]
        ]
        self.assertEqual(
            numbers[0] * 1000000 + numbers[1] * 1000 + numbers[2],
            found.hypervisor_version,
        )

    def test_the_host_tells_of_itself(self):
        compute = self.cloud.admin.compute
        [found] = [
            one
            for one in compute.hypervisors(details=True)
            if one.name == self.host.name
        ]
        self.assertTrue(
            self.host.run(
                'ip', '-brief', 'address', 'show', 'to', found.host_ip
            )
        )
        days, hours, minutes = re.search(
            r'up (\d+) days, +(\d+):(\d+)', found.uptime
        ).groups()
        seconds = float(self.host.run('cat', '/proc/uptime').split()[0])
        self.assertAlmostEqual(
            seconds / 60,
            (int(days) * 24 + int(hours)) * 60 + int(minutes),
            delta=2,
        )

    def test_nova_compute_finds_its_servers_again(self):
        server = self.serve()
        before = self.start_of(server), self.start_of(server, 'sandbox')
        self.cloud.service('restart', 'nova-compute')
        self.wait_for_compute()
        self.assertEqual(
            before, (self.start_of(server), self.start_of(server, 'sandbox'))
        )
        self.wait_for_status(server, 'ACTIVE')
        self.assert_running(server)
        self.assert_serves(server)

    def test_servers_run_again_when_the_host_is_back(self):
        server = self.serve()
        self.inside(server, 'touch', '/kept')
        base.run(str(base.COMMAND), 'down')
        base.run(str(base.COMMAND), 'up')
        self.wait_for_status(server, 'ACTIVE')
        self.wait_for(
            lambda: {port.status for port in self.ports(server)} == {'ACTIVE'},
            'the ports',
        )
        self.assert_running(server)
        self.assert_serves(server)
        self.inside(server, 'test', '-e', '/kept')
