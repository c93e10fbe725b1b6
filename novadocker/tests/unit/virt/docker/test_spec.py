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

from nova import exception as nova_exception
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import spec

UUID = '6c4c3d3a-0c37-4a3f-9d5c-7e4f0d1c2b3a'
SETTINGS = spec.ServerSettings(
    pids_limit=100, capabilities=('CHOWN', 'KILL'), console_log_size=65536
)
IMAGE = model.ImageInfo(
    id='sha256:' + 'a' * 64,
    tags=(),
    size=1,
    architecture='amd64',
    os='linux',
    labels={},
    parent='',
    entrypoint=(),
    command=('/bin/sh',),
)


def an_instance(**flavor):
    return instances.an_instance(
        uuid=UUID, flavor={'vcpus': 2, 'root_gb': 3} | flavor
    )


def with_command(line):
    return instances.an_instance(os_command_line=line)


def a_server(instance, image=IMAGE):
    return spec.server(instance, 'host1', image, 'box', SETTINGS)


class LifecycleTestCase(base.BaseTestCase):
    def flavor(self, **extra_specs):
        return instances.an_instance(flavor={'extra_specs': extra_specs})

    def test_job(self):
        for specs, expected in (
            ({}, False),
            ({'docker:lifecycle': 'service'}, False),
            ({'docker:lifecycle': 'job'}, True),
        ):
            instance = self.flavor(**specs)
            self.assertEqual(expected, spec.is_job(instance.flavor))
            spec.refuse_unsupported(instance, {}, None)

    def test_another_word_is_refused(self):
        self.assertRaises(
            exception.FeatureNotSupported,
            spec.refuse_unsupported,
            self.flavor(**{'docker:lifecycle': 'jop'}),
            {},
            None,
        )


class CrashSignalTestCase(base.BaseTestCase):
    def test_is_the_flavors(self):
        for given, expected in (
            ({}, None),
            ({'docker:crash_dump_signal': 'SIGKILL'}, None),
            ({'docker:crash_dump_signal': 'SIGQUIT'}, 'SIGQUIT'),
        ):
            flavor = an_instance(extra_specs=given).flavor
            if expected:
                self.assertEqual(expected, spec.crash_signal(flavor))
            else:
                self.assertRaises(
                    exception.FeatureNotSupported, spec.crash_signal, flavor
                )


class NewPrivilegesTestCase(base.BaseTestCase):
    def test_is_the_flavors(self):
        for given, expected in (
            ({}, False),
            ({'docker:allow_new_privileges': 'false'}, False),
            ({'docker:allow_new_privileges': 'True'}, True),
        ):
            instance = an_instance(extra_specs=given)
            self.assertEqual(expected, a_server(instance).new_privileges)

    def test_another_word_is_refused(self):
        instance = an_instance(
            extra_specs={'docker:allow_new_privileges': 'sudo'}
        )
        self.assertRaises(
            exception.FeatureNotSupported,
            spec.refuse_unsupported,
            instance,
            {},
            None,
        )
        self.assertRaises(
            exception.FeatureNotSupported, spec.refuse_flavor, instance.flavor
        )


class EnvironmentTestCase(base.BaseTestCase):
    def test_metadata_of_a_certain_form(self):
        self.assertEqual(
            {'A': '1', '_b2': 'x=y z'},
            spec.environment({'env.A': '1', 'env._b2': 'x=y z', 'C': 'no'}),
        )

    def test_what_is_no_name(self):
        for name in ('', '1', 'A-B', 'A=B', 'A B'):
            instance = an_instance()
            instance.metadata = {f'env.{name}': 'x'}
            self.assertRaises(
                exception.VariableRefused,
                spec.refuse_unsupported,
                instance,
                {},
                None,
            )

    def test_server_has_it(self):
        instance = an_instance()
        instance.metadata = {'env.A': '1'}
        self.assertEqual(
            {'A': '1', 'product_name': 'OpenStack Nova'},
            a_server(instance).environment,
        )


class ConfigDriveTestCase(base.BaseTestCase):
    def test_is_mounted_where_cloud_init_looks(self):
        settings = dataclasses.replace(SETTINGS, instances_path='/i')
        instance = an_instance()
        instance.config_drive = 'True'
        found = spec.server(instance, 'host1', IMAGE, 'box', settings)

        self.assertEqual(
            (
                model.Mount(
                    f'/i/{UUID}/config_drive/tree',
                    '/var/lib/cloud/seed/config_drive',
                ),
            ),
            found.mounts,
        )
        self.assertEqual((), a_server(an_instance()).mounts)


class ServerTestCase(base.BaseTestCase):
    def test_flavor_becomes_limits(self):
        found = a_server(an_instance(vcpus=2, memory_mb=512))

        self.assertEqual(
            model.Limits(
                memory=512 * 1024**2, cpus=2, cpu_shares=2048, pids=100
            ),
            found.limits,
        )

    def test_quotas_become_limits(self):
        flavor = an_instance(
            extra_specs={
                'quota:cpu_quota': '50000',
                'quota:cpu_shares': '10',
                'quota:disk_read_bytes_sec': '1000',
            }
        ).flavor
        settings = dataclasses.replace(SETTINGS, disk='/dev/sda')

        found = spec.limits(flavor, settings)

        self.assertEqual((1, 10), (found.cpus, found.cpu_shares))
        self.assertEqual(
            model.DiskRates('/dev/sda', read_bytes=1000), found.disk
        )
        refused = self.assertRaises(
            exception.FeatureNotSupported, spec.limits, flavor, SETTINGS
        )
        self.assertIn('no disk', str(refused))

    def test_joins_the_sandbox(self):
        self.assertEqual('container:box', a_server(an_instance()).network)

    def test_is_known_by_its_labels(self):
        labels = a_server(an_instance(vcpus=2, memory_mb=512)).labels

        self.assertEqual(UUID, naming.instance_uuid(labels))
        self.assertEqual(naming.Usage(2, 512, 3), naming.usage(labels))
        self.assertEqual('host1', labels[naming.LABEL_HOST])
        self.assertEqual(naming.ROLE_INSTANCE, labels[naming.LABEL_ROLE])

    def test_has_a_terminal_so_that_a_shell_stays(self):
        self.assertTrue(a_server(an_instance()).tty)

    def test_has_only_the_capabilities_of_the_operator(self):
        self.assertEqual(
            ('CHOWN', 'KILL'), a_server(an_instance()).capabilities
        )

    def test_runs_the_images_command_unless_told_else(self):
        self.assertIsNone(a_server(an_instance()).command)

    def test_os_command_line_is_split_as_a_shell_does(self):
        found = a_server(with_command('/bin/sh -c "echo a b"'))

        self.assertEqual(('/bin/sh', '-c', 'echo a b'), found.command)

    def test_os_command_line_that_cannot_be_split_is_refused(self):
        self.assertRaises(
            exception.CommandRejected,
            a_server,
            with_command('echo "a'),
        )

    def test_image_without_any_command_is_refused(self):
        bare = model.ImageInfo(
            **{**IMAGE.__dict__, 'command': (), 'entrypoint': ()}
        )

        self.assertRaises(
            exception.CommandRejected,
            spec.check_command,
            a_server(an_instance(), bare),
            bare,
        )
        spec.check_command(a_server(with_command('/x'), bare), bare)


class RescueTestCase(base.BaseTestCase):
    ROOT = model.Overlay('/lower', '/upper', '/work')

    def rescue(self, wanted, rescuer):
        return spec.rescue(wanted, rescuer.image_meta, self.ROOT)

    def test_has_the_root_file_system_and_says_so(self):
        wanted = a_server(an_instance())
        found = self.rescue(wanted, an_instance())

        self.assertEqual(
            (model.OverlayMount(self.ROOT, '/mnt/instance'),), found.overlays
        )
        self.assertFalse(naming.is_rescue(wanted.labels))
        self.assertTrue(naming.is_rescue(found.labels))
        self.assertEqual(
            dataclasses.replace(wanted, labels={}),
            dataclasses.replace(found, labels={}, overlays=()),
        )

    def test_runs_what_the_rescue_image_says(self):
        for command, expected in ((None, None), ('/y z', ('/y', 'z'))):
            rescuer = with_command(command) if command else an_instance()
            found = self.rescue(a_server(with_command('/x')), rescuer)
            self.assertEqual(expected, found.command)


class SandboxTestCase(base.BaseTestCase):
    def test_owns_a_namespace_without_any_network_of_the_engine(self):
        found = spec.sandbox(an_instance(), 'host1', 'image', SETTINGS)

        self.assertEqual('none', found.network)
        self.assertEqual('web', found.hostname)
        self.assertEqual(naming.ROLE_SANDBOX, found.labels[naming.LABEL_ROLE])

    def test_can_do_nothing_but_sleep(self):
        found = spec.sandbox(an_instance(), 'host1', 'image', SETTINGS)

        self.assertEqual((), found.capabilities)
        self.assertTrue(found.read_only)
        self.assertEqual(8, found.limits.pids)

    def test_does_not_count_as_usage(self):
        found = spec.sandbox(an_instance(), 'host1', 'image', SETTINGS)

        self.assertEqual(naming.Usage(), naming.usage(found.labels))


class RefuseUnsupportedTestCase(base.BaseTestCase):
    def refuse(self, instance=None, devices=None, accel=None):
        spec.refuse_unsupported(
            instance or an_instance(), devices, accel
        )

    def test_plain_server_passes(self):
        self.refuse(
            devices={
                'block_device_mapping': [],
                'ephemerals': [],
                'swap': None,
            }
        )

    def test_each_is_refused_by_name(self):
        swapping = an_instance(swap=64)
        for feature, request in {
            'volumes': {'devices': {'block_device_mapping': [{}]}},
            'ephemeral': {'devices': {'ephemerals': [{}]}},
            'swap': {
                'instance': swapping,
                'devices': {'swap': {'swap_size': 64}},
            },
            'accelerators': {'accel': [{}]},
        }.items():
            refused = self.assertRaises(
                exception.FeatureNotSupported, self.refuse, **request
            )
            self.assertIn(feature, str(refused))
            # of this class Nova does not try another host
            self.assertIsInstance(refused, nova_exception.InvalidInput)


class FlavorTestCase(base.BaseTestCase):
    """What of a flavor can be had by a server that exists."""

    def test_usage(self):
        flavor = an_instance(memory_mb=256).flavor
        self.assertEqual(naming.Usage(2, 256, 3), spec.usage(flavor))

    def test_limits_are_all_that_a_container_has_of_it(self):
        small, large = an_instance(), an_instance(vcpus=4, memory_mb=512)
        before, after = (
            spec.server(one, 'host1', IMAGE, 'box', SETTINGS)
            for one in (small, large)
        )
        self.assertEqual(spec.limits(large.flavor, SETTINGS), after.limits)
        self.assertEqual(
            before,
            dataclasses.replace(
                after, limits=before.limits, labels=before.labels
            ),
        )

    def test_what_is_refused(self):
        spec.refuse_flavor(an_instance().flavor)
        for changes in (
            {'swap': 1},
            {'ephemeral_gb': 1},
            {'extra_specs': {'docker:lifecycle': 'other'}},
            {'extra_specs': {'quota:vif_inbound_peak': '1'}},
        ):
            self.assertRaises(
                exception.FeatureNotSupported,
                spec.refuse_flavor,
                an_instance(**changes).flavor,
            )
