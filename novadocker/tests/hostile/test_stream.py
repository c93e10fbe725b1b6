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

"""The attacks against the filter alone: no engine, no root, no network."""

from collections.abc import Iterator
import contextlib
import gzip
import hashlib
import itertools
import json
import tracemalloc

from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import archives
from novadocker.tests.fixtures import streams
from novadocker.tests.hostile import attacks
from novadocker.virt.docker import archive

# Bytes that the filter may hold, whatever it is given: the documents of an
# archive, and one of them parsed.
_MEMORY = 48 << 20


class StreamTestCase(base.BaseTestCase):
    @contextlib.contextmanager
    def memory_below(self, limit: int) -> Iterator[None]:
        tracemalloc.start()
        try:
            yield
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.assertLess(peak, limit)


class RefusedTestCase(StreamTestCase):
    def test_there_are_enough(self):
        self.assertGreaterEqual(len(attacks.table()), 60)

    def test_each_is_refused_with_the_reason(self):
        for name, (data, word) in attacks.table().items():
            found = self.assertRaises(
                exception.ImageRejected, streams.filtered, data, 3000
            )
            self.assertIn(word, str(found), name)
            self.assertIn('glance-id', str(found), name)

    def test_nothing_of_it_makes_an_image(self):
        for name, (data, _) in attacks.table().items():
            output = bytearray()
            with self.memory_below(_MEMORY + len(data)):
                self.assertRaises(
                    exception.ImageRejected, self.collect, data, output
                )
            self.assertNotIn(b'manifest.json', output, name)
            self.assertNotIn(streams.VICTIM, output, name)

    def collect(self, data, output):
        chunks = streams.cut(data, 65536)
        found = archive.Archive(chunks, streams.rules(len(data)))
        for piece in found:
            output += piece

    def test_endless_nothing(self):
        empty = gzip.compress(b'')
        for endless in (empty * 100, b'\x1f\x8b\x08\x08' + b'name' * 16384):
            rules = streams.rules()
            with self.memory_below(_MEMORY):
                self.assertRaises(
                    exception.ImageRejected,
                    list,
                    archive.Archive(itertools.repeat(endless), rules),
                )


class HarmlessTestCase(StreamTestCase):
    def test_what_is_dangerous_does_not_come_out(self):
        expected, _ = streams.filtered(archives.good())
        foreign = ('other:1', f'sha256:{archives.digest(b"other")}')
        for name, data in attacks.harmless(foreign).items():
            output, image = streams.filtered(data)
            self.assertEqual(archives.image_id(), image.id, name)
            self.assertEqual(
                streams.layers_of(expected), streams.layers_of(output), name
            )
            found = streams.contents(output)
            self.assertEqual(set(streams.contents(expected)), set(found), name)
            self.assertNotIn(streams.VICTIM, output, name)
            self.assertNotIn(b'other', output, name)

    def test_wishes_are_the_images_own(self):
        for name, data in attacks.wishes().items():
            output, image = streams.filtered(data)
            found = streams.contents(output)
            (entry,) = json.loads(found['manifest.json'])
            self.assertEqual(image.config, found[entry['Config']], name)
            self.assertIsNone(entry['RepoTags'], name)


class MemoryTestCase(StreamTestCase):
    def test_is_flat(self):
        size = 300 << 20
        piece = b'data' * (1 << 14)
        inner = archives.Member('file', b'', claim=size).written()

        def layer():
            yield inner
            yield from itertools.repeat(piece, size // len(piece))
            yield archives.END

        total = size + len(inner) + len(archives.END)
        digest = hashlib.sha256()
        for chunk in layer():
            digest.update(chunk)
        described = archives.config(
            rootfs={
                'type': 'layers',
                'diff_ids': [f'sha256:{digest.hexdigest()}'],
            }
        )
        rest = archives.tar(
            [
                archives.Member('config', described),
                archives.Member(
                    'manifest.json', archives.manifest('config', ['layer'])
                ),
            ]
        )
        stream = itertools.chain(
            (archives.Member('layer', claim=total).written(),),
            layer(),
            (b'\0' * (-total % 512), rest),
        )
        limits = archive.Limits(
            size=1 << 30, unpacked=1 << 30, members=10, layers=5
        )
        rules = streams.rules(limits=limits)
        with self.memory_below(2 << 20):
            written = sum(map(len, archive.Archive(stream, rules)))
        self.assertGreater(written, size)
