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

"""A real cloud, and what can be seen of it from outside the driver."""

from collections.abc import Mapping
from collections.abc import Sequence
import functools
import json
import logging
import os
import pathlib
import subprocess
import time
from typing import Any
import uuid

import openstack
from oslotest import base
from testtools import content

from novadocker.tests.fixtures import images
from novadocker.virt.docker import naming

COMMAND = pathlib.Path(__file__).parents[3] / 'contrib' / 'cloud' / 'cloud'
FLAVOR = 'docker.tiny'
NETWORK = 'demo'

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

# Each request with its body is more than anybody reads.
for _name in ('keystoneauth', 'openstack', 'stevedore', 'urllib3'):
    logging.getLogger(_name).setLevel(logging.WARNING)


def run(
    *words: str, env: Mapping[str, str] | None = None, check: bool = True
) -> str:
    """Run a command and return what it prints."""
    done = subprocess.run(
        words,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors='replace',
        timeout=600,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(
            f'{" ".join(words)} ended with {done.returncode}:\n'
            f'{done.stdout}{done.stderr}'
        )
    return done.stdout


def text(said: str) -> content.Content:
    """Something for the reader of a test's result."""
    return content.text_content(said)


class Cloud:
    """The cloud of contrib/cloud, brought up where it is not."""

    def __init__(self) -> None:
        run(str(COMMAND), 'up')
        self.env = self._environment('demo')
        self.admin = _connection(self._environment('admin'))
        self.demo = _connection(self.env)
        self.network = self.demo.network.find_network(NETWORK)
        self.state = pathlib.Path(self.env['CLOUD_FOLDER']) / 'state'

    @staticmethod
    def _environment(user: str) -> dict[str, str]:
        said = run(
            'bash', '-c', f'eval "$({COMMAND} env --user {user})" && env -0'
        )
        return dict(
            line.split('=', 1) for line in said.split('\0') if '=' in line
        )

    def openstack(self, *words: str) -> Any:
        """What the command openstack answers, as the user demo."""
        said = run('openstack', *words, '--format', 'json', env=self.env)
        return json.loads(said)

    def docker(self, *words: str, check: bool = True) -> str:
        return run('docker', *words, env=self.env, check=check)

    def vsctl(self, *words: str) -> list[dict[str, Any]]:
        """Records of Open vSwitch's database, names to values."""
        said = json.loads(
            run('ovs-vsctl', '--format=json', *words, env=self.env)
        )
        return [
            dict(zip(said['headings'], row, strict=True))
            for row in said['data']
        ]

    def service(self, verb: str, name: str) -> None:
        """Start or stop a process of the cloud."""
        run(str(COMMAND), verb, name)


def _connection(env: Mapping[str, str]) -> Any:
    return openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth_url=env['OS_AUTH_URL'],
        username=env['OS_USERNAME'],
        password=env['OS_PASSWORD'],
        project_name=env['OS_PROJECT_NAME'],
        user_domain_name=env['OS_USER_DOMAIN_NAME'],
        project_domain_name=env['OS_PROJECT_DOMAIN_NAME'],
        region_name=env['OS_REGION_NAME'],
    )


@functools.cache
def _cloud() -> Cloud:
    return Cloud()


class TestCase(base.BaseTestCase):
    """A test as the user demo."""

    def setUp(self) -> None:
        super().setUp()
        self.cloud = _cloud()
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

    def upload(self, image: images.Image, **properties: str) -> Any:
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

    def request(self, image: Any, *networks: Any) -> Any:
        """Ask for a server; it is deleted at the end, and has to be gone."""
        server = self.cloud.demo.compute.create_server(
            name=self.name,
            image_id=image.id,
            flavor_id=self.cloud.demo.compute.find_flavor(FLAVOR).id,
            networks=[
                {'uuid': network.id}
                for network in networks or (self.cloud.network,)
            ],
            security_groups=[{'name': self.group.id}],
        )
        self.addCleanup(self.delete, server)
        return server

    def boot(self, image: Any, *networks: Any) -> Any:
        """A server that is ACTIVE."""
        return self.wait_for_status(self.request(image, *networks), 'ACTIVE')

    def delete(self, server: Any) -> None:
        compute = self.cloud.demo.compute
        compute.delete_server(server, ignore_missing=True)
        compute.wait_for_delete(server, interval=1, wait=120)
        self.assert_nothing_left(server)

    # Waiting

    def wait_for(
        self, condition: Any, what: str = 'it', seconds: float = 60
    ) -> Any:
        """Wait until something is true, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f'{what} took longer than {seconds} s')
            time.sleep(0.3)
        return found

    def show(self, server: Any) -> Any:
        return self.cloud.demo.compute.get_server(server.id)

    def wait_for_status(
        self, server: Any, status: str, seconds: float = 120
    ) -> Any:
        """Wait until a server is so and nothing is being done with it."""

        def seen() -> Any:
            found = self.show(server)
            if found.status == 'ERROR' and status != 'ERROR':
                raise AssertionError(f'the server failed: {found.fault}')
            if found.status == status and not found.task_state:
                return found
            return None

        return self.wait_for(seen, f'{status} of {server.id}', seconds)

    def wait_for_compute(self) -> None:
        """Wait until nova-compute has reported after now."""

        def report() -> Any:
            found = self.cloud.admin.compute.services(binary='nova-compute')
            return next(iter(found)).updated_at

        before = report()
        self.wait_for(lambda: report() != before, 'a report of nova-compute')

    def heartbeat(self) -> str:
        """When Neutron has last heard of the agent that wires ports."""
        found = self.cloud.admin.network.agents(
            binary='neutron-openvswitch-agent'
        )
        return str(next(iter(found)).last_heartbeat_at)

    # Looking

    def containers(self, server: Any) -> dict[str, dict[str, Any]]:
        """What the engine has of a server, by role."""
        label = f'{naming.LABEL_INSTANCE}={server.id}'
        ids = self.cloud.docker(
            'ps', '--all', '--quiet', '--filter', f'label={label}'
        ).split()
        found = json.loads(self.cloud.docker('inspect', *ids)) if ids else []
        return {
            container['Config']['Labels'][naming.LABEL_ROLE]: container
            for container in found
        }

    def interfaces(self, server: Any) -> list[dict[str, Any]]:
        """The server's ports at the switch."""
        return self.cloud.vsctl(
            'find', 'Interface', f'external_ids:vm-uuid={server.id}'
        )

    def ports(self, server: Any) -> list[Any]:
        return list(self.cloud.demo.network.ports(device_id=server.id))

    def allocation(self, server: Any) -> dict[str, int]:
        """What Placement has given to a server."""
        found = self.cloud.admin.session.get(
            f'/allocations/{server.id}',
            endpoint_filter={'service_type': 'placement'},
        ).json()['allocations']
        resources: dict[str, int] = {}
        for provider in found.values():
            resources.update(provider['resources'])
        return resources

    def inside(self, server: Any, *words: str, check: bool = True) -> str:
        """Run a command in a server."""
        name = naming.instance_name(server.id)
        return self.cloud.docker('exec', name, *words, check=check)

    def beside(self, *words: str, check: bool = True) -> str:
        """Run a command on the network demo, beside its servers."""
        namespace = f'qdhcp-{self.cloud.network.id}'
        return run('ip', 'netns', 'exec', namespace, *words, check=check)

    def address(self, server: Any, network: str = NETWORK) -> str:
        """The first IPv4 address of a server."""
        addresses: Sequence[Any] = self.show(server).addresses[network]
        return str(
            next(entry['addr'] for entry in addresses if entry['version'] == 4)
        )

    def console(self, server: Any) -> str:
        found = self.cloud.demo.compute.get_server_console_output(server.id)
        return str(found['output'])

    # What has to be true

    def assert_running(self, server: Any) -> None:
        """All that has to be there for a server is there, and no more."""
        containers = self.containers(server)
        self.assertEqual({'instance', 'sandbox'}, set(containers))
        for container in containers.values():
            self.assertTrue(container['State']['Running'])
            self.assertFalse(container['HostConfig']['Privileged'])
        flavor = self.cloud.demo.compute.find_flavor(FLAVOR)
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
        ports = self.ports(server)
        interfaces = self.interfaces(server)
        self.assertEqual({'ACTIVE'}, {port.status for port in ports})
        self.assertEqual(
            {port.id for port in ports},
            {
                dict(entry['external_ids'][1])['iface-id']
                for entry in interfaces
            },
        )
        self._devices[server.id] = {entry['name'] for entry in interfaces}
        namespace = naming.instance_name(server.id)
        seen = json.loads(
            run('ip', '-n', namespace, '-json', 'address', 'show')
        )
        for port in ports:
            device = next(
                link for link in seen if link['address'] == port.mac_address
            )
            self.assertEqual('UP', device['operstate'])
            self.assertEqual(
                {entry['ip_address'] for entry in port.fixed_ips},
                {
                    entry['local']
                    for entry in device['addr_info']
                    if entry['scope'] == 'global'
                },
            )
            network = self.cloud.admin.network.get_network(port.network_id)
            self.assertEqual(network.mtu, device['mtu'])

    def assert_answers(self, server: Any) -> None:
        address = self.address(server)
        self.beside('ping', '-c', '2', '-i', '0.2', '-W', '5', address)

    def assert_nothing_left(self, server: Any) -> None:
        """No trace of a server that is gone."""
        self.assertEqual({}, self.containers(server))
        self.assertEqual([], self.interfaces(server))
        self.assertEqual([], self.ports(server))
        for device in self._devices.get(server.id, ()):
            self.assertFalse(os.path.exists(f'/sys/class/net/{device}'))
        # Nova frees it after the server is gone for the API.
        self.wait_for(lambda: not self.allocation(server), 'the allocation')
        link = f'/run/netns/{naming.instance_name(server.id)}'
        self.assertFalse(os.path.lexists(link), link)
        self.assert_no_stray_port()
        self.assertFalse(
            (self.cloud.state / 'nova' / 'instances' / server.id).exists()
        )

    def assert_no_stray_port(self) -> None:
        """Each port at the switch that names a server has that server."""
        servers = {
            server.id
            for server in self.cloud.admin.compute.servers(all_projects=True)
        }
        named = {
            dict(entry['external_ids'][1]).get('vm-uuid')
            for entry in self.cloud.vsctl('list', 'Interface')
        }
        self.assertEqual(set(), named - servers - {None})
