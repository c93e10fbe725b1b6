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

"""The life of an image: uploaded, kept, and made anew from a server."""

from oslo_utils import timeutils

from novadocker.tests.e2e import base
from novadocker.virt.docker import naming


class TestImages(base.TestCase):
    def roles(self):
        """What the user demo may be in its project."""
        session = self.cloud.demo.session
        return set(session.auth.get_access(session).role_names)

    def cache(self, image):
        """Have an operator put an image on the hosts of an aggregate."""
        compute = self.cloud.admin.compute
        aggregate = compute.create_aggregate(name=self.name)
        self.addCleanup(compute.delete_aggregate, aggregate)
        hosts = [one.host for one in compute.services(binary='nova-compute')]
        for host in hosts:
            compute.add_host_to_aggregate(aggregate, host)
            self.addCleanup(
                compute.remove_host_from_aggregate, aggregate, host
            )
        compute.aggregate_precache_images(aggregate, [image.id])

    def kept(self, image):
        """What the engine has of a Glance image, if anything."""
        return self.host.docker(
            'images', '--quiet', naming.image_reference(image.id)
        ).strip()

    def named(self, name):
        found = self.cloud.demo.image.images(name=f'{self.name}-{name}')
        return [one for one in found if one.status == 'active']

    def backup(self, server, name):
        self.cloud.demo.compute.backup_server(
            server, f'{self.name}-{name}', 'daily', 1
        )
        self.wait_for(lambda: self.named(name), f'the backup {name}')
        self.wait_for_status(server, 'ACTIVE')
        [made] = self.named(name)
        self.addCleanup(
            self.cloud.demo.image.delete_image, made.id, ignore_missing=True
        )
        # Which one is older Glance tells by the second, and Nova removes one
        # of two that are equally old.
        self.wait_for(
            lambda: timeutils.is_older_than(made.created_at, 1),
            'another second',
        )

    def shelve(self, server):
        self.cloud.demo.compute.shelve_server(server)
        self.wait_for_status(server, 'SHELVED_OFFLOADED')
        self.assertEqual({}, self.containers(server))
        self.assertEqual([], self.interfaces(server))
        self.assertEqual({}, self.allocation(server))
        [made] = self.named('shelved')
        return made

    def assert_page(self, server, page):
        url = f'http://{self.address(server)}/'
        self.assertEqual(page, self.beside('curl', '-sS', '-m', '10', url))

    def test_from_a_tenants_upload_to_the_shelf_and_back(self):
        compute = self.cloud.demo.compute
        self.assertNotIn('admin', self.roles())
        image = self.upload(base.WEB)
        self.cache(image)
        before = self.wait_for(lambda: self.kept(image), 'the cached image')

        server = self.boot(image)
        self.assert_running(server)
        self.assertEqual(before, self.kept(image))

        # Glance's copy is needed no more.
        self.cloud.demo.image.delete_image(image)
        compute.reboot_server(server, 'HARD')
        self.wait_for_status(server, 'ACTIVE')
        self.assert_running(server)
        self.inside(server, 'sh', '-c', 'echo changed > /www/index.html')
        self.assert_page(server, 'changed\n')

        self.backup(server, 'one')
        self.backup(server, 'two')
        self.wait_for(lambda: not self.named('one'), 'the rotation')
        [backup] = self.named('two')
        self.assertEqual('docker', backup.properties['img_hv_type'])
        self.assertEqual(image.id, backup.properties['base_image_ref'])

        made = self.shelve(server)
        compute.unshelve_server(server)
        self.wait_for_status(server, 'ACTIVE')
        self.assert_running(server)
        self.assert_page(server, 'changed\n')
        self.assertTrue(self.kept(made))
        self.assertEqual([], self.named('shelved'))
