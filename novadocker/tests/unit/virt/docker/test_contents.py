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
from novadocker.virt.docker import contents

_OTHER = 'mips' if archives.ARCHITECTURE != 'mips' else 'sparc'
_PLATFORMS = (archives.ARCHITECTURE, _OTHER)


def of(members):
    """What the filter notes of such members."""
    noted = contents.Contents()
    for number, one in enumerate(members):
        if one.content in archives.LAYERS:
            noted.layers[one.name] = contents.Layer(
                f'{number}.tar',
                f'sha256:{archives.digest(one.content)}',
                len(one.content),
            )
        elif one.content:
            noted.documents[one.name] = one.content
    return noted


class ContentsTestCase(base.BaseTestCase):
    def refused(self, noted):
        return str(
            self.assertRaises(
                compression.BadArchive, noted.image, archives.MACHINE
            )
        )

    def test_of_docker_of_an_index_and_of_both(self):
        for members in (
            archives.saved(),
            archives.oci(),
            archives.oci(also_docker=True),
        ):
            config, layers = of(members).image(archives.MACHINE)
            self.assertEqual(archives.config(), config)
            self.assertEqual(
                [f'sha256:{archives.digest(one)}' for one in archives.LAYERS],
                [one.diff_id for one in layers],
            )

    def test_saved_where_another_platform_is_at_home(self):
        """Its manifest.json is of that, and its index has ours as well."""
        members = archives.oci(also_docker=True, platforms=_PLATFORMS)
        (manifest,) = json.loads(of(members).documents['manifest.json'])
        theirs = archives.config(architecture=_OTHER)
        self.assertIn(archives.digest(theirs), manifest['Config'])
        config, _ = of(members).image(archives.MACHINE)
        self.assertEqual(archives.config(), config)

    def test_another_platform_alone(self):
        """The index may speak of more than there is."""
        members = archives.oci(also_docker=True, platforms=_PLATFORMS)
        noted = of(members)
        for name, content in list(noted.documents.items()):
            if archives.digest(archives.config()).encode() in content:
                del noted.documents[name]
        config, _ = noted.image(archives.MACHINE)
        self.assertEqual(_OTHER, json.loads(config)['architecture'])

    def test_layers_of_other_platforms_may_be_there(self):
        for also_docker in (True, False):
            noted = of(archives.oci(also_docker=also_docker))
            digest = archives.digest(b'another')
            layer = contents.Layer('9.tar', f'sha256:{digest}', 5)
            noted.layers[f'blobs/sha256/{digest}'] = layer
            self.assertEqual(3, len(noted.image(archives.MACHINE)[1]))
            noted.layers['another.tar'] = layer
            self.assertIn('another.tar', self.refused(noted))

    def test_no_manifest(self):
        for name, content, word in (
            ('a/json', b'{}', 'before 1.10'),
            ('disk.img', b'QFI\xfb' + b'\0' * 600, 'a qcow2 disk image'),
            ('hello', b'hello\n', 'a text'),
        ):
            noted = contents.Contents()
            noted.documents[name] = content
            self.assertIn(word, self.refused(noted))
        self.assertIn('no manifest.json', self.refused(contents.Contents()))

    def test_links(self):
        noted = of(archives.saved())
        path = next(iter(noted.layers))
        noted.layers['elsewhere.tar'] = noted.layers.pop(path)
        noted.links[path] = 'elsewhere.tar'
        self.assertEqual(3, len(noted.image(archives.MACHINE)[1]))
        noted.links['elsewhere.tar'] = path
        self.assertIn('circle', self.refused(noted))

    def test_layer_that_need_not_be_there(self):
        members = archives.saved()
        whole = of(members)
        path = next(iter(whole.layers))
        known = whole.layers[path]
        noted = contents.Contents({path: known})
        noted.documents = whole.documents
        noted.layers = dict(whole.layers)
        del noted.layers[path]
        _, layers = noted.image(archives.MACHINE)
        self.assertIs(known, layers[0])
        # One that no image names is no surplus.
        noted = of(members)
        noted._absent = {'below/1.tar': known}
        self.assertEqual(3, len(noted.image(archives.MACHINE)[1]))

    def test_names_by_digest(self):
        digest = archives.digest(b'x')
        for name in (f'blobs/sha256/{digest}', f'{digest}.json', 'any/name'):
            contents.check_name(name, f'sha256:{digest}')
        for name in (f'blobs/sha256/{digest}', f'{digest}.json'):
            self.assertRaises(
                compression.BadArchive,
                contents.check_name,
                name,
                'sha256:' + '0' * 64,
            )
