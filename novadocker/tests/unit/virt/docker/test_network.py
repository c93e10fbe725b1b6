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


import contextlib
import errno
import json
import types
import uuid

import fixtures
from nova import exception as nova_exception
from os_vif import exception as os_vif_exception
from os_vif import objects
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import instances
from novadocker.tests.fixtures import network as ports
from novadocker.virt.docker import network
from novadocker.virt.docker import nic

SANDBOX = types.SimpleNamespace(pid=42, netns=4026531840)


class Host:
    """The host as far as the network reaches into it.

    :ivar log: what was done, in order, as pairs of a step and a device
    :ivar there: the NICs of the only namespace
    :ivar devices: what os-vif has made
    :ivar switch: the devices that the switch has ports of
    :ivar failing: steps that fail, and of which device
    """

    def __init__(self):
        self.log = []
        self.there = []
        self.ports = {}
        self.devices = set()
        self.switch = set()
        self.failing = {}

    def _did(self, step, device):
        if self.failing.get(step) == device:
            raise OSError(errno.EIO, f'{step} failed')
        self.log.append((step, device))

    def steps(self, device):
        return [step for step, found in self.log if found == device]

    # os-vif

    def plug(self, vif, info):
        self._in_terms_of_os_vif('os-vif plug', vif)
        self.ports[vif.vif_name] = vif
        self.devices |= self._parts(vif)
        self.switch.add(self._at_the_switch(vif))

    def unplug(self, vif, info):
        self._in_terms_of_os_vif('os-vif unplug', vif)
        self.ports.pop(vif.vif_name, None)
        self.devices -= self._parts(vif)
        self.switch.discard(self._at_the_switch(vif))

    def _parts(self, vif):
        if not isinstance(vif, objects.vif.VIFBridge):
            return set()
        return {f'{kind}{vif.id}'[:14] for kind in ('qbr', 'qvb', 'qvo')}

    def _at_the_switch(self, vif):
        return next(
            (name for name in self._parts(vif) if name.startswith('qvo')),
            vif.vif_name,
        )

    def has(self, name):
        self._did('ask the switch', name)
        return name in self.switch

    def index(self, name):
        if name not in self.devices:
            raise OSError('no interface with this name')
        return 7

    def _in_terms_of_os_vif(self, step, vif):
        try:
            self._did(step, vif.vif_name)
        except OSError as exc:
            raise os_vif_exception.PlugException(vif=vif, err=exc) from exc

    # netns

    def interfaces(self, pid, netns):
        self._did('look', netns)
        return self.there

    def connect(self, pid, netns, wanted):
        for one in wanted:
            self._did('connect', one['device'])
            self.there.append(
                {
                    'name': one['name'],
                    'device': one['device'],
                    'mac': one['mac'],
                    'mtu': one['mtu'],
                    'up': False,
                    'addresses': (),
                }
            )

    def complete(self, pid, netns, wanted):
        for one in wanted:
            bridge = one['linux_bridge']
            self._did(
                f'complete in {bridge}' if bridge else 'complete',
                one['device'],
            )

    def announce(self, pid, netns, wanted):
        for one in wanted:
            self._did('announce', one['device'])

    def delete(self, device):
        self._did('delete', device)
        self.there = [one for one in self.there if one['device'] != device]

    def link(self, name, pid, netns):
        self._did(f'link to {pid} {netns}', name)
        return True

    def unlink(self, name):
        self._did('unlink', name)


class NetworkTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        # What os_vif.initialize() does first, without its plugins.
        objects.register_all()
        self.host = Host()
        for name in ('plug', 'unplug'):
            self.patch(f'os_vif.{name}', getattr(self.host, name))
        for name in (
            'interfaces',
            'connect',
            'complete',
            'announce',
            'delete',
            'link',
            'unlink',
        ):
            self.patch(
                f'novadocker.privsep.netns.{name}', getattr(self.host, name)
            )
        self.patch(
            'novadocker.virt.docker.network.socket.if_nametoindex',
            self.host.index,
        )
        self.network = network.Network(
            None, self.host, network.NetworkSettings(300, True, 'br-ndt')
        )
        self.instance = instances.an_instance()

    def patch(self, name, value):
        self.useFixture(fixtures.MonkeyPatch(name, value))


class CheckTestCase(NetworkTestCase):
    def test_port_of_open_vswitch(self):
        self.network.check([ports.vif(), ports.hybrid(ports.vif())])

    def test_plug_checks_all_before_it_makes_one(self):
        self.assertRaises(
            exception.PortNotSupported,
            self.network.plug,
            self.instance,
            [ports.vif(), ports.vif(type='hw_veb')],
            SANDBOX,
            [],
        )
        self.assertEqual([], self.host.log)


class WaitingTestCase(NetworkTestCase):
    def test_only_for_ports_that_are_not_wired(self):
        waits = []

        class VirtAPI:
            @contextlib.contextmanager
            def wait_for_instance_event(self, instance, events, *others):
                waits.append(events)
                yield

        wired, down = ports.vif(active=True), ports.vif(active=False)
        settings = network.NetworkSettings(300, True)
        with network.Network(VirtAPI(), self.host, settings).waiting(
            self.instance, [wired, down]
        ):
            self.assertEqual([[('network-vif-plugged', down['id'])]], waits)


class PlugTestCase(NetworkTestCase):
    def plug(self, *vifs):
        """Plug ports, and give the ids of those that were made."""
        there = self.network.there(vifs, SANDBOX)
        made = self.network.plug(self.instance, vifs, SANDBOX, there)
        return [one.port_id for one in made]

    def test_steps(self):
        vif = ports.vif()
        self.assertEqual([vif['id']], self.plug(vif))
        self.assertEqual(
            ['ask the switch', 'connect', 'os-vif plug', 'complete'],
            self.host.steps(vif['devname']),
        )

    def test_switch_forgets_the_port_of_an_earlier_namespace(self):
        vif = ports.vif()
        self.plug(vif)
        self.host.there.clear()
        self.host.log.clear()
        self.assertEqual([vif['id']], self.plug(vif))
        self.assertEqual(
            [
                'ask the switch',
                'os-vif unplug',
                'delete',
                'connect',
                'os-vif plug',
                'complete',
            ],
            self.host.steps(vif['devname']),
        )

    def test_no_more_is_asked_of_the_namespace_for_many_ports(self):
        vifs = [ports.vif() for _ in range(3)]
        calls = []
        for name in ('connect', 'complete'):
            real = getattr(self.host, name)
            self.patch(
                f'novadocker.privsep.netns.{name}',
                lambda *args, real=real: (calls.append(args), real(*args)),
            )
        self.plug(*vifs)
        self.assertEqual(['look'], self.host.steps(SANDBOX.netns))
        self.assertEqual(2, len(calls))

    def test_port_is_added_to_the_switch_by_os_vif(self):
        vif = ports.vif(delegate_create=False)
        vif['details']['ovs_create_tap'] = True
        self.plug(vif)
        profile = self.host.ports[vif['devname']].port_profile
        self.assertTrue(profile.create_port)
        self.assertFalse('create_tap' in profile.fields and profile.create_tap)

    def test_hybrid(self):
        vif = ports.hybrid(ports.vif())
        self.plug(vif)
        self.assertIn(
            f'complete in qbr{vif["id"][:11]}', self.host.steps(vif['devname'])
        )
        self.assertEqual([], self.plug(vif))

    def test_hybrid_port_that_has_lost_a_part(self):
        vif = ports.hybrid(ports.vif())
        self.plug(vif)
        for part in nic.inner(vif):
            self.host.devices.remove(part)
            self.assertEqual([vif['id']], self.plug(vif), part)
            self.assertIn(part, self.host.devices)
        self.host.switch.clear()
        self.assertEqual([vif['id']], self.plug(vif))
        self.assertEqual({nic.inner(vif)[2]}, self.host.switch)
        self.host.log.clear()
        self.assertEqual([], self.plug(vif))
        self.assertEqual(
            [f'complete in {nic.inner(vif)[0]}'],
            self.host.steps(vif['devname']),
        )

    def test_nic_that_is_there(self):
        old, new = ports.vif(), ports.vif()
        self.plug(old)
        self.host.log.clear()
        self.assertEqual([new['id']], self.plug(old, new))
        self.assertEqual(
            ['os-vif plug', 'complete'],
            self.host.steps(old['devname']),
        )
        self.assertEqual(
            ['eth0', 'eth1'], [one['name'] for one in self.host.there]
        )

    def test_announce_only_what_is_asked_for(self):
        [_old, new] = nic.nics([ports.vif(), ports.vif()])
        self.network.announce([new], SANDBOX)
        self.assertEqual([('announce', new.device)], self.host.log)
        self.network.announce([], SANDBOX)
        self.assertEqual([('announce', new.device)], self.host.log)

    def test_announce_that_fails(self):
        [one] = nic.nics([ports.vif()])
        self.host.failing = {'announce': one.device}
        error = self.assertRaises(
            exception.NetworkSetupFailed,
            self.network.announce,
            [one],
            SANDBOX,
        )
        self.assertIn(one.port_id, str(error))

    def test_nic_with_another_mac(self):
        vif = ports.vif()
        self.plug(vif)
        vif['address'] = 'fa:16:3e:ff:ff:ff'
        self.assertEqual([vif['id']], self.plug(vif))

    def test_no_ports(self):
        self.assertEqual([], self.plug())
        self.assertEqual([], self.host.log)

    def test_failure_at_each_step(self):
        for step in (
            'ask the switch',
            'os-vif unplug',
            'connect',
            'os-vif plug',
            'complete',
        ):
            good, bad = ports.vif(), ports.vif()
            if step == 'os-vif unplug':
                self.host.switch.add(bad['devname'])
            self.host.failing = {step: bad['devname']}
            error = self.assertRaises(
                exception.NetworkSetupFailed, self.plug, good, bad
            )
            self.assertIn(bad['id'], str(error))
            self.assertIn(f'{step} failed', str(error))
            self.assertEqual([], self.host.there)
            self.assertEqual({}, self.host.ports)

    def test_failure_keeps_what_was_there(self):
        old, bad = ports.vif(), ports.vif()
        self.plug(old)
        self.host.failing = {'complete': bad['devname']}
        self.assertRaises(exception.NetworkSetupFailed, self.plug, old, bad)
        self.assertEqual([old['devname']], list(self.host.ports))

    def test_undo_that_fails_does_not_hide_why(self):
        vif = ports.vif()

        def fails(device):
            raise OSError(errno.EBUSY, 'busy')

        self.patch('novadocker.privsep.netns.delete', fails)
        self.host.failing = {'complete': vif['devname']}
        error = self.assertRaises(exception.NetworkSetupFailed, self.plug, vif)
        self.assertIn('complete failed', str(error))

    def test_namespace_is_gone(self):
        self.host.failing = {'look': SANDBOX.netns}
        self.assertRaises(exception.NetworkSetupFailed, self.plug, ports.vif())


class UnplugTestCase(NetworkTestCase):
    def test_port_and_device(self):
        vif = ports.vif()
        self.network.unplug(self.instance, [vif])
        self.assertEqual(
            ['os-vif unplug', 'delete'], self.host.steps(vif['devname'])
        )

    def test_device_that_goes_while_it_is_unplugged(self):
        """As it does when its namespace ends."""
        vif = ports.vif()
        self.host.failing = {'os-vif unplug': vif['devname']}
        delete = self.host.delete

        def goes(device):
            self.host.failing = {}
            delete(device)

        self.patch('novadocker.privsep.netns.delete', goes)
        self.network.unplug(self.instance, [vif])

        self.assertEqual(
            ['delete', 'os-vif unplug'], self.host.steps(vif['devname'])
        )

    def test_port_of_which_only_the_id_is_known(self):
        port = str(uuid.uuid4())
        (vif,) = network.load([{'id': port}])
        self.network.unplug(self.instance, [vif])
        self.assertEqual(
            ['os-vif unplug', 'delete'], self.host.steps(f'tap{port[:11]}')
        )

    def test_all_are_tried_and_none_is_hidden(self):
        vifs = [ports.vif() for _ in range(3)]
        for step in ('os-vif unplug', 'delete'):
            self.host.log.clear()
            self.host.failing = {step: vifs[0]['devname']}
            error = self.assertRaises(
                nova_exception.VirtualInterfaceUnplugException,
                self.network.unplug,
                self.instance,
                vifs,
            )
            self.assertIn(vifs[0]['id'], str(error))
            self.assertNotIn(vifs[1]['id'], str(error))
            # The other half of the one that fails goes as well.
            self.assertEqual(5, len(self.host.log))

    def test_nothing(self):
        self.network.unplug(self.instance, [])
        self.assertEqual([], self.host.log)


class CheckpointTestCase(NetworkTestCase):
    def test_what_is_loaded_is_what_was_dumped(self):
        vif = ports.hybrid(
            ports.vif(
                ports.Subnet(
                    '10.0.0.0/24',
                    ['10.0.0.5'],
                    '10.0.0.1',
                    dns=['10.0.0.2'],
                    routes=[('10.9.0.0/16', '10.0.0.9')],
                )
            )
        )
        text = json.dumps(network.dump([vif]))
        (found,) = network.load(json.loads(text))
        self.assertEqual(vif, found)
        self.assertEqual(nic.nics([vif]), nic.nics([found]))
        self.network.check([found])


class NamespaceTestCase(NetworkTestCase):
    def test_interfaces(self):
        self.host.there = (
            {
                'name': 'eth0',
                'device': 'tap0',
                'mac': 'fa:16:3e:00:00:01',
                'mtu': 1450,
                'up': True,
                'addresses': (('10.0.0.5', 24), ('fd00::5', 64)),
            },
        )
        (found,) = self.network.interfaces(SANDBOX)
        self.assertEqual('tap0', found.device)
        self.assertEqual(('10.0.0.5/24', 'fd00::5/64'), found.addresses)

    def test_link(self):
        self.network.link(self.instance.uuid, SANDBOX)
        self.network.unlink(self.instance.uuid)
        self.assertEqual(
            [f'link to {SANDBOX.pid} {SANDBOX.netns}', 'unlink'],
            self.host.steps(f'nova-{self.instance.uuid}'),
        )
