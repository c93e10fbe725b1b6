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

"""The installation guide, typed line by line until there is a server."""

from concurrent import futures
import contextlib
import dataclasses
import os
import pathlib
import sys
import uuid

import fixtures
from testtools import content
from testtools import content_type

from novadocker.tests.e2e import base
from novadocker.tests.e2e import cloud
from novadocker.tests.e2e import compute_host
from novadocker.tests.e2e import guide
from novadocker.tests.packaging import base as packaging

# Blocks that nobody types here, word by word, and why.
_NOT_RUN = {
    """\
pip install nova-docker \\
    --constraint https://releases.openstack.org/constraints/upper/2026.1""": (
        'an alternative: the Nova of this cloud has constraints of its own'
    ),
    """\
apt-get install python3-pip python3-docker python3-pyroute2
pip install --break-system-packages --dry-run nova-docker
pip install --break-system-packages nova-docker
pip check""": 'an alternative: the Nova here is not of a distribution',
}

# What the guide leaves to the reader.
_CHOSEN = {'FLAVOR': base.FLAVOR, 'NETWORK': base.NETWORK}

# The reader's own image.
_CIRROS = dataclasses.replace(base.WEB, tags=('cirros:latest',))

# What works on the host then, and does not before.
_BROUGHT = [
    'command -v nova-docker-status',
    'python -c "import docker, novadocker"',
    'test -e /etc/nova/rootwrap.d/docker.filters',
    'grep novadocker /etc/nova/nova.conf',
    f'setpriv {" ".join(compute_host.NOVA)} docker version',
]

_VERSION = """
from importlib import metadata
print(metadata.version('nova-docker'))
"""

# What must not be touched on the machine itself.
_LITERAL = ('/etc/nova', '/var/run/docker.sock')


def _credentials(env):
    return {
        name: value for name, value in env.items() if name.startswith('OS_')
    }


class TestInstallGuide(base.TestCase):
    """On a host of its own, beside the second one of the cloud."""

    def setUp(self):
        super().setUp()
        self.neighbour = self.cloud.hosts[1]
        self.typed = []
        self.addDetail(
            'typed',
            content.Content(
                content_type.UTF8_TEXT,
                lambda: ['\n'.join(self.typed).encode()],
            ),
        )

    def test_a_newcomer_gets_a_server(self):
        steps = [
            ('The package', self.install),
            ('The engine', self.type),
            ('nova.conf', self.add_to_nova_conf),
            ('Rootwrap', self.type),
            ('Glance', self.find_in_glance),
            ('Glance', self.upload_the_image),
            ('The first start', self.check_and_start),
            ('The first start', self.discover),
            ('The first start', self.list_hypervisors),
            ('The first server', self.create),
        ]
        blocks = self.blocks()
        self.assertEqual(
            [section for section, _ in steps],
            [block.section for block in blocks],
        )
        self.lend(blocks)
        self.assertEqual([], self.brought())
        for (_, step), block in zip(steps, blocks, strict=True):
            step(block)
        self.assertEqual(_BROUGHT, self.brought())
        self.use()

    def blocks(self):
        """What is to be typed: all blocks but those that are named above."""
        found = guide.blocks('install/index.rst')
        texts = {block.text for block in found}
        self.assertEqual(set(), set(_NOT_RUN) - texts)
        return [block for block in found if block.text not in _NOT_RUN]

    # The host

    def lend(self, blocks):
        """Have a host, with the switch of another one."""
        before = self.traces()
        self.addCleanup(self.assert_traces, before)
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        with futures.ThreadPoolExecutor() as pool:
            built = pool.submit(self.build)
            self.begin(blocks)
            built.result()

    def build(self):
        """Build the wheel that the guide finds in an index."""
        source = self.root / 'source'
        packaging.copy_source(source)
        packaging.run(
            *(sys.executable, '-m', 'build', '--wheel'),
            *('--outdir', self.root / 'dist', source),
        )
        [self.wheel] = (self.root / 'dist').glob('*.whl')

    def begin(self, blocks):
        self.host = self.neighbour
        lent = contextlib.ExitStack()
        lent.enter_context(
            self.without(f'neutron-openvswitch{self.neighbour.suffix}')
        )
        self.addCleanup(self.give_back, lent)
        name = f'guide-{uuid.uuid4().hex[:8]}'
        self.addCleanup(self.forget, name)
        self.there = compute_host.ComputeHost(
            self.neighbour,
            name,
            [block for block in blocks if block.section == 'nova.conf'],
        )
        self.addCleanup(self.assert_ended)
        self.useFixture(self.there)
        self.host = self.there.seen

    def give_back(self, lent):
        with self.at(self.neighbour):
            lent.close()

    def forget(self, name):
        """Have Nova and Neutron forget a host that has ended."""
        compute, network = self.cloud.admin.compute, self.cloud.admin.network
        for service in compute.services(host=name):
            compute.delete_service(service)
        for agent in network.agents(host=name):
            network.delete_agent(agent)

    def traces(self):
        """What is to be the same at the end."""
        admin, neighbour = self.cloud.admin, self.neighbour
        folder = pathlib.Path(neighbour.env['CLOUD_FOLDER'])
        providers = admin.session.get(
            '/resource_providers',
            endpoint_filter={'service_type': 'placement'},
        ).json()['resource_providers']
        return {
            'hypervisors': {one.name for one in admin.compute.hypervisors()},
            'services': {
                (one.binary, one.host) for one in admin.compute.services()
            },
            'providers': {one['name'] for one in providers},
            'agents': {
                (one.binary, one.host) for one in admin.network.agents()
            },
            'images': {one.id for one in self.cloud.demo.image.images()},
            'ports': {one['name'] for one in neighbour.vsctl('list', 'Port')},
            'devices': set(neighbour.run('ls', '/sys/class/net').split()),
            'namespaces': set(neighbour.run('ls', '/run/netns').split()),
            'files': {
                path: os.lstat(path).st_mtime_ns
                for path in _LITERAL
                if os.path.lexists(path)
            },
            'environment': {
                path.name for path in folder.glob('venv/lib/*/*/*docker*')
            },
            'accounts': [
                pathlib.Path('/etc', name).read_text()
                for name in ('passwd', 'group')
            ],
        }

    def assert_traces(self, before):
        self.assertEqual(before, self.traces())

    def assert_ended(self):
        """Nothing runs any more that belongs to the host."""
        self.wait_for(lambda: not self.there.processes(), 'its processes', 10)
        root = str(self.there.root)
        self.wait_for(
            lambda: not cloud.run('pgrep', '--full', root, check=False),
            'the end of its agent',
            10,
        )
        self.assertNotIn(root, pathlib.Path('/proc/self/mounts').read_text())

    def brought(self):
        """What the guide brings, and is there."""
        return [
            command
            for command in _BROUGHT
            if self.there.run(
                *('bash', '-c', f'({command}) >&2 && echo so'), check=False
            )
        ]

    # The guide

    def type(self, block, env=None, outside=False):
        """Type a block on the host, as root."""
        said = []
        for command in block.commands():
            self.typed.append(f'$ {command}')
            said.append(self.there.type(command, env, outside))
            self.typed.append(said[-1])
        return ''.join(said)

    def install(self, block):
        links = os.environ.get('PIP_FIND_LINKS', '')
        self.type(
            block,
            {'PIP_FIND_LINKS': f'{links} {self.wheel.parent}'},
            outside=True,
        )
        # No other one that some index may have.
        version = self.there.run('python', '-c', _VERSION).strip()
        self.assertEqual(self.wheel.name.split('-')[1], version)
        self.there.run('pip', 'check')

    def add_to_nova_conf(self, block):
        self.assertNotEqual({}, block.options())
        with self.there.file('/etc/nova/nova.conf').open('a') as nova_conf:
            nova_conf.write(block.text)

    def find_in_glance(self, block):
        """The cloud's Glance has been told this and was started since."""
        path = f'{self.neighbour.env["CLOUD_ETC"]}/glance/glance-api.conf'
        there = guide.options(pathlib.Path(path).read_text())
        self.assertNotEqual({}, block.options())
        for section, values in block.options().items():
            self.assertLessEqual(values.items(), there[section].items())

    def upload_the_image(self, block):
        archive = self.root / 'cirros.tar'
        archive.write_bytes(_CIRROS.archive())
        self.host.docker('load', '--input', str(archive))
        before = {one.id for one in self.cloud.demo.image.images()}
        self.addCleanup(self.delete_images, before)
        self.type(block, _credentials(self.cloud.env))

    def delete_images(self, before):
        image = self.cloud.demo.image
        for one in [*image.images()]:
            if one.id not in before:
                image.delete_image(one)

    def check_and_start(self, block):
        self.assertIn(self.there.name, self.type(block))
        self.addCleanup(self.keep_log)
        self.there.start_compute()
        # It is what the guide has the reader wait for.
        self.wait_for(
            lambda: 'Compute node record' in self.there.log.read_text(),
            'the first report of nova-compute',
        )
        process = pathlib.Path('/proc', str(self.there.compute.pid))
        self.assertEqual('nova', process.owner())

    def keep_log(self):
        self.addDetail('nova-compute', base.text(self.there.log.read_text()))

    def discover(self, block):
        [command] = block.commands()
        self.typed.append(f'$ {command}')
        self.typed.append(self.there.type_beside_the_api(command))

    def list_hypervisors(self, block):
        said = self.type(block, _credentials(self.cloud.admin_env))
        [line] = [
            line for line in said.splitlines() if self.there.name in line
        ]
        self.assertIn(' docker ', line)

    def create(self, block):
        self.cloud.take_servers(self.host)
        self.addCleanup(self.cloud.take_servers, self.cloud.hosts[0])
        self.addCleanup(self.delete_servers)
        text = block.text
        for name, value in _CHOSEN.items():
            self.assertIn(name, text)
            text = text.replace(name, value)
        self.type(
            dataclasses.replace(block, text=text), _credentials(self.cloud.env)
        )

    def servers(self):
        """Those on the host."""
        return [
            server
            for server in self.cloud.admin.compute.servers(all_projects=True)
            if server.compute_host == self.there.name
        ]

    def delete_servers(self):
        for server in self.servers():
            self.delete(server)
            self.assert_nothing_left_at(self.host, server)

    def use(self):
        [server] = self.servers()
        self.wait_for_status(server, 'ACTIVE')
        self.assert_running(server)
        # Nobody is let in by the group that the project begins with.
        self.cloud.demo.compute.add_security_group_to_server(
            server, self.group
        )
        address = self.address(server)
        self.wait_for(lambda: self.answers(address), 'an answer', 20)
