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


"""What is left of many servers when they are gone."""

import collections
from concurrent import futures
import gc
import os
import pathlib
import re
import threading
import time

import fixtures
from oslotest import base

from novadocker.tests.fixtures import driver
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import instances
from novadocker.tests.fixtures import ovs
from novadocker.virt.docker import naming

SERVERS = 200
AT_ONCE = 10
# Seconds until threads have ended that have nothing to do any more.
PATIENCE = 20

_NETNS = pathlib.Path('/run/netns')
_NUMBER = re.compile('[0-9]+')


def _open_files(pid):
    """How many files of each kind a process has open."""
    kinds = collections.Counter()
    for path in pathlib.Path(f'/proc/{pid}/fd').iterdir():
        try:
            kinds[_NUMBER.sub('N', os.readlink(path))] += 1
        except FileNotFoundError:
            # That of the look itself.
            continue
    return kinds


class ChurnTestCase(base.BaseTestCase):
    """The network of servers, through the driver, on a real engine."""

    def setUp(self):
        super().setUp()
        # They are kept for ever, each with its connection.
        self.useFixture(
            fixtures.MonkeyPatch('novadocker.virt.docker.wiring.LOADERS', 2)
        )
        self.host = self.useFixture(driver.DockerDriver(apart=True))
        self.image = self.host.load(images.SHELL)
        self.names = []

    def test_as_much_is_there_as_before(self):
        # What is made once for a host.
        self.churn(2 * AT_ONCE)
        before = self.state()
        self.churn(SERVERS)
        deadline = time.monotonic() + PATIENCE
        while (after := self.state_since(before)) != before:
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        self.assertEqual(before, after)

    def state_since(self, before):
        """The state, with files that were about to be closed before."""
        state = self.state()
        for name in ('open files', 'open files of the helper'):
            state[name] |= before[name]
        return state

    def churn(self, servers):
        """Boot and delete servers, some at once, in threads that end."""
        for first in range(0, servers, AT_ONCE):
            with futures.ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(self.live, range(first, first + AT_ONCE)))

    def live(self, number):
        instance = instances.an_instance()
        ports = [
            *driver.a_network(2 * number),
            *driver.a_network(2 * number + 1),
        ]
        self.host.spawn(instance, self.image, ports)
        name = naming.instance_name(instance.uuid)
        self.names.append(name)
        found = ovs.run('ip', 'netns', 'exec', name, 'ip', '-br', 'address')
        self.assertEqual(3, len(found.splitlines()), found)
        self.host.destroy(instance, ports)

    def state(self):
        """All that a server could leave."""
        gc.collect()
        client = self.host.client
        tree = pathlib.Path(self.host.instances_path)
        return {
            'containers': client.list_containers(
                naming.host_filter(self.host.host)
            ),
            'tags': sorted(
                tag
                for image in client.list_images('nova-docker/*')
                for tag in image.tags
            ),
            'devices': sorted(
                row.split()[0]
                for row in ovs.run('ip', '-br', 'link').splitlines()
            ),
            'switch': self.host.switch.ports(),
            'links': [
                path.name
                for name in self.names
                for path in _NETNS.glob(f'*{name}*')
            ],
            'files': sorted(
                str(path.relative_to(tree)) for path in tree.rglob('*')
            ),
            'threads': sorted(thread.name for thread in threading.enumerate()),
            'open files': _open_files(os.getpid()),
            'open files of the helper': _open_files(self.host.helper),
            'threads of the helper': len(
                os.listdir(f'/proc/{self.host.helper}/task')
            ),
        }
