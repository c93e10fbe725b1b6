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
"""Ports that come to a server and go, in whatever state it is."""

import functools

from openstack import exceptions

from novadocker.tests.e2e import base

_TRAITS = {
    'COMPUTE_NET_ATTACH_INTERFACE',
    'COMPUTE_NET_ATTACH_INTERFACE_WITH_TAG',
    'COMPUTE_DEVICE_TAGGING',
}


class TestAttach(base.TestCase):
    def setUp(self):
        super().setUp()
        self.network = self.cloud.demo.network
        self.compute = self.cloud.demo.compute

    def another_network(self, number):
        made = self.network.create_network(name=f'{self.name}-{number}')
        self.addCleanup(self.network.delete_network, made)
        self.network.create_subnet(
            network_id=made.id,
            ip_version=4,
            cidr=f'10.{number}.0.0/24',
            dns_nameservers=[f'10.{number}.0.53'],
        )
        return made

    def attach(self, server, tag=None, **what):
        """Attach a port; returns its id."""
        made = self.compute.create_server_interface(
            server, **what, **({'tag': tag} if tag else {})
        )
        return made.port_id

    def detach(self, server, port_id):
        self.compute.delete_server_interface(port_id, server)
        self.wait_for(
            lambda: port_id not in {port.id for port in self.ports(server)},
            'the detachment',
        )

    def names(self, server):
        """The names of a server's NICs by their ports."""
        macs = {
            link['address']: name for name, link in self.nics(server).items()
        }
        return {port.id: macs[port.mac_address] for port in self.ports(server)}

    def assert_all_work(self, server):
        """All ports answer, and no others are there."""
        self.wait_for(
            lambda: {port.status for port in self.ports(server)} == {'ACTIVE'},
            'the wiring',
        )
        self.assert_plugged(server)
        for port in self.ports(server):
            address = port.fixed_ips[0]['ip_address']
            network = self.network.get_network(port.network_id)
            # The agent may not have come yet to a change of its groups.
            self.wait_for(
                functools.partial(self.answers, address, network),
                f'an answer of {address}',
                15,
            )

    def wait_for_tags(self, server, **wanted):
        """Wait until the metadata service has them, which remembers a while.

        :param wanted: tags and the ports that have them
        """
        macs = {
            self.network.get_port(port).mac_address: [tag]
            for tag, port in wanted.items()
        }
        self.wait_for(lambda: self.tags(server) == macs, f'{macs}')

    def test_the_scheduler_is_told(self):
        [provider] = self.cloud.admin.placement.resource_providers(
            name=self.host.name
        )
        found = self.cloud.admin.session.get(
            f'/resource_providers/{provider.id}/traits',
            endpoint_filter={'service_type': 'placement'},
            headers={'OpenStack-API-Version': 'placement 1.6'},
        ).json()['traits']
        self.assertEqual(_TRAITS, _TRAITS & set(found))

    def test_ports_come_and_go(self):
        second, third = self.another_network(88), self.another_network(89)
        ours = self.port(second).id
        new, last = (self.port(self.cloud.network).id for _ in range(2))
        server = self.boot(self.upload(base.WEB))
        [first] = [port.id for port in self.ports(server)]

        self.attach(server, port_id=ours, tag='ours')
        theirs = self.attach(server, net_id=third.id, tag='nova')
        self.network.update_port(theirs, security_groups=[self.group.id])
        self.assertEqual(
            {first: 'eth0', ours: 'eth1', theirs: 'eth2'}, self.names(server)
        )
        self.assert_all_work(server)
        self.assertEqual('eth0', self.routes(server)['default']['dev'])
        self.assertIn(
            'nameserver 10.88.0.53',
            self.inside(server, 'cat', '/etc/resolv.conf'),
        )
        self.wait_for_tags(server, ours=ours, nova=theirs)

        self.detach(server, first)
        self.assertEqual({ours: 'eth1', theirs: 'eth2'}, self.names(server))
        route = self.routes(server)['default']
        self.assertEqual(
            ('eth1', '10.88.0.1'), (route['dev'], route['gateway'])
        )
        self.assert_all_work(server)

        self.paused(server, theirs, new)
        self.assertEqual({ours: 'eth1', new: 'eth0'}, self.names(server))
        self.wait_for_tags(server, ours=ours, new=new)
        self.detach(server, new)
        self.stopped(server, ours, last)
        self.assertEqual({last: 'eth0'}, self.names(server))
        self.wait_for_tags(server, last=last)

    def paused(self, server, theirs, new):
        """Take one of its ports, and give it another."""
        self.compute.pause_server(server)
        self.wait_for_status(server, 'PAUSED')
        self.detach(server, theirs)
        self.assertIsNone(self.network.find_port(theirs))
        self.attach(server, port_id=new, tag='new')
        self.compute.unpause_server(server)
        self.wait_for_status(server, 'ACTIVE')
        self.assert_all_work(server)

    def stopped(self, server, ours, last):
        self.compute.stop_server(server)
        self.wait_for_status(server, 'SHUTOFF')
        self.detach(server, ours)
        self.assertEqual([], self.ports(server))
        self.attach(server, port_id=last, tag='last')
        self.compute.start_server(server)
        self.wait_for_status(server, 'ACTIVE')
        self.assert_all_work(server)
        self.assert_running(server)

    def test_a_port_that_cannot_be_attached_is_given_back(self):
        ours = self.port(self.cloud.network)
        server = self.boot(self.upload(base.WEB))
        before = self.ports(server)
        # What is to be its name is taken.
        self.within(server, 'ip', 'tuntap', 'add', 'eth1', 'mode', 'tap')
        for what in (
            {'port_id': ours.id},
            {'net_id': self.cloud.network.id},
        ):
            error = self.assertRaises(
                exceptions.HttpException, self.attach, server, 'tag', **what
            )
            self.assertIn('Failed to attach', str(error))
            self.assertEqual(
                [port.id for port in before],
                [port.id for port in self.ports(server)],
            )
        found = self.cloud.admin.network.get_port(ours.id)
        self.assertEqual(
            ('', '', 'unbound'),
            (found.device_id, found.binding_host_id, found.binding_vif_type),
        )
        self.assertFalse(
            self.host.vsctl(
                'find', 'Interface', f'external_ids:iface-id={ours.id}'
            )
        )
        self.within(server, 'ip', 'link', 'delete', 'eth1')
        self.assert_running(server)
