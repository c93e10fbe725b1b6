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

"""Servers that change their size or their host."""

from novadocker.tests.e2e import base
from novadocker.tests.e2e import two_hosts


class TestMoves(two_hosts.TestCase):
    def migrate(self, server, target):
        """Have an administrator move a server, up to the user's word."""
        self.cloud.take_servers(target)
        self.cloud.admin.compute.migrate_server(server)
        self.wait_for_status(server, 'VERIFY_RESIZE')
        self.assert_at(target, server)

    def resize(self, server, flavor):
        found = self.compute.find_flavor(flavor)
        self.compute.resize_server(server, found)
        return found

    def test_to_another_host_and_back_and_for_good(self):
        server = self.boot_at(self.first)
        addresses = self.addresses(server)
        before = self.containers(server)['instance']['Id']

        self.migrate(server, self.second)
        self.assertEqual(addresses, self.addresses(server))
        waiting = self.containers_at(self.first, server)['instance']
        self.assertEqual(before, waiting['Id'])
        self.assertFalse(waiting['State']['Running'])
        self.compute.revert_server_resize(server)
        self.wait_for_status(server, 'ACTIVE')
        self.assert_at(self.first, server)
        self.assertEqual(addresses, self.addresses(server))
        self.assertEqual(before, self.containers(server)['instance']['Id'])
        self.assert_nothing_left_at(self.second, server)

        self.migrate(server, self.second)
        self.compute.confirm_server_resize(server)
        self.wait_for_status(server, 'ACTIVE')
        self.assert_at(self.second, server)
        self.assertEqual(addresses, self.addresses(server))
        self.assert_nothing_left_at(self.first, server)
        # What it travelled as is nobody's image.
        self.assertEqual(
            [],
            [
                image.name
                for image in self.cloud.admin.image.images(is_hidden=True)
            ],
        )

    def test_to_another_size(self):
        server = self.boot_at(self.first)
        before = self.containers(server)['instance']['Id']
        self.resize(server, 'docker.medium')
        self.wait_for_status(server, 'VERIFY_RESIZE')
        self.assert_at(self.first, server)
        self.compute.revert_server_resize(server)
        self.wait_for_status(server, 'ACTIVE')
        self.assert_at(self.first, server)
        self.assertEqual(before, self.containers(server)['instance']['Id'])

        self.resize(server, 'docker.medium')
        self.wait_for_status(server, 'VERIFY_RESIZE')
        self.compute.confirm_server_resize(server)
        self.wait_for_status(server, 'ACTIVE')
        self.assert_at(self.first, server)

        # There is more on it by now than the smaller size has room for.
        self.inside(
            server,
            *('dd', 'if=/dev/zero', 'of=/filled', 'bs=1M', 'count=1100'),
        )
        started = self.start_of(server)
        self.resize(server, base.FLAVOR)
        self.wait_for(
            lambda: self.show(server).task_state is None, 'the refusal'
        )
        self.assert_at(self.first, server)
        self.assertEqual(started, self.start_of(server))
        self.assertIn('disk', self.why_not(server, 'resize'))

    def why_not(self, server, action):
        """What a server's history says of an action that failed."""
        admin = self.cloud.admin.compute
        found = next(
            one for one in admin.server_actions(server) if one.action == action
        )
        found = admin.get_server_action(found.request_id, server)
        return ' '.join(
            str(event.get('details') or event.get('traceback') or '')
            for event in found.events
        )
