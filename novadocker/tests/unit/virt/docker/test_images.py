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


import base64
from concurrent import futures
import dataclasses
import datetime
import gzip
import hashlib
import io
import json
import pathlib
import tarfile
import threading
from unittest import mock

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives import hashes
from cryptography import x509
from cursive import exception as cursive_exception
from cursive import signature_utils
import fixtures
from glanceclient.v2 import images as glance_images
import nova.conf
from nova import exception as nova_exception
from nova.image import glance as nova_glance
from nova import objects
from oslo_config import fixture as config_fixture
from oslo_utils import units
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import archives
from novadocker.tests.fixtures import glance
from novadocker.tests.fixtures import instances
from novadocker.tests.hostile import attacks
from novadocker.virt.docker import images
from novadocker.virt.docker import last_use
from novadocker.virt.docker import model
from novadocker.virt.docker import naming

GiB = 1024**3


class Engine:
    """The verbs for images, for an engine that believes everything.

    It keeps images by id and tags apart, and reads what is loaded as the
    real one does: tags are obeyed, a layer that is there is not looked at.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.images = {}
        self.tags = {'victim:latest': 'sha256:victim'}
        self.layers = {}
        self.requests = []
        self.answer: tuple[str, ...] = ()
        self.loading = threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()

    def info(self):
        return mock.Mock(architecture=archives.MACHINE)

    def load(self, archive):
        self.requests.append('load')
        self.loading.set()
        data = b''.join(archive)
        assert self.may_end.wait(10)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            found = {
                info.name: tar.extractfile(info).read()
                for info in tar.getmembers()
            }
        loaded = []
        for entry in json.loads(found['manifest.json']):
            loaded += self._add(entry, found)
        return self.answer or tuple(loaded)

    def _add(self, entry, found):
        config = found[entry['Config']]
        image_id = f'sha256:{archives.digest(config)}'
        diff_ids = json.loads(config)['rootfs']['diff_ids']
        for diff_id, name in zip(diff_ids, entry['Layers'], strict=True):
            if diff_id not in self.layers:
                if name not in found:
                    raise exception.EngineError(500, f'no {name}')
                self.layers[diff_id] = found[name]
        self.images[image_id] = config
        tags = entry['RepoTags'] or ()
        self.tags.update(dict.fromkeys(tags, image_id))
        return tags or (image_id,)

    def inspect_image(self, reference):
        self.requests.append('inspect_image')
        image_id = self.tags.get(reference, reference)
        if image_id not in self.images:
            raise exception.ImageNotFoundInEngine(404, reference)
        config = json.loads(self.images[image_id])
        return model.ImageInfo(
            id=image_id,
            tags=tuple(
                tag for tag, target in self.tags.items() if target == image_id
            ),
            size=sum(
                len(self.layers[one]) for one in config['rootfs']['diff_ids']
            ),
            architecture=config['architecture'],
            os=config['os'],
            labels={},
            parent='',
            entrypoint=(),
            command=(),
            config=config['config'],
        )

    def remove_image(self, reference):
        image_id = self.tags.pop(reference, reference)
        if image_id not in self.tags.values():
            self.images.pop(image_id, None)


class ImagesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.engine = Engine()
        self.glance = glance.Glance()
        self.last_use = last_use.LastUse(
            self.useFixture(fixtures.TempDir()).join('uses')
        )
        self.settings = images.ImageSettings(
            lock_path=self.useFixture(fixtures.TempDir()).path,
            max_size=24 << 20,
            max_unpacked=24 << 20,
            max_members=100,
            max_layers=20,
        )
        self.images = self.make()

    def make(self):
        return images.Images(
            self.engine, self.settings, self.last_use, self.glance
        )

    def ensure(self, meta, images=None, **flavor):
        instance = instances.an_instance(flavor=flavor)
        return (images or self.images).ensure(None, instance, meta)


class EnsureTestCase(ImagesTestCase):
    def assert_untouched(self):
        self.assertEqual({}, self.engine.images)
        self.assertEqual({'victim:latest': 'sha256:victim'}, self.engine.tags)

    def test_is_loaded_and_tagged_by_its_glance_id(self):
        meta = self.glance.add(archives.good())
        found = self.ensure(meta)
        self.assertEqual(archives.image_id(), found.id)
        self.assertEqual((naming.image_reference(meta.id),), found.tags)
        self.assertEqual('sha256:victim', self.engine.tags['victim:latest'])

    def test_second_time_is_one_request(self):
        meta = self.glance.add(archives.good())
        self.ensure(meta)
        del self.engine.requests[:]
        self.ensure(meta)
        self.assertEqual(['inspect_image'], self.engine.requests)
        self.assertEqual([meta.id], self.glance.downloads)

    def test_is_not_found_by_name(self):
        named = self.glance.add(archives.good(), name='victim:latest')
        self.engine.tags['victim:latest'] = archives.image_id()
        self.ensure(named)
        self.assertEqual([named.id], self.glance.downloads)

    def test_gone_from_the_engine_it_is_loaded_again(self):
        meta = self.glance.add(archives.good())
        self.ensure(meta)
        self.engine.remove_image(naming.image_reference(meta.id))
        self.ensure(meta)
        self.assertEqual([meta.id] * 2, self.glance.downloads)

    def test_bare_root_file_system(self):
        meta = self.glance.add(
            archives.root_file_system(), container_format='bare'
        )
        self.assertEqual(['/sbin/init'], self.ensure(meta).config['Cmd'])

    def test_hostile_archives(self):
        for name, (data, _) in attacks.table().items():
            meta = self.glance.add(data)
            self.assertRaises(exception.ImageRejected, self.ensure, meta)
            self.assert_untouched()
            self.assertIn(meta.id, self.glance.downloads, name)
        self.ensure(self.glance.add(archives.good()))

    def test_formats(self):
        for formats in (
            {'container_format': 'ovf'},
            {'disk_format': 'qcow2'},
            {'container_format': None},
        ):
            meta = self.glance.add(archives.good(), **formats)
            self.assertRaises(exception.ImageRejected, self.ensure, meta)
        self.assertEqual([], self.engine.requests)

    def test_what_nova_keeps_of_a_servers_image_is_enough(self):
        meta = self.glance.add(archives.good())
        kept = objects.ImageMeta(
            id=meta.id, container_format='docker', disk_format='raw'
        )
        self.assertEqual(archives.image_id(), self.ensure(kept).id)

    def test_flavors_that_are_too_small(self):
        for record, flavor, error in (
            ({'min_ram': 65}, {}, nova_exception.FlavorMemoryTooSmall),
            ({'min_disk': 2}, {}, nova_exception.FlavorDiskSmallerThanMinDisk),
        ):
            meta = self.glance.add(archives.good(), **record)
            self.assertRaises(error, self.ensure, meta, **flavor)
        self.assertEqual([], self.glance.downloads)

    def test_properties_of_another_kind_of_host(self):
        for properties in (
            {'img_hv_type': 'kvm'},
            {'hw_architecture': 'alpha'},
        ):
            meta = self.glance.add(archives.good(), properties=properties)
            self.assertRaises(exception.ImageRejected, self.ensure, meta)
        self.assertEqual([], self.glance.downloads)

    def test_more_bytes_than_this_host_takes(self):
        meta = self.glance.add(archives.good(), size=(24 << 20) + 1)
        found = self.assertRaises(exception.ImageRejected, self.ensure, meta)
        self.assertIn('at the most', str(found))
        self.assertEqual([], self.glance.downloads)

    def test_unpacked_size_counts_for_the_disk(self):
        meta = self.glance.add(gzip.compress(archives.good()))
        found = self.ensure(meta)
        with mock.patch.object(units, 'Gi', found.size - 1):
            for _ in range(2):
                self.assertRaises(
                    nova_exception.FlavorDiskSmallerThanImage,
                    self.ensure,
                    meta,
                )
        self.assertEqual(1, len(self.glance.downloads))

    def test_a_shelved_server_gets_its_room_again(self):
        """Whatever it has written: it had the room before."""
        meta = self.glance.add(archives.good(), min_disk=2)
        instance = instances.an_instance()
        instance.system_metadata['shelved_image_id'] = meta.id
        with mock.patch.object(units, 'Gi', 1000):
            found = self.images.ensure(None, instance, meta)
        self.assertEqual(archives.image_id(), found.id)

    def test_flavor_without_a_disk_has_room(self):
        meta = self.glance.add(archives.good(), min_disk=0)
        self.assertIsNotNone(self.ensure(meta, root_gb=0))

    def test_data_of_another_hash(self):
        other = archives.with_config(archives.config(author='x'))
        meta = self.glance.add(archives.good())
        self.assertEqual(meta.size, len(other))
        self.glance.replace(meta.id, other)
        found = self.assertRaises(exception.ImageRejected, self.ensure, meta)
        self.assertIn('Corrupt', str(found))
        self.assert_untouched()

    def test_data_of_another_size(self):
        self.glance.checks = False
        for size in (1, 1 << 19):
            meta = self.glance.add(archives.good(), size=size)
            self.assertRaises(exception.ImageRejected, self.ensure, meta)
        self.assert_untouched()

    def test_unknown_hash(self):
        meta = self.glance.add(archives.good(), os_hash_algo='rot13')
        self.assertRaises(exception.ImageRejected, self.ensure, meta)

    def test_broken_connection_is_not_the_images_fault(self):
        big = archives.Member('README', b'x' * 200_000)
        meta = self.glance.add(archives.with_member(big))
        self.glance.break_after = 100_000
        self.assertRaises(
            nova_exception.GlanceConnectionFailed, self.ensure, meta
        )
        self.assert_untouched()
        self.glance.break_after = None
        self.ensure(meta)

    def test_glances_own_errors_pass(self):
        meta = self.glance.add(archives.good())
        self.glance.delete(None, meta.id)
        self.assertRaises(nova_exception.ImageNotFound, self.ensure, meta)

    def test_trusted_certificates_reach_glance(self):
        meta = self.glance.add(archives.good())
        instance = instances.an_instance()
        instance.trusted_certs = objects.TrustedCerts(ids=['a-cert'])
        with mock.patch.object(
            self.glance, 'download', wraps=self.glance.download
        ) as download:
            self.images.ensure(mock.sentinel.context, instance, meta)
        self.assertEqual(
            (mock.sentinel.context, meta.id), download.call_args.args
        )
        self.assertIs(
            instance.trusted_certs, download.call_args.kwargs['trusted_certs']
        )

    def test_an_engine_that_loads_something_else(self):
        self.engine.answer = ('sha256:other',)
        meta = self.glance.add(archives.good())
        self.assertRaises(exception.EngineError, self.ensure, meta)
        self.assertNotIn(naming.image_reference(meta.id), self.engine.tags)

    def test_what_is_loaded_is_never_without_its_name(self):
        """A death after the load leaves what the next boot finds."""
        meta = self.glance.add(archives.good())
        load = self.engine.load

        def die(archive):
            load(archive)
            raise KeyboardInterrupt

        self.engine.load = die
        self.assertRaises(KeyboardInterrupt, self.ensure, meta)
        self.assertEqual(
            archives.image_id(),
            self.engine.tags[naming.image_reference(meta.id)],
        )

    def test_images_of_equal_content_are_one_with_two_names(self):
        one = self.glance.add(archives.good())
        two = self.glance.add(archives.good())
        self.ensure(one)
        self.assertEqual(
            {naming.image_reference(meta.id) for meta in (one, two)},
            set(self.ensure(two).tags),
        )

    def asked_at_once(self, askers, meta):
        self.engine.may_end.clear()
        with futures.ThreadPoolExecutor(len(askers)) as pool:
            asked = [pool.submit(self.ensure, meta, one) for one in askers]
            self.assertTrue(self.engine.loading.wait(10))
            futures.wait(asked, 0.3)
            self.engine.may_end.set()
        return asked

    def test_many_threads_share_a_download(self):
        meta = self.glance.add(archives.good())
        asked = self.asked_at_once([self.images] * 10, meta)
        self.assertEqual(
            {archives.image_id()}, {one.result().id for one in asked}
        )
        self.assertEqual([meta.id], self.glance.downloads)

    def test_services_with_the_same_locks_share_a_download(self):
        meta = self.glance.add(archives.good())
        asked = self.asked_at_once([self.make(), self.make()], meta)
        self.assertEqual(
            {archives.image_id()}, {one.result().id for one in asked}
        )
        self.assertEqual([meta.id], self.glance.downloads)


class FetchTestCase(ImagesTestCase):
    """Images for no server in particular."""

    def test_is_there_for_the_first_server(self):
        meta = self.glance.add(archives.good())
        self.assertTrue(self.images.fetch(None, meta.id))
        self.ensure(meta)
        self.assertEqual([meta.id], self.glance.downloads)

    def test_is_there_already(self):
        meta = self.glance.add(archives.good())
        self.ensure(meta)
        self.assertFalse(self.images.fetch(None, meta.id))
        self.assertEqual([meta.id], self.glance.downloads)

    def test_counts_as_a_use(self):
        meta = self.glance.add(archives.good())
        self.images.fetch(None, meta.id)
        self.assertIsNotNone(self.last_use.age(meta.id))

    def test_what_is_no_image_for_a_container(self):
        meta = self.glance.add(archives.good(), disk_format='qcow2')
        self.assertRaises(
            exception.ImageRejected, self.images.fetch, None, meta.id
        )
        self.assertEqual([], self.glance.downloads)

    def test_no_such_image(self):
        self.assertRaises(
            nova_exception.ImageNotFound, self.images.fetch, None, 'none'
        )


class GiveUpTestCase(ImagesTestCase):
    def setUp(self):
        super().setUp()
        self.meta = self.glance.add(archives.good())
        self.ensure(self.meta)
        self.reference = naming.image_reference(self.meta.id)

    def test_unused_it_goes(self):
        self.images.give_up(self.meta.id, 0)
        self.assertNotIn(self.reference, self.engine.tags)
        self.assertIsNone(self.last_use.age(self.meta.id))

    def test_used_meanwhile_it_stays(self):
        self.images.give_up(self.meta.id, 60)
        self.assertIn(self.reference, self.engine.tags)

    def test_whoever_wants_it_then_loads_it_again(self):
        self.images.give_up(self.meta.id, 0)
        self.ensure(self.meta)
        self.assertEqual([self.meta.id] * 2, self.glance.downloads)

    def test_waits_for_a_load(self):
        """It would take away what the load has just looked for."""
        self.engine.remove_image(self.reference)
        self.engine.loading.clear()
        self.engine.may_end.clear()
        with futures.ThreadPoolExecutor(2) as pool:
            loading = pool.submit(self.ensure, self.meta)
            self.assertTrue(self.engine.loading.wait(10))
            giving = pool.submit(self.images.give_up, self.meta.id, 60)
            self.assertEqual(set(), futures.wait([giving], timeout=0.2).done)
            self.engine.may_end.set()
            giving.result()
            self.assertIsNotNone(loading.result())
        self.assertIn(self.reference, self.engine.tags)


class SharedDirectoryTestCase(ImagesTestCase):
    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path
        )
        self.settings = dataclasses.replace(
            self.settings, shared_directory=str(self.directory)
        )
        self.images = self.make()
        self.log = self.useFixture(fixtures.FakeLogger())

    def add(self, stored, shared):
        meta = self.glance.add(stored)
        (self.directory / meta.id).write_bytes(shared)
        return meta

    def test_good_file_is_no_download(self):
        meta = self.add(archives.good(), archives.good())
        found = self.ensure(meta)
        self.assertEqual(archives.image_id(), found.id)
        self.assertEqual((naming.image_reference(meta.id),), found.tags)
        self.assertEqual([], self.glance.downloads)

    def test_without_a_file_it_is_downloaded(self):
        meta = self.glance.add(archives.good())
        self.ensure(meta)
        self.assertEqual([meta.id], self.glance.downloads)
        self.assertNotIn('is not used', self.log.output)

    def test_file_that_is_something_else(self):
        """Not even for a moment is it an image; the good one is loaded."""
        good = archives.good()
        other = archives.with_config(archives.config(author='x'))
        self.assertEqual(len(good), len(other))
        for shared in (other, good[:-1], b'x' * len(good)):
            meta = self.add(good, shared)
            self.assertEqual(archives.image_id(), self.ensure(meta).id)
            self.assertEqual([archives.image_id()], list(self.engine.images))
            self.assertIn(meta.id, self.glance.downloads)
            self.assertIn(f'Image {meta.id} is downloaded', self.log.output)
            self.engine.remove_image(naming.image_reference(meta.id))

    def test_file_passes_the_same_checks(self):
        evil = archives.with_manifest(b'[]')
        meta = self.add(evil, evil)
        self.assertRaises(exception.ImageRejected, self.ensure, meta)
        self.assertEqual({}, self.engine.images)

    def test_file_that_cannot_be_read(self):
        meta = self.add(archives.good(), b'')
        (self.directory / meta.id).unlink()
        (self.directory / meta.id).symlink_to('/etc/passwd')
        self.assertEqual(archives.image_id(), self.ensure(meta).id)
        self.assertEqual([meta.id], self.glance.downloads)

    def test_directory_is_gone(self):
        self.directory.rmdir()
        meta = self.glance.add(archives.good())
        self.assertEqual(archives.image_id(), self.ensure(meta).id)
        self.assertIn('is not used', self.log.output)

    def test_trusted_certificates_want_a_download(self):
        meta = self.add(archives.good(), archives.good())
        instance = instances.an_instance()
        instance.trusted_certs = objects.TrustedCerts(ids=['a-cert'])
        self.images.ensure(None, instance, meta)
        self.assertEqual([meta.id], self.glance.downloads)

    def test_a_user_whom_glance_refuses_gets_no_file(self):
        meta = self.add(archives.good(), archives.good())
        self.glance.delete(None, meta.id)
        self.assertRaises(nova_exception.ImageNotFound, self.ensure, meta)


class NovaImageApiTestCase(ImagesTestCase):
    """Nova's and Glance's own clients between us and the network."""

    CHUNK = 700

    def setUp(self):
        super().setUp()
        self.stand_in = self.glance
        controller = glance_images.Controller(mock.Mock(get=self.get), None)
        service = nova_glance.GlanceImageServiceV2(
            client=mock.Mock(
                call=lambda context, version, method, args: getattr(
                    controller, method
                )(*args)
            )
        )
        service.show = lambda context, image_id, **_: self.stand_in.get(
            context, image_id
        )
        self.glance = nova_glance.API()
        self.useFixture(
            fixtures.MockPatchObject(
                self.glance,
                '_get_session_and_image_id',
                lambda context, image_id: (service, image_id),
            )
        )
        self.images = self.make()

    def get(self, url):
        """What the server answers to Glance's client."""
        image_id = url.split('/')[3]
        if not url.endswith('/file'):
            return mock.Mock(headers={}), self.stand_in.get(None, image_id)
        data = self.stand_in.data(image_id)
        if data is None:
            return mock.Mock(status_code=204, headers={}), None
        chunks = (
            data[at : at + self.CHUNK]
            for at in range(0, len(data), self.CHUNK)
        )
        headers = {'content-length': str(len(data))}
        return mock.Mock(status_code=200, headers=headers), chunks

    def test_hash_is_verified_over_all_the_data(self):
        """By Glance's client: nobody here computes it once more."""
        other = archives.with_config(archives.config(author='x'))
        for algorithm in ('sha512', 'sha256'):
            meta = self.stand_in.add(
                archives.good(),
                os_hash_algo=algorithm,
                os_hash_value=hashlib.new(
                    algorithm, archives.good()
                ).hexdigest(),
            )
            self.assertEqual(archives.image_id(), self.ensure(meta).id)
            self.engine.remove_image(naming.image_reference(meta.id))
            self.stand_in.replace(meta.id, other)
            found = self.assertRaises(
                exception.ImageRejected, self.ensure, meta
            )
            self.assertIn('Hash was', str(found))
            self.assertEqual({}, self.engine.images)

    def signed(self, data, **changes):
        """An image with a signature; the certificate is what it is with."""
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'me')])
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .sign(key, hashes.SHA256())
        )
        self.useFixture(
            fixtures.MockPatchObject(
                signature_utils, 'get_certificate', return_value=certificate
            )
        )
        signature = key.sign(
            data,
            padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH),
            hashes.SHA256(),
        )
        properties = {
            'img_signature': base64.b64encode(signature).decode(),
            'img_signature_hash_method': 'SHA-256',
            'img_signature_key_type': 'RSA-PSS',
            'img_signature_certificate_uuid': 'a-cert',
        }
        return self.stand_in.add(data, properties=properties | changes)

    def require_signatures(self):
        self.useFixture(config_fixture.Config(nova.conf.CONF)).config(
            verify_glance_signatures=True, group='glance'
        )

    def test_signature_is_verified_over_all_the_data(self):
        self.require_signatures()
        meta = self.signed(archives.good())
        self.assertEqual(archives.image_id(), self.ensure(meta).id)

    def test_wrong_signature_is_no_image(self):
        self.require_signatures()
        other = archives.with_config(archives.config(author='x'))
        meta = self.stand_in.add(
            other, properties=self.stand_in.get(
                None, self.signed(archives.good()).id
            )['properties']
        )
        found = self.assertRaises(exception.ImageRejected, self.ensure, meta)
        self.assertIn('signature', str(found))
        self.assertEqual({}, self.engine.images)

    def test_no_signature_where_one_is_required(self):
        self.require_signatures()
        meta = self.stand_in.add(archives.good())
        self.assertRaises(
            cursive_exception.SignatureVerificationError, self.ensure, meta
        )
        self.assertEqual({}, self.engine.images)

    def ensure_trusted(self, meta, certificate):
        instance = instances.an_instance()
        instance.trusted_certs = objects.TrustedCerts(ids=[certificate])
        return self.images.ensure(None, instance, meta)

    def test_certificate_of_the_image_is_trusted(self):
        meta = self.signed(archives.good())
        with mock.patch.object(
            nova_glance.certificate_utils, 'verify_certificate', autospec=True
        ) as verify:
            found = self.ensure_trusted(meta, 'a-cert')
        self.assertEqual(archives.image_id(), found.id)
        trusted = verify.call_args.kwargs['trusted_certificate_uuids']
        self.assertEqual(['a-cert'], trusted)

    def test_certificate_of_the_image_is_not_trusted(self):
        meta = self.signed(archives.good())
        with mock.patch.object(
            nova_glance.certificate_utils,
            'verify_certificate',
            autospec=True,
            side_effect=cursive_exception.SignatureVerificationError(
                reason='not trusted'
            ),
        ):
            self.assertRaises(
                nova_exception.CertificateValidationFailed,
                self.ensure_trusted,
                meta,
                'another',
            )
        self.assertEqual({}, self.engine.images)

    def test_without_signatures(self):
        meta = self.stand_in.add(archives.good())
        self.assertEqual(archives.image_id(), self.ensure(meta).id)

    def test_image_without_data(self):
        meta = self.stand_in.add(b'')
        self.stand_in.replace(meta.id, None)
        self.assertRaises(nova_exception.ImageUnacceptable, self.ensure, meta)
