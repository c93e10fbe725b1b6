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

import dataclasses
import json
import os
from unittest import mock
import uuid

import fixtures
from nova.compute import provider_tree
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import fake_engine
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import host
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import observed
from novadocker.virt.docker import processor
from novadocker.virt.docker import resized

INFO = dataclasses.replace(
    fake_engine.INFO, version='20.10.24+dfsg1', cpus=4, root_dir='/'
)


def a_row(uuid, usage):
    return model.ContainerSummary(
        id=uuid,
        name=naming.instance_name(uuid),
        state=model.ContainerState.RUNNING,
        labels=naming.labels(uuid, naming.ROLE_INSTANCE, 'host1')
        | naming.usage_labels(usage),
        image_id='image',
    )


class HostTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.client = mock.create_autospec(engine.Client, instance=True)
        self.client.info.return_value = INFO
        self.client.list_containers.return_value = []
        self.path = self.useFixture(fixtures.TempDir()).path
        self.host = host.Host(
            self.client,
            observed.Observed(self.client, 'host1'),
            resized.Resizes(self.path),
            'node1',
            host.Reserved(cpus=1, memory_mb=512, disk_gb=2),
        )

    def test_resources_are_the_engines(self):
        found = self.host.resources()

        self.assertEqual(4, found['vcpus'])
        self.assertEqual(8192, found['memory_mb'])
        self.assertEqual('docker', found['hypervisor_type'])
        self.assertEqual(20010024, found['hypervisor_version'])
        self.assertEqual('node1', found['hypervisor_hostname'])
        self.assertEqual(
            [('x86_64', 'docker', 'exe')], found['supported_instances']
        )
        self.assertEqual('x86_64', json.loads(found['cpu_info'])['arch'])

    def test_disk_is_the_file_system_of_the_engine(self):
        found = self.host.resources()

        size = os.statvfs('/')
        self.assertEqual(
            size.f_blocks * size.f_frsize // 1024**3, found['local_gb']
        )

    def test_usage_is_the_sum_of_our_flavors(self):
        self.client.list_containers.return_value = [
            a_row('a', naming.Usage(1, 256, 3)),
            a_row('b', naming.Usage(2, 1024, 5)),
        ]

        found = self.host.resources()

        self.assertEqual(3, found['vcpus_used'])
        self.assertEqual(256 + 1024 + 512, found['memory_mb_used'])
        self.assertEqual(8, found['local_gb_used'])

    def test_usage_of_one_that_was_resized_where_it_is(self):
        self.client.list_containers.return_value = [
            a_row('a', naming.Usage(1, 256, 3)),
            a_row('b', naming.Usage(2, 1024, 5)),
        ]
        resizes = resized.Resizes(self.path)
        usage = naming.Usage(4, 4096, 7)
        resizes.write('a', resized.Resized('a', usage))
        resizes.write('b', resized.Resized('an older container', usage))

        found = self.host.resources()

        self.assertEqual(6, found['vcpus_used'])
        self.assertEqual(12, found['local_gb_used'])

    def test_requests_do_not_grow_with_the_servers(self):
        self.client.list_containers.return_value = [
            a_row(str(number), naming.Usage(1, 1, 1)) for number in range(100)
        ]

        self.host.resources()

        self.assertEqual(
            ['info', 'list_containers'],
            [call[0] for call in self.client.method_calls],
        )

    def report(self, *traits):
        """What Placement has of a host after it had those traits."""
        tree = provider_tree.ProviderTree()
        tree.new_root('host1', uuid.uuid4().hex)
        tree.update_traits('host1', traits)
        self.host.report(
            tree, 'host1', {'VCPU': 16.0, 'MEMORY_MB': 1.0, 'DISK_GB': 1.5}
        )
        return tree.data('host1')

    def test_inventory(self):
        found = self.report().inventory

        self.assertEqual(
            {
                'total': 4,
                'min_unit': 1,
                'max_unit': 4,
                'step_size': 1,
                'allocation_ratio': 16.0,
                'reserved': 1,
            },
            found['VCPU'],
        )
        self.assertEqual(8192, found['MEMORY_MB']['total'])
        self.assertEqual(512, found['MEMORY_MB']['reserved'])
        self.assertEqual(1.5, found['DISK_GB']['allocation_ratio'])
        self.assertEqual(2, found['DISK_GB']['reserved'])

    def test_traits_are_those_of_the_processors(self):
        processors = self.useFixture(
            fixtures.MockPatchObject(processor, 'processors', autospec=True)
        ).mock
        processors.return_value = processor.Processors(
            frozenset({'avx', 'aes', 'hypervisor'}), threads=True
        )

        found = self.report(
            'CUSTOM_OURS', 'HW_CPU_X86_AVX2', 'HW_GPU_API_VULKAN'
        )

        self.assertEqual(
            {
                'CUSTOM_OURS',
                'HW_ARCH_X86_64',
                'HW_CPU_HYPERTHREADING',
                'HW_CPU_X86_AESNI',
                'HW_CPU_X86_AVX',
                'HW_GPU_API_VULKAN',
            },
            found.traits,
        )
        processors.return_value = processor.Processors(frozenset({'aes'}))
        self.assertEqual(
            {'HW_ARCH_X86_64', 'HW_CPU_X86_AESNI'},
            self.report(*found.traits).traits
            - {'CUSTOM_OURS', 'HW_GPU_API_VULKAN'},
        )

    def test_an_engine_whose_disk_cannot_be_seen_is_said_so(self):
        self.client.info.return_value = dataclasses.replace(
            INFO, root_dir='/does/not/exist'
        )

        refused = self.assertRaises(
            exception.EngineNotSupported, self.host.resources
        )
        self.assertIn('/does/not/exist', str(refused))


class UptimeTestCase(base.BaseTestCase):
    def test_has_the_form_of_the_command(self):
        with mock.patch(
            'psutil.boot_time', autospec=True, return_value=1000.0
        ):
            found = host.uptime(lambda: 1000.0 + 2 * 86400 + 3 * 3600 + 240)

        self.assertRegex(
            found,
            r'^ \d\d:\d\d:\d\d up 2 days,  3:04,  \d+ users,  '
            r'load average: [\d.]+, [\d.]+, [\d.]+$',
        )
