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

from oslotest import base

from novadocker import exception
from novadocker.virt.docker import switch
from novadocker.virt.docker import traces

OURS = {
    'name': 'tap1',
    'external_ids': {'vm-uuid': 'a-server', 'iface-id': 'a-port'},
    'error': [],
    'ofport': 3,
}


class SwitchTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        settings = mock.Mock(
            ovsdb_connection='tcp:127.0.0.1:1',
            ovs_vsctl_timeout=1,
            ovsdb_interface='native',
        )
        self.switch = switch.Switch(settings)
        self.ovsdb = mock.Mock()
        patch = mock.patch(
            'vif_plug_ovs.ovsdb.api.get_instance',
            autospec=True,
            return_value=self.ovsdb,
        )
        self.get_instance = patch.start()
        self.addCleanup(patch.stop)

    def has(self, *rows):
        self.ovsdb.db_list.return_value.execute.return_value = list(rows)

    def test_ports_of_servers(self):
        self.has(OURS, OURS | {'external_ids': {'iface-id': 'dhcp'}})
        self.assertEqual(
            [traces.SwitchPort('tap1', 'a-server', 'a-port')],
            self.switch.ports(),
        )

    def test_ports_that_the_switch_cannot_use(self):
        for changes, error in (
            ({'error': 'No such device'}, 'No such device'),
            ({'ofport': -1}, 'it has no number'),
            ({'ofport': []}, ''),
        ):
            self.has(OURS | changes)
            self.assertEqual(error, self.switch.ports()[0].error)

    def test_one_port(self):
        self.has({'name': 'tap1'})
        self.assertTrue(self.switch.has('tap1'))
        self.assertEqual(['tap1'], self.ovsdb.db_list.call_args.args[1])
        self.has()
        self.assertFalse(self.switch.has('tap1'))

    def test_bridges(self):
        self.has({'name': 'br-int'}, {'name': 'br-tun'})
        self.assertEqual(['br-int', 'br-tun'], self.switch.bridges())

    def test_nobody_answers(self):
        for double in (
            self.get_instance,
            self.ovsdb.db_list.return_value.execute,
        ):
            double.side_effect = Exception('Could not retrieve schema')
            error = self.assertRaises(
                exception.SwitchUnavailable, self.switch.ports
            )
            self.assertIn('tcp:127.0.0.1:1', str(error))
            double.side_effect = None
