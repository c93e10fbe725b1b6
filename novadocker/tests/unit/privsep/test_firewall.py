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

from unittest import mock

from oslo_concurrency import processutils
from oslotest import base

from novadocker.privsep import firewall
from novadocker.tests.fixtures import ovs

RULES = """\
-P FORWARD DROP
-A FORWARD -j DOCKER-USER
"""


class ForwardPolicyTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(ovs.PrivilegedHere())
        patch = mock.patch.object(processutils, 'execute', autospec=True)
        self.execute = patch.start()
        self.execute.return_value = (RULES, '')
        self.addCleanup(patch.stop)

    def test_policy(self):
        for family, program in ((4, 'iptables'), (6, 'ip6tables')):
            self.assertEqual('DROP', firewall.forward_policy(family))
            self.assertEqual(
                (program, '-w', '5', '-S', 'FORWARD'),
                self.execute.call_args.args,
            )

    def test_other_families(self):
        self.assertRaises(KeyError, firewall.forward_policy, 'rm')
        self.execute.assert_not_called()

    def test_no_such_program(self):
        self.execute.side_effect = FileNotFoundError
        self.assertEqual('', firewall.forward_policy(4))

    def test_another_answer(self):
        self.execute.return_value = ('', '')
        self.assertEqual('', firewall.forward_policy(4))

    def test_program_that_fails(self):
        self.execute.side_effect = processutils.ProcessExecutionError(
            exit_code=4, stderr='no permission'
        )
        error = self.assertRaises(OSError, firewall.forward_policy, 6)
        self.assertIn('ip6tables: no permission', str(error))
