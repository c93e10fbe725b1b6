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

from novadocker import exception
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import quotas


def a_flavor(vcpus=2, **specs):
    """A flavor with these quotas."""
    extra_specs = {f'quota:{name}': value for name, value in specs.items()}
    return instances.an_instance(
        flavor={'vcpus': vcpus, 'extra_specs': extra_specs}
    ).flavor


class ProcessorTestCase(base.BaseTestCase):
    def test_all_of_the_flavors_without(self):
        self.assertEqual(2, quotas.cpus(a_flavor()))
        self.assertEqual(2048, quotas.cpu_shares(a_flavor()))

    def test_a_quota_is_of_each_processor(self):
        for quota, period, expected in (
            ('50000', None, 1),
            ('50000', '200000', 0.5),
            ('50000', '0', 1),
            ('200000', None, 2),
            ('0', None, 2),
            ('-1', '1000', 2),
            ('1000', '1000000', 0.01),
        ):
            specs = {'cpu_quota': quota}
            if period is not None:
                specs['cpu_period'] = period
            self.assertEqual(expected, quotas.cpus(a_flavor(**specs)), specs)

    def test_shares_are_within_what_the_kernel_takes(self):
        for said, expected in (
            ('10', 10),
            ('0', 2),
            ('99999999', 262144),
        ):
            self.assertEqual(
                expected, quotas.cpu_shares(a_flavor(cpu_shares=said))
            )
        self.assertEqual(262144, quotas.cpu_shares(a_flavor(vcpus=1000)))


class DiskTestCase(base.BaseTestCase):
    def test_none(self):
        self.assertEqual({}, quotas.disk_rates(a_flavor()))
        self.assertEqual(
            {}, quotas.disk_rates(a_flavor(disk_read_bytes_sec='0'))
        )

    def test_each(self):
        self.assertEqual(
            {
                'read_bytes': 1,
                'read_requests': 2,
                'write_bytes': 3,
                'write_requests': 4,
            },
            quotas.disk_rates(
                a_flavor(
                    disk_read_bytes_sec='1',
                    disk_read_iops_sec='2',
                    disk_write_bytes_sec='3',
                    disk_write_iops_sec='4',
                )
            ),
        )
        self.assertEqual(
            {'write_bytes': 3},
            quotas.disk_rates(a_flavor(disk_write_bytes_sec='3')),
        )


class CheckTestCase(base.BaseTestCase):
    def test_what_has_an_effect(self):
        quotas.check(
            a_flavor(
                cpu_shares='1',
                cpu_quota='-1',
                cpu_period='1',
                disk_read_bytes_sec='1',
            )
        )

    def test_what_has_none(self):
        for name in (
            'disk_total_bytes_sec',
            'disk_total_iops_sec',
            'vif_inbound_average',
            'vif_outbound_burst',
        ):
            refused = self.assertRaises(
                exception.FeatureNotSupported,
                quotas.check,
                a_flavor(**{name: '1'}),
            )
            self.assertIn(f'quota:{name}', str(refused))

    def test_those_of_other_hypervisors_are_theirs(self):
        quotas.check(a_flavor(cpu_limit='fast', disk_io_reservation='x'))

    def test_what_is_no_number(self):
        for name, value in (
            ('cpu_shares', 'many'),
            ('cpu_shares', '-1'),
            ('cpu_quota', '1.5'),
            ('cpu_period', ''),
            ('disk_read_bytes_sec', '1_000'),
        ):
            refused = self.assertRaises(
                exception.FeatureNotSupported,
                quotas.check,
                a_flavor(**{name: value}),
            )
            self.assertIn(f'quota:{name}={value}', str(refused))
