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
import queue
import threading
from unittest import mock

import fixtures
from nova.virt import event as virtevent
from oslotest import base

from novadocker import exception
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import events
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import observed

UUID = '6c4c3d3a-0c37-4a3f-9d5c-7e4f0d1c2b3a'
RUNNING = model.ContainerState.RUNNING
EXITED = model.ContainerState.EXITED


class Stream:
    """An event stream that a test feeds, and may break."""

    def __init__(self):
        self.queue = queue.SimpleQueue()
        self.left = threading.Event()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.left.set()

    def __iter__(self):
        return iter(self.queue.get, None)

    def close(self):
        self.queue.put(None)


class EventsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.healed = queue.SimpleQueue()
        self.thawed = queue.SimpleQueue()
        self.mended = queue.SimpleQueue()
        self.healthy = False
        self.opened = queue.SimpleQueue()
        self.client = mock.create_autospec(engine.Client, instance=True)
        self.client.events.side_effect = self.open_stream
        self.client.list_containers.side_effect = self.list_containers
        self.state(RUNNING)
        self.emitted = queue.SimpleQueue()
        for name, value in (('RETRY', (0,)), ('REPEAT_STOPPED', (0, 0.05))):
            patch = mock.patch.object(events, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.events = events.Events(
            self.client,
            observed.Observed(self.client, 'host1'),
            'host1',
            self.emitted.put,
            self,
        )
        self.addCleanup(self.events.stop)

    def open_stream(self, _filter):
        stream = Stream()
        self.opened.put(stream)
        return stream

    def heal(self, uuid, otherwise):
        self.healed.put(uuid)
        if not self.healthy:
            otherwise()

    def mend(self, uuid, cause):
        self.mended.put((uuid, cause))

    def thaw(self, uuid):
        self.thawed.put(uuid)

    def start(self):
        self.events.start()
        return self.opened.get(timeout=5)

    def state(self, state, uuid=UUID):
        self.instances = [
            model.ContainerSummary(
                id='id',
                name=naming.instance_name(uuid),
                state=state,
                labels=naming.labels(uuid, naming.ROLE_INSTANCE, 'host1'),
                image_id='image',
            )
        ]
        self.sandboxes = [
            dataclasses.replace(
                row,
                state=RUNNING,
                labels=naming.labels(uuid, naming.ROLE_SANDBOX, 'host1'),
            )
            for row in self.instances
        ]

    def list_containers(self, labels):
        if naming.is_sandbox(labels):
            return self.sandboxes
        return self.instances

    def event(self, action, role=naming.ROLE_INSTANCE, **kwargs):
        return model.Event(
            action=action,
            container_id='id',
            labels=naming.labels(UUID, role, 'host1'),
            time=0,
            **kwargs,
        )

    def next(self):
        found = self.emitted.get(timeout=5)
        return found.get_instance_uuid(), found.get_transition()

    def assert_silence(self):
        self.assertRaises(queue.Empty, self.emitted.get, timeout=0.2)

    def test_an_end_that_the_engines_list_does_not_know_yet(self):
        known, boxes = self.instances, self.sandboxes
        self.state(model.ContainerState.EXITED)
        # Caught up, not known, known.
        self.client.list_containers.side_effect = [
            known,
            boxes,
            known,
            self.instances,
        ]
        stream = self.start()
        stream.queue.put(self.event(model.EventAction.DIE, exit_code=1))

        self.assertEqual(
            (UUID, virtevent.EVENT_LIFECYCLE_STOPPED), self.next()
        )

    def test_each_event_reaches_nova(self):
        stream = self.start()
        for action, state, transition in (
            (
                model.EventAction.PAUSE,
                model.ContainerState.PAUSED,
                virtevent.EVENT_LIFECYCLE_PAUSED,
            ),
            (
                model.EventAction.UNPAUSE,
                RUNNING,
                virtevent.EVENT_LIFECYCLE_RESUMED,
            ),
            (
                model.EventAction.START,
                RUNNING,
                virtevent.EVENT_LIFECYCLE_STARTED,
            ),
        ):
            self.state(state)
            stream.queue.put(self.event(action))
            self.assertEqual((UUID, transition), self.next())

    def test_the_end_is_told_twice(self):
        """Nova may be busy with the server the first time."""
        stream = self.start()
        self.state(EXITED)
        stream.queue.put(self.event(model.EventAction.DIE, exit_code=1))

        stopped = (UUID, virtevent.EVENT_LIFECYCLE_STOPPED)
        self.assertEqual(stopped, self.next())
        self.assertEqual(stopped, self.next())
        self.assert_silence()

    def test_the_end_is_not_told_of_a_server_that_runs_again(self):
        stream = self.start()
        self.state(RUNNING)
        stream.queue.put(self.event(model.EventAction.DIE, exit_code=1))

        self.assert_silence()

    def test_a_server_that_went_with_the_engine_is_healed(self):
        self.healthy = True
        stream = self.start()
        self.state(EXITED)
        stream.close()
        self.opened.get(timeout=5)

        self.assertEqual(UUID, self.healed.get(timeout=5))
        self.assert_silence()

    def test_an_engine_that_tells_of_its_servers_end_as_it_ends(self):
        """Its last events are not what a user's process has done."""
        self.healthy = True
        stream = self.start()
        self.client.list_containers.side_effect = exception.EngineUnavailable(
            reason='shutting down'
        )
        stream.queue.put(self.event(model.EventAction.DIE, exit_code=137))
        self.assert_silence()
        self.client.list_containers.side_effect = self.list_containers
        self.state(EXITED)
        stream.close()
        self.opened.get(timeout=5)

        self.assertEqual(UUID, self.healed.get(timeout=5))
        self.assert_silence()

    def test_an_engine_that_still_answers_as_it_ends(self):
        """On the connections that it has, but it takes no new ones."""
        self.healthy = True
        stream = self.start()
        self.client.ping.side_effect = exception.EngineUnavailable(
            reason='no such socket'
        )
        self.state(EXITED)
        stream.queue.put(self.event(model.EventAction.DIE, exit_code=137))
        self.assert_silence()
        self.client.ping.side_effect = None
        stream.close()
        self.opened.get(timeout=5)

        self.assertEqual(UUID, self.healed.get(timeout=5))

    def test_an_engine_that_answers_when_it_is_back(self):
        """As it does where systemd keeps its socket for it."""
        self.healthy = True
        asked, back = threading.Event(), threading.Event()

        def ping():
            asked.set()
            back.wait(5)

        self.client.ping.side_effect = ping
        stream = self.start()
        self.state(EXITED)
        stream.queue.put(self.event(model.EventAction.DIE, exit_code=137))
        asked.wait(5)
        stream.close()
        self.opened.get(timeout=5)
        self.assertEqual(UUID, self.healed.get(timeout=5))
        self.client.ping.side_effect = None
        back.set()

        self.assert_silence()

    def test_an_engine_that_is_back_before_it_is_listened_to(self):
        self.useFixture(fixtures.MockPatchObject(events, 'RETRY', (0.3,)))
        self.healthy = True
        stream = self.start()
        stream.queue.put(self.event(model.EventAction.DIE, exit_code=137))
        stream.close()
        stream.left.wait(5)
        self.state(EXITED)

        self.assertEqual(UUID, self.healed.get(timeout=5))
        self.assert_silence()

    def test_one_that_cannot_be_healed_is_told(self):
        stream = self.start()
        self.state(EXITED)
        stream.close()

        self.opened.get(timeout=5)
        self.assertEqual(
            (UUID, virtevent.EVENT_LIFECYCLE_STOPPED), self.next()
        )

    def test_sandbox_that_ends_is_mended(self):
        stream = self.start()
        for action in (
            model.EventAction.START,
            model.EventAction.DIE,
            model.EventAction.DESTROY,
        ):
            stream.queue.put(self.event(action, naming.ROLE_SANDBOX))

        uuid, cause = self.mended.get(timeout=5)
        self.assertEqual(UUID, uuid)
        self.assertIn('sandbox', cause)
        self.assertRaises(queue.Empty, self.mended.get, timeout=0.1)
        self.assert_silence()

    def test_sandbox_that_ended_while_the_engine_was_away(self):
        stream = self.start()
        self.sandboxes = []
        stream.close()

        self.assertEqual(UUID, self.mended.get(timeout=5)[0])

    def test_sandbox_of_a_server_that_does_not_run_may_be_gone(self):
        self.state(EXITED)
        self.sandboxes = []
        self.start()

        self.assertRaises(queue.Empty, self.mended.get, timeout=0.1)

    def test_server_that_was_left_off_is_told(self):
        self.state(EXITED)
        self.start()
        self.events.ended(UUID)

        self.assertEqual(
            (UUID, virtevent.EVENT_LIFECYCLE_STOPPED), self.next()
        )

    def test_what_else_happened_while_the_engine_was_away(self):
        stream = self.start()
        self.state(model.ContainerState.PAUSED)
        stream.close()

        self.opened.get(timeout=5)
        self.assertEqual((UUID, virtevent.EVENT_LIFECYCLE_PAUSED), self.next())
        self.assertTrue(self.healed.empty())
        self.assertEqual(UUID, self.thawed.get(timeout=5))

    def test_nothing_is_told_at_the_start(self):
        self.state(EXITED)
        self.start()

        self.assert_silence()

    def test_comes_back_when_the_engine_does(self):
        failures = [
            exception.EngineUnavailable(reason='no'),
            ValueError('surprise'),
            exception.EngineUnavailable(reason='no'),
        ]

        def open_at_last(labels):
            if failures:
                raise failures.pop()
            return self.open_stream(labels)

        self.client.events.side_effect = open_at_last
        stream = self.start()
        self.state(EXITED)
        stream.queue.put(self.event(model.EventAction.DIE, exit_code=1))

        self.assertEqual(
            (UUID, virtevent.EVENT_LIFECYCLE_STOPPED), self.next()
        )

    def test_a_nova_that_fails_does_not_end_it(self):
        told = []

        def fail_first(event):
            told.append(event)
            if len(told) == 1:
                raise ValueError('database away')
            self.emitted.put(event)

        self.events = events.Events(
            self.client,
            observed.Observed(self.client, 'host1'),
            'host1',
            fail_first,
            self,
        )
        self.addCleanup(self.events.stop)
        stream = self.start()
        stream.queue.put(self.event(model.EventAction.START))
        stream.queue.put(self.event(model.EventAction.START))

        self.assertEqual(
            (UUID, virtevent.EVENT_LIFECYCLE_STARTED), self.next()
        )

    def test_stop_ends_both_threads(self):
        before = set(threading.enumerate())
        self.start()
        ours = set(threading.enumerate()) - before
        self.assertEqual(2, len(ours))

        self.events.stop()

        for thread in ours:
            thread.join(5)
            self.assertFalse(thread.is_alive(), thread.name)
