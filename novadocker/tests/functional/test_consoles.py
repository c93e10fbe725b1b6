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
"""Consoles of servers, as the serial proxy uses them."""

import contextlib
import socket
import threading

from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects

from novadocker.tests.fixtures import images
from novadocker.tests.functional import base


class SerialConsoleTestCase(base.FunctionalTestCase):
    mode = 'process'

    def setUp(self):
        # Read when the service starts.
        super().setUp()
        self.flags(enabled=True, group='serial_console')

    def _setup_compute_service(self):
        self.flags(serial_console_mode=self.mode, group='docker')
        return super()._setup_compute_service()

    def token(self, server):
        answer = self.api.api_post(
            f'/servers/{server["id"]}/remote-consoles',
            {'remote_console': {'protocol': 'serial', 'type': 'serial'}},
        )
        return answer.body['remote_console']['url'].rpartition('=')[2]

    @contextlib.contextmanager
    def view(self, server, token=None):
        """Do as the proxy does with the token of a viewer."""
        found = objects.ConsoleAuthToken.validate(
            nova_context.get_admin_context(), token or self.token(server)
        )
        self.assertEqual(server['id'], found.instance_uuid)
        with socket.create_connection((found.host, found.port), 10) as viewer:
            yield viewer

    def read(self, viewer, expected):
        output = b''
        while expected not in output:
            received = viewer.recv(65536)
            self.assertTrue(received, f'{output} and no more')
            output += received
        return output

    def say(self, viewer, command, expected):
        viewer.sendall(command.encode() + b'\n')
        return self.read(viewer, expected)

    def assert_ends(self, viewer):
        while viewer.recv(65536):
            pass

    def refusal(self, server):
        answer = self.api.api_request(
            f'/servers/{server["id"]}/remote-consoles',
            method='POST',
            headers={'Content-Type': 'application/json'},
            body='{"remote_console":{"protocol":"serial","type":"serial"}}',
        )
        return answer.status_code


class ProcessTestCase(SerialConsoleTestCase):
    def test_terminal_of_the_process(self):
        server = self.boot(images.SHELL)
        token = self.token(server)
        with self.view(server, token) as one, self.view(server) as another:
            for viewer in (one, another):
                self.say(viewer, 'echo $((6*7))', b'\r\n42\r\n')
            self.say(one, 'echo $((3*5))', b'\r\n15\r\n')
            self.read(another, b'\r\n15\r\n')
            self.say(another, 'stty size', b'\r\n24 80\r\n')
            self.say(one, 'x=kept', b'kept')
        # A viewer that comes again finds everything as it was.
        with self.view(server, token) as one:
            self.say(one, 'echo still $x', b'still kept\r\n')
            self.say(one, 'seq 100000; echo over', b'\r\nover\r\n')
            # All that was typed and shown is in the console log.
            self.wait_for(
                lambda: '99999\n100000' in self.console(server), 'the log'
            )
            self.act(server, 'reboot', 'ACTIVE', type='HARD')
            self.assert_ends(one)
        with self.view(server, token) as one:
            self.say(one, 'echo $((5*5))', b'\r\n25\r\n')
            self.act(server, 'os-stop', 'SHUTOFF')
            self.assert_ends(one)
        self.assertEqual(409, self.refusal(server))
        self.delete(server)
        self.assert_nothing_left(server)

    def test_end_with_the_server_and_with_the_service(self):
        servers = [self.boot() for _ in range(2)]
        before = set(threading.enumerate())
        with self.view(servers[0]) as one, self.view(servers[1]) as another:
            self.say(one, 'echo $((6*7))', b'\r\n42\r\n')
            self.say(another, 'echo $((6*7))', b'\r\n42\r\n')
            self.delete(servers[0])
            self.assert_ends(one)
            self.compute = self.restart_compute_service(
                self.compute, keep_hypervisor_state=False
            )
            self.assert_ends(another)
        for thread in set(threading.enumerate()) - before:
            if thread.name in ('novadocker-viewer', 'novadocker-keyboard'):
                thread.join(5)
                self.assertFalse(thread.is_alive(), thread.name)
        with self.view(servers[1]) as another:
            self.say(another, 'echo $((5*5))', b'\r\n25\r\n')

    def test_token_that_has_expired(self):
        self.flags(token_ttl=0, group='consoleauth')
        server = self.boot()
        token = self.token(server)
        self.assertRaises(
            nova_exception.InvalidToken, self.view(server, token).__enter__
        )


class ShellTestCase(SerialConsoleTestCase):
    mode = 'shell'

    def test_shell_beside_the_process(self):
        server = self.boot(images.HTTPD)
        with self.view(server) as one, self.view(server) as another:
            self.say(one, 'echo $((6*7))', b'\r\n42\r\n')
            self.say(one, 'stty size', b'24 80\r\n')
            self.say(another, 'echo $((5*5))', b'\r\n25\r\n')
            self.say(another, 'exec sleep 86400', b'sleep')
            self.assertEqual(3, self.processes(server))
        self.wait_for(lambda: self.processes(server) == 1, 'shells are left')
        self.assertNotIn('42', self.console(server))

    def processes(self, server):
        found = self.compute.manager.driver.get_diagnostics(
            objects.Instance.get_by_uuid(
                nova_context.get_admin_context(), server['id']
            )
        )
        return found['pids']
