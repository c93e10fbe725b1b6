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

"""What flavors say, and what the cloud's other services know of it."""

import json
import os
import pathlib
import time

from novadocker.tests.e2e import base
from novadocker.tests.fixtures import images
from novadocker.virt.docker import disk
from novadocker.virt.docker import engine_json

MIB = 1024**2
_METADEFS = pathlib.Path(__file__).parents[3] / 'etc' / 'glance' / 'metadefs'


class FlavorsTestCase(base.TestCase):
    def setUp(self):
        super().setUp()
        compute = self.cloud.admin.compute
        self.flavor = compute.create_flavor(
            name=self.name, ram=64, vcpus=1, disk=1
        )
        self.addCleanup(compute.delete_flavor, self.flavor)

    def set_property(self, name, value):
        return self.cloud.admin.compute.post(
            f'/flavors/{self.flavor.id}/os-extra_specs',
            json={'extra_specs': {name: value}},
            microversion='2.86',
        )

    def test_new_privileges(self):
        image = self.upload(images.SHELL)
        for said, expected in ((None, '1'), ('true', '0')):
            if said is not None:
                self.set_property('docker:allow_new_privileges', said)
            server = self.boot(image, flavor_id=self.flavor.id)
            status = self.inside(server, 'cat', '/proc/1/status')
            found = dict(
                line.split(':', 1) for line in status.splitlines() if line
            )
            self.assertEqual(expected, found['NoNewPrivs'].strip())

    def has_a_disk(self):
        """Whether the engine is on one that the kernel can limit."""
        said = self.host.docker('info', '--format', '{{json .}}')
        return bool(
            disk.limitable(engine_json.engine_info(json.loads(said), ''))
        )

    def test_a_disk_is_as_slow_as_was_said(self):
        self.set_property('quota:disk_write_bytes_sec', str(MIB))
        image = self.upload(images.SHELL)
        if not self.has_a_disk():
            server = self.request(image, flavor_id=self.flavor.id)
            self.wait_for_status(server, 'ERROR')
            return
        server = self.boot(image, flavor_id=self.flavor.id)
        self.assert_running(server)
        began = time.monotonic()
        self.inside(
            server,
            *('dd', 'if=/dev/zero', 'of=/data', 'bs=64k', 'count=32'),
            'oflag=direct',
        )
        # The kernel lets some of the two go at once.
        self.assertLess(1, time.monotonic() - began)

    def test_the_scheduler_knows_the_processors(self):
        image = self.upload(images.SHELL)
        machine = os.uname().machine.upper()
        self.set_property(f'trait:HW_ARCH_{machine}', 'required')
        self.assert_running(self.boot(image, flavor_id=self.flavor.id))
        # Processors have it no more.
        self.assertNotIn('3dnow ', self.host.run('cat', '/proc/cpuinfo'))
        self.set_property('trait:HW_CPU_X86_3DNOW', 'required')
        server = self.request(image, flavor_id=self.flavor.id)
        found = self.wait_for_status(server, 'ERROR')
        self.assertIn('No valid host', found.fault['message'])

    def test_api_refuses_what_the_driver_would(self):
        for name, value in (
            ('docker:lifecycle', 'jop'),
            ('docker:crash_dump_signal', 'SIGKILL'),
            ('docker:allow_new_privileges', 'sudo'),
            ('docker:volumes', '/'),
        ):
            answer = self.set_property(name, value)
            self.assertEqual(400, answer.status_code, name)
            self.assertIn('Validation failed', answer.text)
        answer = self.set_property('docker:lifecycle', 'job')
        self.assertEqual(200, answer.status_code, answer.text)

    def test_glance_can_tell_the_dashboard(self):
        image = self.cloud.admin.image
        for name, kind, property_name in (
            ('compute-docker', 'OS::Nova::Flavor', 'docker:lifecycle'),
            ('compute-docker-image', 'OS::Glance::Image', 'os_admin_user'),
        ):
            told = json.loads((_METADEFS / f'{name}.json').read_text())
            namespace = told['namespace']
            # A protected one cannot be deleted.
            made = image.post(
                '/metadefs/namespaces', json=told | {'protected': False}
            )
            self.addCleanup(
                image.delete, f'/metadefs/namespaces/{namespace}'
            )
            self.assertEqual(201, made.status_code, made.text)
            found = image.get(
                '/metadefs/namespaces', params={'resource_types': kind}
            ).json()['namespaces']
            self.assertIn(namespace, [one['namespace'] for one in found])
            found = image.get(f'/metadefs/namespaces/{namespace}').json()
            self.assertIn(property_name, found['properties'])
