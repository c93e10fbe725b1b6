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

"""nova-docker-status, as an operator runs it on the host."""

import json
import pathlib
import subprocess

from novadocker.tests.e2e import base
from novadocker.virt.docker import naming

_NOBODY = '00000000-0000-4000-8000-000000000000'


class TestStatus(base.TestCase):
    def nova_compute(self):
        """The command of the process, and the user that runs it."""
        path = self.host.state.parent / 'venv' / 'bin' / 'nova-compute'
        process = pathlib.Path('/proc', str(self.compute_process()))
        words = (process / 'cmdline').read_text().rstrip('\0').split('\0')
        return words[words.index(str(path)) :], process.owner()

    def status(self, *options, user=None):
        """The code that it ends with, and what it tells programs."""
        done = subprocess.run(
            ['sudo', '--non-interactive', f'--user={user or self.user}']
            + [str(self.command), *self.options]
            + ['--format', 'json', *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.addDetail('status', base.text(done.stdout + done.stderr))
        found = json.loads(done.stdout)
        self.assertEqual(found['code'], done.returncode)
        return found

    def off(self, found):
        """What is off, but for what the machine brings with it."""
        return [
            f'{one["subject"]}: {one["text"]}'
            for one in found['findings']
            if one['level'] != 'success' and one['subject'] != 'firewall'
        ]

    def test_a_host_is_damaged_and_repaired(self):
        """Nova, Neutron's switch and Glance all answer the user nova."""
        (path, *self.options), self.user = self.nova_compute()
        self.command = pathlib.Path(path).with_name('nova-docker-status')
        server = self.boot(self.upload(base.WEB))
        self.assert_running(server)
        found = self.status()
        self.assertEqual([], self.off(found))
        self.assertLessEqual(1, found['servers'])

        # Without nova-compute nobody else heals.
        self.cloud.service('stop', 'nova-compute')
        self.addCleanup(self.cloud.service, 'start', 'nova-compute')
        [interface] = self.interfaces(server)
        base.run(
            *('ovs-vsctl', 'del-port', interface['name']), env=self.cloud.env
        )
        names = pathlib.Path('/run/netns')
        (names / naming.instance_name(server.id)).unlink()
        stale = names / naming.instance_name(_NOBODY)
        self.addCleanup(stale.unlink, missing_ok=True)
        stale.symlink_to('/proc/4194304/ns/net')

        off = self.off(self.status())
        self.assertEqual(3, len(off), off)
        for text in (
            'the switch does not have it',
            'does not find it',
            f'{stale} leads to no process',
        ):
            self.assertIn(text, '\n'.join(off))
        refused = self.status('--repair', user='root')
        self.assertEqual([], refused['repairs'])
        repaired = self.status('--repair')
        self.assertEqual([], self.off(repaired))
        self.assertEqual(
            {'plug', 'unlink'}, {one['remedy'] for one in repaired['repairs']}
        )
        self.assertEqual([], self.off(self.status()))
        self.cloud.service('start', 'nova-compute')
        self.wait_for_compute()
        self.assert_running(server)
        self.assert_answers(server)
