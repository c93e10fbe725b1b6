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

from oslotest import base

from novadocker import exception
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import observed


def a_row(uuid):
    return model.ContainerSummary(
        id='id-' + uuid,
        name=naming.instance_name(uuid),
        state=model.ContainerState.RUNNING,
        labels=naming.labels(uuid, naming.ROLE_INSTANCE, 'host1'),
        image_id='image',
    )


class ObservedTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.client = mock.create_autospec(engine.Client, instance=True)
        self.client.list_containers.return_value = [a_row('a'), a_row('b')]
        self.observed = observed.Observed(self.client, 'host1')

    def requests(self):
        return self.client.list_containers.call_count

    def test_asks_for_instances_of_this_host_only(self):
        self.assertEqual({'a', 'b'}, set(self.observed.instances()))
        self.client.list_containers.assert_called_once_with(
            {
                naming.LABEL_HOST: 'host1',
                naming.LABEL_ROLE: naming.ROLE_INSTANCE,
            }
        )

    def test_what_was_set_aside_is_no_server(self):
        aside = naming.aside_name(naming.instance_name('a'), 'host1', 'old')
        self.client.list_containers.return_value = [
            a_row('a'),
            dataclasses.replace(a_row('a'), id='other', name=aside),
        ]

        self.assertEqual('id-a', self.observed.instances()['a'].id)

    def test_many_questions_are_one_request(self):
        for _ in range(1000):
            self.observed.instances()

        self.assertEqual(1, self.requests())

    def test_a_change_is_seen_by_the_next_question(self):
        self.observed.instances()
        self.client.list_containers.return_value = []
        self.observed.changed()

        self.assertEqual({}, self.observed.instances())

    def test_a_change_during_a_list_is_not_lost(self):
        """What was asked before a change must not answer after it."""

        def change_meanwhile(_labels):
            self.observed.changed()
            return [a_row('old')]

        self.client.list_containers.side_effect = change_meanwhile
        self.observed.instances()
        self.client.list_containers.side_effect = None
        self.client.list_containers.return_value = [a_row('new')]

        self.assertEqual({'new'}, set(self.observed.instances()))

    def test_what_nobody_told_is_seen_when_the_list_is_old(self):
        clock = mock.patch(
            'time.monotonic', autospec=True, return_value=100.0
        ).start()
        self.addCleanup(mock.patch.stopall)
        self.observed.instances()
        self.client.list_containers.return_value = []
        clock.return_value += observed.MAX_AGE + 0.1

        self.assertEqual({}, self.observed.instances())

    def test_a_failure_is_not_remembered(self):
        self.client.list_containers.side_effect = exception.EngineUnavailable(
            reason='gone'
        )
        self.assertRaises(exception.EngineUnavailable, self.observed.instances)
        self.client.list_containers.side_effect = None

        self.assertEqual({'a', 'b'}, set(self.observed.instances()))

    def test_threads_share_a_request(self):
        began, go_on = threading.Event(), threading.Event()

        def slowly(_labels):
            began.set()
            go_on.wait(5)
            return [a_row('a')]

        self.client.list_containers.side_effect = slowly
        threads = [
            threading.Thread(target=self.observed.instances) for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        began.wait(5)
        go_on.set()
        for thread in threads:
            thread.join()

        self.assertEqual(1, self.requests())
