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
"""The names that a server knows, by Nova's API."""

import pathlib
from unittest import mock

from keystoneauth1 import exceptions as keystone_exceptions

from novadocker.tests.functional import base


class NamesTestCase(base.FunctionalTestCase):
    def setUp(self):
        super().setUp()
        # The requests for names; None where Neutron does not answer them.
        self.domain = 'example.org'
        self.asked = 0
        list_ports = self.neutron.list_ports

        def answer(*args, **kwargs):
            found = list_ports(*args, **kwargs)
            if 'dns_assignment' in kwargs.get('fields', ()):
                self.asked += 1
                self.name(found['ports'])
            return found

        patch = mock.patch.object(self.neutron, 'list_ports', answer)
        patch.start()
        self.addCleanup(patch.stop)

    def name(self, ports):
        if self.domain is None:
            raise keystone_exceptions.ConnectFailure
        for port in ports:
            port['dns_assignment'] = [
                {
                    'ip_address': address['ip_address'],
                    'hostname': 'web',
                    'fqdn': f'web.{self.domain}.',
                }
                for address in port['fixed_ips']
            ]

    def files(self, server):
        """What the server reads: resolv.conf and hosts."""
        found = self.sandbox(server)
        return [
            pathlib.Path(path).read_text()
            for path in (found.resolv_conf_path, found.hosts_path)
        ]

    def test_domain_of_neutron_for_one_request(self):
        server = self.boot()
        resolv_conf, hosts = self.files(server)
        self.assertIn('search example.org\n', resolv_conf)
        self.assertIn('192.168.1.30 web.example.org web\n', hosts)
        before = resolv_conf, hosts
        for action, status, arguments in (
            ('os-stop', 'SHUTOFF', {}),
            ('os-start', 'ACTIVE', {}),
            ('reboot', 'ACTIVE', {'type': 'HARD'}),
        ):
            self.act(server, action, status, **arguments)
        # Somebody ends the sandbox as well: its files are written again.
        self.act(server, 'os-stop', 'SHUTOFF')
        self.client.stop(self.sandbox(server).name, 0)
        self.act(server, 'os-start', 'ACTIVE')
        self.assertEqual([*before], self.files(server))
        self.assertEqual(1, self.asked)

    def test_neutron_that_does_not_tell_is_no_obstacle(self):
        self.domain = None
        server = self.boot()
        self.assertIn('search novalocal\n', self.files(server)[0])
        self.assertEqual(1, self.asked)
