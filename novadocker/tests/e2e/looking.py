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

"""What can be seen of a server from outside the driver."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import json
import os
import signal
import time
from typing import Any

from oslotest import base

from novadocker.tests.e2e import cloud
from novadocker.virt.docker import naming


class Looking(base.BaseTestCase):
    """Asks the cloud, the engine, the switch and the server itself."""

    def setUp(self) -> None:
        super().setUp()
        self.cloud = cloud.the_cloud()
        # Where the servers are that the test looks at.
        self.host = self.cloud.hosts[0]

    @contextlib.contextmanager
    def at(self, host: cloud.Host) -> Iterator[None]:
        """Look at another host for a while."""
        before, self.host = self.host, host
        try:
            yield
        finally:
            self.host = before

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
        return self.cloud.admin.compute.get_server(server.id)

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
            found = self.cloud.admin.compute.services(
                binary='nova-compute', host=self.host.name
            )
            return next(iter(found)).updated_at

        before = report()
        self.wait_for(lambda: report() != before, 'a report of nova-compute')

    def heartbeat(self) -> str:
        """When Neutron has last heard of the agent that wires ports."""
        found = self.cloud.admin.network.agents(
            binary='neutron-openvswitch-agent', host=self.host.name
        )
        return str(next(iter(found)).last_heartbeat_at)

    # Breaking

    @contextlib.contextmanager
    def without(self, service: str) -> Iterator[None]:
        """Have a process of the cloud be away for a while."""
        self.cloud.service('stop', service)
        try:
            yield
        finally:
            self.cloud.service('start', service)
            # Neutron binds no port where it has not heard of the agent.
            before = self.heartbeat()
            self.wait_for(
                lambda: self.heartbeat() != before, 'word from the agent'
            )

    def compute_process(self) -> int:
        """The process of nova-compute on the host."""
        program = f'{self.cloud.env["CLOUD_FOLDER"]}/venv/bin/nova-compute'
        options = f'--config-file .*/nova{self.host.suffix}.conf'
        [process] = cloud.run(
            'pgrep', '--full', f'{program} {options}'
        ).split()
        return int(process)

    def kill_compute(self) -> None:
        """End nova-compute in the midst of all; supervisor starts it."""
        os.kill(self.compute_process(), signal.SIGKILL)

    # Looking

    def containers(self, server: Any) -> dict[str, dict[str, Any]]:
        """What the engine has of a server, by role."""
        label = f'{naming.LABEL_INSTANCE}={server.id}'
        ids = self.host.docker(
            'ps', '--all', '--quiet', '--filter', f'label={label}'
        ).split()
        # One that goes meanwhile is an error, and the others are told.
        found = (
            json.loads(self.host.docker('inspect', *ids, check=False))
            if ids
            else []
        )
        return {
            container['Config']['Labels'][naming.LABEL_ROLE]: container
            for container in found
        }

    def interfaces(self, server: Any) -> list[dict[str, Any]]:
        """The server's ports at the switch."""
        return self.host.vsctl(
            'find', 'Interface', f'external_ids:vm-uuid={server.id}'
        )

    def ports(self, server: Any) -> list[Any]:
        return list(self.cloud.admin.network.ports(device_id=server.id))

    def within(self, server: Any, *words: str, check: bool = True) -> str:
        """Run a command of the host in a server's network namespace."""
        name = naming.instance_name(server.id)
        return self.host.run('ip', 'netns', 'exec', name, *words, check=check)

    def nics(self, server: Any) -> dict[str, dict[str, Any]]:
        """What a server has for a network, by the names inside."""
        found = json.loads(
            self.within(server, 'ip', '-json', 'address', 'show')
        )
        return {link['ifname']: link for link in found}

    def routes(self, server: Any, *family: str) -> dict[str, dict[str, Any]]:
        """A server's routes that somebody has made, by their destinations.

        :param family: -6 for those of IPv6
        """
        found = json.loads(
            self.within(server, 'ip', *family, '-json', 'route')
        )
        return {
            entry['dst']: entry
            for entry in found
            if entry['protocol'] == 'static'
        }

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
        return self.host.docker('exec', name, *words, check=check)

    def beside(
        self, *words: str, network: Any = None, check: bool = True
    ) -> str:
        """Run a command on a network, beside its servers.

        :param network: instead of the network demo
        """
        name = (network or self.cloud.network).id
        there = cloud.run('ip', 'netns', 'list').split()
        # Where Neutron's agent serves DHCP, or OVN's the metadata.
        [namespace] = {f'qdhcp-{name}', f'ovnmeta-{name}'} & set(there)
        return cloud.run('ip', 'netns', 'exec', namespace, *words, check=check)

    def answers(self, address: str, network: Any = None) -> bool:
        """Whether an address on a network answers from beside."""
        return ' 0% packet loss' in self.beside(
            *('ping', '-c', '1', '-W', '2', address),
            network=network,
            check=False,
        )

    def address(self, server: Any, network: str = cloud.NETWORK) -> str:
        """The first IPv4 address of a server."""
        addresses: Sequence[Any] = self.show(server).addresses[network]
        return str(
            next(entry['addr'] for entry in addresses if entry['version'] == 4)
        )

    def start_of(self, server: Any, role: str = 'instance') -> str:
        """When a container was started last, empty if it is not there."""
        container = self.containers(server).get(role)
        return str(container['State']['StartedAt']) if container else ''

    def metadata(self, server: Any) -> dict[str, Any]:
        """What the metadata service tells a server."""
        url = 'http://169.254.169.254/openstack/latest/meta_data.json'
        found: dict[str, Any] = json.loads(
            self.inside(server, 'wget', '-q', '-O', '-', url)
        )
        return found

    def tags(self, server: Any) -> dict[str, list[str]]:
        """The tags of a server's NICs, by MAC address, as it is told them."""
        return {
            device['mac']: device['tags']
            for device in self.metadata(server).get('devices', ())
        }

    def console(self, server: Any) -> str:
        found = self.cloud.demo.compute.get_server_console_output(server.id)
        return str(found['output'])
