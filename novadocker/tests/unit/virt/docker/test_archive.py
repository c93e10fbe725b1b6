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


import bz2
import gzip
import json
import lzma
import tarfile

from oslotest import base
import zstandard

from novadocker import exception
from novadocker.tests.fixtures import archives
from novadocker.tests.fixtures import streams
from novadocker.virt.docker import archive
from novadocker.virt.docker import below


class AcceptedTestCase(base.BaseTestCase):
    """What is taken, and what becomes of it."""

    def assert_is_the_image(self, data, layers=archives.LAYERS):
        output, image = streams.filtered(data)
        self.assertEqual(archives.image_id(), image.id)
        self.assertEqual(list(layers), streams.layers_of(output))
        found = streams.contents(output)
        (entry,) = json.loads(found['manifest.json'])
        self.assertIsNone(entry['RepoTags'])
        self.assertEqual(archives.config(), found[entry['Config']])
        self.assertNotIn(streams.VICTIM, output)

    def test_docker_save(self):
        self.assert_is_the_image(archives.good())

    def test_volumes_do_not_reach_the_engine(self):
        described = archives.config(config={'Volumes': {'/srv': {}}})
        output, image = streams.filtered(archives.with_config(described))
        self.assertNotIn(b'Volumes', output)
        self.assertEqual(list(archives.LAYERS), streams.layers_of(output))
        self.assertEqual(f'sha256:{archives.digest(image.config)}', image.id)

    def test_only_our_names_and_what_makes_the_image(self):
        output, image = streams.filtered(archives.good())
        self.assertEqual(
            [
                '1.tar',
                '2.tar',
                '3.tar',
                image.id.removeprefix('sha256:') + '.json',
                'manifest.json',
            ],
            list(streams.contents(output)),
        )

    def test_what_it_was_is_told(self):
        _, image = streams.filtered(archives.good())
        self.assertEqual(archives.ARCHITECTURE, image.architecture)
        self.assertEqual(('/bin/true',), image.entrypoint)
        self.assertEqual(('now',), image.command)
        self.assertEqual(sum(map(len, archives.LAYERS)), image.size)

    def test_any_order_of_members(self):
        for order in (reversed, lambda some: sorted(some, key=repr)):
            members = [one for one in archives.saved() if one.content]
            self.assert_is_the_image(archives.tar(order(members)))

    def test_the_manifest_is_the_last_thing_to_come(self):
        members = sorted(
            archives.saved(), key=lambda one: one.name != 'manifest.json'
        )
        rules = archive.Rules('id', archives.MACHINE, streams.LIMITS)
        pieces = list(
            archive.Archive(streams.cut(archives.tar(members)), rules)
        )
        self.assertIn(b'"RepoTags": null', pieces[-1])
        self.assertNotIn(b'manifest.json', b''.join(pieces[:-1]))

    def test_compressed(self):
        for pack in (
            gzip.compress,
            bz2.compress,
            lzma.compress,
            zstandard.compress,
        ):
            self.assert_is_the_image(pack(archives.good()))

    def test_compressed_member_by_member_and_padded(self):
        data = archives.good()
        packed = gzip.compress(data[:5000]) + gzip.compress(data[5000:])
        self.assert_is_the_image(packed + b'\0' * 700)

    def test_compressed_layers_go_through_as_they_are(self):
        for pack in (gzip.compress, bz2.compress, lzma.compress):
            members = [
                archives.Member(one.name, pack(one.content), one.type)
                if one.name.endswith('layer.tar')
                else one
                for one in archives.saved()
            ]
            packed = [pack(one) for one in archives.LAYERS]
            self.assert_is_the_image(archives.tar(members), packed)

    def test_equal_layers_by_links(self):
        layers = [archives.LAYERS[0], archives.LAYERS[2], archives.LAYERS[2]]
        directories = [archives.digest(b'%d' % number) for number in range(3)]
        for kind, link in (
            (tarfile.SYMTYPE, f'../{directories[1]}/layer.tar'),
            (tarfile.LNKTYPE, f'{directories[1]}/layer.tar'),
        ):
            members = [
                archives.Member(one.name, type=kind, link=link)
                if one.name == f'{directories[2]}/layer.tar'
                else one
                for one in archives.saved(layers)
            ]
            output, _ = streams.filtered(archives.tar(members))
            self.assertEqual(layers, streams.layers_of(output))

    def test_oci_layout_of_docker(self):
        self.assert_is_the_image(archives.tar(archives.oci(also_docker=True)))

    def test_pure_oci_layout(self):
        self.assert_is_the_image(archives.tar(archives.oci()))

    def test_oci_layout_with_compressed_layers(self):
        # the time in a gzip header would give each call another blob
        packed = [gzip.compress(one, mtime=0) for one in archives.LAYERS]
        data = archives.tar(
            archives.oci(packed=lambda one: gzip.compress(one, mtime=0))
        )
        self.assert_is_the_image(data, packed)

    def test_oci_layout_of_several_platforms(self):
        platforms = ('mips', archives.ARCHITECTURE, 's390')
        self.assert_is_the_image(
            archives.tar(archives.oci(platforms=platforms))
        )

    def test_long_names_of_both_styles(self):
        for pax in ((), (('path', 'n' * 300),)):
            name = 'n' * 300 if not pax else 'short'
            self.assert_is_the_image(
                archives.with_member(archives.Member(name, b'x', pax=pax))
            )

    def test_tags_in_other_places_do_not_matter(self):
        for name in ('repositories', 'index.htm', 'a/b/c'):
            content = b'{"victim": {"latest": "x"}}'
            data = archives.replaced(
                'repositories', archives.Member(name, content)
            )
            self.assert_is_the_image(data)

    def test_any_cut_of_the_stream(self):
        expected, _ = streams.filtered(archives.good())
        for size in (1, 7, 511, 513, 1 << 20):
            output, _ = streams.filtered(archives.good(), size)
            self.assertEqual(expected, output)

    def test_a_configs_other_wishes_are_the_images_own(self):
        run = {
            'Entrypoint': None,
            'Cmd': ['/bin/true'],
            'User': '0',
            'Healthcheck': {'Test': ['CMD', 'true']},
            'Labels': {'Name': 'a', 'name': 'b'},
        }
        described = archives.config(config=run)
        _, image = streams.filtered(archives.with_config(described))
        self.assertEqual(described, image.config)

    def test_rewritten_config_is_the_image(self):
        new = archives.config(author='me')
        output, image = streams.filtered(
            archives.good(), rewrite=lambda old: new
        )
        self.assertEqual(f'sha256:{archives.digest(new)}', image.id)
        self.assertIn(new, streams.contents(output).values())


class RootFileSystemTestCase(base.BaseTestCase):
    def test_becomes_an_image_of_one_layer(self):
        data = archives.root_file_system()
        output, image = streams.filtered(data)
        self.assertEqual([data], streams.layers_of(output))
        self.assertEqual(('/sbin/init',), image.command)
        self.assertEqual(archives.ARCHITECTURE, image.architecture)

    def test_is_the_same_image_however_compressed(self):
        data = archives.root_file_system()
        ids = set()
        for pack in (bytes, gzip.compress, bz2.compress, lzma.compress):
            output, image = streams.filtered(pack(data))
            self.assertEqual([pack(data)], streams.layers_of(output))
            ids.add(image.id)
        self.assertEqual(1, len(ids))

    def test_with_the_root_directory_itself_first(self):
        root = archives.Member('./', type=tarfile.DIRTYPE)
        usr = archives.Member('./usr/', type=tarfile.DIRTYPE)
        _, image = streams.filtered(archives.tar([root, usr]))
        self.assertEqual(('/sbin/init',), image.command)

    def test_of_another_size_than_recorded(self):
        data = archives.root_file_system()
        for size in (len(data) - 512, len(data) + 512, None):
            rules = archive.Rules('id', archives.MACHINE, streams.LIMITS, size)
            self.assertRaises(
                exception.ImageRejected,
                list,
                archive.Archive(streams.cut(data), rules),
            )

    def test_zstd_is_refused_since_no_old_engine_knows_it(self):
        data = zstandard.compress(archives.root_file_system())
        self.assertRaises(exception.ImageRejected, streams.filtered, data)

    def test_larger_than_the_limit(self):
        big = archives.Member('bin/big', b'\0' * (25 << 20))
        for pack in (bytes, gzip.compress):
            self.assertRaises(
                exception.ImageRejected,
                streams.filtered,
                pack(archives.tar([big])),
            )


class RefusedTestCase(base.BaseTestCase):
    def test_what_it_was_is_not_told_before_it_is_known(self):
        rules = archive.Rules('id', archives.MACHINE, streams.LIMITS)
        found = archive.Archive(streams.cut(archives.good()), rules)
        next(iter(found))
        self.assertRaises(RuntimeError, getattr, found, 'image')


class BelowTestCase(base.BaseTestCase):
    """Layers that both ends have."""

    def setUp(self):
        super().setUp()
        self.diff_ids = [
            f'sha256:{archives.digest(one)}' for one in archives.LAYERS
        ]

    def filtered(self, data, diff_ids):
        found = archive.Archive(
            streams.cut(data),
            streams.rules(),
            archive.Writing(below=below.Below(diff_ids)),
        )
        return b''.join(found), found.image

    def test_left_out_and_not_missed(self):
        data = archives.tar(archives.oci(also_docker=True))
        for count in range(1, len(self.diff_ids) + 1):
            known = self.diff_ids[:count]
            output, image = self.filtered(data, known)
            layers = [
                name
                for name in streams.contents(output)
                if name.endswith('.tar')
            ]
            self.assertEqual(len(self.diff_ids) - count, len(layers))
            _, same = self.filtered(output, known)
            self.assertEqual(image.id, same.id)
            self.assertEqual(
                [f'below/{number}.tar' for number in range(1, count + 1)],
                list(same.layers[:count]),
            )

    def test_missed_without_the_image_below(self):
        data = archives.tar(archives.oci(also_docker=True))
        output, _ = self.filtered(data, self.diff_ids[:2])
        for known in ([], self.diff_ids[:1], self.diff_ids[1::-1]):
            self.assertRaises(
                exception.ImageRejected, self.filtered, output, known
            )

    def test_unknown_names_travel(self):
        output, _ = self.filtered(archives.good(), self.diff_ids)
        self.assertEqual(list(archives.LAYERS), streams.layers_of(output))
