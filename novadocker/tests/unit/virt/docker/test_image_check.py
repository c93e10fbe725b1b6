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

from unittest import mock

from nova import exception as nova_exception
from nova import objects
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import image_check

GiB = 1024**3


def meta(**fields):
    """What Nova passes on of an image."""
    return objects.ImageMeta.from_dict(
        {
            'id': instances.GLANCE_ID,
            'container_format': 'docker',
            'disk_format': 'raw',
            **fields,
        }
    )


class PropertiesTestCase(base.BaseTestCase):
    def check(self, **properties):
        image_check.check_properties(
            meta(properties=properties), lambda: 'x86_64'
        )

    def test_what_fits(self):
        self.check()
        self.check(
            img_hv_type='docker', hw_architecture='x86_64', hw_vm_mode='exe'
        )

    def test_what_does_not(self):
        for properties in (
            {'img_hv_type': 'kvm'},
            {'hw_vm_mode': 'hvm'},
            {'hw_architecture': 'aarch64'},
        ):
            found = self.assertRaises(
                exception.ImageRejected, self.check, **properties
            )
            for word in (*properties, *properties.values()):
                self.assertIn(word, str(found))

    def test_the_engine_is_not_asked_without_need(self):
        machine = mock.Mock()
        image_check.check_properties(
            meta(properties={'img_hv_type': 'docker'}), machine
        )
        machine.assert_not_called()

    def test_what_nova_keeps_of_a_servers_image_may_have_none(self):
        image_check.check_properties(
            objects.ImageMeta(id=instances.GLANCE_ID), mock.Mock()
        )


class RecordTestCase(base.BaseTestCase):
    def test_formats(self):
        for container_format in ('docker', 'bare'):
            image_check.check_formats(meta(container_format=container_format))
        for fields in (
            {'container_format': 'ovf'},
            {'disk_format': 'qcow2'},
            {'container_format': None},
        ):
            self.assertRaises(
                exception.ImageRejected,
                image_check.check_formats,
                meta(**fields),
            )

    def test_size(self):
        image_check.check_size(meta(size=5), 5)
        found = self.assertRaises(
            exception.ImageRejected, image_check.check_size, meta(size=6), 5
        )
        self.assertIn('6 bytes', str(found))
        image_check.check_size(objects.ImageMeta(id='an-id'), 5)

    def test_flavor(self):
        flavor = instances.an_instance().flavor
        image_check.check_flavor(
            meta(min_ram=64, min_disk=1, size=GiB), flavor
        )
        for fields, error in (
            ({'min_ram': 65}, nova_exception.FlavorMemoryTooSmall),
            ({'min_disk': 2}, nova_exception.FlavorDiskSmallerThanMinDisk),
            ({'size': GiB + 1}, nova_exception.FlavorDiskSmallerThanImage),
        ):
            self.assertRaises(
                error, image_check.check_flavor, meta(**fields), flavor
            )

    def test_flavor_without_a_disk_has_room(self):
        flavor = instances.an_instance(flavor={'root_gb': 0}).flavor
        image_check.check_flavor(meta(min_disk=9, size=9 * GiB), flavor)
        image_check.check_disk(flavor, 9 * GiB)

    def test_a_shelved_server_is_its_image(self):
        instance = instances.an_instance()
        self.assertFalse(image_check.is_shelved_as(instance, meta()))
        instance.system_metadata['shelved_image_id'] = instances.GLANCE_ID
        self.assertTrue(image_check.is_shelved_as(instance, meta()))
