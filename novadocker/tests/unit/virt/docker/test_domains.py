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
from keystoneauth1 import exceptions as keystone_exceptions
from neutronclient.common import exceptions as neutron_exceptions
from nova import exception as nova_exception
from oslotest import base

from novadocker.tests.fixtures import instances
from novadocker.tests.fixtures import network as ports
from novadocker.virt.docker import checkpoint
from novadocker.virt.docker import domains


def answer(vif, *names):
    """What Neutron says of a port.

    :param names: pairs of name and full name
    """
    return {
        'id': vif['id'],
        'dns_assignment': [
            {'ip_address': '10.0.0.5', 'hostname': hostname, 'fqdn': fqdn}
            for hostname, fqdn in names
        ],
    }


class DomainsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.neutron = mock.Mock(spec=['list_ports'])
        self.useFixture(
            fixtures.MockPatch(
                'nova.network.neutron.get_client', return_value=self.neutron
            )
        )
        self.instance = instances.an_instance()
        self.checkpoints = checkpoint.Checkpoints(
            self.useFixture(fixtures.TempDir()).path
        )
        self.checkpoints.write(
            self.instance.uuid, checkpoint.Checkpoint('box', 1)
        )
        self.domains = domains.Domains(self.checkpoints, 'nova.example')
        self.vif = ports.vif()

    def of(self, *vifs):
        found = self.domains.of(self.instance, vifs)
        return [found[vif['id']] for vif in vifs]

    def neutron_says(self, *answers):
        self.neutron.list_ports.return_value = {'ports': list(answers)}

    def test_the_domain_is_that_of_the_port_s_name(self):
        for names, domain in (
            ([('web', 'web.example.org.')], 'example.org'),
            ([('web', 'web.example.org')] * 2, 'example.org'),
            # The default of Neutron, for a name that it made up.
            (
                [('host-10-0-0-5', 'host-10-0-0-5.openstacklocal.')],
                'openstacklocal',
            ),
            # Of a server that was named with its domain.
            ([('web.a.org.', 'web.a.org.')], ''),
            # Neutron was told to have no domain.
            ([('web', 'web')], ''),
            # The port has no address.
            ([], ''),
        ):
            vif = ports.vif()
            self.neutron_says(answer(vif, *names))
            self.assertEqual([domain], self.of(vif), names)

    def test_neutron_without_names_leaves_it_to_nova(self):
        self.neutron_says({'id': self.vif['id']})
        self.assertEqual(['nova.example'], self.of(self.vif))

    def test_one_request_for_all_ports_and_never_again(self):
        other = ports.vif()
        self.neutron_says(
            answer(self.vif, ('web', 'web.a.org.')), {'id': other['id']}
        )
        for _ in range(2):
            self.assertEqual(
                ['a.org', 'nova.example'], self.of(self.vif, other)
            )
        self.neutron.list_ports.assert_called_once_with(
            device_id=self.instance.uuid, fields=['id', 'dns_assignment']
        )

    def test_a_new_port_is_asked_for(self):
        self.neutron_says(answer(self.vif, ('web', 'web.a.org.')))
        self.of(self.vif)
        new = ports.vif()
        self.neutron_says(
            answer(self.vif, ('web', 'web.a.org.')),
            answer(new, ('web', 'web.b.org.')),
        )
        self.assertEqual(['a.org', 'b.org'], self.of(self.vif, new))

    def test_neutron_is_away(self):
        for error in (
            keystone_exceptions.ConnectFailure(),
            neutron_exceptions.ServiceUnavailable(),
            nova_exception.Unauthorized(),
        ):
            self.neutron.list_ports.side_effect = error
            self.assertEqual(['nova.example'], self.of(self.vif))
        # Nothing was learnt.
        self.neutron.list_ports.side_effect = None
        self.neutron_says(answer(self.vif, ('web', 'web.a.org.')))
        self.assertEqual(['a.org'], self.of(self.vif))

    def test_what_is_known_stays_known_without_neutron(self):
        self.neutron_says(answer(self.vif, ('web', 'web.a.org.')))
        self.of(self.vif)
        self.neutron.list_ports.side_effect = (
            keystone_exceptions.ConnectFailure()
        )
        self.assertEqual(
            ['a.org', 'nova.example'], self.of(self.vif, ports.vif())
        )

    def test_without_a_checkpoint_nothing_is_made(self):
        self.checkpoints.remove(self.instance.uuid)
        self.neutron_says(answer(self.vif, ('web', 'web.a.org.')))
        self.assertEqual(['a.org'], self.of(self.vif))
        self.assertIsNone(self.checkpoints.read(self.instance.uuid))
