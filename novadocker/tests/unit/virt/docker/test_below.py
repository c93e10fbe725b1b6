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

from novadocker.virt.docker import below
from novadocker.virt.docker import compression

# What Docker 20.10 has called these layers.
DIFF_IDS = (
    'sha256:8c753607a1e3e0ddf1887b9146c6dd68eb5c3fc3a1448464d58b6b0bb5fe043a',
    'sha256:d18433155ebcc2fe5d06c61a0df0edd8255e6a4a131e75646619a1cb171983ec',
)
OLD = (
    '91d273d33c82ef049fd03ebf694f0f45ffb4fefcac5f3281b52f60607e2552e1',
    'dee01ea4b1cb086e36ae90139967a815b0f113a8eba42d963e540b032f6f331b',
)
DOCUMENT = {
    'id': OLD[1],
    'parent': OLD[0],
    'created': '1970-01-01T00:00:00Z',
    'container_config': {
        'Hostname': '',
        'Domainname': '',
        'User': '',
        'AttachStdin': False,
        'AttachStdout': False,
        'AttachStderr': False,
        'Tty': False,
        'OpenStdin': False,
        'StdinOnce': False,
        'Env': None,
        'Cmd': None,
        'Image': '',
        'Volumes': None,
        'WorkingDir': '',
        'Entrypoint': None,
        'OnBuild': None,
        'Labels': None,
    },
    'os': 'linux',
}


def documents(name, **changes):
    return {f'{name}/json': json.dumps(DOCUMENT | changes).encode()}


class BelowTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.below = below.Below(DIFF_IDS)

    def recognised(self, name, known=None):
        found = self.below.recognised(name, known or {})
        return found and found.diff_id

    def test_older_layout(self):
        for name, diff_id in zip(OLD, DIFF_IDS, strict=True):
            self.assertEqual(
                diff_id,
                self.recognised(f'{name}/layer.tar', documents(name)),
            )

    def test_layer_on_top_is_another(self):
        name = '7d4ef1fbea8b00573b8506b34245234f89b3cf13af3bd4512ea39993b8b9'
        self.assertIsNone(
            self.recognised(
                f'{name}/layer.tar',
                documents(name, created='2026-11-26T03:03:04.8Z'),
            )
        )

    def test_oci_layout(self):
        for diff_id in DIFF_IDS:
            name = 'blobs/sha256/' + diff_id.removeprefix('sha256:')
            self.assertEqual(diff_id, self.recognised(name))
        self.assertIsNone(self.recognised('blobs/sha256/' + '0' * 64))

    def test_unknown_layouts_are_not_recognised(self):
        for name in ('1.tar', f'{OLD[0]}/layer.tar', 'below/1.tar'):
            self.assertIsNone(self.recognised(name))

    def test_names_of_what_is_left_out(self):
        self.assertEqual(
            {'below/1.tar': DIFF_IDS[0], 'below/2.tar': DIFF_IDS[1]},
            {
                name: layer.diff_id
                for name, layer in self.below.layers.items()
            },
        )

    def test_document_that_is_none(self):
        name = f'{OLD[0]}/layer.tar'
        for content in (b'', b'[]', b'{"a": 1, "a": 2}'):
            known = {f'{OLD[0]}/json': content}
            self.assertRaises(
                compression.BadArchive, self.below.recognised, name, known
            )
            # It is nobody's business where nothing is to be left out.
            self.assertIsNone(below.Below().recognised(name, known))

    def test_no_image_below(self):
        self.below = below.Below()
        self.assertIsNone(
            self.recognised(f'{OLD[0]}/layer.tar', documents(OLD[0]))
        )
