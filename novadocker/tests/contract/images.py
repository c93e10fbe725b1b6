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

"""The contract of the verbs for images."""

import dataclasses
import io
import json
import tarfile

from oslo_utils import uuidutils

from novadocker import exception
from novadocker.tests.contract import base
from novadocker.tests.fixtures import images


class Interrupted(Exception):
    """What an archive may raise on its own account."""


class Disconnected(ConnectionResetError):
    """The same, of a kind that could be the engine's as well."""


class ImagesContract(base.ContractTestCase):
    def reference(self, tag: str = 'a') -> str:
        reference = f'contract/{self.run_id}:{tag}'
        self.addCleanup(self._untag, reference)
        return reference

    def _untag(self, reference: str) -> None:
        self.remove_containers()
        self.client.remove_image(reference)

    def tags(self, reference: str) -> set[str]:
        return set(self.client.inspect_image(reference).tags)

    def test_load_without_a_tag(self):
        image = dataclasses.replace(images.SHELL, labels=self.labels)
        self.assertEqual((image.id,), self.client.load([image.archive()]))
        self.addCleanup(self.client.remove_image, image.id)
        found = self.client.inspect_image(image.id)
        self.assertEqual(image.id, found.id)
        self.assertEqual((), found.tags)
        self.assertEqual(self.labels, found.labels)
        self.assertEqual(('sh',), found.command)
        self.assertEqual((), found.entrypoint)
        self.assertEqual('linux', found.os)
        self.assertEqual('', found.parent)
        self.assertGreater(found.size, 1 << 20)

    def test_load_with_tags(self):
        tags = (self.reference('a'), self.reference('b'))
        image = dataclasses.replace(images.SHELL, tags=tags)
        self.assertEqual(tags, self.client.load([image.archive()]))
        self.assertEqual(set(tags), self.tags(tags[0]))

    def test_load_in_chunks(self):
        image = dataclasses.replace(images.HTTPD, labels=self.labels)
        data = image.archive()
        chunks = (
            chunk
            for at in range(0, len(data), 65536)
            for chunk in (b'', data[at : at + 65536])
        )
        self.assertEqual((image.id,), self.client.load(chunks))
        self.client.remove_image(image.id)

    def test_load_of_what_is_no_archive(self):
        for data in ([], [b'x' * 4096], [b'x' * 65536] * 512):
            error = self.assertRaises(
                exception.EngineError, self.client.load, data
            )
            self.assertEqual(500, error.status)

    def test_load_of_half_an_archive(self):
        image = dataclasses.replace(images.SHELL, labels=self.labels)
        data = image.archive()
        self.assertRaises(
            exception.EngineError, self.client.load, [data[: len(data) // 2]]
        )
        self.assertRaises(
            exception.ImageNotFoundInEngine,
            self.client.inspect_image,
            image.id,
        )

    def test_load_of_an_archive_that_fails(self):
        image = dataclasses.replace(images.SHELL, labels=self.labels)

        def archive(error):
            yield image.archive()[:65536]
            raise error

        for error in (Interrupted, Disconnected):
            self.assertRaises(error, self.client.load, archive(error))
        self.assertRaises(
            exception.ImageNotFoundInEngine,
            self.client.inspect_image,
            image.id,
        )

    def test_layers_that_are_there_need_not_come_again(self):
        self.image()
        image = dataclasses.replace(images.SHELL, command=('sh', '-l'))
        with tarfile.open(fileobj=io.BytesIO(image.archive())) as archive:
            members = [
                (name, archive.extractfile(name).read())
                for name in archive.getnames()
                if not name.endswith('layer.tar')
            ]
        self.assertEqual((image.id,), self.client.load([images.tar(members)]))
        self.assertEqual(
            ('sh', '-l'), self.client.inspect_image(image.id).command
        )
        self.client.remove_image(image.id)

    def test_load_of_another_layer_than_the_image_has(self):
        image = dataclasses.replace(images.HTTPD, files=(('a', b'good'),))
        archive = image.archive().replace(b'good', b'evil')
        error = self.assertRaises(
            exception.EngineError, self.client.load, [archive]
        )
        self.assertEqual(500, error.status)

    def test_inspect_of_a_missing_image(self):
        for reference in (
            self.reference(),
            'sha256:' + uuidutils.generate_uuid(dashed=False) * 2,
        ):
            self.assertRaises(
                exception.ImageNotFoundInEngine,
                self.client.inspect_image,
                reference,
            )

    def test_image_that_is_there_gets_another_name(self):
        image, reference = self.image(), self.reference()
        self.tag(image, reference)
        self.tag(image, reference)
        found = self.client.inspect_image(reference)
        self.assertEqual(image.id, found.id)
        self.assertEqual((reference,), found.tags)

    def test_list_images(self):
        image = self.image()
        references = {self.reference('a'), self.reference('b')}
        for reference in references:
            self.tag(image, reference)
        self.tag(image, f'contract/other:{self.run_id}')
        self.addCleanup(self._untag, f'contract/other:{self.run_id}')
        [row] = self.client.list_images(f'contract/{self.run_id}')
        self.assertEqual(image.id, row.id)
        self.assertEqual(references, set(row.tags))
        self.assertEqual(self.labels, row.labels)
        self.assertEqual([], self.client.list_images('contract/none'))

    def test_list_images_of_a_pattern(self):
        image = self.image()
        references = {
            f'{self.run_id}/{name}:{tag}' for name in 'ab' for tag in 'ab'
        }
        for reference in (*references, self.reference()):
            self.tag(image, reference)
            self.addCleanup(self._untag, reference)
        [row] = self.client.list_images(f'{self.run_id}/*')
        self.assertEqual(references, set(row.tags))

    def test_remove_image_by_id(self):
        image = self.image()
        self.client.remove_image(image.id)
        self.assertRaises(
            exception.ImageNotFoundInEngine,
            self.client.inspect_image,
            image.id,
        )
        self.client.remove_image(image.id)

    def test_remove_image_goes_with_its_last_tag(self):
        image = self.image()
        references = [self.reference('a'), self.reference('b')]
        for reference in references:
            self.tag(image, reference)
        self.client.remove_image(references[0])
        self.assertEqual({references[1]}, self.tags(image.id))
        self.client.remove_image(references[1])
        self.assertRaises(
            exception.ImageNotFoundInEngine,
            self.client.inspect_image,
            image.id,
        )

    def test_remove_image_that_a_container_needs(self):
        image, reference = self.image(), self.reference()
        self.tag(image, reference)
        container = self.client.create(self.spec(reference))
        for wanted in (reference, image.id):
            self.assertRaises(
                exception.ContainerConflict, self.client.remove_image, wanted
            )
        self.assertEqual({reference}, self.tags(image.id))
        self.client.remove(container)
        self.client.remove_image(reference)

    def test_remove_one_tag_of_image_that_a_container_needs(self):
        image = self.image()
        references = [self.reference('a'), self.reference('b')]
        for reference in references:
            self.tag(image, reference)
        self.client.create(self.spec(image.id))
        self.client.remove_image(references[0])
        self.assertEqual({references[1]}, self.tags(image.id))

    def test_commit(self):
        image = self.image()
        container = self.client.create(
            self.spec(image.id, command=('sh', '-c', 'exit 0'))
        )
        made = self.client.commit(
            container, f'contract/{self.run_id}', 'a', {}, True
        )
        found = self.client.inspect_image(self.reference('a'))
        self.assertEqual(made, found.id)
        self.assertEqual(image.id, found.parent)
        self.assertEqual(('sh', '-c', 'exit 0'), found.command)
        self.assertEqual(self.labels, found.labels)

    def test_commit_with_another_configuration(self):
        container = self.created(images.Image(entrypoint=('sh',)))
        config = {
            'Cmd': ['sh', '-c', 'exit 1'],
            'Entrypoint': [],
            'Labels': {base.ROLE: 'x'},
        }
        self.client.commit(
            container, f'contract/{self.run_id}', 'a', config, False
        )
        found = self.client.inspect_image(self.reference('a'))
        self.assertEqual(('sh', '-c', 'exit 1'), found.command)
        self.assertEqual((), found.entrypoint)
        self.assertEqual({base.ROLE: 'x', **self.labels}, found.labels)

    def test_commit_does_not_end_a_running_container(self):
        container = self.running()
        before = self.client.inspect(container)
        self.client.commit(container, f'contract/{self.run_id}', 'a', {}, True)
        self.reference('a')
        self.assertEqual(before, self.client.inspect(container))

    def test_commit_of_a_missing_container(self):
        self.assertRaises(
            exception.ContainerNotFound,
            self.client.commit,
            self.name(),
            'contract/none',
            'a',
            {},
            True,
        )

    def test_remove_image_that_another_was_made_of(self):
        image, reference = self.image(), self.reference('base')
        self.tag(image, reference)
        container = self.client.create(self.spec(image.id))
        self.client.commit(container, f'contract/{self.run_id}', 'a', {}, True)
        child = self.reference('a')
        self.client.remove(container)
        self.client.remove_image(reference)
        self.assertEqual((), self.client.inspect_image(image.id).tags)
        self.client.remove_image(child)

    def test_save(self):
        image, reference = self.image(images.HTTPD), self.reference()
        self.tag(image, reference)
        for wanted, tags in ((reference, [reference]), (image.id, None)):
            data = b''.join(self.client.save(wanted))
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                manifest = archive.extractfile('manifest.json')
                [described] = json.load(manifest)
            self.assertEqual(tags, described['RepoTags'])
            self.assertEqual(2, len(described['Layers']))

    def test_save_gives_what_load_takes(self):
        image, reference = self.image(), self.reference()
        self.tag(image, reference)
        saved = list(self.client.save(reference))
        self.client.remove_image(reference)
        self.assertEqual((reference,), self.client.load(saved))
        self.assertEqual(image.id, self.client.inspect_image(reference).id)

    def test_save_of_a_missing_image(self):
        self.assertRaises(
            exception.ImageNotFoundInEngine,
            list,
            self.client.save(self.reference()),
        )
