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

"""The contract of the verbs for containers."""

from concurrent import futures
import dataclasses
import io
import tarfile

from oslo_utils import uuidutils

from novadocker import exception
from novadocker.tests.contract import base
from novadocker.tests.fixtures import images
from novadocker.virt.docker import guest
from novadocker.virt.docker import model

State = model.ContainerState


class ContainersContract(base.ContractTestCase):
    def test_create(self):
        image = self.image()
        container = self.client.create(self.spec(image.id))
        found = self.client.inspect(container)
        self.assertEqual(container, found.id)
        self.assertEqual(self.name(), found.name)
        self.assertEqual(State.CREATED, found.state)
        self.assertEqual(image.id, found.image_id)
        self.assertEqual('none', found.network)
        self.assertEqual((0, 0), (found.pid, found.exit_code))
        self.assertTrue(found.tty)

    def test_host_name(self):
        found = self.client.inspect(self.created(hostname='web'))
        self.assertEqual('web', found.hostname)

    def test_created_container_has_the_labels_of_spec_and_image(self):
        found = self.client.inspect(self.created(labels={base.ROLE: 'x'}))
        self.addCleanup(self.client.remove, found.id)
        self.assertEqual({base.ROLE: 'x', **self.labels}, found.labels)

    def test_name_serves_as_id(self):
        container = self.created()
        self.assertEqual(container, self.client.inspect(self.name()).id)

    def test_create_with_a_name_that_is_taken(self):
        image = self.image()
        self.client.create(self.spec(image.id))
        self.assertRaises(
            exception.ContainerConflict,
            self.client.create,
            self.spec(image.id),
        )

    def test_create_without_the_image(self):
        self.assertRaises(
            exception.ImageNotFoundInEngine,
            self.client.create,
            self.spec('nova-docker/glance:missing'),
        )

    def test_create_without_a_command(self):
        image = self.image(images.NO_COMMAND)
        error = self.assertRaises(
            exception.EngineError, self.client.create, self.spec(image.id)
        )
        self.assertEqual(400, error.status)

    def test_root_file_system_of_another_one(self):
        image = self.image()
        own = self.client.create(self.spec(image.id))
        written = model.ContainerFile('/etc/mine', b'me', 0o644, 0, 0)
        self.client.write_files(own, guest.archive([written]))
        root = self.client.inspect(own).root
        other = self.client.create(
            self.spec(
                image.id,
                'b',
                overlays=(model.OverlayMount(root, '/mnt/instance'),),
            )
        )
        self.assertIsNone(self.client.read_file(other, '/etc/mine'))
        self.assertEqual(
            dataclasses.replace(written, path='/mnt/instance/etc/mine'),
            self.client.read_file(other, '/mnt/instance/etc/mine'),
        )
        self.client.start(other)
        self.client.remove(other)
        self.assertEqual(written, self.client.read_file(own, '/etc/mine'))

    def test_start(self):
        container = self.running()
        found = self.client.inspect(container)
        self.assertEqual(State.RUNNING, found.state)
        self.assertGreater(found.pid, 1)

    def test_start_of_what_runs_changes_nothing(self):
        container = self.running()
        before = self.client.inspect(container)
        self.client.start(container)
        self.assertEqual(before, self.client.inspect(container))

    def test_start_of_a_missing_container(self):
        self.assertRaises(
            exception.ContainerNotFound, self.client.start, self.name()
        )

    def test_start_of_a_missing_command(self):
        container = self.created(images.MISSING_COMMAND)
        error = self.assertRaises(
            exception.EngineError, self.client.start, container
        )
        self.assertEqual(400, error.status)
        self.assertIn('/no/such/command', error.reason)
        found = self.client.inspect(container)
        self.assertEqual(State.CREATED, found.state)
        self.assertEqual(127, found.exit_code)
        self.assertIn('/no/such/command', found.error)

    def test_command_takes_the_place_of_the_images(self):
        container = self.created(command=('/no/such/thing',))
        error = self.assertRaises(
            exception.EngineError, self.client.start, container
        )
        self.assertIn('/no/such/thing', error.reason)

    def test_entrypoint_is_cleared_by_an_empty_one(self):
        image = images.Image(entrypoint=('/no/such/entry',))
        container = self.created(image, entrypoint=(), command=('sh',))
        self.client.start(container)
        self.assertEqual(State.RUNNING, self.state(container))

    def test_process_that_ends(self):
        found = self.client.inspect(self.ended())
        self.assertEqual(State.EXITED, found.state)
        self.assertEqual(3, found.exit_code)
        self.assertEqual(0, found.pid)
        self.assertFalse(found.oom_killed)

    def test_start_again(self):
        container = self.running()
        self.client.kill(container)
        self.client.start(container)
        self.assertEqual(State.RUNNING, self.state(container))

    def test_stop(self):
        container = self.running(images.SERVICE)
        self.wait_for_output(container, b'up')
        self.client.stop(container, 30)
        found = self.client.inspect(container)
        self.assertEqual(State.EXITED, found.state)
        self.assertEqual(0, found.exit_code)
        self.assertIn(b'bye', self.client.logs(container, 10))

    def wait_for_output(self, container, expected):
        while expected not in self.client.logs(container, 10):
            pass

    def test_signal_that_asks_to_end(self):
        for suffix, signal in (('a', None), ('b', 'SIGQUIT')):
            image = dataclasses.replace(images.SHELL, stop_signal=signal)
            found = self.client.inspect(self.created(image, suffix))
            self.assertEqual(signal or 'SIGTERM', found.stop_signal)

    def test_stop_kills_after_its_timeout(self):
        for timeout in (0, 1):
            container = self.running(suffix=f'{timeout}')
            self.client.stop(container, timeout)
            found = self.client.inspect(container)
            self.assertEqual(State.EXITED, found.state)
            self.assertEqual(137, found.exit_code)

    def test_stop_of_what_does_not_run(self):
        container = self.created()
        self.client.stop(container, 0)
        self.assertEqual(State.CREATED, self.state(container))
        ended = self.ended(suffix='b')
        self.client.stop(ended, 0)
        self.assertEqual(3, self.client.inspect(ended).exit_code)

    def test_stop_of_a_paused_container(self):
        container = self.running()
        self.client.pause(container)
        self.client.stop(container, 0)
        self.assertEqual(State.EXITED, self.state(container))

    def test_stop_of_a_missing_container(self):
        self.assertRaises(
            exception.ContainerNotFound, self.client.stop, self.name(), 0
        )

    def test_stop_if_there(self):
        container = self.running()
        self.client.stop_if_there(container)
        self.assertEqual(State.EXITED, self.state(container))
        self.client.remove(container)
        self.client.stop_if_there(container)

    def test_kill(self):
        container = self.running()
        self.client.kill(container)
        found = self.client.inspect(container)
        self.assertEqual(State.EXITED, found.state)
        self.assertEqual(137, found.exit_code)

    def test_kill_of_what_does_not_run(self):
        self.assertRaises(
            exception.ContainerConflict, self.client.kill, self.ended()
        )

    def test_kill_of_a_missing_container(self):
        self.assertRaises(
            exception.ContainerNotFound, self.client.kill, self.name()
        )

    def test_pause_and_unpause(self):
        container = self.running()
        self.client.pause(container)
        found = self.client.inspect(container)
        self.assertEqual(State.PAUSED, found.state)
        self.assertGreater(found.pid, 1)
        self.assertRaises(
            exception.ContainerConflict, self.client.pause, container
        )
        self.client.unpause(container)
        self.assertEqual(State.RUNNING, self.state(container))

    def test_pause_of_what_does_not_run(self):
        self.assertRaises(
            exception.ContainerConflict, self.client.pause, self.created()
        )

    def test_unpause_of_what_is_not_paused(self):
        error = self.assertRaises(
            exception.EngineError, self.client.unpause, self.running()
        )
        self.assertEqual(500, error.status)

    def test_pause_and_unpause_of_a_missing_container(self):
        for verb in (self.client.pause, self.client.unpause):
            self.assertRaises(exception.ContainerNotFound, verb, self.name())

    def test_rename(self):
        container = self.created()
        self.client.rename(container, self.name('new'))
        self.assertEqual(container, self.client.inspect(self.name('new')).id)
        self.assertRaises(
            exception.ContainerNotFound, self.client.inspect, self.name()
        )

    def test_rename_to_a_name_that_is_taken(self):
        container = self.created()
        self.created(suffix='b')
        self.assertRaises(
            exception.ContainerConflict,
            self.client.rename,
            container,
            self.name('b'),
        )

    def test_rename_of_a_missing_container(self):
        self.assertRaises(
            exception.ContainerNotFound,
            self.client.rename,
            self.name(),
            self.name('b'),
        )

    def test_update(self):
        for container in (self.created(), self.running(suffix='b')):
            wanted = model.Limits(memory=48 << 20, cpus=1.5, cpu_shares=512)
            self.client.update(container, wanted)
            self.assertEqual(
                dataclasses.replace(wanted, pids=64),
                self.client.inspect(container).limits,
            )

    def test_rates_of_a_disk_are_kept(self):
        for rates in (
            model.DiskRates('/dev/sda', 1 << 20, 100, 2 << 20, 200),
            model.DiskRates('/dev/sda', write_requests=7),
        ):
            container = self.created(
                suffix=str(rates.write_requests),
                limits=model.Limits(memory=64 << 20, disk=rates),
            )
            self.client.update(container, model.Limits(memory=48 << 20))
            found = self.client.inspect(container).limits
            self.assertEqual(48 << 20, found.memory)
            self.assertEqual(rates, found.disk)

    def test_update_of_a_missing_container(self):
        self.assertRaises(
            exception.ContainerNotFound,
            self.client.update,
            self.name(),
            model.Limits(memory=48 << 20),
        )

    def test_size(self):
        container = self.created()
        before = self.client.size(container)
        self.client.write_files(
            container, images.tar([('new', b'x' * 100000)])
        )
        self.assertLess(100000, before)
        self.assertEqual(before + 100000, self.client.size(container))

    def test_size_of_a_missing_container(self):
        self.assertRaises(
            exception.ContainerNotFound, self.client.size, self.name()
        )

    def test_remove(self):
        for container in (
            self.created(suffix='a'),
            self.running(suffix='b'),
            self.ended(suffix='c'),
        ):
            self.client.remove(container)
            self.assertRaises(
                exception.ContainerNotFound, self.client.inspect, container
            )
            self.client.remove(container)
        self.assertEqual([], self.client.list_containers(self.labels))

    def test_remove_of_a_paused_container(self):
        container = self.running()
        self.client.pause(container)
        self.client.remove(container)
        self.assertEqual([], self.client.list_containers(self.labels))

    def test_inspect_of_a_missing_container(self):
        self.assertRaises(
            exception.ContainerNotFound, self.client.inspect, self.name()
        )

    def test_list_containers(self):
        image = self.image()
        created = self.client.create(self.spec(image.id, 'a'))
        running = self.client.create(self.spec(image.id, 'b'))
        self.client.start(running)
        rows = {
            row.id: row for row in self.client.list_containers(self.labels)
        }
        self.assertEqual({created, running}, set(rows))
        self.assertEqual(State.CREATED, rows[created].state)
        self.assertEqual(State.RUNNING, rows[running].state)
        self.assertEqual(self.name('b'), rows[running].name)
        self.assertEqual(self.labels, rows[running].labels)
        self.assertEqual(image.id, rows[running].image_id)

    def test_list_containers_with_all_labels(self):
        image = self.image()
        both = {base.ROLE: 'x', **self.labels}
        container = self.client.create(self.spec(image.id, labels=both))
        self.client.create(self.spec(image.id, 'b'))
        self.assertEqual(
            [container],
            [row.id for row in self.client.list_containers(both)],
        )
        for labels in ({base.ROLE: 'y'}, {base.RUN: 'x', base.ROLE: 'x'}):
            self.assertEqual([], self.client.list_containers(labels))

    def test_logs_of_a_terminal(self):
        self.assertEqual(
            b'hello\r\n', self.client.logs(self.ended(tty=True), 10)
        )

    def test_logs_without_a_terminal(self):
        self.assertEqual(
            b'hello\n', self.client.logs(self.ended(tty=False), 10)
        )

    def test_last_lines_of_logs(self):
        command = ('sh', '-c', 'echo a; echo b; echo c; exit 0')
        container = self.ended(images.SHELL, command=command)
        self.assertEqual(b'b\r\nc\r\n', self.client.logs(container, 2))

    def test_logs_of_a_missing_container(self):
        self.assertRaises(
            exception.ContainerNotFound, self.client.logs, self.name(), 1
        )


class FilesContract(base.ContractTestCase):
    """Files that are read and written from outside."""

    def archive(self, **changes):
        output = io.BytesIO()
        with tarfile.open(fileobj=output, mode='w') as tar:
            entry = tarfile.TarInfo('new/file')
            entry.size, entry.mode = 5, 0o640
            entry.uid, entry.gid = 7, 8
            tar.addfile(entry, io.BytesIO(b'hello'))
        return output.getvalue()

    def test_write_and_read(self):
        for container in (self.created(), self.running(suffix='b')):
            self.assertIsNone(self.client.read_file(container, '/new/file'))
            self.client.write_files(container, self.archive())
            self.assertEqual(
                model.ContainerFile('/new/file', b'hello', 0o640, 7, 8),
                self.client.read_file(container, '/new/file'),
            )

    def test_read_of_the_image(self):
        image = images.Image(command=('sh',), files=(('etc/x', b'of it'),))
        found = self.client.read_file(self.created(image), '/etc/x')
        self.assertEqual(b'of it', found.content)

    def test_what_is_no_file(self):
        container = self.created()
        for path in ('/missing', '/missing/file', '/etc'):
            self.assertIsNone(self.client.read_file(container, path), path)

    def test_missing_container(self):
        self.assertRaises(
            exception.ContainerNotFound,
            self.client.write_files,
            self.name(),
            self.archive(),
        )


class TerminalsContract(base.ContractTestCase):
    """Terminals of containers that run."""

    def until(self, terminal, expected):
        output = b''
        while expected not in output:
            received = terminal.receive()
            self.assertTrue(received, output)
            output += received
        return output

    def cat(self):
        return self.running(command=('cat',))

    def test_attach(self):
        container = self.cat()
        with (
            self.client.attach(container) as one,
            self.client.attach(container) as another,
        ):
            one.send(b'hello\n')
            self.until(one, b'hello\r\n')
            another.send(b'world\n')
            self.until(one, b'world\r\n')
            self.until(another, b'world\r\n')
        self.assertIn(b'hello\r\n', self.client.logs(container, 10))
        self.assertEqual(State.RUNNING, self.state(container))
        with self.client.attach(container) as one:
            one.send(b'again\n')
            self.until(one, b'again\r\n')

    def test_attach_ends_with_the_container(self):
        container = self.cat()
        with self.client.attach(container) as terminal:
            self.client.kill(container)
            while terminal.receive():
                pass
            self.assertEqual(b'', terminal.receive())

    def test_attach_ends_when_another_thread_closes_it(self):
        terminal = self.client.attach(self.cat())
        with futures.ThreadPoolExecutor(1) as thread:
            received = thread.submit(terminal.receive)
            terminal.close()
            self.assertEqual(b'', received.result(timeout=10))
        self.assertRaises(OSError, terminal.send, b'x' * 100)

    def test_attach_to_a_missing_container(self):
        self.assertRaises(
            exception.ContainerNotFound, self.client.attach, self.name()
        )

    def test_shell(self):
        container = self.running()
        shell, terminal = self.client.shell(
            container, ('sh', '-c', 'echo hello; exit 0')
        )
        with terminal:
            self.until(terminal, b'hello\r\n')
            self.assertEqual(b'', terminal.receive())
        self.assertEqual(0, self.client.shell_pid(shell))
        self.assertNotIn(b'hello', self.client.logs(container, 10))

    def test_shell_that_goes_on(self):
        container = self.running()
        shell, terminal = self.client.shell(container, ('cat',))
        with terminal:
            terminal.send(b'hello\n')
            self.until(terminal, b'hello\r\n')
            self.assertGreater(self.client.shell_pid(shell), 1)
            self.client.kill(container)
            while terminal.receive():
                pass
        self.assertEqual(0, self.client.shell_pid(shell))

    def test_run(self):
        self.client.run(self.running(), ('true',))

    def test_nothing_runs_in_what_does_not(self):
        for verb in (self.client.shell, self.client.run):
            self.assertRaises(
                exception.ContainerNotFound, verb, self.name('x'), ('true',)
            )
        container = self.created()
        for verb in (self.client.shell, self.client.run):
            self.assertRaises(
                exception.ContainerConflict, verb, container, ('true',)
            )


class SandboxContract(base.ContractTestCase):
    """A container that joins the network of another one."""

    def setUp(self):
        super().setUp()
        self.own = self.image()
        self.sandbox = self.client.create(self.spec(self.own.id, 'sandbox'))

    def join(self, reference, suffix='a'):
        network = f'container:{reference}'
        return self.client.create(
            self.spec(self.own.id, suffix, network=network)
        )

    def test_network_names_the_id_of_the_sandbox(self):
        for suffix, reference in (
            ('a', self.sandbox),
            ('b', self.name('sandbox')),
        ):
            container = self.join(reference, suffix)
            self.assertEqual(
                f'container:{self.sandbox}',
                self.client.inspect(container).network,
            )

    def test_start_without_the_sandbox(self):
        container = self.join(uuidutils.generate_uuid())
        self.assertRaises(
            exception.ContainerNotFound, self.client.start, container
        )

    def test_start(self):
        self.client.start(self.sandbox)
        container = self.join(self.sandbox)
        self.client.start(container)
        found = self.client.inspect(container)
        sandbox = self.client.inspect(self.sandbox)
        self.assertEqual(State.RUNNING, found.state)
        self.assertEqual(sandbox.resolv_conf_path, found.resolv_conf_path)
        self.assertEqual(sandbox.hosts_path, found.hosts_path)

    def test_start_before_the_sandbox(self):
        container = self.join(self.sandbox)
        self.assertRaises(
            exception.ContainerConflict, self.client.start, container
        )
        self.assertEqual(State.CREATED, self.state(container))
        self.client.start(self.sandbox)
        self.client.start(container)

    def test_start_after_the_sandbox_was_removed(self):
        container = self.join(self.sandbox)
        self.client.remove(self.sandbox)
        self.assertRaises(
            exception.ContainerNotFound, self.client.start, container
        )

    def test_joined_container_outlives_its_sandbox(self):
        self.client.start(self.sandbox)
        container = self.join(self.sandbox)
        self.client.start(container)
        self.client.remove(self.sandbox)
        self.assertEqual(State.RUNNING, self.state(container))
