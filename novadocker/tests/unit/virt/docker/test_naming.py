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

from oslotest import base

from novadocker.virt.docker import naming

UUID = '6c4c3d3a-0c37-4a3f-9d5c-7e4f0d1c2b3a'
IMAGE = '155d900f-4e14-4e4c-a73d-069cbf4541e6'

# What the engine accepts.
NAME = r'^[a-zA-Z0-9][a-zA-Z0-9_.-]+$'
REFERENCE = r'^[a-z0-9]+([._/-][a-z0-9]+)*:[\w][\w.-]{0,127}$'


class NamesTestCase(base.BaseTestCase):
    def test_names(self):
        # Operators look for these.
        self.assertEqual(f'nova-{UUID}', naming.instance_name(UUID))
        self.assertEqual(f'nova-{UUID}-sandbox', naming.sandbox_name(UUID))

    def test_engine_takes_the_names(self):
        self.assertRegex(naming.instance_name(UUID), NAME)
        self.assertRegex(naming.sandbox_name(UUID), NAME)

    def test_engine_takes_the_references(self):
        references = {
            naming.image_reference(IMAGE),
            naming.snapshot_reference(IMAGE),
            naming.rebind_reference(IMAGE, 'a host'),
        }
        self.assertEqual(3, len(references))
        for reference in references:
            self.assertRegex(reference, REFERENCE)
            self.assertIn(f':{IMAGE}', reference)

    def test_hosts_of_one_engine_have_names_of_their_own(self):
        name = naming.instance_name(UUID)
        names = {
            naming.aside_name(name, host, why)
            for host in ('host1', 'a host')
            for why in ('old', 'moved')
        }
        references = {
            naming.rebind_reference(UUID, host)
            for host in ('host1', 'a host')
        }
        self.assertEqual((4, 2), (len(names), len(references)))
        for one in names:
            self.assertRegex(one, NAME)

    def test_instance_of_a_name(self):
        self.assertEqual(
            UUID, naming.named_instance(naming.instance_name(UUID))
        )
        for name in (naming.sandbox_name(UUID), 'qdhcp-1', f'.nova-{UUID}.7'):
            self.assertIsNone(naming.named_instance(name))


class LabelsTestCase(base.BaseTestCase):
    def test_rescue(self):
        labels = naming.labels(UUID, naming.ROLE_INSTANCE, 'host1')
        self.assertFalse(naming.is_rescue(labels))
        self.assertTrue(naming.is_rescue(labels | {naming.LABEL_RESCUE: ''}))

    def test_instance_is_read_back(self):
        labels = naming.labels(UUID, naming.ROLE_INSTANCE, 'host1')
        self.assertEqual(UUID, naming.instance_uuid(labels))
        self.assertIsNone(naming.instance_uuid({}))

    def test_filter_selects_this_host(self):
        ours = naming.labels(UUID, naming.ROLE_INSTANCE, 'host1').items()
        other = naming.labels(UUID, naming.ROLE_INSTANCE, 'host2').items()
        wanted = naming.host_filter('host1').items()
        self.assertLessEqual(wanted, ours)
        self.assertNotEqual(set(), wanted - other)

    def test_filter_selects_an_instance_of_this_host(self):
        wanted = naming.instance_filter(UUID, 'host1').items()
        for uuid, host, selected in (
            (UUID, 'host1', True),
            (UUID, 'host2', False),
            (IMAGE, 'host1', False),
        ):
            labels = naming.labels(uuid, naming.ROLE_INSTANCE, host).items()
            self.assertEqual(selected, wanted <= labels)

    def test_filter_selects_a_role(self):
        wanted = naming.host_filter('host1', naming.ROLE_SANDBOX).items()
        for role in (naming.ROLE_SANDBOX, naming.ROLE_INSTANCE):
            labels = naming.labels(UUID, role, 'host1').items()
            self.assertEqual(role == naming.ROLE_SANDBOX, wanted <= labels)

    def test_labels_are_ours(self):
        labels = naming.labels(UUID, naming.ROLE_INSTANCE, 'host1')
        labels |= naming.usage_labels(naming.Usage(1, 2, 3))
        for key in labels:
            self.assertTrue(naming.is_our_label(key), key)
        self.assertFalse(naming.is_our_label('org.opencontainers.image'))


class UsageTestCase(base.BaseTestCase):
    def test_usage_is_read_back(self):
        usage = naming.Usage(vcpus=2, memory_mb=512, disk_gb=10)
        self.assertEqual(usage, naming.usage(naming.usage_labels(usage)))

    def test_container_that_says_nothing_uses_nothing(self):
        self.assertEqual(naming.Usage(), naming.usage({}))

    def test_sum(self):
        self.assertEqual(
            naming.Usage(4, 6, 8),
            naming.Usage(1, 2, 3) + naming.Usage(3, 4, 5),
        )
