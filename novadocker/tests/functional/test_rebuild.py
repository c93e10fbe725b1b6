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


"""Rebuild, through Nova and a real engine."""

from novadocker.tests.fixtures import images
from novadocker.tests.functional import base
from novadocker.virt.docker import model

OTHER = images.Image(command=('sh', '-c', 'echo other; read x'))


class RebuildTestCase(base.FunctionalTestCase):
    def rebuild(self, server, image, status='ACTIVE', **request):
        body = {'imageRef': image} | request
        answer = self.api.post_server_action(server['id'], {'rebuild': body})
        self.wait_for_status(server, status)
        return answer

    def test_rebuild(self):
        server = self.boot()
        before, sandbox = self.info(server), self.sandbox(server)
        link = self.inside(server, 'ip -o link')
        for image, name in (
            (server['image']['id'], 'same'),
            (self.glance.add(OTHER), 'other'),
        ):
            self.rebuild(server, image, name=name, metadata={'a': name})
            after = self.info(server)
            self.assertNotEqual(before.id, after.id)
            self.assertIs(model.ContainerState.RUNNING, after.state)
            self.assertEqual(sandbox, self.sandbox(server))
            self.assertEqual(link, self.inside(server, 'ip -o link'))
            self.assertEqual(2, len(self.containers()))
            before = after
        self.wait_for(lambda: 'other' in self.console(server), 'no output')
        found = self.api.get_server(server['id'])
        self.assertEqual('other', found['name'])
        self.assertEqual({'a': 'other'}, found['metadata'])
        self.delete(server)
        self.assert_nothing_left(server)

    def test_rebuild_of_a_stopped_server(self):
        server = self.boot()
        self.act(server, 'os-stop', 'SHUTOFF')
        self.rebuild(server, self.glance.add(OTHER), 'SHUTOFF')
        self.assertIs(model.ContainerState.EXITED, self.info(server).state)

    def test_new_host_name(self):
        server = self.boot()
        self.rebuild(server, server['image']['id'], hostname='other')
        self.assertEqual('other', self.sandbox(server).hostname)
        self.assertIn(
            server['addresses']['private'][0]['addr'],
            self.inside(server, 'ip address show dev eth0'),
        )
        self.delete(server)
        self.assert_nothing_left(server)

    def test_image_that_is_no_good_leaves_the_server_running(self):
        server = self.boot()
        before = self.info(server)
        image = self.glance.add(images.SHELL)
        self.glance._imagedata[image] = b'nothing' * 1000
        self.rebuild(server, image, 'ERROR')
        self.assertEqual(before, self.info(server))

    def test_command_that_cannot_be_started_leaves_the_old_container(self):
        server = self.boot()
        before = self.info(server)
        self.rebuild(server, self.glance.add(images.MISSING_COMMAND), 'ERROR')
        self.assertEqual(before.id, self.info(server).id)
        self.assertEqual(2, len(self.containers()))
        self.recover(server)
        self.assertIs(model.ContainerState.RUNNING, self.info(server).state)
        self.rebuild(server, self.glance.add(OTHER))
        self.delete(server)
        self.assert_nothing_left(server)
