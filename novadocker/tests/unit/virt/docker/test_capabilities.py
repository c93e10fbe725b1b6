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

from nova.virt import driver as nova_driver
from oslotest import base

from novadocker.virt.docker import capabilities
from novadocker.virt.docker import driver
from novadocker.virt.docker import image_check

# What Nova calls where it believes a flag, and by default does not work.
METHODS = {
    'has_imagecache': {'manage_image_cache', 'cache_image'},
    'supports_evacuate': {'spawn', 'destroy', 'instance_exists'},
    'supports_migrate_to_same_host': {
        'migrate_disk_and_power_off',
        'finish_migration',
        'finish_revert_migration',
        'confirm_migration',
    },
    'supports_attach_interface': {'attach_interface', 'detach_interface'},
    'supports_tagged_attach_interface': {'attach_interface'},
    'supports_device_tagging': {'spawn'},
    'supports_tagged_attach_volume': {'attach_volume', 'detach_volume'},
    'supports_multiattach': {'attach_volume', 'detach_volume'},
    'supports_extend_volume': {'extend_volume'},
    'supports_bfv_rescue': {'rescue', 'unrescue', 'attach_volume'},
    'supports_virtio_fs': {'mount_share', 'umount_share'},
    'supports_mem_backing_file': {'mount_share', 'umount_share'},
    # Nova verifies what the driver downloads by Nova's own means.
    'supports_trusted_certs': {'spawn'},
}
# Those for which Nova calls methods that it does not call otherwise.
OWN = (
    'has_imagecache',
    'supports_attach_interface',
    'supports_extend_volume',
    'supports_virtio_fs',
)
_IMAGE_TYPE = 'supports_image_type_'


class CapabilitiesTestCase(base.BaseTestCase):
    def test_every_capability_is_answered(self):
        self.assertEqual(
            set(),
            set(nova_driver.ComputeDriver.capabilities)
            - set(capabilities.CAPABILITIES),
        )

    def implemented(self):
        theirs = vars(nova_driver.ComputeDriver)
        return {
            name
            for name in dir(driver.DockerDriver)
            if getattr(driver.DockerDriver, name) is not theirs.get(name)
        }

    def promised(self):
        return {flag for flag, on in capabilities.CAPABILITIES.items() if on}

    def test_something_stands_behind_each_promise(self):
        there = self.implemented()
        for flag in self.promised():
            if not flag.startswith(_IMAGE_TYPE):
                self.assertEqual(set(), METHODS[flag] - there, flag)

    def test_nothing_is_kept_from_nova(self):
        there = self.implemented()
        for flag in set(OWN) - self.promised():
            self.assertEqual(set(), METHODS[flag] & there, flag)

    def test_types_of_images_are_those_that_are_taken(self):
        self.assertEqual(
            {_IMAGE_TYPE + image_check.DISK_FORMAT},
            {flag for flag in self.promised() if flag.startswith(_IMAGE_TYPE)},
        )
