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

import os

import fixtures
import nova.conf
from oslo_utils import units
from oslotest import base

from novadocker.tests.fixtures import instances
from novadocker.virt.docker import settings

CONF = nova.conf.CONF


class SettingsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        CONF([], project='nova', default_config_files=[])
        self.addCleanup(CONF.reset)

    def override(self, name, value, group='docker'):
        CONF.set_override(name, value, group=group)
        self.addCleanup(CONF.clear_override, name, group=group)

    def test_engine(self):
        self.override('host_url', 'unix:///run/other.sock')
        self.override('engine_timeout', 7)
        found = settings.engine()
        self.assertEqual('unix:///run/other.sock', found.url)
        self.assertEqual(7, found.timeout)

    def test_server(self):
        self.override('capabilities', ['CHOWN', 'KILL'])
        found = settings.server('/dev/sda')
        self.assertEqual(('CHOWN', 'KILL'), found.capabilities)
        self.assertEqual('/dev/sda', found.disk)

    def test_time_to_shut_down_is_the_images_or_the_operators(self):
        self.override('shutdown_timeout', 33, group=None)
        for properties, expected in (
            ({}, 33),
            ({'os_shutdown_timeout': '7'}, 7),
        ):
            instance = instances.an_instance(**properties)
            self.assertEqual(expected, settings.shutdown_timeout(instance))

    def test_transport(self):
        self.assertFalse(settings.transport('host1').signed)
        self.override('verify_glance_signatures', True, 'glance')
        found = settings.transport('host1')
        self.assertEqual(('host1', True), (found.host, found.signed))

    def test_serial_console(self):
        self.override('proxyclient_address', '10.0.0.7', 'serial_console')
        self.override('serial_console_mode', 'shell')
        found = settings.serial_console()
        self.assertEqual(('10.0.0.7', 'shell'), (found.address, found.mode))

    def test_network(self):
        self.override('vif_plugging_timeout', 3, group=None)
        self.override('ovs_bridge', 'br-other', group='neutron')
        found = settings.network()
        self.assertEqual((3, 'br-other'), (found.plug_timeout, found.bridge))

    def test_images_are_limited_in_bytes(self):
        self.override('image_max_size', 2)
        self.override('image_max_unpacked_size', 3)
        found = settings.images()
        self.assertEqual(2 * units.Gi, found.max_size)
        self.assertEqual(3 * units.Gi, found.max_unpacked)

    def test_files_of_images_are_used_unless_signatures_are_required(self):
        self.assertIsNone(settings.images().shared_directory)
        self.override('shared_directory', '/images')
        self.assertEqual('/images', settings.images().shared_directory)
        self.override('enable_certificate_validation', True, 'glance')
        self.assertEqual('/images', settings.images().shared_directory)
        self.override('default_trusted_certificate_ids', ['a'], 'glance')
        self.assertIsNone(settings.images().shared_directory)
        self.override('enable_certificate_validation', False, 'glance')
        self.override('verify_glance_signatures', True, 'glance')
        self.assertIsNone(settings.images().shared_directory)

    def test_image_cache(self):
        self.override('remove_unused_base_images', False, 'image_cache')
        self.override(
            'remove_unused_original_minimum_age_seconds', 7, 'image_cache'
        )
        found = settings.image_cache('a-host', 'an-image')
        self.assertFalse(found.remove_unused)
        self.assertEqual(7, found.min_age)
        self.assertEqual('a-host', found.host)

    def test_uses_are_noted_for_each_engine(self):
        path = self.useFixture(fixtures.TempDir()).path
        self.override('instances_path', path, group=None)
        for engine_id in ('AB:CD', 'EF:GH'):
            settings.last_use(engine_id).note('image')
        self.assertEqual({'AB:CD', 'EF:GH'}, set(os.listdir(f'{path}/_base')))

    def test_loads_are_locked_for_all_services_of_the_host(self):
        self.override('instances_path', '/instances', group=None)
        self.assertEqual('/instances/locks', settings.images().lock_path)
