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

import json
import pathlib

from nova import exception as nova_exception
from oslotest import base

from novadocker import extra_specs
from novadocker.virt.docker import spec

_METADEFS = pathlib.Path(__file__).parents[3] / 'etc' / 'glance' / 'metadefs'


class ExtraSpecsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.validators = {one.name: one for one in extra_specs.register()}

    def test_all_that_the_driver_reads_are_known(self):
        self.assertEqual(
            {spec.LIFECYCLE, spec.CRASH_SIGNAL, spec.NEW_PRIVILEGES},
            set(self.validators),
        )

    def test_values(self):
        for name, good, bad in (
            (spec.LIFECYCLE, 'job', 'jop'),
            (spec.CRASH_SIGNAL, 'SIGABRT', 'SIGKILL'),
            (spec.NEW_PRIVILEGES, 'true', 'sudo'),
        ):
            self.validators[name].validate(name, good)
            self.assertRaises(
                nova_exception.ValidationError,
                self.validators[name].validate,
                name,
                bad,
            )

    def test_glance_is_told_the_same(self):
        path = _METADEFS / 'compute-docker.json'
        told = json.loads(path.read_text())['properties']
        self.assertEqual(set(self.validators), set(told))
        types = {str: 'string', bool: 'boolean'}
        for name, validator in self.validators.items():
            value = validator.value
            self.assertEqual(types[value['type']], told[name]['type'])
            self.assertEqual(value.get('enum'), told[name].get('enum'))
