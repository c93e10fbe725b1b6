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

"""Tests for whose turn it is with os-vif."""

import threading
import types

import fixtures
import testtools

from novadocker.virt.docker import plugging

PATIENCE = 10
MOMENT = 0.2


class PluggingTestCase(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.entered: list[tuple[object, object]] = []
        self.first = threading.Event()
        self.second = threading.Event()
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)
        for name in ('os_vif.plug', 'os_vif.unplug'):
            self.useFixture(fixtures.MonkeyPatch(name, self._held))

    def _held(self, port: object, info: object) -> None:
        self.entered.append((port, info))
        (self.second if self.first.is_set() else self.first).set()
        self.go_on.wait(PATIENCE)

    def _begin(self) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=plugging.plug, args=('port1', 'info1')),
            threading.Thread(target=plugging.unplug, args=('port2', 'info2')),
        ]
        threads[0].start()
        self.assertTrue(self.first.wait(PATIENCE))
        threads[1].start()
        return threads

    def _end(self, threads: list[threading.Thread]) -> None:
        self.go_on.set()
        for thread in threads:
            thread.join(PATIENCE)
        self.assertEqual(
            [('port1', 'info1'), ('port2', 'info2')], self.entered
        )

    def _eventlet(self, patched: bool) -> None:
        patcher = types.SimpleNamespace(
            is_monkey_patched=lambda module: module == 'thread' and patched
        )
        self.useFixture(
            fixtures.MonkeyPatch('sys.modules', {'eventlet.patcher': patcher})
        )

    def test_threads_need_not_wait(self) -> None:
        self._eventlet(patched=False)
        threads = self._begin()
        self.assertTrue(self.second.wait(PATIENCE))
        self._end(threads)

    def test_green_threads_take_turns(self) -> None:
        self._eventlet(patched=True)
        threads = self._begin()
        self.assertFalse(self.second.wait(MOMENT))
        self._end(threads)
        self.assertTrue(self.second.is_set())

    def test_turn_ends_with_an_error(self) -> None:
        self._eventlet(patched=True)

        def fail(port: object, info: object) -> None:
            raise OSError('no')

        with fixtures.MonkeyPatch('os_vif.plug', fail):
            self.assertRaises(OSError, plugging.plug, 'port', 'info')
        self.go_on.set()
        plugging.unplug('port', 'info')
        self.assertEqual([('port', 'info')], self.entered)
