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

"""What users are told to be supported is shown by a test, or has a reason."""

import ast
import configparser
import pathlib
import re

from oslotest import base

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_MATRIX = _ROOT / 'doc' / 'source' / 'user' / 'support-matrix.ini'
_TESTS = _ROOT / 'novadocker' / 'tests' / 'e2e'


def _end_to_end_tests() -> set[str]:
    """The tests there are, as the matrix names them."""
    return {
        f'{path.stem}.{node.name}'
        for path in _TESTS.glob('test_*.py')
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith('test_')
    }


def _split(notes: str) -> tuple[str, list[str]]:
    """What notes say, and the tests that they name at their end."""
    said, _, named = notes.partition('Test: ')
    if not named:
        said, _, named = notes.partition('Tests: ')
    return said, re.findall(r'test_\w+\.test_\w+', named)


class TestSupportMatrix(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        matrix = configparser.ConfigParser()
        matrix.read_string(_MATRIX.read_text())
        self.features = {
            name: (
                section['driver.docker'],
                *_split(section.get('driver-notes.docker', '')),
            )
            for name, section in matrix.items()
            if name.startswith('operation.')
        }

    def test_what_is_supported_names_tests_that_exist(self) -> None:
        there = _end_to_end_tests()
        self.assertEqual(
            [],
            [
                name
                for name, (status, _, named) in self.features.items()
                if status in ('complete', 'partial')
                and not (named and set(named) <= there)
            ],
        )

    def test_what_is_not_all_supported_has_a_reason(self) -> None:
        self.assertEqual(
            [],
            [
                name
                for name, (status, said, _) in self.features.items()
                if status != 'complete' and not said.strip()
            ],
        )

    def test_nothing_is_left_open(self) -> None:
        self.assertLessEqual(
            {status for status, *_ in self.features.values()},
            {'complete', 'partial', 'missing'},
        )
