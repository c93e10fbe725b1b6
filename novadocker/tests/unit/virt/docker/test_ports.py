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

import threading
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
from novadocker.virt.docker import nic
from novadocker.virt.docker import ports
from novadocker.virt.docker import sandbox
from novadocker.virt.docker import undo as undoing

BOX = sandbox.Sandbox('box', 42, 4026532000, '/resolv', '/hosts')
THERE = [nic.Interface('eth9', 'tap9', 'fa:16:3e:00:00:09', 1450, True, ())]


def ids(vifs):
    return [vif['id'] for vif in vifs]


class PortsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.network = mock.create_autospec(network.Network, instance=True)
        self.network.there.return_value = THERE
        self.network.plug.side_effect = lambda instance, vifs, *_: nic.nics(
            vifs
        )
        self.network.link.return_value = False
        self.logged = self.useFixture(fixtures.FakeLogger())
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

        self.network.there.assert_called_once_with(
            (self.first, self.second), BOX
        )
        self.network.missing.assert_called_once_with(
            (self.first, self.second), THERE
        )
        self.network.waiting.assert_called_once_with(
            self.instance, [self.second]
        )

    def test_neighbours_are_told_when_new_ports_are_wired(self):
        made = nic.nics([self.second])
        self.network.plug.side_effect = None
        self.network.plug.return_value = made
        self.wire(self.first, self.second)

        names = [call[0] for call in self.network.mock_calls]
        self.assertGreater(
            names.index('announce'), names.index('waiting().__exit__')
        )
        self.network.announce.assert_called_once_with(made, BOX)

    def test_a_nic_keeps_its_name_when_one_before_it_goes(self):
        self.wire(self.first, self.second)
        self.nova_knows(self.first, self.second)
        self.ports.detach(self.instance, self.first)

        self.wire(self.second)
        known = self.network.plug.call_args.args[4]
        self.assertEqual({self.second['devname']: 'eth1'}, known.names)

    def test_repair_plugs_into_the_sandbox_that_runs(self):
        self.ports.repair(self.instance, [self.first])

        self.network.plug.assert_called_once_with(
            self.instance,
            [self.first],
            BOX,
            THERE,
            self.checkpoints.read(self.instance.uuid),
        )
        self.assertIn(f'plugged port {self.first["id"]}', self.logged.output)

    def test_repair_of_what_is_whole_says_nothing(self):
        self.network.plug.side_effect = None
        self.network.plug.return_value = []
        self.ports.repair(self.instance, [self.first])

        self.assertEqual('', self.logged.output)

    def test_start_takes_a_port_that_nova_has_no_more(self):
        """Nova was away when Neutron told of its deletion."""
        self.wire(self.second)

        self.assertEqual([self.first['id']], self.unplugged())
        self.assertEqual([self.second['id']], self.remembered())

    def test_repair_takes_none(self):
        """What Nova knows of a server that runs may be too little."""
        self.ports.repair(self.instance, [])

        self.network.unplug.assert_not_called()

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

    def test_mend_plugs_what_was_plugged_last(self):
        self.ports.mend(self.instance, 'its device was deleted')

        plugged = self.network.plug.call_args.args[1]
        self.assertEqual([self.first['id']], ids(plugged))
        [line] = self.logged.output.splitlines()
        self.assertIn('its device was deleted', line)
        self.assertIn(f'plugged port {self.first["id"]}', line)

    def test_mend_names_the_namespace_again(self):
        self.network.plug.side_effect = None
        self.network.plug.return_value = []
        self.network.link.return_value = True
        self.ports.mend(self.instance, 'it had lost its name')

        self.assertIn('named its network namespace', self.logged.output)

    def test_mend_without_a_checkpoint_asks_nova(self):
        self.checkpoints.remove(self.instance.uuid)
        self.ports.mend(self.instance, 'a disk was full')

        plugged = self.network.plug.call_args.args[1]
        self.assertEqual([self.first['id']], ids(plugged))

    def test_mend_leaves_a_server_alone_that_does_not_run(self):
        self.sandboxes.in_use.return_value = False
        self.ports.mend(self.instance, 'it is being deleted')

        self.network.plug.assert_not_called()

    def test_mend_waits_for_what_nova_does(self):
        begun, go_on = threading.Event(), threading.Event()

        def unplug(instance, vifs):
            begun.set()
            go_on.wait(5)
            self.sandboxes.in_use.return_value = False

        self.network.unplug.side_effect = unplug
        deleting = threading.Thread(
            target=self.ports.unplug_all, args=(self.instance, None)
        )
        deleting.start()
        begun.wait(5)
        mending = threading.Thread(
            target=self.ports.mend, args=(self.instance, 'a device went')
        )
        mending.start()
        mending.join(0.1)
        self.assertTrue(mending.is_alive())

        go_on.set()
        for thread in (deleting, mending):
            thread.join(5)
        self.network.plug.assert_not_called()

    def test_devices_belong_to_a_server_until_it_goes(self):
        device = self.first['devname']
        self.assertEqual(self.instance.uuid, self.ports.owner(device))
        self.assertEqual({self.instance.uuid}, self.ports.servers())

        self.ports.unplug_all(self.instance, None)
        self.assertIsNone(self.ports.owner(device))
        self.assertEqual(set(), self.ports.servers())

    def test_parts_of_a_hybrid_port_are_the_server_s_as_well(self):
        hybrid = test_ports.hybrid(self.second)
        self.wire(self.first, hybrid)
        for device in nic.inner(hybrid):
            self.assertEqual(self.instance.uuid, self.ports.owner(device))

        self.nova_knows(self.first, hybrid)
        self.ports.detach(self.instance, test_ports.unbound(hybrid))
        for device in nic.inner(hybrid):
            self.assertIsNone(self.ports.owner(device))

    def test_failure_takes_back_what_was_made_and_no_more(self):
        self.network.plug.side_effect = None
        self.network.plug.return_value = nic.nics([self.second])
        self.sandboxes.write_names.side_effect = OSError(28, 'no room')
        self.assertRaises(OSError, self.wire, self.first, self.second)

        self.assertEqual([self.second['id']], self.unplugged())

    def test_name_of_a_namespace(self):
        uuid = self.instance.uuid
        self.network.is_linked.return_value = False
        self.assertFalse(self.ports.is_named(uuid))
        self.network.is_linked.assert_called_once_with(uuid, BOX.pid)

        self.ports.unplug_all(self.instance, None)
        self.assertTrue(self.ports.is_named(uuid))

    def test_name_goes_with_the_namespace(self):
        uuid = self.instance.uuid
        self.ports.unname(uuid)
        self.network.unlink.assert_not_called()

        self.sandboxes.find.return_value = None
        for _ in range(2):
            self.ports.unname(uuid)
        self.network.unlink.assert_called_once_with(uuid)

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

    def test_device_that_detach_removes_is_nobody_s(self):
        """Or its removal would be taken for damage."""
        device = self.first['devname']
        self.network.unplug.side_effect = lambda *args: self.assertIsNone(
            self.ports.owner(device)
        )
        self.ports.detach(self.instance, self.first)

        self.network.unplug.assert_called_once()

    def test_detach_leaves_the_way_out_to_the_others(self):
        self.wire(self.first, self.second)
        self.nova_knows(self.first, self.second)
        self.ports.detach(self.instance, self.first)

        self.assertEqual(
            [self.second['id']], ids(self.network.plug.call_args.args[1])
        )
        self.sandboxes.write_names.assert_called()

    def test_detach_leaves_one_alone_that_goes_at_the_same_time(self):
        """Nova still knows it while it forgets it."""
        third = test_ports.vif()
        self.wire(self.first, self.second, third)
        self.nova_knows(self.first, self.second, third)
        self.ports.detach(self.instance, self.first)
        self.ports.detach(self.instance, self.second)

        self.assertEqual([third['id']], self.remembered())
        self.assertEqual(
            [third['id']], ids(self.network.plug.call_args.args[1])
        )

    def test_attach_keeps_one_that_comes_at_the_same_time(self):
        """Nova does not know it before it is there."""
        third = test_ports.vif()
        self.ports.attach(self.instance, self.second)
        self.ports.attach(self.instance, third)

        self.assertEqual(
            ids([self.first, self.second, third]), self.remembered()
        )

    def test_ports_are_nova_s_where_nothing_is_remembered(self):
        self.nova_knows(self.first, self.second)
        self.checkpoints.remove(self.instance.uuid)
        self.ports.detach(self.instance, self.first)

        self.assertEqual([self.second['id']], self.remembered())

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

    def test_one_that_leaves_keeps_the_names_of_its_nics(self):
        names = self.checkpoints.read(self.instance.uuid).names
        self.ports.leave(self.instance, [self.first])

        self.assertEqual([self.first['id']], self.unplugged())
        self.network.unlink.assert_called_once_with(self.instance.uuid)
        self.assertEqual([], self.remembered())
        self.assertEqual(
            names, self.checkpoints.read(self.instance.uuid).names
        )

    def test_one_that_has_left_may_have_its_name_elsewhere(self):
        self.ports.leave(self.instance, [self.first])
        self.network.unlink.reset_mock()
        self.ports.unplug_all(self.instance, ())
        self.ports.forget(self.instance.uuid)

        self.network.unlink.assert_not_called()
        self.assertIsNone(self.checkpoints.read(self.instance.uuid))

    def test_one_that_was_never_plugged_leaves(self):
        self.checkpoints.remove(self.instance.uuid)
        self.ports.leave(self.instance, [])
        self.assertIsNone(self.checkpoints.read(self.instance.uuid))
