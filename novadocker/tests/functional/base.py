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

"""Nova's services in one process, with this driver on a real engine.

API, scheduler, conductor, compute and Placement are Nova's own; Glance and
Neutron are Nova's doubles of them. The engine is the one that DOCKER_HOST
names, the switch and the network namespace of the host are the test's own.
Needs root.
"""

import hashlib
import logging
import os
import pathlib
import sys
import time
import uuid

import fixtures
import nova.conf
from nova import context as nova_context
from nova import service as nova_service
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional import integrated_helpers
from oslo_utils import uuidutils

from novadocker import nova_loader
from novadocker.tests.fixtures import databases
from novadocker.tests.fixtures import driver as docker_driver
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import ovs
from novadocker.virt.docker import naming

# Seconds until what must happen has happened.
PATIENCE = 30

# Whether a service that stops leaves the rest to a thread, and does not wait
# for it longer than manager_shutdown_timeout: since Nova 34. Before, Nova 33
# sleeps for that long, whatever there is to do.
STOPS_IN_BACKGROUND = hasattr(
    nova_service.Service, '_run_manager_graceful_shutdown'
)

FLAVOR = {'memory_mb': 64, 'vcpu': 1, 'disk': 1, 'ephemeral': 0}


def _node() -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, nova.conf.CONF.host))


class _Pieces:
    """A file that is written to in pieces, as Glance's client does it."""

    def __init__(self, target):
        self._target = target

    def write(self, data):
        for at in range(0, len(data), 1 << 20):
            self._target.write(data[at : at + (1 << 20)])


class Glance(nova_fixtures.GlanceFixture):
    """Nova's double of Glance, that also keeps what is uploaded.

    :ivar downloads: the images that were downloaded, in their order
    :ivar uploading: called with an image's id when its upload is half way
    """

    def __init__(self, test):
        super().__init__(test)
        self.downloads = []
        self.uploading = lambda image_id: None

    def add(self, image: images.Image, **properties: str) -> str:
        image_id = uuidutils.generate_uuid()
        self.add_data(image_id, image.archive(), properties)
        return image_id

    def add_data(self, image_id, data, properties):
        self.create(
            None,
            {
                'id': image_id,
                'name': 'an image',
                'container_format': 'docker',
                'disk_format': 'raw',
                'status': 'active',
                'min_ram': 0,
                'min_disk': 0,
                'visibility': 'public',
                'properties': properties,
            },
        )
        self._keep(image_id, data)

    def _keep(self, image_id, data):
        self._imagedata[image_id] = data
        self.images[image_id].update(
            size=len(data),
            os_hash_algo='sha512',
            os_hash_value=hashlib.sha512(data).hexdigest(),
        )

    def create(self, context, metadata, data=None):
        # One without data is not active yet, as a snapshot that is begun.
        return super().create(
            context, {'status': 'queued', 'size': 0} | metadata, data
        )

    def download(self, context, image_id, data=None, **kwargs):
        self.downloads.append(image_id)
        target = data and _Pieces(data)
        return super().download(context, image_id, data=target, **kwargs)

    def detail(self, context, filters=None, **_):
        """The images with these properties, the youngest first."""
        wanted = {
            name.removeprefix('property-'): value
            for name, value in (filters or {}).items()
        }
        return [
            image
            for image in reversed(super().detail(context))
            if wanted.items() <= image['properties'].items()
        ]

    def update(self, context, image_id, metadata, data=None, **kwargs):
        if data is None:
            return super().update(context, image_id, metadata, **kwargs)
        begin = data.read(65536)
        self.uploading(image_id)
        rest = b''.join(iter(lambda: data.read(65536), b''))
        super().update(context, image_id, metadata, **kwargs)
        self._keep(image_id, begin + rest)
        return self.show(context, image_id)


def _log_to_nobody():
    """Undo Nova's logging to standard output, which outlives a test.

    What a test logs is kept by Nova's fixture, and shown if it fails. Each
    step of each request to netlink is more than anybody wants to see then.
    """
    logging.getLogger('pyroute2').setLevel(logging.INFO)
    root = logging.getLogger()
    for handler in list(root.handlers):
        if getattr(handler, 'stream', None) in (sys.stdout, sys.stderr):
            root.removeHandler(handler)


_log_to_nobody()


class FunctionalTestCase(integrated_helpers._IntegratedTestBase):
    ADMIN_API = True
    CAST_AS_CALL = False
    REQUIRES_LOCKING = True
    microversion = 'latest'

    def setUp(self):
        self.useFixture(databases.Databases())
        super().setUp()

    def _setup_services(self):
        """Give Nova a host for its containers, and start it."""
        self.host = 'host-' + uuidutils.generate_uuid()[:8]
        self.useFixture(ovs.HostNamespace())
        self.useFixture(ovs.Privileged())
        self.switch = self.useFixture(ovs.OpenVSwitch())
        self.glance = self.useFixture(Glance(self))
        self._bind_ports_as_neutron_does()
        self.instances = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        # Each host has a node of its own, though they share a process.
        self.useFixture(
            fixtures.MonkeyPatch('nova.virt.node.get_local_node_uuid', _node)
        )
        nova_loader.install()
        if STOPS_IN_BACKGROUND:
            # Nova's own tests leave a service at once, and what it still does
            # then would shut the pools of the next test. Of the seconds none
            # is for builds: the last 20 are the driver's.
            self.flags(manager_shutdown_timeout=20)
        self.flags(
            compute_driver='novadocker.virt.docker.DockerDriver',
            instances_path=str(self.instances),
            shutdown_timeout=2,
            # A small machine is to hold many small servers.
            cpu_allocation_ratio=64.0,
        )
        self.flags(host_url=os.environ['DOCKER_HOST'], group='docker')
        # Nova looks for it below its source, where no wheel puts it.
        self.flags(
            api_paste_config=f'{sys.prefix}/etc/nova/api-paste.ini',
            group='wsgi',
        )
        self.client = docker_driver.engine_client()
        self.addCleanup(self._remove_containers)
        super()._setup_services()
        self.flavor = self._create_flavor(**FLAVOR)

    def _bind_ports_as_neutron_does(self):
        port = self.neutron.default_port
        address = {
            'ip_address': 'fd37:44e8:ad06::30',
            'subnet_id': self.neutron.subnet_ipv6_1['id'],
        }
        self.neutron.default_port = port | {
            'fixed_ips': [*port['fixed_ips'], address],
            'binding:vif_details': {
                'datapath_type': 'netdev',
                'bridge_name': 'br-int',
                'port_filter': True,
            },
        }
        subnet = self.neutron.subnet_1
        self.neutron._subnets[subnet['id']] = subnet | {
            # Nova's double has an address of a host here.
            'cidr': '192.168.1.0/24'
        }

    def _setup_compute_service(self):
        return self._start_compute(self.host)

    def _remove_containers(self):
        """Clear up after a test that failed."""
        for row in self.containers():
            name = naming.instance_name(naming.instance_uuid(row.labels))
            pathlib.Path('/run/netns', name).unlink(missing_ok=True)
            self.client.remove(row.id)

    def containers(self):
        return self.client.list_containers(naming.host_filter(self.host))

    def boot(self, image=images.SHELL, status='ACTIVE', **request):
        """Create a server and wait for its status."""
        server = self.create(self.glance.add(image), **request)
        return self.wait_for_status(server, status)

    def create(self, image_id, **request):
        body = {
            'name': 'web',
            'imageRef': image_id,
            'flavorRef': self.flavor,
            'networks': 'auto',
        }
        return self.api.post_server({'server': body | request})

    def wait_for(self, condition, what, pause=0.1):
        """Wait until something is true, and give it."""
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(pause)
        return found

    def wait_for_status(self, server, status, task=None):
        def reached():
            found = self.api.get_server(server['id'])
            there = found['status'] == status
            if there and found['OS-EXT-STS:task_state'] == task:
                return found
            # Its fault is told in time.
            self.assertFalse(
                found['status'] == 'ERROR' != status, found.get('fault')
            )
            return None

        # An answer costs the processors a twentieth of a second, which those
        # miss who work on the server.
        return self.wait_for(reached, f'{server["id"]} is not {status}', 0.3)

    def wait_for_fault(self, server):
        self.wait_for_status(server, 'ERROR')
        return self.wait_for(
            lambda: self.api.get_server(server['id']).get('fault'),
            'no fault is told',
        )

    def act(self, server, action, status=None, **arguments):
        """Have the API do something to a server."""
        self.api.post_server_action(server['id'], {action: arguments or None})
        if status:
            return self.wait_for_status(server, status)
        return None

    def recover(self, server):
        """Reboot a server that is in error, which is what users do then."""
        self.act(server, 'reboot', type='HARD')
        self.wait_for(
            lambda: (
                self.api.get_server(server['id'])['status'] == 'ACTIVE'
            ),
            'the server is not to be had back',
        )

    def delete(self, server):
        self.api.delete_server(server['id'])
        self._wait_until_deleted(server)

    def info(self, server):
        return self.client.inspect(naming.instance_name(server['id']))

    def sandbox(self, server):
        return self.client.inspect(naming.sandbox_name(server['id']))

    def console(self, server):
        answer = self.api.post_server_action(
            server['id'], {'os-getConsoleOutput': {}}
        )
        return answer['output']

    def inside(self, server, command):
        """Run a command in a server's network namespace."""
        return ovs.run(
            *('ip', 'netns', 'exec', naming.instance_name(server['id'])),
            *command.split(),
        )

    def periodic(self):
        """Have nova-compute do its periodic tasks."""
        context = nova_context.get_admin_context()
        self.compute.manager.periodic_tasks(context)
        self.compute.manager.update_available_resource(context)

    def hypervisor(self):
        [found] = self.admin_api.api_get(
            '/os-hypervisors/detail?hypervisor_hostname_pattern=' + self.host
        ).body['hypervisors']
        return found

    def usages(self):
        provider = self._get_provider_uuid_by_host(self.host)
        return self._get_provider_usages(provider)

    def assert_nothing_left(self, server):
        self.assertEqual([], self.containers())
        self.assertEqual([], self.switch.ports())
        self.assertNotIn('tap', ovs.run('ip', '-o', 'link'))
        name = naming.instance_name(server['id'])
        self.assertFalse(os.path.lexists(f'/run/netns/{name}'))
        left = {path.name for path in self.instances.iterdir()}
        self.assertEqual(set(), left - {'locks', 'compute_nodes', '_base'})
        self.assertEqual(
            {'VCPU': 0, 'MEMORY_MB': 0, 'DISK_GB': 0}, self.usages()
        )
