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

from novadocker.tests.fixtures import status
from novadocker.virt.docker import findings
from novadocker.virt.docker import leftovers
from novadocker.virt.docker import naming
from novadocker.virt.docker import nic
from novadocker.virt.docker import traces

Fate = traces.Fate
Remedy = findings.Remedy


class LeftoversTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.vif = status.port()

    def examine(self, fate, found, others=frozenset(), **changes):
        seen = status.seen(found, self.vif, others=others)
        server = status.a_server(fate=fate, **changes)
        return list(leftovers.examine(status.HOST, server, found, seen))

    def all_of(self, **changes):
        return status.all_of(self.vif, **changes)

    def without_containers(self, **changes):
        values = {'containers': (), 'namespace': None, 'link': 0}
        return self.all_of(**values | changes)

    def remedies(self, found):
        return [one.repair.remedy if one.repair else None for one in found]


class DeletedTestCase(LeftoversTestCase):
    def test_everything_is_named_and_removed(self):
        [found] = self.examine(
            Fate.DELETED, self.all_of(image='nova-docker/instance:x')
        )
        for text in (
            f'container {status.NAME}',
            f'container {status.BOX}',
            f'port {nic.device(self.vif)} of the switch',
            'directory with its checkpoint',
            'name in /run/netns',
            'image nova-docker/instance:x',
        ):
            self.assertIn(text, found.text)
        self.assertEqual(
            findings.Repair(
                Remedy.REMOVE, status.UUID, 'nova-docker/instance:x'
            ),
            found.repair,
        )

    def test_device_without_a_port_at_the_switch(self):
        [found] = self.examine(
            Fate.DELETED, self.without_containers(switch_ports=())
        )
        self.assertIn(f'device {nic.device(self.vif)}', found.text)

    def test_nothing_is_left(self):
        self.assertEqual([], self.examine(Fate.DELETED, traces.Traces()))

    def test_what_another_host_has_left_is_its_own_to_remove(self):
        """It may share everything with us but the label."""
        found = self.without_containers()
        self.assertEqual([], self.examine(Fate.DELETED, found, host='another'))
        self.assertEqual(
            [],
            self.examine(Fate.DELETED, found, others=frozenset({status.UUID})),
        )

    def test_a_container_with_our_label_is_ours(self):
        found = self.examine(Fate.DELETED, self.all_of(), host='another')
        self.assertEqual([Remedy.REMOVE], self.remedies(found))

    def test_dangling_name(self):
        """It goes with the rest where there is one, and else alone."""
        found = self.examine(
            Fate.DELETED, self.without_containers(dangling=True)
        )
        self.assertEqual([Remedy.REMOVE], self.remedies(found))
        for fate in (Fate.DELETED, Fate.ELSEWHERE, Fate.UNKNOWN):
            found = self.examine(
                fate, traces.Traces(link=7, dangling=True), host='another'
            )
            self.assertEqual([Remedy.UNLINK], self.remedies(found))

    def test_name_that_leads_to_a_process_of_somebody(self):
        found = self.examine(
            Fate.UNKNOWN, traces.Traces(link=7), host='another'
        )
        self.assertEqual([], found)


class NowhereTestCase(LeftoversTestCase):
    def test_data_stays(self):
        found = self.examine(Fate.NOWHERE, self.all_of())
        self.assertEqual([None, Remedy.CLEAR], self.remedies(found))
        self.assertIn('is on no host, and its data', found[0].text)
        self.assertIn(status.NAME, found[0].text)
        self.assertNotIn(f'{status.NAME},', found[1].text)
        self.assertIn(status.BOX, found[1].text)

    def test_only_data(self):
        found = self.examine(
            Fate.NOWHERE, traces.Traces((status.container(),))
        )
        self.assertEqual([None], self.remedies(found))

    def test_no_data(self):
        """As of a server that was shelved, whoever had it last."""
        found = self.examine(
            Fate.NOWHERE, self.without_containers(), host='another'
        )
        self.assertEqual([Remedy.CLEAR], self.remedies(found))

    def test_ports_of_a_server_that_was_never_here(self):
        found = self.examine(
            Fate.NOWHERE, self.without_containers(known=None), host=''
        )
        self.assertEqual([], found)


class ElsewhereTestCase(LeftoversTestCase):
    def test_data_stays_with_all_it_needs(self):
        found = self.examine(Fate.ELSEWHERE, self.all_of(), host='another')
        self.assertEqual([None], self.remedies(found))
        self.assertIn('is on host another, and its data', found[0].text)

    def test_sandbox_alone(self):
        box = status.container(status.BOX, naming.ROLE_SANDBOX)
        found = self.examine(
            Fate.ELSEWHERE, traces.Traces((box,)), host='another'
        )
        self.assertEqual([Remedy.CLEAR], self.remedies(found))

    def test_the_way_back_of_a_resize(self):
        found = self.examine(
            Fate.ELSEWHERE, self.all_of(), host='another', vm_state='resized'
        )
        self.assertEqual([], found)

    def test_what_may_be_shared_with_that_host(self):
        """Its disk, its switch, even its machine."""
        found = self.examine(
            Fate.ELSEWHERE, self.without_containers(), host='another'
        )
        self.assertEqual([], found)


class UnknownTestCase(LeftoversTestCase):
    def test_nothing_is_repaired(self):
        for found in (self.all_of(), self.without_containers()):
            found = self.examine(Fate.UNKNOWN, found, host='')
            self.assertEqual([None], self.remedies(found))
            self.assertIn('is not known to Nova', found[0].text)

    def test_ports_of_servers_of_other_drivers(self):
        found = self.without_containers(known=None)
        self.assertEqual([], self.examine(Fate.UNKNOWN, found, host=''))

    def test_unasked(self):
        [found] = self.examine(
            Fate.UNASKED, self.without_containers(), host=''
        )
        self.assertIsNone(found.repair)
        self.assertIn('when Nova answers', found.advice)
