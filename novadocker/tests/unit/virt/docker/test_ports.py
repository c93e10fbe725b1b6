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

import fixtures
from nova import exception as nova_exception
from nova import objects
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import instances
from novadocker.tests.fixtures import network as test_ports
from novadocker.virt.docker import checkpoint
from novadocker.virt.docker import network
from novadocker.virt.docker import ports
from novadocker.virt.docker import sandbox
from novadocker.virt.docker import undo as undoing

BOX = sandbox.Sandbox('box', 42, 4026532000, '/resolv', '/hosts')


def ids(vifs):
    return [vif['id'] for vif in vifs]


class PortsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.network = mock.create_autospec(network.Network, instance=True)
        self.network.plug.side_effect = lambda instance, vifs, box, names: (
            list(vifs)
        )
        self.sandboxes = mock.create_autospec(sandbox.Sandboxes, instance=True)
        self.sandboxes.find.return_value = BOX
        self.checkpoints = checkpoint.Checkpoints(
            self.useFixture(fixtures.TempDir()).path
        )
        self.ports = ports.Ports(
            self.network, self.sandboxes, self.checkpoints
        )
        self.instance = instances.an_instance()
        self.first, self.second = test_ports.vif(), test_ports.vif()
        self.nova_knows(self.first)
        self.wire(self.first)
        for each in (self.network, self.sandboxes):
            each.reset_mock()

    def nova_knows(self, *vifs):
        self.instance.info_cache = objects.InstanceInfoCache(
            network_info=network.load(network.dump(vifs))
        )

    def wire(self, *vifs):
        with (
            undoing.Undo(self.instance) as undo,
            self.ports.wired(self.instance, vifs, BOX, undo),
        ):
            pass

    def remembered(self):
        return ids(self.checkpoints.read(self.instance.uuid).vifs)

    def unplugged(self):
        return ids(self.network.unplug.call_args.args[1])

    def test_what_is_plugged_is_remembered_before(self):
        def fail(*args):
            self.assertEqual([self.second['id']], self.remembered())
            raise exception.NetworkSetupFailed(port='p', reason='r')

        self.network.plug.side_effect = fail
        self.assertRaises(exception.NetworkSetupFailed, self.wire, self.second)

    def test_names_are_written_for_a_new_port_and_a_new_namespace_only(self):
        self.wire(self.first)
        self.assertEqual(1, self.sandboxes.write_names.call_count)

        self.network.plug.side_effect = None
        self.network.plug.return_value = []
        self.wire(self.first)
        self.assertEqual(1, self.sandboxes.write_names.call_count)

        self.checkpoints.write(
            self.instance.uuid, checkpoint.Checkpoint('box', 1)
        )
        self.wire(self.first)
        self.assertEqual(2, self.sandboxes.write_names.call_count)

    def test_neutron_is_waited_for_only_where_it_has_something_to_say(self):
        self.network.missing.return_value = [self.second]
        self.wire(self.first, self.second)

        self.network.missing.assert_called_once_with(
            (self.first, self.second), BOX
        )
        self.network.waiting.assert_called_once_with(
            self.instance, [self.second]
        )

    def test_neighbours_are_told_when_new_ports_are_wired(self):
        self.network.missing.return_value = [self.second]
        self.wire(self.first, self.second)

        names = [call[0] for call in self.network.mock_calls]
        self.assertGreater(
            names.index('announce'), names.index('waiting().__exit__')
        )
        self.network.announce.assert_called_once_with([self.second], BOX)

    def test_a_nic_keeps_its_name_when_one_before_it_goes(self):
        self.wire(self.first, self.second)
        self.nova_knows(self.first, self.second)
        self.ports.detach(self.instance, self.first)

        self.wire(self.second)
        names = self.network.plug.call_args.args[3]
        self.assertEqual({self.second['devname']: 'eth1'}, names)

    def test_repair_plugs_into_the_sandbox_that_runs(self):
        self.ports.repair(self.instance, [self.first])

        self.network.plug.assert_called_once_with(
            self.instance,
            [self.first],
            BOX,
            {self.first['devname']: 'eth0'},
        )

    def test_repair_without_a_sandbox_waits_for_the_start(self):
        self.sandboxes.find.return_value = None
        self.ports.repair(self.instance, [self.first])

        self.network.plug.assert_not_called()

    def test_repair_refuses_what_cannot_be_plugged(self):
        self.network.check.side_effect = (
            nova_exception.VirtualInterfacePlugException('unbound')
        )

        self.assertRaises(
            nova_exception.VirtualInterfacePlugException,
            self.ports.repair,
            self.instance,
            [self.first],
        )

    def test_attach_plugs_behind_the_others(self):
        self.ports.attach(self.instance, self.second)

        wanted = [self.first['id'], self.second['id']]
        self.assertEqual(wanted, ids(self.network.plug.call_args.args[1]))
        self.assertEqual(wanted, self.remembered())
        self.sandboxes.write_names.assert_called_once()

    def test_attach_of_one_that_nova_knows_by_now(self):
        self.nova_knows(self.first, self.second)
        self.ports.attach(self.instance, self.second)

        self.assertEqual(
            [self.first['id'], self.second['id']], self.remembered()
        )

    def test_attach_that_fails_is_forgotten(self):
        self.network.plug.side_effect = exception.NetworkSetupFailed(
            port='p', reason='r'
        )

        self.assertRaises(
            exception.NetworkSetupFailed,
            self.ports.attach,
            self.instance,
            self.second,
        )
        self.assertEqual([self.first['id']], self.remembered())

    def test_attach_without_a_sandbox_waits_for_the_start(self):
        self.sandboxes.find.return_value = None
        self.ports.attach(self.instance, self.second)

        self.network.check.assert_called_once_with([self.second])
        self.network.plug.assert_not_called()

    def test_detach_unplugs_as_it_was_plugged(self):
        """Neutron may have unbound it by now."""
        self.ports.attach(self.instance, self.second)
        self.ports.detach(self.instance, test_ports.unbound(self.second))

        [vif] = self.network.unplug.call_args_list[0].args[1]
        self.assertEqual((self.second['id'], 'ovs'), (vif['id'], vif['type']))
        self.assertEqual([self.first['id']], self.remembered())

    def test_detach_leaves_the_way_out_to_the_others(self):
        self.nova_knows(self.first, self.second)
        self.ports.detach(self.instance, self.first)

        self.assertEqual(
            [self.second['id']], ids(self.network.plug.call_args.args[1])
        )
        self.sandboxes.write_names.assert_called()

    def test_detach_without_a_sandbox_removes_what_is_left(self):
        self.sandboxes.find.return_value = None
        self.ports.detach(self.instance, self.first)

        self.assertEqual([self.first['id']], self.unplugged())

    def test_unplug_all_takes_both_what_was_and_what_nova_believes(self):
        self.ports.unplug_all(self.instance, [self.first, self.second])

        self.assertEqual(
            [self.first['id'], self.second['id']], self.unplugged()
        )
        self.network.unlink.assert_called_once_with(self.instance.uuid)

    def test_unplug_all_remembers_until_it_is_told_to_forget(self):
        self.ports.unplug_all(self.instance, None)
        self.assertEqual([self.first['id']], self.remembered())

        self.ports.forget(self.instance.uuid)
        self.assertIsNone(self.checkpoints.read(self.instance.uuid))
