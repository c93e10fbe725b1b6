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

import subprocess
import sys
import warnings

import fixtures
from oslotest import base

from novadocker.cmd import launch


class StatusTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(
            fixtures.MonkeyPatch('novadocker.cmd.status.main', self.main)
        )

    def main(self):
        warnings.warn('of a library', UserWarning, stacklevel=1)
        return 3

    def launch(self, *options):
        self.useFixture(fixtures.MonkeyPatch('sys.warnoptions', options))
        with warnings.catch_warnings(record=True) as caught:
            self.assertEqual(3, launch.status())
        return [str(one.message) for one in caught]

    def test_an_operator_hears_of_the_host_alone(self):
        self.assertEqual([], self.launch())

    def test_it_starts_where_nova_has_loaded_nothing(self):
        """As nova-compute has by then, and other tests have here."""
        said = subprocess.run(
            [sys.executable, '-c', 'import novadocker.cmd.status'],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(0, said.returncode, said.stderr)

    def test_a_developer_may_want_to_hear_more(self):
        self.assertEqual(['of a library'], self.launch('default'))
