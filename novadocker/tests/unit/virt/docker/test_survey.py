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

import os
import pathlib
from unittest import mock

import fixtures
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import fake_engine
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import status
from novadocker.virt.docker import checkpoint
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import network
from novadocker.virt.docker import survey
from novadocker.virt.docker import switch
from novadocker.virt.docker import traces

OTHER = '0c0ffee0-0000-4000-8000-000000000000'
NOBODY = 1 << 22


class SurveyTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.engine = fake_engine.FakeEngine()
        self.engine.load([images.BARE.archive()])
        self.network = mock.create_autospec(network.Network, instance=True)
        self.network.interfaces.return_value = []
        self.switch = mock.create_autospec(switch.Switch, instance=True)
        self.switch.ports.return_value = []
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.checkpoints = checkpoint.Checkpoints(str(folder / 'instances'))
        self.names = folder / 'netns'
        self.patch('privsep.netns.NETNS_DIR', self.names)
        self.inode = self.patch('privsep.netns.inode', mock.Mock())
        self.inode.return_value = status.NETNS
        devices = [{'name': 'tap1', 'up': False, 'bridge': 'br1'}]
        self.patch('privsep.devices.devices', lambda: devices)
        sources = survey.Sources(
            self.engine, self.network, self.checkpoints, self.switch
        )
        self.survey = survey.Survey(sources, status.HOST)

    def patch(self, name, new):
        self.useFixture(fixtures.MonkeyPatch(f'novadocker.{name}', new))
        return new

    def make(self, name, role, uuid=status.UUID, host=status.HOST):
        made = self.engine.create(
            model.ContainerSpec(
                name=name,
                image=images.BARE.id,
                labels=naming.labels(uuid, role, host),
                network='none',
                limits=model.Limits(),
                log=model.LogLimits(65536, 2),
                tty=True,
            )
        )
        self.engine.start(made)
        return made

    def boot(self):
        self.make(status.NAME, naming.ROLE_INSTANCE)
        return self.make(status.BOX, naming.ROLE_SANDBOX)

    def traces(self):
        return self.survey.look().traces[status.UUID]

    def test_nothing(self):
        seen = self.survey.look()
        self.assertEqual({}, seen.traces)
        self.assertEqual({'tap1': traces.Device(False, 'br1')}, seen.devices)

    def test_containers(self):
        self.boot()
        self.make('foreign', naming.ROLE_INSTANCE, OTHER, 'another')
        seen = self.survey.look()
        self.assertEqual({status.UUID}, set(seen.traces))
        self.assertEqual(
            {status.NAME, status.BOX},
            {one.name for one in seen.traces[status.UUID].containers},
        )
        self.assertEqual({OTHER}, seen.others)

    def test_container_that_goes_while_one_looks(self):
        self.boot()
        gone = exception.ContainerNotFound(404, 'gone')
        self.engine.fail('inspect', gone, times=2)
        self.assertEqual((), self.traces().containers)

    def test_namespace_is_that_of_the_sandbox(self):
        box = self.boot()
        nics = [status.interface(status.port())]
        self.network.interfaces.return_value = nics
        self.assertEqual(
            traces.Namespace(status.NETNS, tuple(nics)),
            self.traces().namespace,
        )
        self.inode.assert_called_once_with(self.engine.inspect(box).pid)

    def test_namespace_outlives_the_sandbox(self):
        box = self.boot()
        self.engine.kill(box)
        self.assertIsNotNone(self.traces().namespace)
        self.engine.kill(status.NAME)
        self.assertIsNone(self.traces().namespace)

    def test_process_that_ends_while_one_looks(self):
        self.boot()
        for error in (FileNotFoundError, ProcessLookupError):
            self.inode.side_effect = error
            self.assertIsNone(self.traces().namespace)

    def name(self, target, uuid=status.UUID):
        self.names.mkdir(exist_ok=True)
        name = self.names / naming.instance_name(uuid)
        name.unlink(missing_ok=True)
        name.symlink_to(target)

    def test_names_of_namespaces(self):
        self.name(f'/proc/{os.getpid()}/ns/net')
        found = self.traces()
        self.assertEqual((os.getpid(), False), (found.link, found.dangling))
        self.assertFalse(survey.dangles(status.UUID))
        self.name(f'/proc/{NOBODY}/ns/net')
        found = self.traces()
        self.assertEqual((NOBODY, True), (found.link, found.dangling))
        self.assertTrue(survey.dangles(status.UUID))

    def test_names_of_others(self):
        self.name('/elsewhere')
        (self.names / 'qrouter-x').touch()
        (self.names / naming.instance_name(OTHER)).touch()
        self.assertEqual({}, self.survey.look().traces)

    def test_checkpoints(self):
        self.checkpoints.write(
            status.UUID,
            checkpoint.Checkpoint(
                'box', 7, ({'id': 'port'},), {'tap1': 'eth0'}
            ),
        )
        self.assertEqual(
            traces.Known(7, ({'id': 'port'},), {'tap1': 'eth0'}),
            self.traces().known,
        )

    def test_switch(self):
        port = status.switch_port(status.port())
        self.switch.ports.return_value = [port]
        self.assertEqual((port,), self.traces().switch_ports)
        self.switch.ports.side_effect = exception.SwitchUnavailable(
            connection='c', reason='r'
        )
        seen = self.survey.look()
        self.assertEqual({}, seen.traces)
        self.assertFalse(seen.switched)

    def commit(self, repository, tag='x'):
        self.engine.commit(status.NAME, repository, tag, {}, False)
        return f'{repository}:{tag}'

    def test_images(self):
        self.boot()
        snapshot = self.commit(naming.SNAPSHOT_REPOSITORY)
        own = self.commit(naming.REBIND_REPOSITORY)
        self.assertEqual(own, self.traces().image)
        seen = self.survey.look()
        self.assertEqual({snapshot: status.UUID}, seen.snapshots)

    def test_images_of_others(self):
        self.make(status.NAME, naming.ROLE_INSTANCE, host='another')
        self.commit(naming.SNAPSHOT_REPOSITORY)
        self.assertEqual({}, self.survey.look().snapshots)
