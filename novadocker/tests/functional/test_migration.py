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


"""Resize and cold migration, through Nova and real engines."""

import hashlib
import os
import stat
import struct
from unittest import mock

import fixtures
from oslo_utils import uuidutils

from novadocker import exception
from novadocker.tests.fixtures import driver as docker_driver
from novadocker.tests.fixtures import engine as docker_engine
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import ovs
from novadocker.tests.functional import base
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import ports
from novadocker.virt.docker import transport
from novadocker.virt.docker import undo as undoing

State = model.ContainerState

MIB = 1 << 20

LARGE = base.FLAVOR | {'memory_mb': 128, 'vcpu': 2, 'disk': 2}
SMALL = base.FLAVOR | {'memory_mb': 32}

# A version, and then for each entry what it is of, what that may do, and who
# it is: the owner, user 77, the group, the most for these two, all others.
ACL = struct.pack(
    '<I' + 'HHi' * 5,
    *(2, 1, 6, -1, 2, 4, 77, 4, 0, -1, 16, 4, -1, 32, 0, -1),
)


def written(pid):
    """Write files of all kinds into the root file system of a process."""
    root = f'/proc/{pid}/root/'

    def make(name, content=b'', owner=(0, 0), mode=0o644):
        path = root + name
        with open(path, 'wb') as file:
            file.write(content)
        os.chown(path, *owner)
        os.chmod(path, mode)

    os.mkdir(root + 'kept')
    os.chown(root + 'kept', 1234, 4321)
    os.chmod(root + 'kept', 0o3777)
    make('kept/plain', b'news')
    make('kept/owned', b'mine' * 100000, (1000, 1001), 0o640)
    make('kept/setuid', b'#!/bin/sh', mode=0o6755)
    make('kept/closed', mode=0)
    make('kept/empty')
    make('kept/capable', b'x')
    # cap_net_raw=ep, as setcap writes it.
    os.setxattr(
        root + 'kept/capable',
        'security.capability',
        bytes.fromhex('0100000200200000000000000000000000000000'),
    )
    os.setxattr(root + 'kept/plain', 'user.origin', b'here \xff')
    os.setxattr(root + 'kept', 'user.mime_type', b'inode/directory')
    os.setxattr(root + 'kept/owned', 'system.posix_acl_access', ACL)
    os.link(root + 'kept/plain', root + 'kept/hard link')
    os.symlink('plain', root + 'kept/soft link')
    os.symlink('/nowhere', root + 'kept/dangling')
    os.mkfifo(root + 'kept/pipe', 0o600)
    os.mknod(root + 'kept/device', 0o660 | stat.S_IFCHR, os.makedev(1, 5))
    make('kept/sparse')
    os.truncate(root + 'kept/sparse', 8 * MIB)
    os.setxattr(root + 'kept/sparse', 'user.holes', b'many')
    make('kept/\u00fcml\u00e4ut ' + 'x' * 180)
    os.utime(root + 'kept/empty', (1e9, 1e9))
    # What the image has: changed, replaced, and removed.
    os.chmod(root + 'etc/passwd', 0o600)
    os.remove(root + 'bin/yes')
    os.remove(root + 'bin/wc')
    os.mkdir(root + 'bin/wc')


def tree(pid):
    """Everything in the root file system of a process, but for mounts."""
    root = f'/proc/{pid}/root'
    device = os.stat(root).st_dev
    # The engine makes these anew in each container.
    engines = {f'{root}/.dockerenv', f'{root}/etc/mtab'}
    found = {}
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = os.path.join(directory, name)
            entry = os.lstat(path)
            if entry.st_dev == device and path not in engines:
                found[path.removeprefix(root)] = _described(path, entry)
        names[:] = [
            name
            for name in names
            if os.lstat(os.path.join(directory, name)).st_dev == device
        ]
    return found


def _described(path, entry):
    content = ''
    if stat.S_ISREG(entry.st_mode):
        with open(path, 'rb') as file:
            content = hashlib.file_digest(file, 'sha256').hexdigest()
    elif stat.S_ISLNK(entry.st_mode):
        content = os.readlink(path)
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
    }
    return (
        oct(entry.st_mode),
        (entry.st_uid, entry.st_gid),
        # The size and the time of a directory are no content.
        None if stat.S_ISDIR(entry.st_mode) else entry.st_size,
        None if stat.S_ISDIR(entry.st_mode) else int(entry.st_mtime),
        1 if stat.S_ISDIR(entry.st_mode) else entry.st_nlink,
        entry.st_rdev,
        entry.st_size - entry.st_blocks * 512 >= MIB,
        content,
        attributes,
    )


class MigrationsTestCase(base.FunctionalTestCase):
    """A server, and a second host, that it may go to."""

    def setUp(self):
        super().setUp()
        self.other = 'other-' + uuidutils.generate_uuid()[:8]
        self.there = self.other_engine()
        self.addCleanup(self.remove_all)
        self.other_instances = self.useFixture(fixtures.TempDir()).path
        # Each has its own, as two machines do.
        self.flags(
            instances_path=self.other_instances,
            allow_resize_to_same_host=False,
        )
        self.other_compute = self._start_compute(self.other)
        self.large = self._create_flavor(**LARGE, id='large')
        self.small = self._create_flavor(**SMALL, id='small')
        self.server = self.boot(
            images.HTTPD, availability_zone=f'nova:{self.host}'
        )
        self.images_before = set(self.glance.images)
        self.before = self.info(self.server)
        self.sandbox_before = self.sandbox(self.server)

    def other_engine(self):
        """The engine of the other host, which is that of the first."""
        return self.client

    def remove_all(self):
        """Clear up after a test that failed."""
        for client in (self.client, self.there):
            for host in (self.host, self.other):
                for row in client.list_containers(naming.host_filter(host)):
                    client.remove(row.id)
            for tag in self.own_images(client):
                client.remove_image(tag)

    def at(self, host):
        """The containers of a host, by their names."""
        client = self.there if host == self.other else self.client
        rows = client.list_containers(naming.host_filter(host))
        return {row.name: row for row in rows}

    def info_there(self):
        return self.there.inspect(naming.instance_name(self.server['id']))

    def host_of(self, server):
        return self.api.get_server(server['id'])['OS-EXT-SRV-ATTR:host']

    def resize(self, flavor, status='VERIFY_RESIZE'):
        return self.act(self.server, 'resize', status, flavorRef=flavor)

    def move(self, status='VERIFY_RESIZE'):
        self.api.post_server_action(self.server['id'], {'migrate': None})
        return self.wait_for_status(self.server, status)

    def assert_same(self, kept, pid):
        """The root file system of a process is what another was."""
        found = tree(pid)
        differ = {
            name: (kept.get(name), found.get(name))
            for name in kept.keys() | found.keys()
            if kept.get(name) != found.get(name)
        }
        self.assertEqual({}, differ)

    def assert_answers(self):
        """The server has its network."""
        answer = self.inside(
            self.server, 'busybox wget -q -O - http://192.168.1.30/'
        )
        self.assertEqual('It is busybox\n', answer)

    def assert_nothing_travels(self):
        """No image is left of a move, neither in Glance nor in an engine."""
        self.assertEqual(self.images_before, set(self.glance.images))
        for client in (self.client, self.there):
            self.assertEqual(
                [], client.list_images(naming.SNAPSHOT_REPOSITORY)
            )

    def own_images(self, client, host=None):
        """Images of servers' own, of all hosts or of one."""
        return [
            tag
            for row in client.list_images(naming.REBIND_REPOSITORY)
            for tag in row.tags
            if host in (None, row.labels[naming.LABEL_HOST])
        ]

    def left_at(self, path):
        left = {entry.name for entry in os.scandir(path)}
        return left - {'locks', 'compute_nodes', '_base'}

    def assert_nothing_there(self):
        self.assertEqual({}, self.at(self.other))
        self.assertEqual([], self.own_images(self.there, self.other))

    def assert_as_before(self, state=State.RUNNING):
        """The server is where it was, in its containers, with its limits."""
        self.assertEqual(self.host, self.host_of(self.server))
        after = self.info(self.server)
        self.assertEqual(self.before.id, after.id)
        self.assertEqual(self.before.limits, after.limits)
        self.assertIs(state, after.state)
        self.assertEqual(
            {after.name, self.sandbox_before.name}, set(self.at(self.host))
        )
        self.assertEqual(
            self.sandbox_before.id, self.sandbox(self.server).id
        )
        if state is State.RUNNING:
            self.assert_answers()
        self.assert_nothing_there()

    def assert_all_gone(self):
        self.assert_nothing_left(self.server)
        self.assert_nothing_there()
        self.assertEqual([], self.own_images(self.client))
        self.assertEqual(set(), self.left_at(self.other_instances))
        self.assert_nothing_travels()


class MoveTestCase(MigrationsTestCase):
    def test_content_goes_and_comes_back(self):
        written(self.before.pid)
        kept = tree(self.before.pid)
        self.move()
        self.assertEqual(self.other, self.host_of(self.server))
        after = self.info_there()
        self.assertNotEqual(self.before.id, after.id)
        self.assert_same(kept, after.pid)
        self.assert_answers()
        self.assert_nothing_travels()
        waiting = self.at(self.host)
        self.assertIn(self.before.id, {row.id for row in waiting.values()})
        self.assertFalse(any(row.state.alive for row in waiting.values()))

        self.act(self.server, 'confirmResize', 'ACTIVE')
        self.assertEqual({}, self.at(self.host))
        self.assertEqual(set(), self.left_at(self.instances))
        self.assert_answers()

        # The way back is another move, on top of the first.
        os.mkdir(f'/proc/{after.pid}/root/later')
        self.move()
        self.assertEqual(self.host, self.host_of(self.server))
        pid = self.info(self.server).pid
        os.rmdir(f'/proc/{pid}/root/later')
        self.assert_same(kept, pid)
        self.act(self.server, 'confirmResize', 'ACTIVE')
        self.assert_nothing_there()
        self.assert_answers()
        self.delete(self.server)
        self.assert_all_gone()

    def test_only_what_differs_travels(self):
        sizes = {}
        update = self.glance.update

        def noting(context, image_id, metadata, data=None, **kwargs):
            answer = update(context, image_id, metadata, data=data, **kwargs)
            sizes[image_id] = answer['size']
            self.assertTrue(answer['os_hidden'])
            self.assertEqual('private', answer['visibility'])
            return answer

        with mock.patch.object(self.glance, 'update', noting):
            self.move()
        self.assertLess(max(sizes.values()), 100_000)

    def test_all_travels_where_the_image_is_gone(self):
        self.glance.delete(None, self.server['image']['id'])
        self.images_before = set(self.glance.images)
        self.move()
        self.assert_answers()
        self.assert_nothing_travels()

    def test_larger_and_back(self):
        self.resize(self.large)
        limits = self.info_there().limits
        self.assertEqual((128 * MIB, 2.0), (limits.memory, limits.cpus))
        self.act(self.server, 'revertResize', 'ACTIVE')
        self.assert_as_before()
        self.assert_nothing_travels()
        self.assertEqual(set(), self.left_at(self.other_instances))
        self.delete(self.server)
        self.assert_all_gone()

    def test_stopped_server(self):
        self.act(self.server, 'os-stop', 'SHUTOFF')
        self.resize(self.small)
        self.assertIs(State.CREATED, self.info_there().state)
        self.act(self.server, 'confirmResize', 'SHUTOFF')
        self.act(self.server, 'os-start', 'ACTIVE')
        self.assert_answers()
        self.act(self.server, 'os-stop', 'SHUTOFF')
        self.move()
        self.act(self.server, 'revertResize', 'SHUTOFF')
        self.assertEqual(self.other, self.host_of(self.server))
        self.act(self.server, 'os-start', 'ACTIVE')
        self.assert_answers()

    def test_deleted_before_it_is_confirmed(self):
        self.resize(self.large)
        self.delete(self.server)
        self.assert_all_gone()

    def test_names_of_nics_are_kept(self):
        link = self.inside(self.server, 'ip -o address show dev eth0')
        self.move()
        moved = self.inside(self.server, 'ip -o address show dev eth0')
        self.assertEqual(
            link.split()[:4], moved.split()[:4], 'another name or address'
        )

    def test_host_at_rest_is_in_order(self):
        """Nobody takes the one that waits for damage, or starts it."""
        self.move()
        for compute in (self.compute, self.other_compute):
            compute.manager.driver._watchers.healer._settled.clear()
            compute.manager.driver.get_available_resource('any')
        self.periodic()
        self.assertFalse(
            any(row.state.alive for row in self.at(self.host).values())
        )
        self.assert_answers()


class TwoEnginesTestCase(MigrationsTestCase):
    """Hosts that share nothing but Glance."""

    def other_engine(self):
        own = self.useFixture(docker_engine.DockerEngine())
        # Of the second host; the first is wired already.
        self.flags(host_url=own.url, group='docker')
        with fixtures.EnvironmentVariable('DOCKER_HOST', own.url):
            return docker_driver.engine_client()

    def test_content_goes_there(self):
        written(self.before.pid)
        kept = tree(self.before.pid)
        self.resize(self.large)
        self.assert_same(kept, self.info_there().pid)
        self.assert_answers()
        self.assert_nothing_travels()
        self.act(self.server, 'revertResize', 'ACTIVE')
        self.assert_as_before()
        self.assert_same(kept, self.info(self.server).pid)
        self.move()
        self.act(self.server, 'confirmResize', 'ACTIVE')
        self.assert_same(kept, self.info_there().pid)
        self.delete(self.server)
        self.assert_all_gone()


    def test_evacuation(self):
        """A dead host that comes back loses its copy, and nothing else."""
        self.compute.stop()
        [service] = self.api.get_services(host=self.host)
        self.api.put_service_force_down(service['id'], True)
        for row in self.at(self.host).values():
            self.client.kill(row.id)
        self.wait_for(
            lambda: 'tap' not in ovs.run('ip', '-o', 'link'),
            'the devices of a dead host stay',
        )
        self.api.post_server_action(self.server['id'], {'evacuate': {}})
        self.wait_for(
            lambda: self.host_of(self.server) == self.other, 'it stays'
        )
        # Nova leaves it stopped, for somebody to have a look first.
        self.wait_for_status(self.server, 'SHUTOFF')
        self.act(self.server, 'os-start', 'ACTIVE')
        living = self.info_there()

        self.flags(instances_path=str(self.instances))
        self.flags(host_url=os.environ['DOCKER_HOST'], group='docker')
        again = self.start_service('compute', host=self.host)
        self.addCleanup(again.stop)
        self.assertEqual({}, self.at(self.host))
        self.assertEqual(living, self.info_there())
        self.assertIs(State.RUNNING, living.state)


class Killed(BaseException):
    """Nothing clears up after it."""


class KilledTestCase(MigrationsTestCase):
    """nova-compute is killed, and started again."""

    def test_source(self):
        for owner, name in (
            (self.glance, 'update'),
            (engine.Client, 'rename'),
        ):
            with (
                mock.patch.object(undoing.Undo, '__exit__', _nothing),
                mock.patch.object(
                    owner, name, autospec=True, side_effect=Killed
                ) as called,
            ):
                self.api.post_server_action(
                    self.server['id'], {'migrate': None}
                )
                self.wait_for(lambda: called.called, 'it is not killed')
                self.compute.stop()
            self.flags(instances_path=str(self.instances))
            self.compute = self.start_service('compute', host=self.host)
            self.addCleanup(self.compute.stop)
            self.wait_for_status(self.server, 'ACTIVE')
            self.assert_as_before()
        # What has a name in Glance goes when a user comes by.
        self.move()
        self.act(self.server, 'confirmResize', 'ACTIVE')
        self.assert_nothing_travels()
        self.delete(self.server)
        # Placement keeps what Nova's migrations had that were broken off.
        for host in (self.host, self.other):
            self.assertEqual({}, self.at(host))
        self.assertEqual([], self.own_images(self.client))
        self.assertEqual(set(), self.left_at(self.instances))
        self.assertEqual(set(), self.left_at(self.other_instances))


def _nothing(*_):
    """What a process does that was killed."""


class RefusalTestCase(MigrationsTestCase):
    def assert_refused(self, flavor, message):
        self.act(self.server, 'resize', flavorRef=flavor)
        self.wait_for_status(self.server, 'ACTIVE')
        self.wait_for(
            lambda: message in self.stdlog.logger.output, 'it is not said'
        )
        self.assertEqual(self.before, self.info(self.server))
        self.assert_nothing_travels()

    def test_root_disk_that_is_too_small(self):
        """The server is not even stopped."""
        self.resize(self.large)
        self.act(self.server, 'confirmResize', 'ACTIVE')
        self.move()
        self.act(self.server, 'confirmResize', 'ACTIVE')
        self.before = self.info(self.server)
        with mock.patch.object(
            engine.Client,
            'size',
            autospec=True,
            return_value=(1 << 30) + 1,
        ):
            self.assert_refused(self.flavor, 'more than the root disk')

    def test_what_is_refused_at_a_boot(self):
        flavor = self._create_flavor(**base.FLAVOR | {'swap': 1}, id='swap')
        self.assert_refused(flavor, 'cannot have a swap disk')


class FailuresTestCase(MigrationsTestCase):
    """Each step fails in turn."""

    def failing(self, owner, name, calls=1):
        """Have a function fail at one of its calls, the first is 1."""
        real = getattr(owner, name)
        count = iter(range(1, 1000))

        def call(*args, **kwargs):
            if next(count) == calls:
                raise exception.EngineError(500, 'oops')
            return real(*args, **kwargs)

        return mock.patch.object(owner, name, call)

    def test_source(self):
        steps = (
            self.failing(engine.Client, 'stop'),
            self.failing(self.glance, 'create'),
            self.failing(engine.Client, 'commit'),
            self.failing(engine.Client, 'save'),
            self.failing(self.glance, 'update'),
            self.failing(ports.Ports, 'leave'),
            self.failing(engine.Client, 'stop_if_there'),
            self.failing(engine.Client, 'rename'),
            self.failing(engine.Client, 'rename', 2),
        )
        for number, step in enumerate(steps, 1):
            with step:
                self.api.post_server_action(
                    self.server['id'], {'migrate': None}
                )
                self.wait_for_status(self.server, 'ACTIVE')
                self.wait_for_failures(number)
            self.assert_as_before()
            self.assert_nothing_travels()
            self.assertEqual(
                {self.server['id']}, self.left_at(self.instances)
            )
        self.move()

    def wait_for_failures(self, count):
        """Nova sets the server's task at the very end."""
        self.wait_for(
            lambda: (
                self.stdlog.logger.output.count(
                    'Exception during message handling'
                )
                == count
            ),
            'the migration does not fail',
        )

    def test_destination(self):
        """It is to be had back by a hard reboot, there."""
        for number, step in enumerate(
            (
                self.failing(engine.Client, 'create'),
                self.failing(transport.Transport, 'receive'),
                self.failing(engine.Client, 'load'),
                self.failing(engine.Client, 'create', 2),
                self.failing(engine.Client, 'start', 2),
            )
        ):
            here, path = (
                (self.host, self.instances)
                if number % 2
                else (self.other, self.other_instances)
            )
            pid = self.info(self.server).pid
            # By which it is told from what an earlier move has left.
            os.mkdir(f'/proc/{pid}/root/{number}')
            kept = tree(pid)
            with step:
                self.move('ERROR')
            self.assertFalse(
                {self.before.name, self.sandbox_before.name}
                & set(self.at(here))
            )
            self.assertIn(f'{self.server["id"]}.parcel', self.left_at(path))
            self.recover(self.server)
            self.assertEqual(here, self.host_of(self.server))
            self.assert_same(kept, self.info(self.server).pid)
            self.assert_answers()
            self.assert_nothing_travels()
        self.delete(self.server)
        self.assert_is_cleaned_up()

    def assert_is_cleaned_up(self):
        """What failed moves of deleted servers have left goes in time."""
        for compute in (self.compute, self.other_compute):
            compute.manager.driver.manage_image_cache(None, [])
        self.assertEqual({}, self.at(self.host))
        self.assert_nothing_there()
        self.assertEqual(set(), self.left_at(self.instances))
        self.assertEqual(set(), self.left_at(self.other_instances))


class InPlaceTestCase(base.FunctionalTestCase):
    """Resize on the one host that there is."""

    def setUp(self):
        super().setUp()
        self.flags(allow_resize_to_same_host=True)
        self.large = self._create_flavor(**LARGE, id='large')
        self.server = self.boot(images.HTTPD)
        self.before = self.info(self.server)

    def resize(self, flavor, status='VERIFY_RESIZE'):
        self.act(self.server, 'resize', status, flavorRef=flavor)

    def assert_is(self, memory_mb, vcpus, disk_gb, state=State.RUNNING):
        """It is the same container, with other limits."""
        after = self.info(self.server)
        self.assertEqual(self.before.id, after.id)
        self.assertIs(state, after.state)
        self.assertEqual(
            model.Limits(
                memory_mb * MIB, vcpus, 1024 * vcpus, self.before.limits.pids
            ),
            after.limits,
        )
        self.assertEqual(2, len(self.containers()))
        driver = self.compute.manager.driver
        found = driver.get_available_resource(self.host)
        self.assertEqual(
            (vcpus, disk_gb), (found['vcpus_used'], found['local_gb_used'])
        )

    def test_confirm(self):
        self.resize(self.large)
        self.assert_is(128, 2, 2)
        self.act(self.server, 'confirmResize', 'ACTIVE')
        self.periodic()
        self.assert_is(128, 2, 2)
        # Nor is it undone by what comes then.
        self.act(self.server, 'reboot', 'ACTIVE', type='HARD')
        self.assert_is(128, 2, 2)
        self.resize(self.flavor)
        self.assert_is(64, 1, 1)
        self.act(self.server, 'confirmResize', 'ACTIVE')
        self.delete(self.server)
        self.assert_nothing_left(self.server)

    def test_revert(self):
        self.resize(self.large)
        self.act(self.server, 'revertResize', 'ACTIVE')
        self.assert_is(64, 1, 1)
        self.delete(self.server)
        self.assert_nothing_left(self.server)

    def test_deleted_before_it_is_confirmed(self):
        self.resize(self.large)
        self.delete(self.server)
        self.assert_nothing_left(self.server)

    def test_stopped_server(self):
        self.act(self.server, 'os-stop', 'SHUTOFF')
        self.resize(self.large)
        self.assert_is(128, 2, 2, State.EXITED)
        self.act(self.server, 'revertResize', 'SHUTOFF')
        self.assert_is(64, 1, 1, State.EXITED)

    def test_limits_that_are_refused(self):
        failing = exception.EngineError(500, 'oops')
        with mock.patch.object(
            engine.Client,
            'update',
            autospec=True,
            side_effect=[failing, None],
        ):
            self.resize(self.large, 'ERROR')
        self.recover(self.server)
        self.assert_is(64, 1, 1)

    def test_server_that_cannot_be_started(self):
        failing = exception.EngineError(500, 'oops')
        with mock.patch.object(
            engine.Client, 'start', autospec=True, side_effect=failing
        ):
            self.resize(self.large, 'ERROR')
        self.assert_is(64, 1, 1, State.EXITED)
        self.recover(self.server)
