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

"""A server is rescued, and is itself again."""

from novadocker.tests.e2e import base
from novadocker.tests.fixtures import images

_PAGE = '/www/index.html'


class TestRescue(base.TestCase):
    def test_rescue_and_unrescue(self):
        server = self.boot(self.upload(base.WEB))
        self.assert_running(server)
        before = self.containers(server)['instance']['Id']
        address = self.address(server)
        tools = self.upload(images.SHELL)
        compute = self.cloud.demo.compute

        compute.rescue_server(server, image_ref=tools.id)
        self.wait_for_status(server, 'RESCUE')
        self.assertEqual(address, self.address(server))
        self.assert_plugged(server)
        self.assert_answers(server)
        self.inside(server, 'test', '!', '-e', _PAGE)
        self.inside(
            server, 'sh', '-c', f'echo rescued > /mnt/instance{_PAGE}'
        )

        compute.unrescue_server(server)
        self.wait_for_status(server, 'ACTIVE')
        self.assert_running(server)
        self.assertEqual(before, self.containers(server)['instance']['Id'])
        url = f'http://{address}/'
        self.assertEqual(
            'rescued\n', self.beside('curl', '-sS', '-m', '10', url)
        )
