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

"""A test of servers on two hosts: what it begins with."""

from typing import Any

from novadocker.tests.e2e import base
from novadocker.tests.e2e import cloud


class TestCase(base.TestCase):
    """With a second host: "cloud up --hosts 2"."""

    def setUp(self) -> None:
        super().setUp()
        self.first, self.second = self.cloud.hosts
        self.addCleanup(self.cloud.take_servers, self.first)
        self.image = self.upload(base.WEB)
        self.compute = self.cloud.demo.compute

    def host_of(self, server: Any) -> cloud.Host:
        name = self.show(server).compute_host
        [host] = [host for host in self.cloud.hosts if host.name == name]
        return host

    def boot_at(self, host: cloud.Host, **more: Any) -> Any:
        """A server with something of its own on it."""
        self.cloud.take_servers(host)
        server = self.boot(self.image, **more)
        self.assertIs(host, self.host_of(server))
        self.host = host
        self.assert_running(server)
        self.inside(server, 'sh', '-c', 'echo changed > /www/index.html')
        return server

    def page(self, server: Any) -> str:
        url = f'http://{self.address(server)}/'
        return self.beside('curl', '-sS', '-m', '5', url, check=False)

    def assert_at(
        self, host: cloud.Host, server: Any, page: str = 'changed\n'
    ) -> None:
        """A server is there and is whole, and a user gets its page."""
        self.assertIs(host, self.host_of(server))
        self.host = host
        self.assert_running(server)
        self.wait_for(lambda: self.page(server) == page, 'the page', 20)

    def addresses(self, server: Any) -> set[tuple[str, ...]]:
        """What a server keeps wherever it goes."""
        return {
            (port.id, port.mac_address, str(port.fixed_ips))
            for port in self.ports(server)
        }

    def containers_at(self, host: cloud.Host, server: Any) -> dict[str, Any]:
        """What the engine of a host has of a server, by role."""
        with self.at(host):
            return self.containers(server)
