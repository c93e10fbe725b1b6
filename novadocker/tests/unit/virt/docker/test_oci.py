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
from novadocker.virt.docker import oci


class OciTestCase(base.BaseTestCase):
    def documents(self, **more):
        return {one.name: one.content for one in archives.oci(**more)}

    def test_one_image(self):
        found = oci.manifest(
            self.documents(), archives.MACHINE
        )
        self.assertEqual(
            f'blobs/sha256/{archives.digest(archives.config())}', found.config
        )
        self.assertEqual(
            tuple(
                f'blobs/sha256/{archives.digest(one)}'
                for one in archives.LAYERS
            ),
            found.layers,
        )

    def test_the_one_for_this_host(self):
        documents = self.documents(platforms=('mips', 'sparc', 's390'))
        config = archives.config(architecture='sparc')
        found = oci.manifest(documents, 'sparc')
        self.assertEqual(
            f'blobs/sha256/{archives.digest(config)}', found.config
        )

    def test_none_for_this_host(self):
        documents = self.documents(platforms=('mips', 's390'))
        found = self.assertRaises(
            compression.BadArchive,
            oci.manifest,
            documents,
            'sparc',
        )
        self.assertIn("'linux/mips', 'linux/s390'", str(found))

    def test_index_of_an_index(self):
        documents = self.documents()
        inner = documents['index.json']
        digest = archives.digest(inner)
        outer = {'manifests': [{'digest': f'sha256:{digest}'}]}
        documents |= {
            f'blobs/sha256/{digest}': inner,
            'index.json': json.dumps(outer).encode(),
        }
        found = oci.manifest(documents, archives.MACHINE)
        self.assertEqual(3, len(found.layers))

    def test_index_without_end(self):
        documents = {}
        digest = '0' * 64
        loop = {'manifests': [{'digest': f'sha256:{digest}'}]}
        for name in ('index.json', f'blobs/sha256/{digest}'):
            documents[name] = json.dumps(loop).encode()
        self.assertRaises(
            compression.BadArchive, oci.manifest, documents, 'x'
        )

    def test_variants(self):
        """The best that the machine can run, of what is there."""
        for machine, offered, best in (
            ('armv7l', ('v5', 'v7', 'v6'), 'v7'),
            ('armv6l', ('v5', 'v7', 'v6'), 'v6'),
            ('armv6l', ('', 'v7'), ''),
            ('aarch64', ('v8', 'v9'), 'v8'),
            ('x86_64', ('v3', '', 'v2'), ''),
        ):
            documents, paths = self.variants(machine, offered)
            found = oci.manifest(documents, machine)
            self.assertEqual(paths[best], found.config)

    def variants(self, machine, variants):
        """An index of one architecture, and each variant's config."""
        documents, paths, index = {}, {}, []
        architecture = image_config.architecture_of(machine)
        for variant in variants:
            digest = archives.digest(variant.encode())
            paths[variant] = f'blobs/sha256/{digest}'
            content = {'config': {'digest': f'sha256:{digest}'}}
            manifest = json.dumps(content).encode()
            place = archives.digest(manifest)
            documents[f'blobs/sha256/{place}'] = manifest
            platform = {'os': 'linux', 'architecture': architecture}
            if variant:
                platform['variant'] = variant
            index.append({'digest': f'sha256:{place}', 'platform': platform})
        documents['index.json'] = json.dumps({'manifests': index}).encode()
        return documents, paths

    def test_variants_that_no_machine_of_this_kind_runs(self):
        documents, _ = self.variants('x86_64', ['v3', 'v4'])
        found = self.assertRaises(
            compression.BadArchive, oci.manifest, documents, 'x86_64'
        )
        self.assertIn("'linux/amd64/v3', 'linux/amd64/v4'", str(found))

    def test_two_tags_of_an_image_are_one_image(self):
        documents = self.documents()
        index = json.loads(documents['index.json'])
        known = index['manifests'][0]
        names = [
            {'annotations': {'org.opencontainers.image.ref.name': name}}
            for name in 'ab'
        ]
        index['manifests'] = [known | name for name in names]
        documents['index.json'] = json.dumps(index).encode()
        self.assertEqual(
            3, len(oci.manifest(documents, archives.MACHINE).layers)
        )

    def test_two_images_are_named(self):
        index = {
            'manifests': [
                {
                    'digest': f'sha256:{digit * 64}',
                    'annotations': {'io.containerd.image.name': name},
                }
                for digit, name in (('1', 'web:1'), ('2', 'db:2'))
            ]
        }
        documents = {'index.json': json.dumps(index).encode()}
        found = self.assertRaises(
            compression.BadArchive, oci.manifest, documents, archives.MACHINE
        )
        self.assertIn("2 images ('web:1', 'db:2')", str(found))

    def test_schema_1_says_so(self):
        for found in (
            {'schemaVersion': 1, 'fsLayers': []},
            {
                'manifests': [
                    {
                        'mediaType': 'application/vnd.docker.distribution'
                        '.manifest.v1+prettyjws',
                        'digest': 'sha256:' + '0' * 64,
                    }
                ]
            },
        ):
            documents = {'index.json': json.dumps(found).encode()}
            error = self.assertRaises(
                compression.BadArchive,
                oci.manifest,
                documents,
                archives.MACHINE,
            )
            self.assertIn('schema 1', str(error))
