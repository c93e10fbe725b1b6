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

import fixtures
from oslotest import base

from novadocker.virt.docker import cgroup

PID = 7

VERSION_2 = {
    'cpu.stat': 'usage_usec 1500\nuser_usec 1000\n',
    'memory.current': '5000\n',
    'memory.stat': 'anon 100\ninactive_file 2000\n',
    'memory.events': 'low 0\noom 2\noom_kill 1\n',
    'pids.current': '3\n',
    'io.stat': (
        '8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n'
        '8:16 rbytes=5 wbytes=6 rios=7 wios=8 dbytes=0 dios=0\n'
    ),
}

VERSION_1 = {
    'cpuacct/docker/c/cpuacct.usage': '1500000\n',
    'memory/docker/c/memory.usage_in_bytes': '5000\n',
    'memory/docker/c/memory.stat': (
        'inactive_file 1\ntotal_inactive_file 2000\n'
    ),
    'memory/docker/c/memory.oom_control': (
        'oom_kill_disable 0\nunder_oom 0\noom_kill 1\n'
    ),
    'pids/docker/c/pids.current': '3\n',
    'blkio/docker/c/blkio.throttle.io_service_bytes_recursive': (
        '8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n'
        '8:16 Read 5\n8:16 Write 6\n8:16 Total 11\nTotal 41\n'
    ),
    'blkio/docker/c/blkio.throttle.io_serviced_recursive': (
        '8:0 Read 1\n8:0 Write 2\n8:16 Read 7\n8:16 Write 8\nTotal 18\n'
    ),
}

EXPECTED = cgroup.Usage(
    cpu_time=1_500_000,
    memory=3000,
    oom_kills=1,
    pids=3,
    read_bytes=15,
    read_requests=8,
    write_bytes=26,
    write_requests=10,
)


class UsageTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.mounts = ['20 1 0:1 / / rw - ext4 /dev/sda rw']

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def mount(self, root, at, kind, options):
        self.mounts.append(
            f'30 20 0:2 {root} {self.root}/{at} rw shared:9 - '
            f'{kind} cgroup rw,{options}'
        )

    def usage(self, *groups):
        self.write('proc/self/mountinfo', '\n'.join(self.mounts) + '\n')
        self.write(f'proc/{PID}/cgroup', '\n'.join(groups) + '\n')
        return cgroup.usage(PID, self.root / 'proc')

    def test_version_2(self):
        for name, text in VERSION_2.items():
            self.write(f'sys/system.slice/docker-c.scope/{name}', text)
        self.mount('/', 'sys', 'cgroup2', 'nsdelegate')

        found = self.usage('0::/system.slice/docker-c.scope')
        self.assertEqual(EXPECTED, found)

    def version_1(self):
        for name, text in VERSION_1.items():
            self.write(name, text)
        # As in a container: what is mounted is a part of the whole.
        for name in ('cpuacct', 'memory', 'pids', 'blkio'):
            self.mount('/outer', name, 'cgroup', name)
        self.mount('/', 'unified', 'cgroup2', '')
        return self.usage(
            '4:memory:/outer/docker/c',
            '3:blkio:/outer/docker/c',
            '2:pids:/outer/docker/c',
            '1:cpu,cpuacct:/outer/docker/c',
            '0::/',
        )

    def test_version_1_beside_an_empty_version_2(self):
        self.assertEqual(EXPECTED, self.version_1())

    def test_what_the_host_does_not_count_is_not_known(self):
        self.mount('/', 'sys', 'cgroup2', '')

        self.assertEqual(cgroup.Usage(), self.usage('0::/c'))

    def test_of_no_process(self):
        self.mount('/', 'sys', 'cgroup2', '')
        self.usage('0::/c')

        self.assertRaises(OSError, cgroup.usage, 8, self.root / 'proc')
