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

from oslotest import base

from novadocker.virt.docker import model

State = model.ContainerState


class StateTestCase(base.BaseTestCase):
    def test_there_are_processes_in_what_is_alive(self):
        self.assertEqual(
            {State.RUNNING, State.PAUSED, State.RESTARTING},
            {state for state in State if state.alive},
        )


class FrozenTestCase(base.BaseTestCase):
    def test_nothing_changes_once_it_is_made(self):
        classes = [
            one
            for one in vars(model).values()
            if isinstance(one, type) and dataclasses.is_dataclass(one)
        ]
        self.assertIn(model.ContainerSpec, classes)
        for one in classes:
            self.assertTrue(one.__dataclass_params__.frozen, one)
