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

from oslotest import base

from novadocker import exception
from novadocker.virt.docker import engine_json
from novadocker.virt.docker import model

SPEC = model.ContainerSpec(
    name='nova-1',
    image='sha256:1',
    labels={'role': 'instance'},
    network='container:2',
    limits=model.Limits(),
    log=model.LogLimits(size=65536, files=2),
)


def config(**changes):
    return engine_json.container_config(dataclasses.replace(SPEC, **changes))


class ContainerConfigTestCase(base.BaseTestCase):
    def test_image_keeps_what_the_spec_does_not_say(self):
        found = config()
        self.assertEqual('sha256:1', found['Image'])
        self.assertEqual({'role': 'instance'}, found['Labels'])
        for key in ('Cmd', 'Entrypoint', 'Hostname'):
            self.assertNotIn(key, found)

    def test_empty_entrypoint_clears_the_images(self):
        found = config(entrypoint=(), command=('sh', '-l'))
        self.assertEqual([], found['Entrypoint'])
        self.assertEqual(['sh', '-l'], found['Cmd'])

    def test_environment_and_hostname(self):
        found = config(environment={'A': 'b=c'}, hostname='web')
        self.assertEqual(['A=b=c'], found['Env'])
        self.assertEqual('web', found['Hostname'])

    def test_terminal_has_open_input(self):
        for tty in (True, False):
            found = config(tty=tty)
            self.assertIs(tty, found['Tty'])
            self.assertIs(tty, found['OpenStdin'])
            self.assertEqual({'Test': ['NONE']}, found['Healthcheck'])

    def test_new_privileges_where_they_are_wanted(self):
        found = config(new_privileges=True)['HostConfig']
        self.assertEqual([], found['SecurityOpt'])

    def test_safe_by_default(self):
        host = config()['HostConfig']
        self.assertFalse(host['Privileged'])
        self.assertEqual(['ALL'], host['CapDrop'])
        self.assertEqual([], host['CapAdd'])
        self.assertEqual(['no-new-privileges'], host['SecurityOpt'])
        self.assertEqual({'Name': 'no'}, host['RestartPolicy'])
        self.assertEqual('container:2', host['NetworkMode'])

    def test_what_a_container_may(self):
        host = config(
            capabilities=('CHOWN',),
            read_only=True,
            sysctls={'net.ipv6.conf.all.accept_ra': '0'},
        )['HostConfig']
        self.assertEqual(['CHOWN'], host['CapAdd'])
        self.assertTrue(host['ReadonlyRootfs'])
        self.assertEqual({'net.ipv6.conf.all.accept_ra': '0'}, host['Sysctls'])

    def test_mounts(self):
        mount = model.OverlayMount(model.Overlay('l1:l2', 'u', 'w'), '/own')
        host = config(mounts=(model.Mount('/a', '/b'),), overlays=(mount,))
        bind, volume = host['HostConfig']['Mounts']
        self.assertEqual(
            ('bind', '/a', '/b', True),
            (bind['Type'], bind['Source'], bind['Target'], bind['ReadOnly']),
        )
        self.assertEqual(
            ('volume', '/own'), (volume['Type'], volume['Target'])
        )
        # One that has a name would be left when the container is removed.
        self.assertNotIn('Source', volume)
        options = volume['VolumeOptions']
        self.assertTrue(options['NoCopy'])
        self.assertEqual(SPEC.labels, options['Labels'])
        self.assertEqual(
            {
                'type': 'overlay',
                'device': 'overlay',
                'o': 'upperdir=u,workdir=w,index=off,lowerdir=l1:l2',
            },
            options['DriverConfig']['Options'],
        )
        self.assertNotIn('Mounts', config()['HostConfig'])

    def test_limits(self):
        limits = model.Limits(memory=1 << 20, cpus=1.5, cpu_shares=3, pids=9)
        host = config(limits=limits)['HostConfig']
        self.assertEqual(1 << 20, host['Memory'])
        self.assertEqual(host['Memory'], host['MemorySwap'], 'no swap')
        self.assertEqual(1.5, host['CpuQuota'] / host['CpuPeriod'])
        self.assertEqual(3, host['CpuShares'])
        self.assertEqual(9, host['PidsLimit'])

    def test_rates_of_a_disk(self):
        rates = model.DiskRates('/dev/sda', read_bytes=1, write_requests=4)
        host = config(limits=model.Limits(disk=rates))['HostConfig']
        self.assertEqual(
            {
                'BlkioDeviceReadBps': [{'Path': '/dev/sda', 'Rate': 1}],
                'BlkioDeviceWriteIOps': [{'Path': '/dev/sda', 'Rate': 4}],
            },
            {
                key: value
                for key, value in host.items()
                if key.startswith('Blkio')
            },
        )

    def test_other_limits(self):
        """Those are as they would be for a new container."""
        limits = model.Limits(memory=1 << 20, cpus=1.5, cpu_shares=7, pids=9)
        made = config(limits=limits)['HostConfig']
        self.assertEqual(
            {
                'mem_limit': made['Memory'],
                'memswap_limit': made['MemorySwap'],
                'cpu_period': made['CpuPeriod'],
                'cpu_quota': made['CpuQuota'],
                'cpu_shares': made['CpuShares'],
            },
            engine_json.update(limits),
        )
        self.assertEqual({}, engine_json.update(model.Limits()))

    def test_no_limits(self):
        host = config()['HostConfig']
        for key in ('Memory', 'CpuQuota', 'CpuShares', 'PidsLimit'):
            self.assertNotIn(key, host)

    def test_output_that_is_kept(self):
        self.assertEqual(
            {
                'Type': 'json-file',
                'Config': {'max-size': '65536', 'max-file': '2'},
            },
            config()['HostConfig']['LogConfig'],
        )


class AnswersTestCase(base.BaseTestCase):
    def test_container_without_labels_or_name(self):
        row = {'Id': 'a', 'State': 'dead', 'ImageID': 'b', 'Labels': None}
        found = engine_json.container_summary(row)
        self.assertEqual('', found.name)
        self.assertEqual({}, found.labels)
        self.assertEqual(model.ContainerState.DEAD, found.state)

    def test_image_that_says_nothing(self):
        found = engine_json.image_info(
            {'Id': 'a', 'RepoTags': None, 'Size': 1, 'Config': None}
        )
        self.assertEqual(
            ('a', (), 1, {}, (), (), ''),
            (
                found.id,
                found.tags,
                found.size,
                found.labels,
                found.entrypoint,
                found.command,
                found.parent,
            ),
        )

    def test_engine_that_does_not_tell_all(self):
        found = engine_json.engine_info(
            {
                'ID': 'i',
                'Name': 'a',
                'ServerVersion': '20.10.24',
                'NCPU': 2,
                'MemTotal': 3,
                'Architecture': 'x86_64',
                'OSType': 'linux',
                'KernelVersion': '6.1',
                'DockerRootDir': '/d',
                'Driver': 'overlay2',
            },
            '1.41',
        )
        self.assertEqual('1', found.cgroup_version)
        self.assertFalse(found.live_restore)
        self.assertFalse(found.swap_limit)
        self.assertEqual('1.41', found.api_version)

    def test_timestamp_keeps_every_nanosecond(self):
        for nanoseconds, expected in (
            (1_700_000_000_123_456_789, '1700000000.123456789'),
            (1_000_000_001, '1.000000001'),
            (5, '0.000000005'),
        ):
            self.assertEqual(expected, engine_json.timestamp(nanoseconds))

    def test_label_filter(self):
        self.assertEqual(
            ['a=b', 'c=d=e'],
            engine_json.label_filter({'a': 'b', 'c': 'd=e'}),
        )


class RootTestCase(base.BaseTestCase):
    def root(self, storage):
        found = {
            'Id': 'a',
            'Name': '/a',
            'Image': 'b',
            'State': dict.fromkeys(
                (
                    *('Pid', 'ExitCode', 'OOMKilled', 'Error'),
                    *('StartedAt', 'FinishedAt'),
                )
            )
            | {'Status': 'exited'},
            'Config': {'Tty': True},
            'HostConfig': {'NetworkMode': 'none'},
            'ResolvConfPath': '',
            'HostsPath': '',
        }
        return engine_json.container_info(found | storage).root

    def test_overlay(self):
        data = {'LowerDir': 'l', 'UpperDir': 'u', 'WorkDir': 'w'}
        self.assertEqual(
            model.Overlay('l', 'u', 'w'),
            self.root({'GraphDriver': {'Name': 'overlay2', 'Data': data}}),
        )

    def test_other_storage(self):
        for storage in (
            {},
            {'GraphDriver': None},
            {'GraphDriver': {'Name': 'overlay2', 'Data': None}},
            {'GraphDriver': {'Name': 'vfs', 'Data': None}},
            {'GraphDriver': {'Name': 'zfs', 'Data': {'Dataset': 'a'}}},
        ):
            self.assertIsNone(self.root(storage))


class EventTestCase(base.BaseTestCase):
    def event(self, action, **attributes):
        return engine_json.event(
            {
                'Action': action,
                'Actor': {'ID': 'a', 'Attributes': attributes},
                'timeNano': 7,
            }
        )

    def test_death(self):
        found = self.event('die', exitCode='137', name='b')
        self.assertEqual(model.EventAction.DIE, found.action)
        self.assertEqual(137, found.exit_code)
        self.assertEqual(('a', 7), (found.container_id, found.time))
        self.assertEqual('b', found.labels['name'])

    def test_exit_code_zero_is_one(self):
        self.assertEqual(0, self.event('die', exitCode='0').exit_code)

    def test_no_exit_code(self):
        self.assertIsNone(self.event('start').exit_code)

    def test_unknown_action(self):
        self.assertIsNone(self.event('exec_create: sh'))


class LoadedReferencesTestCase(base.BaseTestCase):
    def test_tags_and_ids(self):
        answer = [
            {'status': 'Loading layer', 'progressDetail': {}},
            {'stream': 'Loaded image: a:b\n'},
            {'stream': 'Loaded image ID: sha256:1\n'},
            {'stream': 'something else'},
        ]
        self.assertEqual(
            ('a:b', 'sha256:1'), engine_json.loaded_references(answer)
        )

    def test_failure(self):
        for line in (
            {'errorDetail': {'message': 'bad'}, 'error': 'bad'},
            {'error': 'bad'},
        ):
            error = self.assertRaises(
                exception.EngineError,
                engine_json.loaded_references,
                [{'stream': 'Loaded image: a:b'}, line],
            )
            self.assertEqual((500, 'bad'), (error.status, error.reason))

    def test_failure_without_a_reason(self):
        self.assertRaises(
            exception.EngineError,
            engine_json.loaded_references,
            [{'errorDetail': None}],
        )
