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

import pathlib
import queue
import struct
import threading
from unittest import mock

import fixtures
from oslotest import base

from novadocker.virt.docker import host_watch
from novadocker.virt.docker import naming
from novadocker.virt.docker import ports

UUID = '6c4c3d3a-0c37-4a3f-9d5c-7e4f0d1c2b3a'
NAME = naming.instance_name(UUID)

DELLINK = 17
NEWLINK = 16
BRIDGE = 7


def attribute(kind, content):
    size = 4 + len(content)
    return struct.pack('=HH', size, kind) + content + bytes(-size % 4)


def message(kind, device, family=0):
    """What the kernel says of a device."""
    body = struct.pack('=BxHiII', family, 1, 7, 0, 0)
    body += attribute(4, struct.pack('=I', 1450))
    body += attribute(3, device.encode() + bytes(1))
    size = 16 + len(body)
    return struct.pack('=IHHII', size, kind, 0, 0, 0) + body


class MessagesTestCase(base.BaseTestCase):
    def test_devices_that_are_deleted(self):
        data = (
            message(NEWLINK, 'tap0')
            + message(DELLINK, 'tap1')
            + message(DELLINK, 'tap2', BRIDGE)
            + message(DELLINK, 'tap33')
        )
        self.assertEqual(['tap1', 'tap33'], list(host_watch.deleted(data)))

    def test_what_is_no_message_ends(self):
        for data in (b'', bytes(15), bytes(200), b'\xff' * 200):
            self.assertEqual([], list(host_watch.deleted(data)))
        cut = message(DELLINK, 'tap1')[:-30]
        self.assertEqual([], list(host_watch.deleted(cut)))

    def notice(self, mask, name):
        name += bytes(16 - len(name) % 16)
        return struct.pack('=iIII', 1, mask, 0, len(name)) + name

    def test_names_that_change(self):
        data = self.notice(0x200, b'one') + self.notice(0x80, b'two' * 9)
        self.assertEqual(['one', 'two' * 9], list(host_watch.changed(data)))

    def test_names_of_which_too_many_change(self):
        data = struct.pack('=iIII', -1, 0x4000, 0, 0)
        self.assertEqual([None], list(host_watch.changed(data)))


class HostWatchTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.ports = mock.create_autospec(ports.Ports, instance=True)
        self.ports.is_named.return_value = False
        # Devices of the machine may go while a test runs.
        self.ports.owner.return_value = None
        self.mended = queue.SimpleQueue()
        self.watch = host_watch.HostWatch(
            self.ports,
            self.directory,
            lambda uuid, cause: self.mended.put((uuid, cause)),
        )

    def start(self):
        self.watch.start()
        self.addCleanup(self.watch.stop)

    def test_name_that_is_removed_and_made_to_lead_elsewhere(self):
        (self.directory / NAME).symlink_to('/proc/1/ns/net')
        self.start()
        (self.directory / NAME).unlink()
        self.assertEqual(UUID, self.mended.get(timeout=5)[0])

        (self.directory / 'new').symlink_to('/proc/2/ns/net')
        (self.directory / 'new').rename(self.directory / NAME)
        self.assertEqual(UUID, self.mended.get(timeout=5)[0])

    def test_names_that_are_right_or_not_ours(self):
        self.ports.is_named.return_value = True
        self.start()
        for name in (NAME, 'qdhcp-1'):
            (self.directory / name).symlink_to('/proc/1/ns/net')

        self.assertRaises(queue.Empty, self.mended.get, timeout=0.2)

    def test_directory_that_is_not_there(self):
        self.directory.rmdir()
        self.assertRaises(FileNotFoundError, self.watch.start)
        self.directory.mkdir()

    def test_failure_does_not_end_it(self):
        asked = threading.Event()

        def fail(uuid):
            asked.set()
            raise ValueError('surprise')

        self.ports.is_named.side_effect = fail
        self.start()
        (self.directory / NAME).symlink_to('/proc/1/ns/net')
        self.assertTrue(asked.wait(5))
        self.ports.is_named.side_effect = None
        (self.directory / NAME).unlink()

        self.assertEqual(UUID, self.mended.get(timeout=5)[0])

    def test_end(self):
        before = set(threading.enumerate())
        self.start()
        [thread] = set(threading.enumerate()) - before
        self.watch.stop()
        thread.join(5)

        self.assertFalse(thread.is_alive())
        self.watch.stop()
