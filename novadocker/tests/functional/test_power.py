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
"""How the process of a server is asked to end."""

import dataclasses
import time

from novadocker.tests.fixtures import images
from novadocker.tests.functional import base

# Longer than any test may take.
LONG = 300

# Ends by its own will when it is asked by a signal of its image's choice.
QUITTER = images.Image(
    command=(
        'sh',
        '-c',
        'trap "echo quit; exit 5" QUIT; trap "echo term; exit 6" TERM;'
        'echo up; sleep 86400 & wait',
    ),
    stop_signal='SIGQUIT',
)

# Hears, and does not mind.
STUBBORN = dataclasses.replace(
    QUITTER,
    command=(
        'sh',
        '-c',
        'trap "echo no" QUIT TERM; echo up; while :; do sleep 1; done',
    ),
)


class ShutdownTestCase(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        self.flags(shutdown_timeout=LONG)

    def boot_up(self, image, **properties):
        server = self.create(self.glance.add(image, **properties))
        self.wait_for_status(server, 'ACTIVE')
        self.wait_for(lambda: 'up' in self.console(server), 'is not up')
        return server

    def test_the_signal_is_that_of_the_image(self):
        server = self.boot_up(QUITTER)
        self.act(server, 'os-stop', 'SHUTOFF')
        self.assertEqual(5, self.info(server).exit_code)
        self.act(server, 'os-start', 'ACTIVE')
        self.wait_for(lambda: self.console(server).count('up') == 2, 'up')
        self.act(server, 'reboot', 'ACTIVE', type='SOFT')
        self.assertEqual(2, self.console(server).count('quit'))
        self.assertNotIn('term', self.console(server))
        before = self.info(server).started_at
        self.wait_for(lambda: self.console(server).count('up') == 3, 'up')
        self.act(server, 'reboot', 'ACTIVE', type='HARD')
        self.assertNotEqual(before, self.info(server).started_at)

    def test_nobody_waits_for_a_process_that_cannot_hear(self):
        server = self.boot(images.SHELL)
        for action, status, arguments in (
            ('reboot', 'ACTIVE', {'type': 'SOFT'}),
            ('os-stop', 'SHUTOFF', {}),
        ):
            self.act(server, action, status, **arguments)

    def test_time_to_shut_down_is_that_of_the_image(self):
        server = self.boot_up(STUBBORN, os_shutdown_timeout='1')
        before = time.monotonic()
        self.act(server, 'reboot', 'ACTIVE', type='SOFT')
        self.wait_for(lambda: self.console(server).count('up') == 2, 'up')
        self.act(server, 'os-stop', 'SHUTOFF')
        self.assertGreater(time.monotonic() - before, 2)
        self.assertEqual(137, self.info(server).exit_code)

    def test_deletion_kills(self):
        server = self.boot_up(STUBBORN)
        self.delete(server)
        self.assert_nothing_left(server)
