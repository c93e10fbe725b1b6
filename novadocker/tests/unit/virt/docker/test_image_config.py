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


import json

from oslotest import base

from novadocker.tests.fixtures import archives
from novadocker.virt.docker import compression
from novadocker.virt.docker import image_config
from novadocker.virt.docker import naming


class ConfigTestCase(base.BaseTestCase):
    def test_what_an_image_says_of_itself(self):
        found = image_config.parse_config(archives.config())
        self.assertEqual('linux', found.os)
        self.assertEqual(archives.ARCHITECTURE, found.architecture)
        self.assertEqual(('/bin/true',), found.entrypoint)
        self.assertEqual(('now',), found.command)
        self.assertEqual(
            tuple(f'sha256:{archives.digest(one)}' for one in archives.LAYERS),
            found.diff_ids,
        )

    def test_need_not_say_how_to_run(self):
        for run in (None, {}, {'Entrypoint': None, 'Cmd': None}):
            found = image_config.parse_config(archives.config(config=run))
            self.assertEqual((), found.entrypoint)
            self.assertEqual((), found.command)

    def test_labels_may_differ_by_case(self):
        labels = {'Name': 'a', 'name': 'b'}
        found = image_config.parse_config(
            archives.config(config={'Labels': labels})
        )
        self.assertEqual(labels, found.labels)

    def test_digest_is_that_of_the_bytes(self):
        self.assertEqual(
            'sha256:e3b0c44298fc1c149afbf4c8996fb924'
            '27ae41e4649b934ca495991b7852b855',
            image_config.digest(b''),
        )


class ArchitectureTestCase(base.BaseTestCase):
    def test_names_of_images(self):
        for machine, name in (
            ('x86_64', 'amd64'),
            ('aarch64', 'arm64'),
            ('armv7l', 'arm'),
            ('s390x', 's390x'),
        ):
            self.assertEqual(name, image_config.architecture_of(machine))


class ManifestTestCase(base.BaseTestCase):
    def test_one_image(self):
        found = image_config.parse_manifest(
            archives.manifest('c.json', ['1', '2'])
        )
        self.assertEqual(image_config.Manifest('c.json', ('1', '2')), found)

    def test_several_are_named(self):
        one = json.loads(archives.manifest('c', []))
        found = self.assertRaises(
            compression.BadArchive,
            image_config.parse_manifest,
            json.dumps(one * 2).encode(),
        )
        self.assertIn('2 images', str(found))
        self.assertIn(archives.VICTIM, str(found))

    def test_ours_has_the_name_that_it_is_given(self):
        for name, tags in (('a:1', ['a:1']), ('', None)):
            content = image_config.manifest_json('c', ['1', '2'], name)
            ((entry),) = json.loads(content)
            self.assertEqual(
                {'Config': 'c', 'RepoTags': tags, 'Layers': ['1', '2']}, entry
            )


class CleanedTestCase(base.BaseTestCase):
    """A commit as engine 20.10 writes it, and what is left of it."""

    BASE = {
        'Hostname': 'builder',
        'Image': 'sha256:1',
        'Tty': False,
        'Entrypoint': ['/bin/true'],
        'Cmd': ['now'],
        'Env': ['A=b'],
        'User': '5',
        'WorkingDir': '/srv',
        'Labels': {'maintainer': 'me', naming.LABEL_ROLE: 'x'},
        'ExposedPorts': {'80/tcp': {}},
    }

    def setUp(self):
        super().setUp()
        run = {
            'Hostname': 'secret',
            'Tty': True,
            'OpenStdin': True,
            'Cmd': ['of', 'driver'],
            'Env': ['A=b', 'DRIVER=1'],
            'Labels': naming.labels('u', 'instance', 'host1'),
        }
        self.committed = archives.config(
            config=run,
            container='0123',
            container_config=run,
            history=[
                {'created_by': 'base'},
                {'created_by': 'of driver', 'created': '2020'},
            ],
        )
        self.content = image_config.cleaned(self.committed, self.BASE)
        self.found = json.loads(self.content)

    def test_runs_as_the_base_image(self):
        expected = {
            name: self.BASE[name]
            for name in (
                'Entrypoint',
                'Cmd',
                'Env',
                'User',
                'WorkingDir',
                'ExposedPorts',
            )
        }
        self.assertEqual(
            expected | {'Labels': {'maintainer': 'me'}}, self.found['config']
        )

    def test_nothing_of_the_driver_and_its_host(self):
        for word in (b'secret', b'driver', b'host1', b'nova.docker', b'0123'):
            self.assertNotIn(word, self.content)

    def test_layers_are_those_of_the_commit(self):
        self.assertEqual(
            image_config.parse_config(self.committed).diff_ids,
            image_config.parse_config(self.content).diff_ids,
        )

    def test_history_before_the_commit_stays(self):
        self.assertEqual('base', self.found['history'][0]['created_by'])
        self.assertEqual(2, len(self.found['history']))

    def test_without_labels_and_history(self):
        content = image_config.cleaned(
            archives.config(history=None), {'Cmd': ['x'], 'Labels': None}
        )
        found = json.loads(content)
        self.assertEqual({'Cmd': ['x'], 'Labels': None}, found['config'])


class VolumesTestCase(base.BaseTestCase):
    def test_without_any_nothing_changes(self):
        for run in (None, {}, {'Cmd': ['x']}, {'Volumes': {}}):
            content = archives.config(config=run)
            self.assertEqual(content, image_config.without_volumes(content))

    def test_nothing_but_the_volumes_goes(self):
        run = {'Cmd': ['x'], 'Volumes': {'/data': {}}}
        content = image_config.without_volumes(archives.config(config=run))
        self.assertEqual(
            json.loads(archives.config(config={'Cmd': ['x']})),
            json.loads(content),
        )

    def test_no_other_spelling(self):
        for name in ('volumes', 'VOLUMES'):
            self.assertRaises(
                compression.BadArchive,
                image_config.parse_config,
                archives.config(config={name: {'/data': {}}}),
            )


class LabelledTestCase(base.BaseTestCase):
    def test_labels_are_added_and_win(self):
        for run in ({'Labels': {'a': '1', 'b': '2'}}, {}, None):
            content = archives.config(config=run)
            found = json.loads(image_config.labelled(content, {'b': '3'}))
            kept = {'a': '1'} if run else {}
            self.assertEqual(kept | {'b': '3'}, found['config']['Labels'])
            self.assertEqual(
                json.loads(content)['rootfs'], found['rootfs']
            )


class RootFileSystemTestCase(base.BaseTestCase):
    def test_is_a_config(self):
        diff_id = 'sha256:' + '5' * 64
        content = image_config.of_root_file_system('amd64', diff_id, ('x',))
        found = image_config.parse_config(content)
        self.assertEqual((diff_id,), found.diff_ids)
        self.assertEqual(('x',), found.command)
        self.assertEqual(('linux', 'amd64'), (found.os, found.architecture))
