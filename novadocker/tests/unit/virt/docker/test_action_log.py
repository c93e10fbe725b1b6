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
from unittest import mock

from nova import objects
from oslotest import base

from novadocker.virt.docker import action_log

UUID = '6c4c3d3a-0c37-4a3f-9d5c-7e4f0d1c2b3a'


class TellTestCase(base.BaseTestCase):
    def tell(self, message):
        with mock.patch.object(
            objects.InstanceAction, 'create', autospec=True
        ) as create:
            action_log.tell(UUID, action_log.COLD_START, message)
        [((told,), _)] = create.call_args_list
        return told

    def test_an_action_that_is_over(self):
        told = self.tell('because')

        found = told.instance_uuid, told.action
        self.assertEqual((UUID, 'cold_start'), found)
        self.assertEqual('because', told.message)
        self.assertEqual(told.start_time, told.finish_time)
        self.assertTrue(told.request_id.startswith('req-'))

    def test_message_is_as_long_as_nova_keeps_it(self):
        self.assertEqual(255, len(self.tell('x' * 1000).message))
