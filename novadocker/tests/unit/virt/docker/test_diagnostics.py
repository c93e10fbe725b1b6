#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.
import dataclasses
import datetime
from unittest import mock

from nova import exception as nova_exception
from oslotest import base

from novadocker.tests.fixtures import instances
from novadocker.virt.docker import cgroup
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import diagnostics
from novadocker.virt.docker import model
from novadocker.virt.docker import sandbox

USAGE = cgroup.Usage(
    cpu_time=60 * 10**9,
    memory=(4 << 20) + 1,
    oom_kills=2,
    pids=4,
    read_bytes=10,
    read_requests=1,
    write_bytes=20,
    write_requests=2,
)
NIC = {
    'name': 'eth0',
    'mac': 'fa:16:3e:00:00:01',
    'counters': {'rx_bytes': 100, 'tx_bytes': 200, 'rx_dropped': 3},
}


def ago(seconds):
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(
        seconds=seconds
    )
    return then.strftime('%Y-%m-%dT%H:%M:%S.%f') + '789Z'


class DiagnosticsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.client = mock.create_autospec(engine.Client, instance=True)
        self.client.inspect.return_value = model.ContainerInfo(
            id='id',
            name='name',
            state=model.ContainerState.RUNNING,
            pid=7,
            exit_code=0,
            oom_killed=True,
            error='',
            image_id='',
            labels={},
            network='none',
            tty=True,
            resolv_conf_path='',
            hosts_path='',
            started_at=ago(60),
        )
        sandboxes = mock.create_autospec(sandbox.Sandboxes, instance=True)
        sandboxes.find.return_value = sandbox.Sandbox('box', 8, 9, '', '')
        self.find = sandboxes.find
        for target, value in (
            ('cgroup.usage', USAGE),
            ('novadocker.privsep.netns.interfaces', [NIC]),
        ):
            patch = mock.patch(
                f'novadocker.virt.docker.diagnostics.{target}',
                autospec=True,
                return_value=value,
            )
            setattr(self, target.rpartition('.')[2], patch.start())
            self.addCleanup(patch.stop)
        self.instance = instances.an_instance(flavor={'vcpus': 2})
        self.diagnostics = diagnostics.Diagnostics(self.client, sandboxes)

    def test_details(self):
        found = self.diagnostics.details(self.instance)

        self.assertEqual('running', found.state)
        self.assertEqual('docker', found.hypervisor)
        self.assertIn(found.uptime, (60, 61))
        self.assertFalse(found.config_drive)
        self.assertEqual(64, found.memory_details.maximum)
        self.assertEqual(5, found.memory_details.used)
        self.assertEqual(
            (2, 1, 1), (found.num_cpus, found.num_nics, found.num_disks)
        )
        self.assertEqual([0, 1], [cpu.id for cpu in found.cpu_details])
        for cpu in found.cpu_details:
            self.assertEqual(30 * 10**9, cpu.time)
            self.assertIn(cpu.utilisation, (49, 50))
        [nic] = found.nic_details
        self.assertEqual(NIC['mac'], nic.mac_address)
        self.assertEqual((100, 3), (nic.rx_octets, nic.rx_drop))
        self.assertIsNone(nic.tx_errors)
        [disk] = found.disk_details
        self.assertEqual((10, 2), (disk.read_bytes, disk.write_requests))
        self.usage.assert_called_once_with(7)
        self.interfaces.assert_called_once_with(8, 9)

    def test_plain(self):
        found = self.diagnostics.plain(self.instance)

        self.assertEqual(60 * 10**9, found['cpu_time'])
        self.assertEqual(200, found['eth0_tx_octets'])
        self.assertEqual(
            (2, True, 0),
            (found['oom_kills'], found['oom_killed'], found['restarts']),
        )

    def test_what_the_host_does_not_count(self):
        self.usage.return_value = dataclasses.replace(
            USAGE, cpu_time=None, memory=None
        )
        self.find.return_value = None
        found = self.diagnostics.details(self.instance)

        self.assertIsNone(found.memory_details.used)
        self.assertIsNone(found.cpu_details[0].utilisation)
        self.assertEqual([], found.nic_details)

    def test_process_that_has_just_ended(self):
        self.usage.side_effect = FileNotFoundError

        for look in (self.diagnostics.details, self.diagnostics.plain):
            self.assertRaises(
                nova_exception.InstanceInvalidState, look, self.instance
            )
