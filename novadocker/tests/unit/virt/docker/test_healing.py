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
from unittest import mock

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
        self.healer = healing.Healer(self.lifecycle)
        self.healer.start()
        self.addCleanup(self.healer.stop)

    def heal(self):
        self.healer.heal(self.instance.uuid, lambda: self.done.put('given up'))
        return self.done.get(timeout=5)

    def test_active_server_runs_again(self):
        self.assertEqual('started', self.heal())

    def test_server_that_is_not_to_run_stays_off(self):
        self.instance.vm_state = vm_states.STOPPED

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
