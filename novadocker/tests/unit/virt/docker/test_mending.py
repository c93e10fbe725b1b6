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

import dataclasses
from unittest import mock

from nova import exception as nova_exception
from nova import objects
from oslotest import base

from novadocker.tests.fixtures import status
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import findings
from novadocker.virt.docker import mending
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import network
from novadocker.virt.docker import nova_records
from novadocker.virt.docker import ports
from novadocker.virt.docker import switch

Remedy = findings.Remedy


class MenderTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.vif = status.port()
        self.instance = objects.Instance(
            uuid=status.UUID,
            host=status.HOST,
            launched_on=status.HOST,
            vm_state='active',
            task_state=None,
            deleted=False,
            info_cache=objects.InstanceInfoCache(
                network_info=network.load(network.dump([self.vif]))
            ),
        )
        self.client = mock.create_autospec(engine.Client, instance=True)
        self.client.list_containers.return_value = [
            model.ContainerSummary(
                name,
                name,
                model.ContainerState.RUNNING,
                naming.labels(status.UUID, role, status.HOST),
                '',
            )
            for name, role in (
                (status.NAME, naming.ROLE_INSTANCE),
                (status.BOX, naming.ROLE_SANDBOX),
            )
        ]
        self.network = mock.create_autospec(network.Network, instance=True)
        self.ports = mock.create_autospec(ports.Ports, instance=True)
        self.switch = mock.create_autospec(switch.Switch, instance=True)
        self.switch.ports.return_value = []
        self.records = nova_records.Records(status.HOST, 5)
        patch = mock.patch.object(
            self.records,
            'instance',
            autospec=True,
            side_effect=lambda uuid: self.instance,
        )
        patch.start()
        self.addCleanup(patch.stop)
        self.mender = mending.Mender(
            mending.Tools(
                client=self.client,
                network=self.network,
                ports=self.ports,
                switch=self.switch,
                records=self.records,
            ),
            status.HOST,
        )

    def mend(self, remedy, detail=''):
        repair = findings.Repair(remedy, status.UUID, detail)
        [outcome] = self.mender.mend([findings.warning('a', 'b', 'c', repair)])
        return outcome.refused

    def assert_untouched(self):
        for double in (self.ports, self.network):
            self.assertEqual([], double.mock_calls)
        self.client.remove.assert_not_called()
        self.client.remove_image.assert_not_called()

    def is_deleted(self):
        self.instance.deleted = True
        self.instance.info_cache = None

    def test_plug(self):
        self.assertEqual('', self.mend(Remedy.PLUG))
        self.ports.repair.assert_called_once_with(
            self.instance, self.instance.get_network_info()
        )

    def test_once_for_all_that_is_off_with_a_server(self):
        plug = findings.Repair(Remedy.PLUG, status.UUID)
        detach = findings.Repair(Remedy.DETACH, status.UUID, 'a-port')
        outcomes = self.mender.mend(
            findings.warning('a', 'b', 'c', repair)
            for repair in (plug, detach, plug, None)
        )
        self.assertEqual(
            [detach, plug], [outcome.repair for outcome in outcomes]
        )

    def test_detach(self):
        self.assertEqual('', self.mend(Remedy.DETACH, 'a-port'))
        instance, vif = self.ports.detach.call_args.args
        self.assertEqual(self.instance, instance)
        self.assertEqual('a-port', vif['id'])

    def test_port_that_was_attached_meanwhile(self):
        self.assertEqual('', self.mend(Remedy.DETACH, self.vif['id']))
        self.ports.detach.assert_not_called()

    def test_server_that_is_in_work_now(self):
        for task in ('rebooting', 'deleting'):
            self.instance.task_state = task
            for remedy in Remedy:
                self.assertIn(task, self.mend(remedy))
        self.assert_untouched()

    def test_server_that_has_moved_on(self):
        self.assertIn('moved on', self.mend(Remedy.REMOVE))
        self.assertIn('moved on', self.mend(Remedy.CLEAR))
        self.instance.host = 'another'
        self.assertIn('moved on', self.mend(Remedy.PLUG))
        self.assertIn('moved on', self.mend(Remedy.DETACH))
        self.assert_untouched()

    def test_server_that_nova_does_not_know(self):
        self.instance = None
        for remedy in set(Remedy) - {Remedy.UNLINK}:
            self.assertIn('not known', self.mend(remedy))
        self.assert_untouched()

    def test_unlink(self):
        for dangles in (False, True):
            with mock.patch(
                'novadocker.virt.docker.survey.dangles',
                autospec=True,
                return_value=dangles,
            ):
                self.assertEqual('', self.mend(Remedy.UNLINK))
            self.assertEqual(dangles, self.network.unlink.called)

    def test_remove(self):
        self.is_deleted()
        port = status.switch_port(self.vif)
        self.switch.ports.return_value = [
            port,
            status.switch_port(self.vif, server='another', port='theirs'),
        ]
        self.assertEqual('', self.mend(Remedy.REMOVE, 'an-image'))
        self.client.list_containers.assert_called_once_with(
            naming.instance_filter(status.UUID, status.HOST)
        )
        self.assertEqual(
            [mock.call(status.NAME), mock.call(status.BOX)],
            self.client.remove.mock_calls,
        )
        self.client.remove_image.assert_called_once_with('an-image')
        vifs = self.ports.unplug_all.call_args.args[1]
        self.assertEqual([self.vif['id']], [vif['id'] for vif in vifs])
        self.ports.forget.assert_called_once_with(status.UUID)

    def test_remove_ends_a_rescue_first(self):
        self.is_deleted()
        rescuer = self.client.list_containers.return_value[0]
        self.client.list_containers.return_value.append(
            dataclasses.replace(
                rescuer,
                id='rescuer',
                labels={**rescuer.labels, naming.LABEL_RESCUE: ''},
            )
        )
        self.assertEqual('', self.mend(Remedy.REMOVE))
        self.assertEqual(
            [mock.call(one) for one in ('rescuer', status.NAME, status.BOX)],
            self.client.remove.mock_calls,
        )

    def test_what_fails_is_told_and_remembered(self):
        """The checkpoint stays, for the next try."""
        self.is_deleted()
        for error in (
            nova_exception.VirtualInterfaceUnplugException(reason='stuck'),
            OSError(1, 'stuck'),
        ):
            self.ports.unplug_all.side_effect = error
            self.assertIn('stuck', self.mend(Remedy.REMOVE))
        self.ports.forget.assert_not_called()

    def test_clear_of_a_server_on_no_host(self):
        self.instance.host = None
        self.assertEqual('', self.mend(Remedy.CLEAR))
        self.client.remove.assert_called_once_with(status.BOX)
        self.ports.unplug_all.assert_called_once_with(self.instance, [])
        self.ports.forget.assert_called_once_with(status.UUID)

    def test_clear_of_a_server_on_another_host(self):
        self.instance.host = 'another'
        self.assertEqual('', self.mend(Remedy.CLEAR))
        self.client.remove.assert_called_once_with(status.BOX)
        self.assertEqual([], self.ports.mock_calls)

    def test_untag(self):
        self.assertEqual('', self.mend(Remedy.UNTAG, 'an-image'))
        self.client.remove_image.assert_called_once_with('an-image')
