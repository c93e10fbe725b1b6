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

from oslotest import base

from novadocker.virt.docker import findings


class FindingsTestCase(base.BaseTestCase):
    def test_the_worst_comes_first(self):
        found = [
            findings.note('a', 'x'),
            findings.failure('b', 'x', 'y'),
            findings.warning('c', 'x', 'y'),
            findings.failure('d', 'x', 'y'),
        ]
        self.assertEqual(
            ['b', 'd', 'c', 'a'],
            [one.subject for one in findings.ordered(found)],
        )

    def test_the_codes_are_those_of_nova_status(self):
        note = findings.note('a', 'x')
        warning = findings.warning('a', 'x', 'y')
        failure = findings.failure('a', 'x', 'y')
        for code, found in (
            (0, []),
            (0, [note]),
            (1, [warning, note]),
            (2, [warning, failure]),
        ):
            self.assertEqual(code, findings.worst(found))

    def test_for_programs(self):
        found = findings.warning(
            'server', 'is', 'do', findings.Repair(findings.Remedy.PLUG, 'u')
        )
        self.assertEqual(
            {
                'level': 'warning',
                'subject': 'server',
                'text': 'is',
                'advice': 'do',
                'repair': 'plug',
            },
            found.as_json(),
        )
        self.assertIsNone(findings.note('a', 'x').as_json()['repair'])
