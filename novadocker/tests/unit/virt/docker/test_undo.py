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

from oslotest import base

from novadocker import exception
from novadocker.virt.docker import undo as undoing


_WHY = ValueError('why')


class UndoTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.done = []

    def fail(self, *steps, error=_WHY):
        with undoing.Undo(None) as undo:
            for step in steps:
                undo.callback(*step)
            raise error

    def test_success_undoes_nothing(self):
        with undoing.Undo(None) as undo:
            undo.callback(self.done.append, 1)

        self.assertEqual([], self.done)

    def test_failure_undoes_in_reverse(self):
        self.assertRaises(
            ValueError,
            self.fail,
            (self.done.append, 1),
            (self.done.append, 2),
        )

        self.assertEqual([2, 1], self.done)

    def test_step_that_fails_hides_neither_cause_nor_other_steps(self):
        def broken():
            raise exception.EngineError(500, 'no')

        self.assertRaises(
            ValueError,
            self.fail,
            (self.done.append, 1),
            (broken,),
            (self.done.append, 2),
        )

        self.assertEqual([2, 1], self.done)

    def test_an_end_of_the_process_undoes_as_well(self):
        self.assertRaises(
            KeyboardInterrupt,
            self.fail,
            (self.done.append, 1),
            error=KeyboardInterrupt(),
        )

        self.assertEqual([1], self.done)
