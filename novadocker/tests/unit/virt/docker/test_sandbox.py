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
from unittest import mock

from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import fake_engine
from novadocker.tests.fixtures import instances
from novadocker.tests.fixtures import network as ports
from novadocker.virt.docker import domains
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import pause
from novadocker.virt.docker import sandbox
from novadocker.virt.docker import spec
from novadocker.virt.docker import undo as undoing

SETTINGS = spec.ServerSettings(100, (), 65536)
NETNS = 4026532000


class SandboxesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.engine = fake_engine.FakeEngine()
        self.instance = instances.an_instance()
        self.name = naming.sandbox_name(self.instance.uuid)
        self.domains = mock.create_autospec(domains.Domains, instance=True)
        self.sandboxes = sandbox.Sandboxes(
            self.engine, 'host1', 'x86_64', SETTINGS, self.domains
        )
        self.inode = self.patch('netns.inode', return_value=NETNS)
        self.write = self.patch('files.write_sandbox_file')
        self.undo = undoing.Undo(self.instance)

    def patch(self, name, **kwargs):
        patch = mock.patch(
            f'novadocker.privsep.{name}', autospec=True, **kwargs
        )
        self.addCleanup(patch.stop)
        return patch.start()

    def state(self):
        return self.engine.inspect(self.name).state

    def undo_all(self):
        self.undo.__exit__(ValueError, ValueError(), None)

    def test_the_image_is_loaded_once_for_all(self):
        self.sandboxes.create(self.instance, self.undo)
        self.sandboxes.create(instances.an_instance(), self.undo)

        self.assertEqual(1, self.engine.requests['load'])
        self.assertEqual(
            pause.sandbox_image('x86_64').id,
            self.engine.inspect(self.name).image_id,
        )

    def test_a_new_one_runs_and_is_described(self):
        box = self.sandboxes.create(self.instance, self.undo)

        found = self.engine.inspect(self.name)
        self.assertIs(model.ContainerState.RUNNING, found.state)
        self.assertEqual((found.id, found.pid), (box.id, box.pid))
        self.assertEqual(NETNS, box.netns)
        self.inode.assert_called_once_with(found.pid)

    def test_a_new_one_is_undone(self):
        self.sandboxes.create(self.instance, self.undo)
        self.undo_all()

        self.assertEqual([], self.engine.list_containers({}))

    def test_a_second_one_is_refused_and_the_first_stays(self):
        self.sandboxes.create(self.instance, undoing.Undo(None))

        self.assertRaises(
            exception.ContainerConflict,
            self.sandboxes.create,
            self.instance,
            self.undo,
        )
        self.undo_all()
        self.assertIs(model.ContainerState.RUNNING, self.state())

    def test_one_that_runs_is_left_alone(self):
        before = self.sandboxes.create(self.instance, undoing.Undo(None))

        after = self.sandboxes.ensure(self.instance, self.undo)
        self.undo_all()

        self.assertEqual(before, after)
        self.assertIs(model.ContainerState.RUNNING, self.state())

    def test_one_that_died_is_started_again(self):
        """Not replaced: its instance container is tied to its id."""
        before = self.sandboxes.create(self.instance, undoing.Undo(None))
        self.engine.end(self.name)

        after = self.sandboxes.ensure(self.instance, self.undo)
        self.assertEqual(before.id, after.id)
        self.assertIs(model.ContainerState.RUNNING, self.state())

        self.undo_all()
        self.assertIs(model.ContainerState.EXITED, self.state())

    def test_one_that_was_removed_is_made_again(self):
        self.sandboxes.create(self.instance, undoing.Undo(None))
        self.engine.remove(self.name)

        self.sandboxes.ensure(self.instance, self.undo)

        self.assertIs(model.ContainerState.RUNNING, self.state())

    def test_one_is_renewed_for_another_host_name_alone(self):
        before = self.sandboxes.create(self.instance, undoing.Undo(None))
        same = self.sandboxes.renewed(self.instance, self.undo)
        self.assertEqual(before, same)

        self.instance.hostname = 'other'
        self.sandboxes.renewed(self.instance, self.undo)

        self.assertEqual('other', self.engine.inspect(self.name).hostname)

    def test_one_that_ends_at_once_is_a_failure(self):
        with mock.patch.object(
            self.sandboxes, 'find', autospec=True, return_value=None
        ):
            self.assertRaises(
                exception.EngineError,
                self.sandboxes.create,
                self.instance,
                self.undo,
            )

    def test_namespace_of_a_server_whose_sandbox_died(self):
        """The server's own process holds it."""
        server = self.a_server()
        self.engine.end(self.name)

        found = self.sandboxes.find(self.instance.uuid)
        self.assertEqual(self.engine.inspect(server).pid, found.pid)
        self.assertEqual(self.box.id, found.id)
        self.assertEqual(
            found, self.sandboxes.ensure(self.instance, self.undo)
        )

        self.engine.end(server)
        self.assertIsNone(self.sandboxes.find(self.instance.uuid))

    def test_in_use(self):
        self.assertFalse(self.sandboxes.in_use(self.instance.uuid))
        server = self.a_server()
        self.assertTrue(self.sandboxes.in_use(self.instance.uuid))
        self.engine.end(server)
        self.assertFalse(self.sandboxes.in_use(self.instance.uuid))

    def test_what_another_host_has_under_the_name_is_not_ours(self):
        self.a_server()
        elsewhere = sandbox.Sandboxes(
            self.engine, 'host2', 'x86_64', SETTINGS, self.domains
        )
        self.assertFalse(elsewhere.in_use(self.instance.uuid))
        self.assertIsNone(elsewhere.find(self.instance.uuid))

    def a_server(self):
        """A server that runs in the sandbox."""
        self.box = self.sandboxes.create(self.instance, undoing.Undo(None))
        name = naming.instance_name(self.instance.uuid)
        self.engine.create(
            model.ContainerSpec(
                name=name,
                image=pause.sandbox_image('x86_64').id,
                labels=naming.labels(
                    self.instance.uuid, naming.ROLE_INSTANCE, 'host1'
                ),
                network=f'container:{self.box.id}',
                limits=model.Limits(),
                log=model.LogLimits(size=65536, files=2),
            )
        )
        self.engine.start(name)
        return name

    def test_names_of_a_sandbox_that_was_removed_are_not_written(self):
        box = self.sandboxes.create(self.instance, self.undo)
        self.write.side_effect = FileNotFoundError

        self.sandboxes.write_names(box, self.instance, [])
        self.assertEqual(2, self.write.call_count)

    def test_find_of_none(self):
        self.assertIsNone(self.sandboxes.find(self.instance.uuid))

    def test_remove_and_stop_of_none_is_success(self):
        self.sandboxes.stop(self.instance.uuid)
        self.sandboxes.remove(self.instance.uuid)

    def test_names_are_written_where_the_engine_has_them(self):
        box = dataclasses.replace(
            self.sandboxes.create(self.instance, self.undo),
            resolv_conf_path='/resolv',
            hosts_path='/hosts',
        )
        port = ports.vif(
            ports.Subnet('10.0.0.0/24', ['10.0.0.5'], dns=['10.0.0.2'])
        )
        self.domains.of.return_value = {port['id']: 'example.org'}

        self.sandboxes.write_names(box, self.instance, [port])

        self.domains.of.assert_called_once_with(self.instance, [port])
        written = dict(call.args for call in self.write.call_args_list)
        self.assertEqual(
            'search example.org\nnameserver 10.0.0.2\n', written['/resolv']
        )
        self.assertIn('10.0.0.5 web.example.org web', written['/hosts'])
