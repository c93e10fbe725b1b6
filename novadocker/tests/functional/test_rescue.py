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

"""Rescue, through Nova and a real engine."""

import dataclasses
import time
from unittest import mock

from nova.compute import vm_states
from nova.tests.functional.api import client as api_client
from passlib import hash as crypt

from novadocker import exception
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import ovs
from novadocker.tests.functional import base
from novadocker.tests.functional import test_healing
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import engine_json
from novadocker.virt.docker import guest
from novadocker.virt.docker import images as docker_images
from novadocker.virt.docker import model
from novadocker.virt.docker import naming

State = model.ContainerState

# What somebody is rescued with who has locked himself out.
TOOLS = images.Image(
    command=('sh', '-c', 'echo at your service; read x'),
    files=(
        ('etc/passwd', b'root:x:0:0::/root:/bin/sh\n'),
        ('etc/shadow', b'root:*:1:0:9:7:::\n'),
    ),
)


@dataclasses.dataclass(frozen=True)
class Layered(images.Image):
    """An image of a base and some layers of little content."""

    more: int = 0

    def layers(self):
        return [
            *super().layers(),
            *(
                images.tar([(f'layers/{number}', b'')])
                for number in range(self.more)
            ),
        ]


class RescueTestCase(base.FunctionalTestCase):
    def boot_with_a_file(self, image=images.SHELL):
        server = self.boot(image)
        self.own = self.info(server)
        file = model.ContainerFile('/etc/mine', b'mine', 0o600, 0, 0)
        self.client.write_files(self.own.id, guest.archive([file]))
        return server

    def rescue(self, server, status='RESCUE', **arguments):
        answer = self.api.post_server_action(
            server['id'], {'rescue': arguments or None}
        )
        self.wait_for_status(server, status)
        return answer

    def read(self, server, path):
        found = self.client.read_file(
            naming.instance_name(server['id']), path
        )
        return found and found.content

    def run_inside(self, server, command):
        self.client.run(
            naming.instance_name(server['id']), ('sh', '-c', command)
        )

    def volumes(self):
        return ovs.run(
            *('docker', 'volume', 'ls', '--quiet', '--filter'),
            f'label={naming.LABEL_HOST}={self.host}',
        ).split()

    def assert_back(self, server):
        """It is what it was, but for its life."""
        self.assertEqual(2, len(self.containers()))
        self.assertEqual([], self.volumes())
        found = self.info(server)
        self.assertIs(State.RUNNING, found.state)
        self.assertEqual(
            dataclasses.replace(
                found,
                pid=self.own.pid,
                started_at=self.own.started_at,
                finished_at=self.own.finished_at,
            ),
            self.own,
        )

    def test_there_and_back(self):
        server = self.boot_with_a_file()
        sandbox = self.sandbox(server)
        network = self.inside(server, 'ip -o address')

        answer = self.rescue(server)

        self.assertIn('adminPass', answer)
        found = self.info(server)
        self.assertIs(State.RUNNING, found.state)
        self.assertEqual(self.own.image_id, found.image_id)
        self.assertEqual(sandbox, self.sandbox(server))
        self.assertEqual(network, self.inside(server, 'ip -o address'))
        self.assertIsNone(self.read(server, '/etc/mine'))
        self.assertEqual(b'mine', self.read(server, '/mnt/instance/etc/mine'))
        self.run_inside(
            server,
            'cd /mnt/instance && rm bin/grep && chroot . sh -c '
            '"echo -n changed > /etc/mine; echo done"',
        )
        self.wait_for(
            lambda: (
                self.read(server, '/mnt/instance/etc/mine') == b'changed'
            ),
            'cannot be written to',
        )
        self.periodic()
        shown = self.api.get_server(server['id'])
        self.assertEqual('RESCUE', shown['status'])
        self.assertEqual(1, shown['OS-EXT-STS:power_state'])
        self.assertEqual(
            {'VCPU': 1, 'MEMORY_MB': 64, 'DISK_GB': 1}, self.usages()
        )

        self.act(server, 'unrescue', 'ACTIVE')

        self.assert_back(server)
        self.assertEqual(network, self.inside(server, 'ip -o address'))
        self.assertEqual(b'changed', self.read(server, '/etc/mine'))
        self.assertIsNone(self.read(server, '/bin/grep'))
        self.act(server, 'os-stop', 'SHUTOFF')
        self.act(server, 'os-start', 'ACTIVE')
        self.assertEqual(b'changed', self.read(server, '/etc/mine'))
        self.delete(server)
        self.assert_nothing_left(server)

    def test_image_of_the_users_choice(self):
        server = self.boot_with_a_file()
        other = self.glance.add(TOOLS, os_command_line='sh')
        for image in (self.glance.add(TOOLS), other):
            answer = self.rescue(
                server, rescue_image_ref=image, adminPass='secret'
            )
            self.assertEqual('secret', answer['adminPass'])
            self.assertEqual(TOOLS.id, self.info(server).image_id)
            shadow = self.read(server, '/etc/shadow').decode()
            self.assertTrue(
                crypt.sha512_crypt.verify('secret', shadow.split(':')[1])
            )
            said = self.console(server)
            self.act(server, 'unrescue', 'ACTIVE')
            self.assert_back(server)
        # The second one has a command of its own.
        self.assertNotIn('at your service', said)

    def test_image_has_a_link_where_the_file_system_goes(self):
        server = self.boot_with_a_file()
        image = self.glance.add(
            images.Image(
                command=('sh',),
                files=(('mnt/', b''), ('mnt/instance', '/../../../../tmp')),
            )
        )
        self.rescue(server, rescue_image_ref=image)
        self.assertEqual(b'mine', self.read(server, '/tmp/etc/mine'))
        self.act(server, 'unrescue', 'ACTIVE')
        self.assert_back(server)

    def test_what_nova_does_not_do_meanwhile(self):
        server = self.boot_with_a_file()
        self.rescue(server)
        for action in (
            {'reboot': {'type': 'HARD'}},
            {'os-stop': None},
            {'rescue': None},
            {'pause': None},
            {'createImage': {'name': 'a'}},
        ):
            refused = self.assertRaises(
                api_client.OpenStackApiException,
                self.api.post_server_action,
                server['id'],
                action,
            )
            self.assertEqual(409, refused.response.status_code, action)

    def test_deletion(self):
        server = self.boot_with_a_file()
        self.rescue(server, rescue_image_ref=self.glance.add(TOOLS))
        self.assertEqual(1, len(self.volumes()))
        self.delete(server)
        self.assert_nothing_left(server)
        self.assertEqual([], self.volumes())

    def test_stopped_server(self):
        server = self.boot_with_a_file()
        self.act(server, 'os-stop', 'SHUTOFF')
        self.rescue(server)
        self.assertEqual(b'mine', self.read(server, '/mnt/instance/etc/mine'))
        self.act(server, 'unrescue', 'ACTIVE')
        self.assert_back(server)

    def test_nova_compute_starts_anew(self):
        server = self.boot_with_a_file()
        self.rescue(server)
        rescuer = self.info(server)
        self.restart_compute_service(
            self.compute, keep_hypervisor_state=False
        )
        self.periodic()
        self.assertEqual(rescuer, self.info(server))
        self.act(server, 'unrescue', 'ACTIVE')
        self.assert_back(server)

    def test_images_are_kept(self):
        self.flags(
            remove_unused_original_minimum_age_seconds=0, group='image_cache'
        )
        server = self.boot_with_a_file()
        tools = self.glance.add(TOOLS)
        self.rescue(server, rescue_image_ref=tools)
        for _ in range(2):
            self.compute.manager.driver.manage_image_cache(None, [])
        for image_id in (server['image']['id'], tools):
            self.client.inspect_image(naming.image_reference(image_id))

    # What fails

    def assert_refused(self, server, reason, **arguments):
        """The server runs as before, and Nova shows why."""
        self.rescue(server, 'ERROR', **arguments)
        fault = self.wait_for_fault(server)['message']
        self.assertIn('cannot be rescued', fault)
        self.assertIn(reason, fault)
        self.assert_back(server)
        self.assertEqual(b'mine', self.read(server, '/etc/mine'))
        self.recover(server)
        self.assert_back(server)

    def test_image_that_is_no_good(self):
        server = self.boot_with_a_file()
        broken = self.glance.add(TOOLS)
        self.glance._imagedata[broken] = b'nothing' * 1000
        for image, reason in (
            (broken, 'is unacceptable'),
            (self.glance.add(images.NO_COMMAND), 'names no command'),
            (self.glance.add(images.MISSING_COMMAND), '/no/such/command'),
        ):
            self.assert_refused(server, reason, rescue_image_ref=image)

    def test_image_that_is_not_there(self):
        server = self.boot_with_a_file()
        refused = self.assertRaises(
            api_client.OpenStackApiException,
            self.rescue,
            server,
            rescue_image_ref=server['id'],
        )
        self.assertEqual(400, refused.response.status_code)
        self.assertEqual(self.own, self.info(server))

    def test_storage_driver_that_cannot_do_it(self):
        server = self.boot_with_a_file()
        with mock.patch.object(
            engine_json, '_root', autospec=True, return_value=None
        ):
            self.rescue(server, 'ERROR')
            fault = self.wait_for_fault(server)['message']
        self.assertIn('storage driver', fault)
        # It was not even stopped.
        self.assertEqual(self.own, self.info(server))
        self.recover(server)
        self.assert_back(server)

    def test_image_of_many_layers(self):
        server = self.boot_with_a_file(Layered(command=('sh',), more=25))
        self.rescue(server)
        self.assertEqual(b'mine', self.read(server, '/mnt/instance/etc/mine'))
        for number in (0, 24):
            path = f'/mnt/instance/layers/{number}'
            self.assertEqual(b'', self.read(server, path))
        self.act(server, 'unrescue', 'ACTIVE')
        self.assert_back(server)

    def test_image_of_more_layers_than_can_be_mounted(self):
        server = self.boot_with_a_file(Layered(command=('sh',), more=45))
        self.rescue(server, 'ERROR')
        fault = self.wait_for_fault(server)['message']
        self.assertIn('46 layers', fault)
        self.assertEqual(self.own, self.info(server))

    def fail(self, owner, name, calls=1):
        """Have a function fail at one of its calls, the first is 1."""
        real = getattr(owner, name)
        count = iter(range(1, 1000))

        def failing(*args, **kwargs):
            if next(count) == calls:
                raise exception.EngineError(500, 'oops')
            return real(*args, **kwargs)

        return mock.patch.object(owner, name, failing)

    def test_failure_of_each_step(self):
        server = self.boot_with_a_file()
        for owner, name in (
            (docker_images.Images, 'ensure'),
            (engine.Client, 'stop'),
            (engine.Client, 'rename'),
            (engine.Client, 'create'),
            (engine.Client, 'start'),
        ):
            with self.fail(owner, name):
                self.assert_refused(server, 'oops')

    def test_failure_of_each_step_back(self):
        server = self.boot_with_a_file()
        for name in ('list_containers', 'remove', 'rename', 'start'):
            self.rescue(server)
            with self.fail(engine.Client, name):
                self.act(server, 'unrescue', 'ERROR')
            self.recover(server)
            self.assert_back(server)


class AccidentTestCase(test_healing.AccidentTestCase):
    """What becomes of a rescue when the engine or the host has an accident."""

    own_engine = True

    def setUp(self):
        super().setUp()
        self.client = self.host.client
        self.own = self.client.inspect(self.name).id
        driver, context = self.host.driver, self.host.context
        driver.power_off(self.instance)
        driver.rescue(
            *(context, self.instance, self.network_info),
            *(self.host.load(TOOLS), 'secret', {}),
        )
        self.instance.vm_state = vm_states.RESCUED

    def restart(self, live_restore, kill=False):
        engine = self.host.own_engine
        engine.kill() if kill else engine.stop()
        engine.start(live_restore)
        self.came_back = time.monotonic()

    def check(self, number):
        """The root file system is there, and can be written to."""
        self.assert_soon(self.is_whole)
        self.client.run(
            self.name, ('sh', '-c', f'echo {number} > /mnt/instance/{number}')
        )
        self.assert_soon(
            lambda: self.assertIsNotNone(
                self.client.read_file(self.name, f'/mnt/instance/{number}')
            )
        )

    def assert_back(self, *numbers):
        self.host.driver.unrescue(self.host.context, self.instance)
        self.is_whole()
        found = self.client.inspect(self.name)
        self.assertEqual(self.own, found.id)
        for number in numbers:
            file = self.client.read_file(self.name, f'/{number}')
            self.assertEqual(f'{number}\n'.encode(), file.content)
        self.assertEqual('', ovs.run('docker', 'volume', 'ls', '--quiet'))

    def test_engine_that_leaves_its_containers_alone(self):
        before = self.client.inspect(self.name).pid
        for number, kill in enumerate((False, True)):
            self.restart(live_restore=True, kill=kill)
            self.check(number)
        self.assertEqual(before, self.client.inspect(self.name).pid)
        self.assert_back(0, 1)

    def test_engine_that_ends_with_its_containers(self):
        before = self.client.inspect(self.name).pid
        for number, kill in enumerate((False, True)):
            self.restart(live_restore=False, kill=kill)
            self.check(number)
        self.assertNotEqual(before, self.client.inspect(self.name).pid)
        self.assert_back(0, 1)

    def test_host_boots(self):
        self.host.driver.cleanup_host(self.host.host)
        self.restart(live_restore=False)
        self.client.stop_if_there(self.sandbox)
        self.host.start()
        self.host.driver.resume_state_on_host_boot(
            self.host.context, self.instance, self.network_info
        )
        self.check(1)
        self.assert_back(1)

    def test_engine_ends_and_nobody_is_there_to_heal(self):
        self.host.driver.cleanup_host(self.host.host)
        self.restart(live_restore=False)
        self.host.start()
        self.assert_back()
