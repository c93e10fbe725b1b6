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
import io
import socket
import threading
from unittest import mock

from oslotest import base

from novadocker.virt.docker import terminal


class TerminalTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.engine, ours = socket.socketpair()
        self.addCleanup(self.engine.close)
        self.addCleanup(ours.close)
        ours.settimeout(0.1)
        reader = io.BufferedReader(socket.SocketIO(ours, 'rw'))
        self.response = mock.Mock()
        self.response.raw._fp.fp = reader
        self.reader = reader
        self.terminal = terminal.Terminal(self.response)

    def test_both_directions(self):
        self.engine.sendall(b'shown')
        self.assertEqual(b'shown', self.terminal.receive())
        self.terminal.send(b'typed')
        self.assertEqual(b'typed', self.engine.recv(10))

    def test_what_came_with_the_headers_is_not_lost(self):
        self.engine.sendall(b'HTTP/1.1 101 UPGRADED\r\nshown')
        self.reader.readline()
        self.assertEqual(b'shown', self.terminal.receive())

    def test_silence_is_not_the_end(self):
        timer = threading.Timer(0.3, self.engine.sendall, [b'late'])
        timer.start()
        self.assertEqual(b'late', self.terminal.receive())
        timer.join()

    def test_the_other_side_closes(self):
        self.engine.close()
        self.assertEqual(b'', self.terminal.receive())
        self.assertEqual(b'', self.terminal.receive())

    def test_close(self):
        timer = threading.Timer(0.1, self.terminal.close)
        timer.start()
        self.assertEqual(b'', self.terminal.receive())
        timer.join()
        self.response.close.assert_called_once_with()
        self.assertEqual(b'', self.engine.recv(10))
        self.assertRaises(OSError, self.terminal.send, b'x')
        with self.terminal:
            pass

    def test_what_is_read_after_the_connection_is_given_up(self):
        self.reader.close()
        self.assertEqual(b'', self.terminal.receive())
