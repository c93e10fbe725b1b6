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

"""What Tempest is told, held against the support matrix."""

import collections
import configparser

import testtools

from novadocker.tests.devstack import base
from novadocker.tests.devstack import machine

_FEATURES = machine.ROOT / 'devstack' / 'tempest-features'
_MATRIX = machine.ROOT / 'doc' / 'source' / 'user' / 'support-matrix.ini'


def _matrix() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read(_MATRIX)
    return parser


def _features() -> list[list[str]]:
    return [
        line.split()
        for line in _FEATURES.read_text().splitlines()
        if line and not line.startswith('#')
    ]


class TableTestCase(testtools.TestCase):

    def test_rows_are_those_of_the_matrix(self) -> None:
        known = _matrix().sections()
        strange = [
            row
            for _, _, _, *rows in _features()
            for row in rows
            if f'operation.{row}' not in known
        ]
        self.assertEqual([], strange)

    def test_each_feature_has_a_row_and_a_known_kind(self) -> None:
        for _, option, kind, *rows in _features():
            self.assertIn(kind, ('driver', 'also'), option)
            self.assertNotEqual([], rows, option)

    def test_each_feature_is_there_once(self) -> None:
        counts = collections.Counter(
            (section, option) for section, option, *_ in _features()
        )
        self.assertEqual([], [one for one, n in counts.items() if n > 1])

    def test_what_a_server_can_do_is_told(self) -> None:
        """No row that Tempest has a feature for is forgotten."""
        used = {row for _, _, _, *rows in _features() for row in rows}
        self.assertLessEqual(
            {
                'attach-interface', 'attach-volume', 'console.serial.log',
                'encrypted-volume', 'extend-volume',
                'guest.setup.configdrive', 'guest.setup.inject.file',
                'live-migrate', 'multiattach-volume', 'pause', 'rescue',
                'resize', 'set-admin-password', 'snapshot', 'suspend',
                'swap-volume',
            },
            used,
        )


class TempestTestCase(base.DevStackTestCase):

    def _stack(self, *lines: str) -> None:
        self.configure(
            f'ENABLED_SERVICES={base.SERVICES},tempest',
            f'NOVA_DOCKER_IMAGE_FILE={self.archive()}',
            *lines,
        )
        self.runs('stack')

    def _told(self) -> dict[str, dict[str, str]]:
        return machine.read_ini(
            self.machine.root / 'stack' / 'tempest' / 'etc' / 'tempest.conf'
        )

    def test_tempest_is_told_what_the_matrix_says(self) -> None:
        self._stack()
        told, matrix = self._told(), _matrix()
        for section, option, kind, *rows in _features():
            has = all(
                matrix[f'operation.{row}']['driver.docker'] == 'complete'
                for row in rows
            )
            found = told.get(section, {}).get(option)
            if not has:
                self.assertEqual('False', found, option)
            elif kind == 'driver':
                self.assertEqual('True', found, option)
            else:
                # It is left as it was.
                self.assertIn(found, (None, 'True'), option)
        # An image need not have sshd.
        self.assertEqual('False', told['validation']['run_validation'])

    def test_validation_by_ssh_that_is_wanted(self) -> None:
        self._stack('TEMPEST_RUN_VALIDATION=True')
        self.assertEqual('True', self._told()['validation']['run_validation'])

    def test_without_tempest(self) -> None:
        self.configure(f'NOVA_DOCKER_IMAGE_FILE={self.archive()}')
        self.runs('stack')
        self.assertFalse((self.machine.root / 'stack' / 'tempest').exists())
