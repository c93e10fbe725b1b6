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

"""An engine that goes away, and comes back."""

import threading

from novadocker import exception
from novadocker.tests.contract import base
from novadocker.tests.fixtures import engine as docker_engine
from novadocker.tests.fixtures import images
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model


class FailuresTestCase(base.ContractTestCase):
    def connect(self):
        self.engine = self.useFixture(docker_engine.DockerEngine())
        return engine.Client(
            model.EngineSettings(url=self.engine.url, timeout=60)
        )

    def test_engine_that_is_not_there(self):
        client = engine.Client(
            model.EngineSettings(url=f'{self.engine.url}.none', timeout=5)
        )
        for request in (
            client.ping,
            client.info,
            lambda: client.inspect('a'),
            lambda: client.remove('a'),
            lambda: client.stop_if_there('a'),
            lambda: client.remove_image('a'),
            lambda: client.load([images.SHELL.archive()]),
            lambda: list(client.save('a')),
            lambda: client.events({}),
        ):
            self.assertRaises(exception.EngineUnavailable, request)

    def test_engine_that_restarts(self):
        container = self.running()
        before = self.client.inspect(container)
        ended = threading.Event()
        with self.client.events(self.labels) as stream:

            def follow():
                for _ in stream:
                    pass
                ended.set()

            threading.Thread(target=follow, daemon=True).start()
            self.engine.stop()
            self.assertTrue(ended.wait(10))
        self.assertRaises(exception.EngineUnavailable, self.client.ping)
        self.engine.start()
        self.assertEqual(before, self.client.inspect(container))
        self.client.kill(container)
        self.assertEqual(model.ContainerState.EXITED, self.state(container))

    def test_engine_that_is_killed(self):
        container = self.running()
        self.engine.kill()
        self.assertRaises(exception.EngineUnavailable, self.client.ping)
        self.engine.start()
        self.assertEqual(model.ContainerState.RUNNING, self.state(container))

    def test_engine_that_takes_its_containers_along(self):
        self.engine.stop()
        self.engine.start(live_restore=False)
        container = self.running(images.SERVICE)
        self.engine.stop()
        self.engine.start()
        self.assertEqual(model.ContainerState.EXITED, self.state(container))
