#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

import pathlib
import signal

import fixtures
from oslotest import base

from novadocker.virt.docker import signals

STATUS = """\
Name:\tserver
SigQ:\t0/1
SigBlk:\t{:016x}
SigIgn:\t0000000000000000
SigCgt:\t{:016x}
"""


def bit(number):
    return 1 << (number - 1)


class NumberTestCase(base.BaseTestCase):
    def test_every_way_to_name_a_signal(self):
        for name, expected in (
            ('SIGTERM', signal.SIGTERM),
            ('quit', signal.SIGQUIT),
            ('15', 15),
            ('SIGRTMIN+3', signal.SIGRTMIN + 3),
            ('RTMIN+3', signal.SIGRTMIN + 3),
        ):
            self.assertEqual(expected, signals.number(name), name)

    def test_no_signal(self):
        for name in ('', 'SIGNONE', 'RTMIN+'):
            self.assertRaises(ValueError, signals.number, name)


class InnerPidTestCase(base.BaseTestCase):
    def test_the_innermost_name_of_a_process(self):
        proc = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (proc / '7').mkdir()
        for status, expected in (
            ('Name:\tsh\nNSpid:\t7\t3\t1\n', 1),
            ('Name:\tsh\n', 7),
        ):
            (proc / '7' / 'status').write_text(status)
            self.assertEqual(expected, signals.inner_pid(7, proc))
        self.assertRaises(OSError, signals.inner_pid, 8, proc)


class HearsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.proc = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def hears(self, name, blocked=0, caught=0):
        directory = self.proc / '7'
        directory.mkdir(exist_ok=True)
        (directory / 'status').write_text(STATUS.format(blocked, caught))
        return signals.hears(7, name, self.proc)

    def test_a_handler_hears(self):
        self.assertTrue(self.hears('SIGTERM', caught=bit(signal.SIGTERM)))

    def test_who_waits_for_a_blocked_signal_hears(self):
        self.assertTrue(
            self.hears('SIGRTMIN+3', blocked=bit(signal.SIGRTMIN + 3))
        )

    def test_nobody_else_does(self):
        self.assertFalse(self.hears('SIGTERM'))
        self.assertFalse(self.hears('SIGTERM', caught=bit(signal.SIGQUIT)))

    def test_what_cannot_be_seen_may_hear(self):
        self.assertTrue(signals.hears(8, 'SIGTERM', self.proc))
        self.assertTrue(self.hears('SIGUNKNOWN'))
