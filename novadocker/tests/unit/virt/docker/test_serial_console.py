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
import socket
import threading
import time
from unittest import mock

import nova.conf
from nova.console import serial
from nova import exception as nova_exception
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import fake_engine
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import serial_console

CONF = nova.conf.CONF

ADDRESS = '127.0.0.1'

IMAGE = images.Image(command=('cat',), files=(('bin/cat', b''),), base=False)


class SerialConsolesTestCase(base.BaseTestCase):
    mode = serial_console.PROCESS

    def setUp(self):
        super().setUp()
        CONF([], project='nova', default_config_files=[])
        self.addCleanup(CONF.reset)
        self.engine = fake_engine.FakeEngine()
        self.engine.load([IMAGE.archive()])
        self.instance = self.a_server()
        self.name = naming.instance_name(self.instance.uuid)
        self.threads = set(threading.enumerate())
        self.consoles = serial_console.SerialConsoles(
            self.engine, serial_console.ConsoleSettings(ADDRESS, self.mode)
        )
        self.addCleanup(self.assert_nothing_left)
        self.addCleanup(self.consoles.stop)

    def assert_nothing_left(self):
        for thread in set(threading.enumerate()) - self.threads:
            thread.join(5)
            self.assertFalse(thread.is_alive(), thread.name)
        self.assertEqual(set(), serial.ALLOCATED_PORTS)

    def a_server(self):
        instance = instances.an_instance()
        name = naming.instance_name(instance.uuid)
        self.engine.create(
            model.ContainerSpec(
                name=name,
                image=IMAGE.id,
                labels={},
                network='none',
                limits=model.Limits(),
                log=model.LogLimits(65536, 2),
                tty=True,
            )
        )
        self.engine.start(name)
        return instance

    def view(self, instance=None):
        found = self.consoles.get(instance or self.instance)
        self.assertEqual(ADDRESS, found.host)
        viewer = socket.create_connection((found.host, found.port), 5)
        self.addCleanup(viewer.close)
        return viewer

    def assert_shows(self, viewer, expected):
        output = b''
        while expected not in output:
            received = viewer.recv(1000)
            self.assertTrue(received, f'{output} and no more')
            output += received

    def assert_ends(self, viewer):
        while viewer.recv(1000):
            pass

    def wait_for(self, condition):
        deadline = time.monotonic() + 5
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)


class ProcessTestCase(SerialConsolesTestCase):
    def test_what_is_typed_is_shown_to_all_viewers(self):
        one, another = self.view(), self.view()
        # Each is there when it is answered.
        for viewer in (one, another):
            viewer.sendall(b'here\n')
            self.assert_shows(viewer, b'here\r\n')
        one.sendall(b'hello\n')
        self.assert_shows(one, b'hello\r\n')
        self.assert_shows(another, b'hello\r\n')

    def test_a_viewer_may_come_again(self):
        port = self.consoles.get(self.instance).port
        for _ in range(3):
            viewer = self.view()
            viewer.sendall(b'hello\n')
            self.assert_shows(viewer, b'hello\r\n')
            viewer.close()
        self.assertEqual(port, self.consoles.get(self.instance).port)

    def test_each_server_has_a_port(self):
        other = self.a_server()
        viewer, elsewhere = self.view(), self.view(other)
        viewer.sendall(b'mine\n')
        self.assert_shows(viewer, b'mine\r\n')
        elsewhere.sendall(b'theirs\n')
        self.assert_shows(elsewhere, b'theirs\r\n')
        self.assertNotIn(
            b'mine', self.engine.logs(naming.instance_name(other.uuid), 10)
        )

    def test_the_end_of_the_process_sends_viewers_away(self):
        viewer = self.view()
        viewer.sendall(b'hello\n')
        self.assert_shows(viewer, b'hello\r\n')
        self.engine.end(self.name)
        self.assert_ends(viewer)

        self.assertRaises(
            nova_exception.InstanceNotReady, self.consoles.get, self.instance
        )

    def test_a_viewer_of_what_does_not_run_is_told(self):
        found = self.consoles.get(self.instance)
        self.engine.end(self.name)
        viewer = socket.create_connection((found.host, found.port), 5)
        self.addCleanup(viewer.close)
        self.assert_shows(viewer, b'does not run')
        self.assert_ends(viewer)

    def test_an_engine_that_is_away(self):
        found = self.consoles.get(self.instance)
        self.engine.go_down()
        viewer = socket.create_connection((found.host, found.port), 5)
        self.addCleanup(viewer.close)
        self.assert_shows(viewer, b'does not answer')
        self.assert_ends(viewer)

    def test_close(self):
        viewer = self.view()
        viewer.sendall(b'hello\n')
        self.assert_shows(viewer, b'hello\r\n')
        found = self.consoles.get(self.instance)
        self.consoles.close(self.instance.uuid)
        self.consoles.close(self.instance.uuid)
        self.assert_ends(viewer)
        self.assertRaises(
            OSError, socket.create_connection, (found.host, found.port), 5
        )

    def test_what_is_not_there(self):
        self.assertRaises(
            nova_exception.InstanceNotFound,
            self.consoles.get,
            instances.an_instance(),
        )

    def test_a_port_that_cannot_be_had(self):
        with mock.patch.object(
            socket, 'create_server', autospec=True, side_effect=OSError
        ):
            self.assertRaises(
                nova_exception.SocketPortInUseException,
                self.consoles.get,
                self.instance,
            )

    def test_no_port_is_left(self):
        CONF.set_override('port_range', '10000:10001', 'serial_console')
        self.addCleanup(CONF.clear_override, 'port_range', 'serial_console')
        with mock.patch.object(serial, 'ALLOCATED_PORTS', {(ADDRESS, 10000)}):
            self.assertRaises(
                nova_exception.SocketPortRangeExhaustedException,
                self.consoles.get,
                self.instance,
            )


class ShellTestCase(SerialConsolesTestCase):
    mode = serial_console.SHELL

    def setUp(self):
        super().setUp()
        self.told = []
        patch = mock.patch.object(
            self.engine,
            'run',
            autospec=True,
            side_effect=lambda name, command: self.told.append(command[-1]),
        )
        patch.start()
        self.addCleanup(patch.stop)
        patch = mock.patch.object(
            serial_console.signals, 'inner_pid', autospec=True, return_value=9
        )
        patch.start()
        self.addCleanup(patch.stop)
        patch = mock.patch.object(
            self.engine, 'shell_pid', autospec=True, return_value=1234
        )
        self.pid = patch.start()
        self.addCleanup(patch.stop)

    def test_each_viewer_has_a_shell(self):
        one, another = self.view(), self.view()
        one.sendall(b'mine\n')
        self.assert_shows(one, b'mine\r\n')
        another.sendall(b'theirs\n')
        self.assertTrue(another.recv(100).startswith(b'theirs'))
        self.assertEqual(b'', self.engine.logs(self.name, 10))

    def test_a_shell_ends_with_its_viewer(self):
        viewer = self.view()
        viewer.sendall(b'hello\n')
        self.assert_shows(viewer, b'hello\r\n')
        viewer.close()
        self.wait_for(lambda: self.told == ['kill -HUP 9'])

    def test_a_shell_that_has_ended_is_let_be(self):
        self.pid.return_value = 0
        self.view().close()
        self.wait_for(lambda: self.pid.called)
        self.assertEqual([], self.told)

    def test_an_engine_that_goes_away_does_no_harm(self):
        self.pid.side_effect = exception.EngineUnavailable(reason='gone')
        self.view().close()
        self.wait_for(lambda: self.pid.called)
