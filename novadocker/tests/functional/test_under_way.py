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

"""What is asked for while something else is under way."""

from concurrent import futures
import contextlib
import threading
from unittest import mock

import nova.conf
from nova.tests.functional.api import client as api_client

from novadocker.tests.fixtures import images
from novadocker.tests.functional import base
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import images as docker_images
from novadocker.virt.docker import model

State = model.ContainerState

# What changes a server, but for its deletion.
ACTIONS = (
    {'os-stop': None},
    {'reboot': {'type': 'SOFT'}},
    {'pause': None},
    {'suspend': None},
    {'rescue': None},
    {'shelve': None},
    {'createImage': {'name': 'a'}},
    {'changePassword': {'adminPass': 'secret'}},
    {'trigger_crash_dump': None},
)


class UnderWayTestCase(base.FunctionalTestCase):
    @contextlib.contextmanager
    def held(self, owner, name):
        """Have the next call of a function wait for the end of the block.

        Gives what waits for the call.
        """
        real = getattr(owner, name)
        reached, go_on = threading.Event(), threading.Event()

        def holding(*args, **kwargs):
            if not reached.is_set():
                reached.set()
                go_on.wait(base.PATIENCE)
            return real(*args, **kwargs)

        with mock.patch.object(owner, name, holding):
            try:
                yield lambda: self.assertTrue(reached.wait(base.PATIENCE))
            finally:
                go_on.set()

    def status_of(self, server, action):
        try:
            self.api.post_server_action(server['id'], action)
        except api_client.OpenStackApiException as exc:
            return exc.response.status_code
        return None

    def assert_all_refused(self, server):
        rebuild = {'rebuild': {'imageRef': server['image']['id']}}
        self.assertEqual(
            [(action, 409) for action in (*ACTIONS, rebuild)],
            [
                (action, self.status_of(server, action))
                for action in (*ACTIONS, rebuild)
            ],
        )

    def test_server_that_is_being_stopped(self):
        server = self.boot()
        with self.held(engine.Client, 'stop') as wait:
            self.act(server, 'os-stop')
            wait()
            self.assert_all_refused(server)
        self.wait_for_status(server, 'SHUTOFF')
        self.assertIs(State.EXITED, self.info(server).state)

    def test_server_that_is_being_built(self):
        with self.held(docker_images.Images, 'ensure') as wait:
            server = self.create(self.glance.add(images.SHELL))
            wait()
            self.assert_all_refused(self.api.get_server(server['id']))
        self.wait_for_status(server, 'ACTIVE')

    def test_server_that_is_being_rescued(self):
        server = self.boot()
        with self.held(docker_images.Images, 'ensure') as wait:
            self.act(server, 'rescue')
            wait()
            self.assert_all_refused(server)
        self.wait_for_status(server, 'RESCUE')

    def test_deletion_is_never_refused(self):
        """Whatever is under way comes to its end, and leaves nothing."""
        for owner, name, action in (
            (engine.Client, 'stop', {'os-stop': None}),
            (engine.Client, 'pause', {'pause': None}),
            (docker_images.Images, 'ensure', {'rescue': None}),
            (engine.Client, 'commit', {'createImage': {'name': 'a'}}),
        ):
            server = self.boot()
            with self.held(owner, name) as wait:
                self.assertIsNone(self.status_of(server, action))
                wait()
                self.api.delete_server(server['id'])
            self._wait_until_deleted(server)
            self.assert_nothing_left(server)

    def test_deletion_of_a_server_that_is_being_built(self):
        with self.held(docker_images.Images, 'ensure') as wait:
            server = self.create(self.glance.add(images.SHELL))
            wait()
            self.api.delete_server(server['id'])
        self._wait_until_deleted(server)
        self.assert_nothing_left(server)

    def test_many_delete_the_same_server(self):
        server = self.boot()

        def delete():
            try:
                self.api.delete_server(server['id'])
            except api_client.OpenStackApiException as exc:
                return exc.response.status_code
            return 204

        with futures.ThreadPoolExecutor(5) as pool:
            answers = [pool.submit(delete) for _ in range(5)]
        found = {answer.result() for answer in answers}
        self.assertLessEqual(found, {204, 404})
        self.assertIn(204, found)
        self._wait_until_deleted(server)
        self.assert_nothing_left(server)

    # An orderly stop of nova-compute

    def stopped_during(self, owner, name, begin):
        """Stop nova-compute while something waits, and start it again."""
        with futures.ThreadPoolExecutor(1) as pool:
            with self.held(owner, name) as wait:
                server = begin()
                wait()
                stopping = pool.submit(self.compute.stop)
                self.assertRaises(
                    futures.TimeoutError, stopping.result, timeout=1
                )
            stopping.result(base.PATIENCE)
        self.compute = self.start_service('compute', host=self.host)
        self.addCleanup(self.compute.stop)
        return server

    def test_build_comes_to_its_end(self):
        if 'manager_shutdown_timeout' not in nova.conf.CONF:
            self.skipTest('this Nova does not wait for builds')
        # Nova's own tests do not wait for any. Where Nova waits only for those
        # that there are, 20 seconds of this are not for waiting.
        self.flags(
            manager_shutdown_timeout=20 + base.PATIENCE
            if base.STOPS_IN_BACKGROUND
            else 5
        )
        server = self.stopped_during(
            docker_images.Images,
            'ensure',
            lambda: self.create(self.glance.add(images.SHELL)),
        )
        self.wait_for_status(server, 'ACTIVE')
        self.assertIs(State.RUNNING, self.info(server).state)
        self.delete(server)
        self.assert_nothing_left(server)

    def test_what_is_done_to_servers_comes_to_its_end(self):
        server = self.boot()
        for owner, name, action, status in (
            (engine.Client, 'stop', 'os-stop', 'SHUTOFF'),
            (engine.Client, 'start', 'os-start', 'ACTIVE'),
            (docker_images.Images, 'ensure', 'rescue', 'RESCUE'),
            (engine.Client, 'start', 'unrescue', 'ACTIVE'),
        ):
            self.stopped_during(
                owner, name, lambda action=action: self.act(server, action)
            )
            self.wait_for_status(server, status)
        self.delete(server)
        self.assert_nothing_left(server)
