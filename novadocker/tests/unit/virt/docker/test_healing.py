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

import queue
import threading
from unittest import mock

import fixtures
from nova.compute import task_states
from nova.compute import vm_states
from nova import exception as nova_exception
from nova.network import model
from nova import objects
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import healing
from novadocker.virt.docker import lifecycle
from novadocker.virt.docker import model as docker_model
from novadocker.virt.docker import observed
from novadocker.virt.docker import ports


class HealerTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.instance = instances.an_instance()
        self.instance.vm_state = vm_states.ACTIVE
        self.instance.task_state = None
        self.instance.info_cache = objects.InstanceInfoCache(
            network_info=model.NetworkInfo()
        )
        patch = mock.patch.object(
            objects.Instance,
            'get_by_uuid',
            autospec=True,
            return_value=self.instance,
        )
        self.find = patch.start()
        self.addCleanup(patch.stop)
        self.done = queue.SimpleQueue()
        self.lifecycle = mock.create_autospec(
            lifecycle.Lifecycle, instance=True
        )
        self.lifecycle.power_on.side_effect = lambda instance, vifs: (
            self.done.put('started')
        )
        self.ports = mock.create_autospec(ports.Ports, instance=True)
        self.ports.mend.side_effect = lambda instance, cause: self.done.put(
            cause
        )
        self.observed = mock.create_autospec(observed.Observed, instance=True)
        self.healer = healing.Healer(
            self.lifecycle, self.ports, self.observed, 'host1'
        )
        self.healer.start()
        self.addCleanup(self.healer.stop)

    def heal(self):
        self.healer.heal(self.instance.uuid, lambda: self.done.put('given up'))
        return self.done.get(timeout=5)

    def test_active_server_runs_again(self):
        self.assertEqual('started', self.heal())

    def test_rescued_server_runs_again(self):
        self.instance.vm_state = vm_states.RESCUED

        self.assertEqual('started', self.heal())

    def test_server_that_is_not_to_run_stays_off(self):
        self.instance.vm_state = vm_states.STOPPED

        self.assertEqual('given up', self.heal())
        self.lifecycle.power_on.assert_not_called()

    def test_job_is_not_run_twice(self):
        self.instance.flavor.extra_specs = {'docker:lifecycle': 'job'}

        self.assertEqual('given up', self.heal())
        self.lifecycle.power_on.assert_not_called()

    def test_server_that_nova_works_on_is_nova_s(self):
        self.instance.task_state = task_states.REBOOTING

        self.assertEqual('given up', self.heal())
        self.lifecycle.power_on.assert_not_called()

    def test_failure_is_given_up_and_the_next_is_healed(self):
        start = self.lifecycle.power_on.side_effect
        for error in (
            exception.EngineUnavailable(reason='gone'),
            nova_exception.InstanceNotFound(instance_id='i'),
            ValueError('surprise'),
        ):
            self.lifecycle.power_on.side_effect = error
            self.assertEqual('given up', self.heal())
        self.lifecycle.power_on.side_effect = start

        self.assertEqual('started', self.heal())


class ThawTestCase(HealerTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MockPatchObject(healing, 'RETRY', 0.01))
        self.state(docker_model.ContainerState.PAUSED)
        self.lifecycle.unpause.side_effect = self.done.put

    def state(self, state):
        self.observed.instances.return_value = {
            self.instance.uuid: mock.Mock(state=state)
        }

    def assert_untouched(self):
        self.healer.thaw(self.instance.uuid)
        self.assertRaises(queue.Empty, self.done.get, timeout=0.2)

    def test_server_that_is_to_run_goes_on(self):
        self.healer.thaw(self.instance.uuid)
        self.assertIs(self.instance, self.done.get(timeout=5))

    def test_server_that_a_user_has_paused_stays_so(self):
        self.instance.vm_state = vm_states.PAUSED
        self.assert_untouched()

    def test_server_that_goes_on_by_itself(self):
        self.state(docker_model.ContainerState.RUNNING)
        self.assert_untouched()

    def test_server_that_is_gone(self):
        self.observed.instances.return_value = {}
        self.assert_untouched()

    def test_server_that_nova_works_on_goes_on_later(self):
        self.instance.task_state = task_states.IMAGE_PENDING_UPLOAD
        self.assert_untouched()
        self.instance.task_state = None
        self.assertIs(self.instance, self.done.get(timeout=5))


class MendTestCase(HealerTestCase):
    def mend(self):
        self.healer.mend(self.instance.uuid, 'it was hurt')
        return self.done.get(timeout=5)

    def test_server_that_runs_is_mended(self):
        self.assertEqual('it was hurt', self.mend())
        self.ports.mend.assert_called_once_with(self.instance, 'it was hurt')

    def test_server_that_does_not_run_loses_its_dead_name(self):
        self.ports.in_use.return_value = False
        self.ports.unname.side_effect = self.done.put

        self.assertEqual(self.instance.uuid, self.mend())
        self.ports.mend.assert_not_called()
        self.find.assert_not_called()

    def test_many_hurts_are_one_repair(self):
        begun, go_on = threading.Event(), threading.Event()
        self.ports.in_use.side_effect = lambda uuid: (
            begun.set(),
            go_on.wait(5),
        )
        # Both threads are busy; what comes now has to wait.
        for uuid in ('a', 'b'):
            self.healer.mend(uuid, 'it was hurt')
        begun.wait(5)
        for _ in range(9):
            self.healer.mend(self.instance.uuid, 'it was hurt')
        go_on.set()
        for _ in range(3):
            self.done.get(timeout=5)

        self.assertRaises(queue.Empty, self.done.get, timeout=0.2)

    def test_failure_is_tried_again(self):
        self.useFixture(fixtures.MockPatchObject(healing, 'RETRY', 0.01))
        errors = [
            exception.NetworkSetupFailed(port='p', reason='no switch'),
            OSError(5, 'no luck'),
        ]

        def mend(instance, cause):
            if errors:
                raise errors.pop()
            self.done.put(cause)

        self.ports.mend.side_effect = mend
        self.assertEqual('it was hurt', self.mend())

    def test_nothing_is_mended_without_the_engine(self):
        """When it is back, all servers are looked at."""
        self.useFixture(fixtures.MockPatchObject(healing, 'RETRY', 0.01))
        self.ports.in_use.side_effect = exception.EngineUnavailable(reason='r')
        self.healer.mend(self.instance.uuid, 'it was hurt')

        self.assertRaises(queue.Empty, self.done.get, timeout=0.2)
        self.ports.in_use.assert_called_once()

    def test_server_that_was_deleted(self):
        self.useFixture(fixtures.MockPatchObject(healing, 'RETRY', 0.01))
        self.find.side_effect = nova_exception.InstanceNotFound(
            instance_id='i'
        )
        self.healer.mend(self.instance.uuid, 'it was hurt')

        self.assertRaises(queue.Empty, self.done.get, timeout=0.2)
        self.find.assert_called_once()


class SettleTestCase(HealerTestCase):
    def setUp(self):
        super().setUp()
        self.in_database = mock.Mock(return_value=[self.instance])
        self.useFixture(
            fixtures.MockPatchObject(
                objects.InstanceList, 'get_by_host', self.in_database
            )
        )
        self.engine_says(docker_model.ContainerState.EXITED)

    def engine_says(self, state):
        self.observed.instances.return_value = {
            self.instance.uuid: docker_model.ContainerSummary(
                id='i', name='n', state=state, labels={}, image_id='i'
            )
        }

    def test_server_that_nova_believes_to_run(self):
        for state in (vm_states.ACTIVE, vm_states.PAUSED):
            self.instance.vm_state = state
            self.healer._settle(self.done.put)
            self.assertEqual(self.instance.uuid, self.done.get(timeout=5))

    def test_others_are_as_they_should_be(self):
        for change in (
            lambda: setattr(self.instance, 'vm_state', vm_states.STOPPED),
            lambda: setattr(
                self.instance, 'task_state', task_states.POWERING_ON
            ),
            lambda: self.engine_says(docker_model.ContainerState.RUNNING),
            self.observed.instances.return_value.clear,
        ):
            change()
            self.healer._settle(self.done.put)
            self.assertTrue(self.done.empty())
            self.instance.vm_state = vm_states.ACTIVE
            self.instance.task_state = None

    def test_once(self):
        for _ in range(3):
            self.healer.settle(self.done.put)

        self.assertEqual(self.instance.uuid, self.done.get(timeout=5))
        self.assertRaises(queue.Empty, self.done.get, timeout=0.2)
        self.in_database.assert_called_once()

    def test_a_host_where_all_run_asks_nobody(self):
        self.engine_says(docker_model.ContainerState.RUNNING)
        self.healer._settle(self.done.put)

        self.in_database.assert_not_called()
