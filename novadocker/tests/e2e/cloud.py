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

"""A real cloud: its commands and its connections."""

import atexit
from collections.abc import Mapping
import functools
import json
import logging
import pathlib
import subprocess
from typing import Any

import openstack

COMMAND = pathlib.Path(__file__).parents[3] / 'contrib' / 'cloud' / 'cloud'
NETWORK = 'demo'

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


def _environment(*options: str) -> dict[str, str]:
    words = ' '.join(options)
    said = run('bash', '-c', f'eval "$({COMMAND} env {words})" && env -0')
    return dict(
        line.split('=', 1) for line in said.split('\0') if '=' in line
    )


class Host:
    """A host of the cloud: its engine, its switch and what it keeps."""

    def __init__(self, number: int) -> None:
        self.env = _environment('--host', str(number))
        self.name = self.env['CLOUD_HOSTNAME']
        self.state = pathlib.Path(self.env['CLOUD_STATE'])
        # What the names of its services end with.
        self.suffix = '' if number == 1 else f'-{number}'

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command there."""
        within = self.env['CLOUD_WITHIN'].split()
        return run(*within, *words, env=self.env, check=check)

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

    def has(self, path: str) -> bool:
        """Whether a path leads to something there, be it a dead link."""
        found = self.run('find', path, '-maxdepth', '0', check=False)
        return bool(found)


class Cloud:
    """The cloud of contrib/cloud, brought up where it is not.

    :ivar hosts: its compute hosts; a server that does not ask for another one
        is on the first
    """

    def __init__(self) -> None:
        run(str(COMMAND), 'up')
        self.env = _environment('--user', 'demo')
        self.admin_env = _environment()
        self.admin = _connection(self.admin_env)
        self.demo = _connection(self.env)
        self.network = self.demo.network.find_network(NETWORK)
        self.hosts = tuple(
            Host(number + 1)
            for number in range(len(list(self.admin.compute.hypervisors())))
        )
        self.take_servers(self.hosts[0])
        atexit.register(self.take_servers, *self.hosts)

    def take_servers(self, *hosts: Host) -> None:
        """Let Nova choose among these hosts."""
        names = {host.name for host in hosts}
        compute = self.admin.compute
        for service in compute.services(binary='nova-compute'):
            wanted = 'enabled' if service.host in names else 'disabled'
            if service.status == wanted:
                continue
            if wanted == 'enabled':
                compute.enable_service(service)
            else:
                compute.disable_service(service)

    def openstack(self, *words: str) -> Any:
        """What the command openstack answers, as the user demo."""
        said = run('openstack', *words, '--format', 'json', env=self.env)
        return json.loads(said)

    def agents(self) -> set[str]:
        """The programs of Neutron's that do its work here."""
        return {agent.binary for agent in self.admin.network.agents()}

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
def the_cloud() -> Cloud:
    return Cloud()
