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

import dataclasses
import os
import pathlib
from unittest import mock

import fixtures
from nova import exception as nova_exception
from oslo_privsep import daemon as privsep_daemon
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import fake_engine
from novadocker.tests.fixtures import images
from novadocker.virt.docker import findings
from novadocker.virt.docker import host_checks
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import switch

HOST = 'compute-1'
NOBODY = 54321

WARNING, FAILURE = findings.Level.WARNING, findings.Level.FAILURE


class ChecksTestCase(base.BaseTestCase):
    """A host with nothing off, but for what a test changes."""

    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.engine = fake_engine.FakeEngine(
            dataclasses.replace(fake_engine.INFO, root_dir=str(self.root))
        )
        self.switch = mock.create_autospec(switch.Switch, instance=True)
        self.switch.bridges.return_value = ['br-int']
        self.formats = mock.Mock(return_value=['bare', 'docker'])
        self.filters = self.root / 'rootwrap.d' / 'docker.filters'
        self.filters.parent.mkdir()
        self.filters.write_text(
            r'x: RegExpFilter, novadocker\.privsep\.sys_admin_pctxt'
        )
        self.rootwrap = self.root / 'rootwrap.conf'
        self.rootwrap.write_text(
            f'[DEFAULT]\nfilters_path=/nowhere,{self.filters.parent}\n'
        )
        self.settings = host_checks.HostSettings(
            host=HOST,
            engine_url=f'unix://{self.root}/docker.sock',
            compute_driver='novadocker.virt.docker.DockerDriver',
            state_path=str(self.root),
            instances_path=str(self.root / 'instances' / 'of-nova'),
            rootwrap_config=str(self.rootwrap),
            plug_timeout=300,
            plug_is_fatal=True,
        )
        self.inode = self.patch('novadocker.privsep.netns.inode')
        self.policy = self.patch(
            'novadocker.privsep.firewall.forward_policy', return_value='DROP'
        )
        self.uuid = self.patch(
            'nova.virt.node.read_local_node_uuid', return_value='a-uuid'
        )
        self.bridge_nf = self.root / 'bridge'
        self.patch(
            'novadocker.virt.docker.host_checks._BRIDGE_NF_DIR',
            self.bridge_nf,
        )

    def patch(self, name, *args, **kwargs):
        patch = mock.patch(name, *args, **kwargs)
        self.addCleanup(patch.stop)
        return patch.start()

    def set(self, **changes):
        self.settings = dataclasses.replace(self.settings, **changes)

    def run_checks(self):
        self.checks = host_checks.Checks(
            self.settings,
            host_checks.Probes(self.engine, self.switch, self.formats),
        )
        return self.checks.run()

    def closed(self):
        """A directory that the user may not look into."""
        closed = self.root / 'closed'
        stat, access = os.stat, os.access

        def guarded_stat(path, *args, **kwargs):
            if str(path).startswith(f'{closed}/'):
                raise PermissionError(str(path))
            return stat(path, *args, **kwargs)

        closed.mkdir()
        self.patch('os.stat', side_effect=guarded_stat)
        self.patch(
            'os.access',
            side_effect=lambda where, mode: (
                where != closed and access(where, mode)
            ),
        )
        return closed

    def assert_found(self, subject, text, advice='', level=FAILURE):
        found = self.run_checks()
        self.assertEqual([subject], [one.subject for one in found], found)
        self.assertEqual(level, found[0].level)
        self.assertIn(text, found[0].text)
        self.assertIn(advice, found[0].advice)
        if level is not findings.Level.SUCCESS:
            self.assertTrue(found[0].advice)


class ConfigurationTestCase(ChecksTestCase):
    def test_nothing_is_off(self):
        self.assertEqual([], self.run_checks())
        self.assertTrue(self.checks.can_look)
        self.assertTrue(self.checks.can_repair)

    def test_driver(self):
        for driver in ('libvirt.LibvirtDriver', ''):
            self.set(compute_driver=driver)
            self.assert_found(
                'nova.conf', 'compute_driver is', 'novadocker.virt.docker'
            )

    def test_both_names_of_the_driver(self):
        self.set(compute_driver='novadocker.DockerDriver')
        self.assertEqual([], self.run_checks())

    def test_plugging(self):
        for changes in ({'plug_timeout': 0}, {'plug_is_fatal': False}):
            settings = self.settings
            self.set(**changes)
            self.assert_found(
                'nova.conf',
                'whether or not Neutron has wired',
                'vif_plugging_is_fatal',
                WARNING,
            )
            self.settings = settings

    def test_another_user(self):
        self.patch('os.geteuid', return_value=NOBODY)
        owner = pathlib.Path(self.root).owner()
        self.assert_found(
            'user', f'runs as {NOBODY}', f'sudo -u {owner}', WARNING
        )
        self.assertTrue(self.checks.can_look)
        self.assertFalse(self.checks.can_repair)

    def test_directories_that_cannot_be_written(self):
        self.patch('os.access', return_value=False)
        found = self.run_checks()
        self.assertEqual(
            ['state_path', 'instances_path'], [one.subject for one in found]
        )
        # The nearest that is there will have to take the others.
        self.assertIn(f'write to {self.root}', found[1].text)
        self.assertFalse(self.checks.can_repair)

    def test_directories_below_one_that_is_closed(self):
        closed = self.closed()
        self.set(
            state_path=str(closed / 'nova'),
            instances_path=str(closed / 'nova' / 'instances'),
        )
        found = self.run_checks()
        self.assertEqual(
            ['state_path', 'instances_path'], [one.subject for one in found]
        )
        for one in found:
            self.assertIn(f'write to {closed}', one.text)

    def test_a_host_that_was_never_started(self):
        self.uuid.return_value = None
        self.assert_found(
            'compute_id', 'never run', level=findings.Level.SUCCESS
        )

    def test_a_host_that_has_lost_what_it_is(self):
        self.uuid.return_value = None
        self.engine.load([images.BARE.archive()])
        self.engine.create(
            model.ContainerSpec(
                name='nova-x',
                image=images.BARE.id,
                labels={naming.LABEL_HOST: HOST},
                network='none',
                limits=model.Limits(),
                log=model.LogLimits(65536, 2),
            )
        )
        self.assert_found('compute_id', 'there are servers here', 'hypervisor')

    def test_identity_that_cannot_be_read(self):
        for error in (
            nova_exception.InvalidNodeConfiguration(reason='torn'),
            PermissionError(13, 'torn'),
        ):
            self.uuid.side_effect = error
            self.assert_found('compute_id', 'torn')


class EngineTestCase(ChecksTestCase):
    def test_no_socket(self):
        self.engine.go_down()
        self.assert_found('engine', 'does not answer', 'There is no ')
        self.assertFalse(self.checks.can_look)

    def test_socket_in_a_directory_that_is_closed(self):
        self.engine.go_down()
        closed = self.closed()
        self.set(engine_url=f'unix://{closed}/docker/docker.sock')
        self.assert_found('engine', '', f'may not look into {closed}.')
        self.assertFalse(self.checks.can_look)

    def test_socket_that_may_not_be_opened(self):
        self.engine.go_down()
        path = self.root / 'docker.sock'
        path.touch()
        access = os.access
        self.patch(
            'os.access',
            side_effect=lambda where, mode: (
                where != path and access(where, mode)
            ),
        )
        self.assert_found(
            'engine', '', f'usermod -a -G {path.group()} {path.owner()}'
        )

    def test_socket_that_nobody_serves(self):
        self.engine.go_down()
        (self.root / 'docker.sock').touch()
        self.assert_found('engine', 'does not answer', 'its log')

    def test_tcp(self):
        self.engine.go_down()
        self.set(engine_url='tcp://127.0.0.1:2376')
        self.assert_found('engine', 'does not answer', '[docker]')

    def test_too_old(self):
        error = exception.EngineNotSupported(reason='it speaks API 1.38')
        self.engine.fail('info', error)
        self.assert_found('engine', 'API 1.38', '20.10')
        self.assertFalse(self.checks.can_look)

    def has(self, **changes):
        self.engine.engine_info = dataclasses.replace(
            self.engine.engine_info, **changes
        )

    def test_another_processor(self):
        self.has(architecture='s390x')
        self.assert_found('engine', 's390x')

    def test_data_directory_that_cannot_be_seen(self):
        self.has(root_dir='/nowhere')
        self.assert_found('engine', '/nowhere cannot be seen', 'one host')
        self.assertTrue(self.checks.can_look)

    def test_storage_driver(self):
        self.has(storage_driver='overlayfs')
        self.assert_found(
            'engine',
            'overlayfs does not say where layers are',
            '"storage-driver": "overlay2"',
            findings.Level.WARNING,
        )

    def test_live_restore(self):
        self.has(live_restore=False)
        self.assert_found(
            'engine',
            'servers end when it is restarted',
            'live-restore',
            findings.Level.SUCCESS,
        )


class PrivilegesTestCase(ChecksTestCase):
    def test_plugins(self):
        points = [mock.Mock(), mock.Mock()]
        for point, name in zip(points, ('ovs', 'linux_bridge'), strict=True):
            point.name = name
        self.patch('importlib.metadata.entry_points', return_value=points)
        self.assert_found('os-vif', 'plugin novadocker', 'Install')
        points[1].name = 'novadocker'
        self.assertEqual([], self.run_checks())
        points[0].load.side_effect = ImportError('no module ovs')
        self.assert_found('os-vif', 'plugin ovs')

    def test_no_rootwrap(self):
        self.set(rootwrap_config='')
        self.filters.unlink()
        self.assertEqual([], self.run_checks())

    def test_filters(self):
        self.filters.unlink()
        self.assert_found(
            'rootwrap', str(self.filters.parent), 'docker.filters', WARNING
        )

    def test_rootwrap_that_nobody_has_configured(self):
        for text in ('', 'no section'):
            self.rootwrap.write_text(text)
            self.assert_found('rootwrap', str(self.rootwrap))
        self.rootwrap.unlink()
        self.assert_found('rootwrap', str(self.rootwrap))

    def test_rootwrap_that_root_alone_may_read(self):
        self.patch('pathlib.Path.read_text', side_effect=PermissionError)
        self.assertNotIn(
            'rootwrap', [one.subject for one in self.run_checks()]
        )

    def test_helper(self):
        for error in (
            FileNotFoundError(2, 'there is no sudo'),
            privsep_daemon.FailedToDropPrivileges('exited non-zero'),
        ):
            self.inode.side_effect = error
            self.assert_found('privsep', str(error), 'privsep-helper')
            self.assertFalse(self.checks.can_look)


class OthersTestCase(ChecksTestCase):
    def br_netfilter(self, **options):
        self.bridge_nf.mkdir(exist_ok=True)
        for name in ('iptables', 'ip6tables'):
            path = self.bridge_nf / f'bridge-nf-call-{name}'
            path.write_text(options.get(name, '0') + '\n')

    def test_firewall(self):
        self.br_netfilter(iptables='1')
        self.assert_found(
            'firewall', 'FORWARD drops (IPv4)', '"iptables": false', WARNING
        )
        self.br_netfilter(ip6tables='1')
        self.assert_found(
            'firewall',
            'FORWARD drops (IPv6)',
            'sysctl net.bridge.bridge-nf-call-ip6tables=0',
            WARNING,
        )

    def test_firewall_that_does_no_harm(self):
        self.br_netfilter()
        self.assertEqual([], self.run_checks())
        self.br_netfilter(iptables='1', ip6tables='1')
        for policy in ('ACCEPT', ''):
            self.policy.return_value = policy
            self.assertEqual([], self.run_checks())

    def test_firewall_that_cannot_be_read(self):
        self.br_netfilter()
        self.policy.side_effect = OSError(3, 'iptables: what?')
        found = self.run_checks()
        self.assertEqual(
            {('firewall', findings.Level.SUCCESS)},
            {(one.subject, one.level) for one in found},
        )

    def test_switch(self):
        self.switch.bridges.return_value = []
        self.assert_found('switch', 'has no bridge', 'agent', WARNING)
        self.switch.bridges.side_effect = exception.SwitchUnavailable(
            connection='tcp:127.0.0.1:6640', reason='nobody'
        )
        self.assert_found(
            'switch', 'tcp:127.0.0.1:6640', 'ovsdb_connection', WARNING
        )

    def test_glance(self):
        self.formats.return_value = ['bare', 'ovf']
        self.assert_found(
            'glance', 'docker, but bare, ovf', 'container_formats'
        )
        self.formats.side_effect = exception.GlanceUnavailable(reason='away')
        self.assert_found('glance', 'could not be asked', level=WARNING)
