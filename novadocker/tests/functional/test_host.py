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

"""The host as Nova sees it, and what a restart of nova-compute finds."""

import contextlib
import pathlib
from unittest import mock

from nova.virt import driver as nova_driver
from oslo_utils import uuidutils
import requests

from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import ovs
from novadocker.tests.functional import base
from novadocker.virt.docker import capabilities
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import processor

State = model.ContainerState


class HostTestCase(base.FunctionalTestCase):
    def test_hypervisor(self):
        found, info = self.hypervisor(), self.client.info()
        self.assertEqual('docker', found['hypervisor_type'])
        major, minor, patch = info.version.partition('+')[0].split('.')
        self.assertEqual(
            int(major) * 1_000_000 + int(minor) * 1_000 + int(patch),
            found['hypervisor_version'],
        )
        self.assertEqual('up', found['state'])

    def test_traits_are_the_capabilities(self):
        provider = self._get_provider_uuid_by_host(self.host)
        found = set(self._get_provider_traits(provider))
        for flag, trait in nova_driver.CAPABILITY_TRAITS_MAP.items():
            self.assertEqual(
                capabilities.CAPABILITIES[flag], trait in found, flag
            )

    def test_traits_of_the_processors(self):
        provider = self._get_provider_uuid_by_host(self.host)
        # One that this host has not, and one that an operator gives it.
        before = {*self._get_provider_traits(provider), 'HW_CPU_X86_3DNOW'}
        self._create_trait('CUSTOM_OURS')
        self._set_provider_traits(provider, [*before, 'CUSTOM_OURS'])
        self.restart_compute_service(self.compute)

        found = set(self._get_provider_traits(provider))

        machine = self.client.info().architecture.upper()
        self.assertIn(f'HW_ARCH_{machine}', found)
        self.assertIn('CUSTOM_OURS', found)
        self.assertEqual(
            '3dnow' in processor.processors().flags,
            'HW_CPU_X86_3DNOW' in found,
        )

    def test_usage_is_that_of_our_servers(self):
        self.foreign_container()
        before = self.usages()
        self.assertEqual({'VCPU': 0, 'MEMORY_MB': 0, 'DISK_GB': 0}, before)
        server = self.boot()
        self.periodic()
        self.assertEqual(
            {'VCPU': 1, 'MEMORY_MB': 64, 'DISK_GB': 1}, self.usages()
        )
        found = self.compute.manager.rt.compute_nodes[self.host]
        self.assertEqual((1, 1), (found.vcpus_used, found.running_vms))
        self.delete(server)
        self.assert_nothing_left(server)

    def foreign_container(self, **labels):
        """A container of somebody else, on the same engine."""
        own = images.Image(
            command=('sh',), labels={'run': uuidutils.generate_uuid()}
        )
        self.client.load([own.archive()])
        container = self.client.create(
            model.ContainerSpec(
                name='foreign-' + uuidutils.generate_uuid(),
                image=own.id,
                labels=labels,
                network='none',
                limits=model.Limits(),
                log=model.LogLimits(65536, 2),
                tty=True,
            )
        )
        self.addCleanup(self.client.remove_image, own.id)
        self.addCleanup(self.client.remove, container)
        self.client.start(container)
        return container

    def test_containers_of_others_are_left_alone(self):
        elsewhere = naming.labels(
            uuidutils.generate_uuid(), naming.ROLE_INSTANCE, 'another-host'
        )
        others = [
            self.foreign_container(),
            self.foreign_container(**elsewhere),
        ]
        before = [self.client.inspect(one) for one in others]
        server = self.boot()
        driver = self.compute.manager.driver
        self.assertEqual([server['id']], driver.list_instance_uuids())
        self.assertEqual(1, driver.get_num_instances())
        self.compute = self.restart()
        self.periodic()
        self.delete(server)
        self.assertEqual(before, [self.client.inspect(one) for one in others])

    def test_image_for_docker_hosts_schedules(self):
        server = self.create(
            self.glance.add(images.SHELL, img_hv_type='docker')
        )
        self.wait_for_status(server, 'ACTIVE')

    def test_image_for_other_hosts_does_not(self):
        server = self.create(self.glance.add(images.SHELL, img_hv_type='qemu'))
        fault = self.wait_for_fault(server)
        self.assertIn('No valid host', fault['message'])

    def restart(self):
        """Restart nova-compute, which knows nothing but what it finds."""
        return self.restart_compute_service(
            self.compute, keep_hypervisor_state=False
        )

    def test_restart_finds_everything_and_touches_nothing(self):
        running, stopped, paused = (self.boot() for _ in range(3))
        self.act(stopped, 'os-stop', 'SHUTOFF')
        self.act(paused, 'pause', 'PAUSED')
        servers = (running, stopped, paused)
        before = [
            (self.info(server), self.sandbox(server)) for server in servers
        ]
        ports = self.switch.ports()
        links = self.inside(running, 'ip -o link')
        self.compute = self.restart()
        self.periodic()
        self.assertEqual(
            before,
            [(self.info(server), self.sandbox(server)) for server in servers],
        )
        self.assertEqual(ports, self.switch.ports())
        self.assertEqual(links, self.inside(running, 'ip -o link'))
        for server, status in zip(
            servers, ('ACTIVE', 'SHUTOFF', 'PAUSED'), strict=True
        ):
            self.wait_for_status(server, status)
        self.act(stopped, 'os-start', 'ACTIVE')
        for server in servers:
            self.delete(server)
        self.assert_nothing_left(running)

    def test_process_that_ended_while_nova_was_away(self):
        server = self.boot()
        self.compute.stop()
        self.client.kill(self.info(server).id)
        self.start_again()
        # Within a second or two, not with the audit of ten minutes later.
        self.wait_for_status(server, 'SHUTOFF')

    def start_again(self):
        self.compute = self.start_service('compute', host=self.host)
        self.addCleanup(self.compute.stop)

    def boot_host(self):
        """What is left of servers when their host starts."""
        running, stopped = self.boot(), self.boot()
        self.act(stopped, 'os-stop', 'SHUTOFF')
        self.compute.stop()
        for row in self.containers():
            if row.state.alive:
                self.client.kill(row.id)
        for server in (running, stopped):
            name = naming.instance_name(server['id'])
            pathlib.Path('/run/netns', name).unlink()
        self.wait_for(
            lambda: 'tap' not in ovs.run('ip', '-o', 'link'),
            'the devices of dead namespaces stay',
        )
        self.start_again()
        return running, stopped

    def test_host_starts_and_resumes_its_servers(self):
        self.flags(resume_guests_state_on_host_boot=True)
        running, stopped = self.boot_host()
        self.wait_for(
            lambda: self.info(running).state is State.RUNNING, 'it is off'
        )
        self.wait_for_status(running, 'ACTIVE')
        self.assertIn('192.168.1', self.inside(running, 'ip addr show eth0'))
        self.wait_for_status(stopped, 'SHUTOFF')
        self.act(stopped, 'os-start', 'ACTIVE')
        for server in (running, stopped):
            self.delete(server)
        self.assert_nothing_left(running)

    def test_host_starts_and_leaves_its_servers_off(self):
        running, stopped = self.boot_host()
        self.wait_for_status(running, 'SHUTOFF')
        self.act(running, 'os-start', 'ACTIVE')
        self.assertIn('192.168.1', self.inside(running, 'ip addr show eth0'))
        for server in (running, stopped):
            self.delete(server)
        self.assert_nothing_left(running)

    def test_requests_do_not_grow_with_the_servers(self):
        few = self.requests_of_periodic_tasks(1)
        many = self.requests_of_periodic_tasks(9)
        self.assertLessEqual(many, few + 2)

    def requests_of_periodic_tasks(self, count):
        image = self.glance.add(images.SHELL)
        for server in [
            self.create(image, networks='none') for _ in range(count)
        ]:
            self.wait_for_status(server, 'ACTIVE')
        self.periodic()
        with self.counted_requests() as requested:
            self.periodic()
            driver = self.compute.manager.driver
            driver.list_instances()
            driver.list_instance_uuids()
            driver.get_available_resource(self.host)
        return len(requested)

    @contextlib.contextmanager
    def counted_requests(self):
        """Collect the requests that go to the engine."""
        requested = []
        send = requests.Session.send

        def counting(session, request, **kwargs):
            if request.url.startswith('http+docker'):
                requested.append(request.url)
            return send(session, request, **kwargs)

        with mock.patch.object(requests.Session, 'send', counting):
            yield requested
