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

"""What is there when nova-compute was killed in the middle of something."""

import itertools
import os
import pathlib

import fixtures
from nova import objects
import os_vif
from vif_plug_ovs import linux_net
from vif_plug_ovs.ovsdb import ovsdb_lib

from novadocker.privsep import files
from novadocker.privsep import netns
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import instances
from novadocker.tests.fixtures import network as ports
from novadocker.tests.fixtures import ovs
from novadocker.tests.functional import test_healing
from novadocker.virt.docker import checkpoint
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import naming
from novadocker.virt.docker import network

#: All by which nova-compute changes a host.
_STEPS = (
    (netns, ('connect', 'complete', 'announce', 'delete', 'link', 'unlink')),
    (files, ('write_sandbox_file',)),
    (os_vif, ('plug', 'unplug')),
    (
        linux_net,
        (
            'ensure_bridge',
            'create_veth_pair',
            'add_bridge_port',
            'delete_bridge',
            'delete_net_dev',
        ),
    ),
    (ovsdb_lib.BaseOVS, ('create_ovs_vif_port', 'delete_ovs_vif_port')),
    (
        engine.Client,
        ('create', 'start', 'stop', 'stop_if_there', 'remove', 'remove_image'),
    ),
    (checkpoint.Checkpoints, ('write', 'remove')),
)


class Killed(BaseException):
    """The end of nova-compute, which takes nothing back."""


class Kill(fixtures.Fixture):
    """Lets nova-compute take a number of steps, and none after them."""

    def __init__(self, steps):
        super().__init__()
        self._left = steps

    def _setUp(self):
        for owner, names in _STEPS:
            for name in names:
                step = self._step(getattr(owner, name))
                self.useFixture(fixtures.MonkeyPatch(_path(owner, name), step))

    def _step(self, real):
        def step(*args, **kwargs):
            self._left -= 1
            if self._left < 0:
                raise Killed
            return real(*args, **kwargs)

        return step


def _path(owner, name):
    module = getattr(owner, '__module__', '')
    return '.'.join(part for part in (module, owner.__name__, name) if part)


class KillsTestCase(test_healing.AccidentTestCase):
    """A server with two ports, the second of which has a hybrid plug."""

    def setUp(self):
        super().setUp()
        self.clean = self.devices() - {self.device}
        [self.second] = network.load(
            network.dump(
                [
                    ports.hybrid(
                        ports.userspace(
                            ports.vif(
                                ports.Subnet('10.9.0.0/24', ['10.9.0.5'])
                            )
                        )
                    )
                ]
            )
        )
        self.both = network.load(
            network.dump([*self.network_info, self.second])
        )

    def nova_knows(self, vifs):
        self.instance.info_cache = objects.InstanceInfoCache(network_info=vifs)

    def kill_at_each_step(self, work):
        """Do a work until nova-compute is killed, and restart it.

        It is killed at an earlier step each time; nothing is yielded any more
        when the work comes to its end.
        """
        for steps in itertools.count():
            # What works beside is no part of this.
            self.host.driver.cleanup_host(self.host.host)
            with Kill(steps):
                try:
                    work()
                except Killed:
                    pass
                else:
                    # Or this would be about nothing.
                    self.assertGreater(steps, 5)
                    return
            self.host.start()
            self.host.driver.register_event_listener(self.events)
            yield steps

    def attach_second(self):
        self.host.driver.attach_interface(
            self.host.context, self.instance, None, self.second
        )

    def detach_second(self):
        self.host.driver.detach_interface(
            self.host.context, self.instance, self.second
        )

    def plug(self, vifs):
        """What Nova does with a server that runs when it starts."""
        self.nova_knows(vifs)
        self.host.driver.plug_vifs(self.instance, vifs)

    def assert_both(self):
        found = self.inside('ip', 'addr')
        for address in ('10.0.0.5/24', '10.9.0.5/24'):
            self.assertIn(address, found)
        self.assertIn('via 10.0.0.1', self.inside('ip', 'route'))
        at_switch = f'qvo{self.second["id"]}'[:14]
        self.assertEqual(
            {self.device, at_switch}, set(self.host.switch.ports())
        )
        self.assertIn(
            'master qbr', ovs.run('ip', 'link', 'show', self.second['devname'])
        )

    def assert_nothing_left(self):
        self.assertEqual(self.clean, self.devices())
        self.assertEqual([], self.host.switch.ports())
        self.assertFalse(os.path.lexists(self.link))
        self.assertEqual(
            [],
            self.host.client.list_containers(
                naming.host_filter(self.host.host)
            ),
        )
        directory = pathlib.Path(self.host.instances_path, self.instance.uuid)
        self.assertFalse(directory.exists())

    def test_attachment(self):
        """Nova knows the port before it is plugged."""
        for steps in self.kill_at_each_step(self.attach_second):
            self.plug(self.both)
            self.assert_both()
            self.plug(self.both)
            self.detach_second()
            self.nova_knows(self.network_info)
            self.is_whole()
            self.assertEqual(self.clean | {self.device}, self.devices(), steps)

    def test_detachment(self):
        """Nova knows the port until it is unplugged."""
        self.attach_second()
        self.nova_knows(self.both)
        for steps in self.kill_at_each_step(self.detach_second):
            self.plug(self.both)
            self.assert_both()
            # The user tries again, on every second occasion.
            if steps % 2:
                self.detach_second()
                self.nova_knows(self.network_info)
                self.is_whole()
                self.assertEqual(
                    self.clean | {self.device}, self.devices(), steps
                )
                self.attach_second()
                self.nova_knows(self.both)
        self.nova_knows(self.network_info)
        self.is_whole()

    def test_detachment_of_a_port_that_is_gone_by_then(self):
        """Its deletion in Neutron goes on without nova-compute."""
        self.attach_second()
        self.nova_knows(self.both)
        for _ in self.kill_at_each_step(self.detach_second):
            self.nova_knows(self.network_info)
            self.host.driver.reboot(
                self.host.context, self.instance, self.network_info, 'HARD'
            )
            self.is_whole()
            self.assertEqual(self.clean | {self.device}, self.devices())
            self.attach_second()
            self.nova_knows(self.both)

    def test_deletion(self):
        """By the time that it goes on the ports may have been unbound."""
        self.attach_second()
        self.nova_knows(self.both)
        image = self.host.load(images.SHELL)
        for _ in self.kill_at_each_step(
            lambda: self.host.destroy(self.instance, self.both)
        ):
            self.host.destroy(self.instance, network.load([]))
            self.assert_nothing_left()
            self.another_server(image)
        self.assert_nothing_left()

    def another_server(self, image):
        self.instance.uuid = instances.an_instance().uuid
        self.name = naming.instance_name(self.instance.uuid)
        self.link = pathlib.Path('/run/netns', self.name)
        self.host.spawn(self.instance, image, self.both)
        self.nova_knows(self.both)
