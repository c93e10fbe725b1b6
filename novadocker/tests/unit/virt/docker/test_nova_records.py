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
import threading
from unittest import mock

from nova import exception as nova_exception
from nova import objects
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import status
from novadocker.virt.docker import network
from novadocker.virt.docker import nova_records
from novadocker.virt.docker import traces

Fate = traces.Fate


def an_instance(**changes):
    values = {
        'uuid': status.UUID,
        'host': status.HOST,
        'launched_on': status.HOST,
        'vm_state': 'active',
        'task_state': None,
        'deleted': False,
        'info_cache': None,
    }
    return objects.Instance(**values | changes)


class RecordsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.records = nova_records.Records(status.HOST, 5)
        self.by_host = self.patch(objects.InstanceList, 'get_by_host')
        self.by_filters = self.patch(objects.InstanceList, 'get_by_filters')
        self.by_uuid = self.patch(objects.Instance, 'get_by_uuid')

    def patch(self, owner, name):
        patch = mock.patch.object(owner, name, autospec=True)
        self.addCleanup(patch.stop)
        return patch.start()

    def test_servers_of_the_host(self):
        vif = status.port()
        self.by_host.return_value = [
            an_instance(
                task_state='rebooting',
                info_cache=objects.InstanceInfoCache(
                    network_info=network.load(network.dump([vif]))
                ),
            )
        ]
        [found] = self.records.here().values()
        self.assertEqual(
            (status.UUID, Fate.HERE, 'active', 'rebooting', status.HOST),
            (
                found.uuid,
                found.fate,
                found.vm_state,
                found.task,
                found.host,
            ),
        )
        self.assertEqual([vif['id']], [one['id'] for one in found.vifs])
        self.assertEqual(status.HOST, self.by_host.call_args.args[1])

    def test_fates(self):
        for fate, host, changes in (
            (Fate.HERE, status.HOST, {}),
            (Fate.ELSEWHERE, 'another', {'host': 'another'}),
            (Fate.NOWHERE, status.HOST, {'host': None}),
            (Fate.DELETED, status.HOST, {'deleted': True}),
            (Fate.NOWHERE, '', {'host': None, 'launched_on': None}),
        ):
            self.by_filters.return_value = [an_instance(**changes)]
            [found] = self.records.of([status.UUID]).values()
            self.assertEqual((fate, host), (found.fate, found.host))

    def test_deleted_servers_are_asked_for_as_well(self):
        self.by_filters.return_value = []
        self.assertEqual({}, self.records.of(['b', 'a']))
        context, filters = self.by_filters.call_args.args
        self.assertEqual('yes', context.read_deleted)
        self.assertEqual({'uuid': ['a', 'b']}, filters)

    def test_nothing_is_asked_about_nobody(self):
        """No filter would be a filter for all."""
        self.assertEqual({}, self.records.of([]))
        self.by_filters.assert_not_called()

    def test_one_server(self):
        self.assertIs(
            self.by_uuid.return_value, self.records.instance(status.UUID)
        )
        self.by_uuid.side_effect = nova_exception.InstanceNotFound(
            instance_id=status.UUID
        )
        self.assertIsNone(self.records.instance(status.UUID))

    def test_nova_answers_with_an_error(self):
        self.by_host.side_effect = RuntimeError('the queue is away')
        error = self.assertRaises(exception.NovaUnavailable, self.records.here)
        self.assertIn('the queue is away', str(error))

    def test_nova_does_not_answer(self):
        asked = threading.Event()
        self.addCleanup(asked.set)
        self.by_host.side_effect = lambda *args, **kwargs: asked.wait()
        records = nova_records.Records(status.HOST, 0.05)
        error = self.assertRaises(exception.NovaUnavailable, records.here)
        self.assertIn('no word from the conductor in 0.05 s', str(error))


class SettledTestCase(base.BaseTestCase):
    def settled(self, before, after):
        found = nova_records.settled(
            {one.uuid: one for one in before}, {after.uuid: after}
        )
        return found[after.uuid].task

    def test_what_is_as_it_was(self):
        server = status.a_server()
        self.assertEqual('', self.settled([server], server))

    def test_what_has_come_gone_or_changed(self):
        server = status.a_server()
        changed = dataclasses.replace(server, vm_state='stopped')
        gone = dataclasses.replace(server, fate=Fate.DELETED)
        for before, after in (
            ([], server),
            ([server], changed),
            ([server], gone),
        ):
            self.assertEqual(
                'it has just changed', self.settled(before, after)
            )

    def test_what_is_in_work(self):
        server = status.a_server(task='rebooting')
        self.assertEqual('rebooting', self.settled([], server))

    def test_what_was_not_here(self):
        gone = status.a_server(fate=Fate.DELETED)
        self.assertEqual('', self.settled([], gone))


class AssumedTestCase(base.BaseTestCase):
    def test_containers_are_of_servers(self):
        vif = status.port()
        seen = status.seen(status.all_of(vif), vif)
        [found] = nova_records.assumed(seen).values()
        self.assertEqual((Fate.HERE, (vif,)), (found.fate, found.vifs))

    def test_nothing_is_known_of_what_has_no_container(self):
        seen = status.seen(traces.Traces(known=None))
        [found] = nova_records.assumed(seen).values()
        self.assertEqual(Fate.UNASKED, found.fate)
