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

import dataclasses
from unittest import mock

from nova import exception as nova_exception
from nova import objects
from oslotest import base

from novadocker import exception
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import console
from novadocker.virt.docker import model

INFO = model.ContainerInfo(
    id='id',
    name='name',
    state=model.ContainerState.RUNNING,
    pid=1,
    exit_code=0,
    oom_killed=False,
    error='',
    image_id='',
    labels={},
    network='none',
    tty=True,
    resolv_conf_path='',
    hosts_path='',
)


class ConsoleTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.client = mock.create_autospec(engine.Client, instance=True)
        self.client.logs.return_value = b'hello\r\n'
        self.client.inspect.return_value = INFO
        self.instance = objects.Instance(uuid='u')

    def output(self, **info):
        self.client.inspect.return_value = dataclasses.replace(INFO, **info)
        return console.Console(self.client).output(self.instance)

    def test_running_server(self):
        self.assertEqual(b'hello\r\n', self.output())

    def test_server_that_never_ran_has_not_ended(self):
        self.assertEqual(
            b'hello\r\n', self.output(state=model.ContainerState.CREATED)
        )

    def test_ended_server_says_how(self):
        found = self.output(state=model.ContainerState.EXITED, exit_code=3)

        self.assertTrue(found.startswith(b'hello\r\n'))
        self.assertIn(b'exit code 3', found)
        self.assertNotIn(b'memory', found)

    def test_server_without_memory_says_so(self):
        found = self.output(
            state=model.ContainerState.EXITED, exit_code=137, oom_killed=True
        )

        self.assertIn(b'out of memory', found)

    def test_no_container_is_no_instance(self):
        self.client.inspect.side_effect = exception.ContainerNotFound(404, '')

        self.assertRaises(
            nova_exception.InstanceNotFound,
            console.Console(self.client).output,
            self.instance,
        )
