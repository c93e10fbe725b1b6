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


"""Images on a real engine: what gets there, and what comes back."""

import bz2
from concurrent import futures
import contextlib
import gzip
import json
import lzma
import os
import subprocess
import sys
import time

import fixtures
from nova import exception as nova_exception
from oslotest import base
import zstandard

from novadocker import exception
from novadocker.tests.fixtures import archives
from novadocker.tests.fixtures import engine as engines
from novadocker.tests.fixtures import glance
from novadocker.tests.fixtures import images as busybox
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import client
from novadocker.virt.docker import images
from novadocker.virt.docker import last_use
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import snapshots

# What the image to be saved has beyond a shell.
_DOCKERFILE = b"""
FROM nova-docker-test:base
RUN touch /made
RUN true
RUN true
WORKDIR /srv
LABEL maintainer=somebody
ENTRYPOINT ["sh", "-c"]
CMD ["echo it is $0 at $PWD; cat /written; exec sleep 600"]
"""

# Another process that loads an image, and gets stuck half the way.
_DYING = """
import sys, threading
from nova import objects
from novadocker.tests.fixtures import images as busybox
from novadocker.tests.fixtures import instances, glance
from novadocker.virt.docker import client, images, last_use, model

url, locks, image_id = sys.argv[1:]
data = busybox.SHELL.archive()

class Stuck(glance.Glance):
    def get(self, context, image_id):
        return {'size': len(data)}

    def download(self, context, image_id, data, trusted_certs):
        data.write(busybox.SHELL.archive()[:1 << 20])
        print('half', flush=True)
        threading.Event().wait()

engine = client.Client(model.EngineSettings(url=url, timeout=60))
images.Images(
    engine,
    images.ImageSettings(locks),
    last_use.LastUse(locks),
    Stuck(),
).ensure(
    None,
    instances.an_instance(),
    objects.ImageMeta(
        id=image_id, container_format='docker', disk_format='raw'
    ),
)
"""

# Seconds that one command of the engine may take.
PATIENCE = 60


def docker(url, *arguments, data=None):
    """The engine's own command line."""
    return subprocess.run(
        ['docker', f'--host={url}', *arguments],
        input=data,
        check=True,
        capture_output=True,
        env={**os.environ, 'DOCKER_BUILDKIT': '0'},
        timeout=PATIENCE,
    ).stdout


class ImagesTestCase(base.BaseTestCase):
    """With an engine that nobody else makes images in."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine = engines.DockerEngine()
        cls.engine.setUp()
        cls.addClassCleanup(cls.engine.cleanUp)

    def setUp(self):
        super().setUp()
        self.client = client.Client(
            model.EngineSettings(url=self.engine.url, timeout=60)
        )
        self.glance = glance.Glance()
        self.last_use = last_use.LastUse(
            self.useFixture(fixtures.TempDir()).path
        )
        self.settings = images.ImageSettings(
            lock_path=self.useFixture(fixtures.TempDir()).path,
            max_size=24 << 20,
            max_unpacked=24 << 20,
            max_members=100,
            max_layers=20,
        )
        self.images = self.make()
        self.addCleanup(self.remove_images)
        self.assertEqual(set(), self.seen())

    def make(self):
        return images.Images(
            self.client, self.settings, self.last_use, self.glance
        )

    def docker(self, *arguments, **more):
        return docker(self.engine.url, *arguments, **more)

    def seen(self):
        """Every image with every tag that it has."""
        output = self.docker(
            'images', '--all', '--no-trunc', '--format={{json .}}'
        )
        rows = [json.loads(line) for line in output.splitlines()]
        return {(row['ID'], row['Repository'], row['Tag']) for row in rows}

    def remove_images(self):
        """Remove all images; one goes when its children are gone."""
        while found := {row[0] for row in self.seen()}:
            for image_id in found:
                with contextlib.suppress(subprocess.CalledProcessError):
                    self.docker('rmi', '--force', image_id)
            self.assertLess({row[0] for row in self.seen()}, found)

    def assert_nothing_is_left_of_loads(self):
        root = self.client.info().root_dir
        deadline = time.monotonic() + 10
        # The engine answers before it has cleaned up behind itself.
        while left := os.listdir(os.path.join(root, 'tmp')):
            self.assertLess(time.monotonic(), deadline, left)
            time.sleep(0.1)

    def ensure(self, meta, images=None):
        return (images or self.images).ensure(
            None, instances.an_instance(), meta
        )

    def built(self, dockerfile=_DOCKERFILE):
        """A saved image of several layers, two of them equal, and its id."""
        base_image = busybox.Image(
            command=('sh',), tags=('nova-docker-test:base',)
        )
        self.docker('load', data=base_image.archive())
        self.docker(
            'build', '--tag=nova-docker-test:built', '-', data=dockerfile
        )
        image_id = self.client.inspect_image('nova-docker-test:built').id
        saved = self.docker('save', 'nova-docker-test:built')
        self.remove_images()
        return saved, image_id

    def run_container(self, uuid, image, *command):
        """Run an image as the driver would; gives the container's name."""
        name = naming.instance_name(uuid)
        self.docker(
            'run',
            '--detach',
            '--interactive',
            '--tty',
            '--network=none',
            '--hostname=secret',
            f'--name={name}',
            *(
                f'--label={key}={value}'
                for key, value in naming.labels(uuid, 'instance', 'h').items()
            ),
            image,
            *command,
        )
        self.addCleanup(self.docker, 'rm', '--force', name)
        return name


class LoadTestCase(ImagesTestCase):
    def test_saved_image(self):
        saved, image_id = self.built()
        for pack in (
            bytes,
            gzip.compress,
            bz2.compress,
            lzma.compress,
            zstandard.compress,
        ):
            meta = self.glance.add(pack(saved))
            found = self.ensure(meta)
            self.assertEqual(image_id, found.id)
            reference = naming.image_reference(meta.id)
            self.assertEqual((reference,), found.tags)
            self.assertEqual(('sh', '-c'), found.entrypoint)
            self.client.remove_image(reference)
            self.assertEqual(set(), self.seen())

    def test_layers_compressed_inside(self):
        for pack in (gzip.compress, bz2.compress, lzma.compress):
            members = [
                archives.Member(one.name, pack(one.content), one.type)
                if one.name.endswith('layer.tar')
                else one
                for one in archives.saved()
            ]
            found = self.ensure(self.glance.add(archives.tar(members)))
            self.assertEqual(archives.image_id(), found.id)
            self.remove_images()

    def test_oci_layouts(self):
        for also_docker in (True, False):
            members = archives.oci(
                packed=lambda one: gzip.compress(one, mtime=0),
                also_docker=also_docker,
            )
            found = self.ensure(self.glance.add(archives.tar(members)))
            self.assertEqual(archives.image_id(), found.id)
            self.remove_images()

    def test_root_file_system(self):
        image = busybox.SHELL
        self.docker('load', data=image.archive())
        container = self.docker('create', image.id).decode().strip()
        exported = self.docker('export', container)
        self.docker('rm', container)
        self.remove_images()
        ids = set()
        for pack in (bytes, gzip.compress, bz2.compress, lzma.compress):
            meta = self.glance.add(pack(exported), container_format='bare')
            found = self.ensure(meta)
            self.assertEqual(('/sbin/init',), found.command)
            ids.add(found.id)
        self.assertEqual(1, len(ids))
        reference = naming.image_reference(meta.id)
        output = self.docker(
            'run', '--rm', '--network=none', reference, 'echo', 'x'
        )
        self.assertEqual(b'x\n', output)

    def test_tags_inside_are_not_obeyed(self):
        self.docker(
            'load', data=busybox.Image(tags=('victim:latest',)).archive()
        )
        victim = self.client.inspect_image('victim:latest').id
        evil = busybox.Image(
            command=('evil',),
            tags=(
                'victim:latest',
                naming.image_reference(instances.GLANCE_ID),
            ),
        )
        found = self.ensure(self.glance.add(evil.archive()))
        self.assertEqual(evil.id, found.id)
        self.assertEqual(1, len(found.tags))
        self.assertEqual(victim, self.client.inspect_image('victim:latest').id)
        self.assertRaises(
            exception.ImageNotFoundInEngine,
            self.client.inspect_image,
            naming.image_reference(instances.GLANCE_ID),
        )

    def test_layers_of_others_cannot_be_had_by_their_digests(self):
        """The engine alone would give them out, their bytes unread."""
        secret = archives.layer('etc/secret')
        self.docker('load', data=archives.tar(archives.saved([secret])))
        thief = archives.tar(
            archives.Member(one.name, archives.layer('etc/mine'), one.type)
            if one.content == secret
            else one
            for one in archives.saved([secret])
        )
        self.assertIn(b'victim', self.docker('load', data=thief))
        self.assertRaises(
            exception.ImageRejected, self.ensure, self.glance.add(thief)
        )

    def test_ten_at_once_is_one_download(self):
        meta = self.glance.add(busybox.SHELL.archive())
        others = [self.make() for _ in range(2)]
        with futures.ThreadPoolExecutor(10) as pool:
            asked = [
                pool.submit(self.ensure, meta, others[number % 2])
                for number in range(10)
            ]
        self.assertEqual(
            {busybox.SHELL.id}, {one.result().id for one in asked}
        )
        self.assertEqual([meta.id], self.glance.downloads)

    def test_load_that_dies_is_taken_over(self):
        """By who waited for it, although it was another process."""
        meta = self.glance.add(busybox.SHELL.archive())
        dying = subprocess.Popen(
            [
                sys.executable,
                '-c',
                _DYING,
                self.engine.url,
                self.settings.lock_path,
                meta.id,
            ],
            stdout=subprocess.PIPE,
        )
        self.addCleanup(dying.stdout.close)
        self.addCleanup(dying.wait)
        self.addCleanup(dying.kill)
        self.assertEqual(b'half\n', dying.stdout.readline())
        with futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.ensure, meta)
            futures.wait([waiting], 1)
            self.assertEqual([], self.glance.downloads)
            dying.kill()
            self.assertEqual(busybox.SHELL.id, waiting.result().id)
        self.assertEqual([meta.id], self.glance.downloads)
        self.assertEqual(1, len(self.seen()))
        self.assert_nothing_is_left_of_loads()

    def test_broken_download_leaves_nothing_and_can_be_repeated(self):
        meta = self.glance.add(busybox.SHELL.archive())
        self.glance.break_after = 1 << 20
        self.assertRaises(
            nova_exception.GlanceConnectionFailed, self.ensure, meta
        )
        self.assertEqual(set(), self.seen())
        self.assert_nothing_is_left_of_loads()
        self.glance.break_after = None
        self.assertEqual(busybox.SHELL.id, self.ensure(meta).id)

    def test_removed_by_hand_it_is_loaded_again(self):
        meta = self.glance.add(busybox.SHELL.archive())
        self.ensure(meta)
        self.docker('rmi', naming.image_reference(meta.id))
        self.assertEqual(busybox.SHELL.id, self.ensure(meta).id)
        self.assertEqual(2, len(self.glance.downloads))


class SnapshotTestCase(ImagesTestCase):
    def setUp(self):
        super().setUp()
        saved, self.base_id = self.built()
        self.meta = self.glance.add(saved)
        self.ensure(self.meta)
        self.instance = instances.an_instance()
        self.container = self.run_container(
            self.instance.uuid,
            naming.image_reference(self.meta.id),
            'echo news > /written; exec sleep 600',
        )
        self.wait_for_file('/written')
        self.loaded = self.seen()
        self.image_id = self.glance.create(None, {'name': 'snap'})['id']

    def wait_for_file(self, path):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.docker('exec', self.container, 'test', '-s', path)
                return
            except subprocess.CalledProcessError:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)

    def snapshot(self):
        snapshots.Snapshots(self.client, self.images, True).take(
            None, self.instance, self.image_id, lambda **_: None
        )
        return self.glance.meta(self.image_id)

    def test_boots_here_and_is_what_a_download_gives(self):
        meta = self.snapshot()
        here = self.ensure(meta)
        self.assertNotIn(meta.id, self.glance.downloads)
        self.docker('rmi', naming.image_reference(meta.id))
        downloaded = self.ensure(meta)
        self.assertIn(meta.id, self.glance.downloads)
        self.assertEqual(here.id, downloaded.id)
        self.assertEqual(here.size, downloaded.size)
        self.assertEqual(here.config, downloaded.config)

    def test_is_the_base_image_with_what_was_written(self):
        base_config = dict(
            self.client.inspect_image(
                naming.image_reference(self.meta.id)
            ).config
        )
        found = self.ensure(self.snapshot())
        config = dict(found.config)
        for one in (config, base_config):
            # What the image was built from in this engine.
            one.pop('Image', None)
        self.assertEqual(base_config, config)
        self.assertEqual('', config['Hostname'])
        everything = self.docker('inspect', found.id) + self.docker(
            'history', '--no-trunc', found.id
        )
        for word in (b'secret', b'openstack.nova', b'echo news'):
            self.assertNotIn(word, everything)

    def test_runs_elsewhere_without_us(self):
        meta = self.snapshot()
        elsewhere = self.useFixture(engines.DockerEngine()).url
        answer = docker(elsewhere, 'load', data=self.glance.data(meta.id))
        image_id = answer.decode().split()[-1]
        container = docker(
            elsewhere, 'run', '--detach', '--network=none', image_id
        )
        name = container.decode().strip()
        awake = 'until pidof sleep; do :; done'
        docker(elsewhere, 'exec', name, 'sh', '-c', awake)
        output = docker(elsewhere, 'logs', name)
        self.assertEqual(b'it is sh at /srv\nnews\n', output)

    def test_volumes_of_an_image_are_directories(self):
        """What is written there is as safe as everything else."""
        self.docker('rm', '--force', self.container)
        self.remove_images()
        saved, _ = self.built(_DOCKERFILE + b'VOLUME /srv\n')
        meta = self.glance.add(saved)
        self.ensure(meta)
        self.instance = instances.an_instance()
        self.container = self.run_container(
            self.instance.uuid,
            naming.image_reference(meta.id),
            'echo news > /srv/written; exec sleep 600',
        )
        self.wait_for_file('/srv/written')
        found = self.ensure(self.snapshot())
        output = self.docker(
            'run',
            '--rm',
            '--network=none',
            '--entrypoint=cat',
            found.id,
            '/srv/written',
        )
        self.assertEqual(b'news\n', output)

    def test_leaves_nothing_but_the_image(self):
        meta = self.snapshot()
        reference = naming.image_reference(meta.id)
        new = {f'{row[1]}:{row[2]}' for row in self.seen() - self.loaded}
        self.assertEqual({reference}, new)

    def test_of_a_paused_server(self):
        self.docker('pause', self.container)
        self.addCleanup(self.docker, 'unpause', self.container)
        self.ensure(self.snapshot())
        self.assertIs(
            model.ContainerState.PAUSED,
            self.client.inspect(self.container).state,
        )

    def test_of_a_stopped_server(self):
        self.docker('kill', self.container)
        self.ensure(self.snapshot())
        self.assertFalse(self.client.inspect(self.container).state.alive)

    def test_of_a_running_server_which_runs_on(self):
        pid = self.client.inspect(self.container).pid
        self.snapshot()
        found = self.client.inspect(self.container)
        self.assertIs(model.ContainerState.RUNNING, found.state)
        self.assertEqual(pid, found.pid)

    def test_of_a_snapshot(self):
        meta = self.snapshot()
        self.ensure(meta)
        self.instance = instances.an_instance()
        self.container = self.run_container(
            self.instance.uuid,
            naming.image_reference(meta.id),
            'echo more > /more; exec sleep 60',
        )
        self.wait_for_file('/more')
        self.image_id = self.glance.create(None, {'name': 'snap'})['id']
        second = self.ensure(self.snapshot())
        self.assertEqual(('sh', '-c'), second.entrypoint)

    def test_upload_that_fails_leaves_nothing(self):
        self.glance.forget_after = 512
        self.assertRaises(nova_exception.CouldNotUploadImage, self.snapshot)
        self.assertEqual(self.loaded, self.seen())

    def test_image_that_is_gone_leaves_nothing(self):
        self.glance.delete(None, self.image_id)
        self.assertRaises(nova_exception.ImageNotFound, self.snapshot)
        self.assertEqual(self.loaded, self.seen())

    def test_server_that_is_gone(self):
        self.docker('rm', '--force', self.container)
        self.assertRaises(exception.ContainerNotFound, self.snapshot)
        self.assertEqual(self.loaded, self.seen())
