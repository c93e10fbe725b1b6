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
import uuid

from nova import objects
from oslotest import base

from novadocker.tests.fixtures import instances
from novadocker.virt.docker import tags


class DeviceMetadataTestCase(base.BaseTestCase):
    def describe(self, *vifs, **arguments):
        with mock.patch.object(
            objects.VirtualInterfaceList,
            'get_by_instance_uuid',
            autospec=True,
            return_value=[
                objects.VirtualInterface(
                    uuid=uuid.uuid5(uuid.NAMESPACE_DNS, address),
                    address=address,
                    tag=tag,
                )
                for address, tag in vifs
            ],
        ):
            return tags.device_metadata(
                None, instances.an_instance(), **arguments
            )

    def test_tagged_port_is_found_by_its_address(self):
        found = self.describe(
            ('fa:16:3e:00:00:01', None), ('fa:16:3e:00:00:02', 'storage')
        )

        [device] = found.devices
        self.assertEqual('fa:16:3e:00:00:02', device.mac)
        self.assertEqual(['storage'], device.tags)

    def test_nothing_tagged_is_nothing_said(self):
        self.assertIsNone(self.describe(('fa:16:3e:00:00:01', None)))

    def test_port_that_is_being_detached_is_not_described(self):
        gone = 'fa:16:3e:00:00:01'
        port = str(uuid.uuid5(uuid.NAMESPACE_DNS, gone))
        found = self.describe(
            (gone, 'old'), ('fa:16:3e:00:00:02', 'storage'), without=port
        )

        [device] = found.devices
        self.assertEqual(['storage'], device.tags)
