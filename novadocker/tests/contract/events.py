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

"""The contract of the engine's events, and of what it says of itself."""

import itertools
import threading

from novadocker import exception
from novadocker.tests.contract import base
from novadocker.tests.fixtures import images
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model

Action = model.EventAction


class EventsContract(base.ContractTestCase):
    def listen(self, since: int | None = None) -> engine.EventStream:
        stream = self.client.events(self.labels, since)
        self.addCleanup(stream.close)
        return stream

    def read(self, stream, count):
        return list(itertools.islice(stream, count))

    def actions(self, stream, count):
        return [event.action for event in self.read(stream, count)]

    def test_life_of_a_container(self):
        stream = self.listen()
        container = self.running()
        self.client.pause(container)
        self.client.unpause(container)
        self.client.kill(container)
        self.client.start(container)
        self.client.remove(container)
        events = self.read(stream, 7)
        self.assertEqual(
            [
                Action.START,
                Action.PAUSE,
                Action.UNPAUSE,
                Action.DIE,
                Action.START,
                Action.DIE,
                Action.DESTROY,
            ],
            [event.action for event in events],
        )
        for event in events:
            self.assertEqual(container, event.container_id)
            self.assertLessEqual(self.labels.items(), event.labels.items())
            died = event.action is Action.DIE
            self.assertEqual(137 if died else None, event.exit_code)
        times = [event.time for event in events]
        self.assertEqual(sorted(set(times)), times)

    def test_exit_code(self):
        stream = self.listen()
        self.running(images.ENDS)
        start, die = self.read(stream, 2)
        self.assertEqual((Action.START, None), (start.action, start.exit_code))
        self.assertEqual((Action.DIE, 3), (die.action, die.exit_code))

    def test_start_that_fails_is_no_start(self):
        stream = self.listen()
        container = self.created(images.MISSING_COMMAND)
        self.assertRaises(exception.EngineError, self.client.start, container)
        self.client.remove(container)
        actions = [Action.DIE]
        while actions[-1] is not Action.DESTROY:
            actions += self.actions(stream, 1)
        self.assertNotIn(Action.START, actions)

    def test_others_are_not_heard(self):
        stream = self.listen()
        other = self.created(suffix='b', labels={base.RUN: 'other'})
        self.client.start(other)
        self.client.remove(other)
        container = self.running()
        [event] = self.read(stream, 1)
        self.assertEqual(container, event.container_id)

    def test_past_is_replayed(self):
        stream = self.listen()
        container = self.running()
        self.client.pause(container)
        self.client.unpause(container)
        start, pause, unpause = self.read(stream, 3)
        for since, expected in (
            (start.time, [start, pause, unpause]),
            (start.time + 1, [pause, unpause]),
            (unpause.time, [unpause]),
        ):
            replayed = self.listen(since)
            self.assertEqual(expected, self.read(replayed, len(expected)))
        self.client.remove(container)
        self.assertEqual(
            [Action.DIE, Action.DESTROY], self.actions(replayed, 2)
        )

    def test_close_by_another_thread(self):
        stream = self.listen()
        self.running()
        heard = []
        listening = threading.Event()

        def follow():
            for event in stream:
                heard.append(event.action)
                listening.set()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        self.assertTrue(listening.wait(10))
        stream.close()
        thread.join(10)
        self.assertFalse(thread.is_alive())
        self.assertEqual([Action.START], heard)
        stream.close()


class EngineContract(base.ContractTestCase):
    def test_ping(self):
        self.client.ping()

    def test_info(self):
        info = self.client.info()
        self.assertEqual('linux', info.os_type)
        self.assertGreaterEqual(info.cpus, 1)
        self.assertGreater(info.memory, 1 << 28)
        self.assertRegex(info.version, r'^\d+\.\d+')
        self.assertRegex(info.api_version, r'^1\.\d+$')
        self.assertTrue(info.root_dir.startswith('/'))
        self.assertIn(info.cgroup_version, ('1', '2'))
        self.assertTrue(info.architecture)
        self.assertTrue(info.storage_driver)
        self.assertTrue(info.kernel)
        self.assertTrue(info.name)
