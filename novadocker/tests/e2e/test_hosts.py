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

"""Servers on two hosts."""

from novadocker.tests.e2e import two_hosts

# What ends with a host, from above to below.
_SERVICES = ('nova-compute', 'neutron-openvswitch', 'docker', 'openvswitch')


class TestHosts(two_hosts.TestCase):
    def test_servers_of_two_hosts_talk(self):
        server = self.boot_at(self.first)
        another = self.boot_at(self.second)
        self.assert_at(self.first, server)
        self.inside(
            server,
            *('dd', 'if=/dev/urandom', 'of=/www/data', 'bs=1M', 'count=10'),
        )
        here = self.digest(server, 'cat /www/data')
        self.assert_at(self.second, another)
        url = f'http://{self.address(server)}/data'
        self.assertEqual(here, self.digest(another, f'wget -qO- {url}'))

    def digest(self, server, command):
        """That of what a command in a server prints."""
        return self.inside(
            server, 'sh', '-c', f'{command} | busybox md5sum'
        )

    def test_servers_of_a_group_keep_apart(self):
        self.cloud.take_servers(*self.cloud.hosts)
        group = self.compute.create_server_group(
            name=self.name, policy='anti-affinity'
        )
        self.addCleanup(self.compute.delete_server_group, group)
        hint = {'group': group.id}
        servers = [
            self.boot(self.image, scheduler_hints=hint) for _ in range(2)
        ]
        self.assertEqual(
            set(self.cloud.hosts), {self.host_of(server) for server in servers}
        )
        third = self.request(self.image, scheduler_hints=hint)
        self.wait_for_status(third, 'ERROR')

    def end(self, host):
        """Have a host lose its power."""
        self.cloud.service('stop', f'nova-compute{host.suffix}')
        running = host.docker('ps', '--quiet').split()
        host.docker('kill', *running)
        for name in _SERVICES[1:]:
            self.cloud.service('stop', name + host.suffix)

    def begin(self, host):
        """Have a host start again."""
        for name in reversed(_SERVICES):
            self.cloud.service('start', name + host.suffix)
        self.host = host
        self.wait_for_compute()

    def test_a_host_ends_and_comes_back(self):
        server = self.boot_at(self.second)
        addresses = self.addresses(server)
        admin = self.cloud.admin.compute
        [service] = admin.services(
            binary='nova-compute', host=self.second.name
        )
        force = admin.update_service_forced_down
        self.addCleanup(force, service, forced=False)
        # Nova believes in a host again after that has cleaned up.
        self.addCleanup(self.begin, self.second)
        self.end(self.second)
        force(service, forced=True)
        self.cloud.take_servers(self.first)
        admin.evacuate_server(server)
        self.wait_for_status(server, 'SHUTOFF')
        self.compute.start_server(server)
        self.wait_for_status(server, 'ACTIVE')
        # Nothing is shared: what it has is its image's.
        self.assert_at(self.first, server, 'It is busybox\n')
        self.assertEqual(addresses, self.addresses(server))
        started = self.start_of(server)

        self.begin(self.second)
        self.wait_for(
            lambda: not self.containers(server), 'removal of the old copy'
        )
        self.assert_nothing_left_at(self.second, server)
        self.assert_at(self.first, server, 'It is busybox\n')
        self.assertEqual(started, self.start_of(server))
