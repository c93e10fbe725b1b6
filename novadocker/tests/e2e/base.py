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

"""A test as the user demo: what it begins with, and what has to be true."""

from typing import Any
from typing import Protocol
import uuid

from openstack import resource
from testtools import content

from novadocker.tests.e2e import cloud
from novadocker.tests.e2e import looking
from novadocker.tests.fixtures import images
from novadocker.virt.docker import naming

COMMAND = cloud.COMMAND
FLAVOR = 'docker.tiny'
NETWORK = cloud.NETWORK
run = cloud.run

# A web server that ends when it is told to, as a first process does only if
# it asks for the signal.
WEB = images.Image(
    command=(
        'sh',
        '-c',
        'trap "exit 0" TERM; httpd -f -vv -p 80 -h /www & wait',
    ),
    files=images.HTTPD.files,
)


class Archive(Protocol):
    """What can be uploaded."""

    def archive(self) -> bytes: ...


def text(said: str) -> content.Content:
    """Something for the reader of a test's result."""
    return content.text_content(said)


class TestCase(looking.Looking):
    """A test as the user demo."""

    def setUp(self) -> None:
        super().setUp()
        self.name = f'e2e-{uuid.uuid4().hex[:8]}'
        self.group = self._open_group()
        # The host's ends of the servers' ports.
        self._devices: dict[str, set[str]] = {}

    # What a test begins with

    def _open_group(self) -> Any:
        """A security group that lets everything in."""
        network = self.cloud.demo.network
        group = network.create_security_group(name=self.name)
        self.addCleanup(network.delete_security_group, group)
        for version in ('IPv4', 'IPv6'):
            network.create_security_group_rule(
                security_group_id=group.id,
                direction='ingress',
                ether_type=version,
            )
        return group

    def upload(self, image: Archive, **properties: str) -> Any:
        """Make a Glance image."""
        made = self.cloud.demo.image.create_image(
            name=f'{self.name}-{uuid.uuid4().hex[:4]}',
            container_format='docker',
            disk_format='raw',
            data=image.archive(),
            allow_duplicates=True,
            **properties,
        )
        self.addCleanup(
            self.cloud.demo.image.delete_image, made.id, ignore_missing=True
        )
        return self.cloud.demo.image.get_image(made.id)

    def port(self, network: Any, **wanted: Any) -> Any:
        """Make a port; it is deleted at the end."""
        api = self.cloud.demo.network
        made = api.create_port(
            network_id=network.id, security_groups=[self.group.id], **wanted
        )
        self.addCleanup(api.delete_port, made)
        return made

    def request(self, image: Any, *networks: Any, **more: Any) -> Any:
        """Ask for a server; it is deleted at the end, and has to be gone.

        :param networks: or what Nova's API takes instead of one
        """
        wanted = {
            'name': self.name,
            'image_id': image.id,
            'flavor_id': self.cloud.demo.compute.find_flavor(FLAVOR).id,
            'networks': [
                {'uuid': network.id}
                if isinstance(network, resource.Resource)
                else network
                for network in networks or (self.cloud.network,)
            ],
            'security_groups': [{'name': self.group.id}],
        }
        server = self.cloud.demo.compute.create_server(**wanted | more)
        self.addCleanup(self.delete, server)
        return server

    def boot(self, image: Any, *networks: Any, **more: Any) -> Any:
        """A server that is ACTIVE."""
        server = self.wait_for_status(
            self.request(image, *networks, **more), 'ACTIVE'
        )
        # Nova waits for Neutron before it says so.
        self.assertEqual({'ACTIVE'}, self.states_of_ports(server))
        return server

    def states_of_ports(self, server: Any) -> set[str]:
        return {port.status for port in self.ports(server)}

    def delete(self, server: Any) -> None:
        compute = self.cloud.admin.compute
        compute.delete_server(server, ignore_missing=True)
        compute.wait_for_delete(server, interval=0.3, wait=120)
        self.assert_nothing_left(server)

    # What has to be true

    def assert_running(self, server: Any) -> None:
        """All that has to be there for a server is there, and no more."""
        containers = self.containers(server)
        self.assertEqual({'instance', 'sandbox'}, set(containers))
        for container in containers.values():
            self.assertTrue(container['State']['Running'])
            self.assertFalse(container['HostConfig']['Privileged'])
        flavor = self.show(server).flavor
        self.assertEqual(
            flavor.ram * 1024**2,
            containers['instance']['HostConfig']['Memory'],
        )
        self.assertEqual(
            {
                'VCPU': flavor.vcpus,
                'MEMORY_MB': flavor.ram,
                'DISK_GB': flavor.disk,
            },
            self.allocation(server),
        )
        self.assert_plugged(server)

    def assert_plugged(self, server: Any) -> None:
        """Neutron, the switch and the namespace say the same."""
        # As with other drivers a reboot does not wait for Neutron's agent.
        self.wait_for(
            lambda: self.states_of_ports(server) == {'ACTIVE'}, 'ports', 10
        )
        ports = self.ports(server)
        interfaces = self.interfaces(server)
        self.assertEqual(
            {port.id for port in ports},
            {
                dict(entry['external_ids'][1])['iface-id']
                for entry in interfaces
            },
        )
        outside = {entry['name'] for entry in interfaces}
        self._devices[server.id] = outside
        nics = self.nics(server)
        self.assertEqual(len(ports) + 1, len(nics), nics)
        for port in ports:
            [device] = [
                link
                for link in nics.values()
                if link['address'] == port.mac_address
            ]
            self.assertEqual('UP', device['operstate'])
            self.assertEqual(
                {entry['ip_address'] for entry in port.fixed_ips},
                {
                    entry['local']
                    for entry in device['addr_info']
                    if entry['scope'] == 'global'
                },
            )
            mtu = self.cloud.admin.network.get_network(port.network_id).mtu
            [end] = {f'tap{port.id[:11]}'} & outside
            self.assertEqual(mtu, device['mtu'])
            found = self.host.run('cat', f'/sys/class/net/{end}/mtu')
            self.assertEqual(mtu, int(found))

    def assert_answers(self, server: Any) -> None:
        address = self.address(server)
        self.beside('ping', '-c', '2', '-i', '0.2', '-W', '5', address)

    def assert_nothing_left(self, server: Any) -> None:
        """No trace of a server that is gone."""
        self.assertEqual([], self.ports(server))
        # Nova frees it after the server is gone for the API.
        self.wait_for(lambda: not self.allocation(server), 'the allocation')
        for host in self.cloud.hosts:
            self.assert_nothing_left_at(host, server)

    def assert_nothing_left_at(self, host: cloud.Host, server: Any) -> None:
        """No trace of a server that is not, or no longer, on a host."""
        with self.at(host):
            self.assertEqual({}, self.containers(server))
            self.assertEqual([], self.interfaces(server))
            self.assert_no_stray_port()
        for device in self._devices.get(server.id, ()):
            self.assertFalse(host.has(f'/sys/class/net/{device}'), device)
        link = f'/run/netns/{naming.instance_name(server.id)}'
        self.assertFalse(host.has(link), link)
        self.assertFalse((host.state / 'nova/instances' / server.id).exists())

    def assert_no_stray_port(self) -> None:
        """Each port at the switch that names a server has that server."""
        servers = {
            server.id
            for server in self.cloud.admin.compute.servers(all_projects=True)
        }
        named = {
            dict(entry['external_ids'][1]).get('vm-uuid')
            for entry in self.host.vsctl('list', 'Interface')
        }
        self.assertEqual(set(), named - servers - {None})
