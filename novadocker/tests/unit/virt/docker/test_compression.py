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
import lzma

from oslotest import base
import zstandard

from novadocker.virt.docker import compression

DATA = bytes(range(256)) * 5000


def cut(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def plain(data, size=700):
    return b''.join(compression.expanded(cut(data, size)))


class KindTestCase(base.BaseTestCase):
    def test_by_the_first_bytes(self):
        for pack, kind in (
            (gzip.compress, compression.Kind.GZIP),
            (bz2.compress, compression.Kind.BZIP2),
            (lzma.compress, compression.Kind.XZ),
            (zstandard.compress, compression.Kind.ZSTD),
            (bytes, None),
        ):
            self.assertIs(kind, compression.kind_of(pack(DATA)))


class ExpandedTestCase(base.BaseTestCase):
    def test_every_kind(self):
        for pack in (
            bytes,
            gzip.compress,
            bz2.compress,
            lzma.compress,
            zstandard.compress,
        ):
            for size in (1, 700, 1 << 20):
                self.assertEqual(DATA[:9999], plain(pack(DATA[:9999]), size))

    def test_members_one_after_another(self):
        for pack in (
            gzip.compress,
            bz2.compress,
            lzma.compress,
            zstandard.compress,
        ):
            packed = pack(DATA) + pack(b'') + pack(DATA)
            self.assertEqual(DATA * 2, plain(packed))

    def test_padding_is_no_content(self):
        packed = gzip.compress(DATA) + b'\0' * 5000
        self.assertEqual(DATA, plain(packed))

    def test_nothing(self):
        self.assertEqual(b'', plain(b''))

    def test_what_is_damaged_or_cut(self):
        for pack in (gzip.compress, bz2.compress, lzma.compress):
            packed = pack(DATA)
            for bad in (
                packed[:-1],
                packed[: len(packed) // 2],
                packed + b'more',
                packed[:30] + b'\xff' * 30 + packed[60:],
            ):
                self.assertRaises(compression.BadArchive, plain, bad)

    def test_damaged_zstd(self):
        packed = zstandard.compress(DATA)
        self.assertRaises(
            compression.BadArchive, plain, packed[:10] + b'\xff' * 40
        )

    def test_a_bomb_comes_out_in_pieces(self):
        for pack in (
            gzip.compress,
            bz2.compress,
            lzma.compress,
            zstandard.compress,
        ):
            bomb = pack(b'\0' * (16 << 20))
            sizes = [len(one) for one in compression.expanded([bomb])]
            self.assertEqual(16 << 20, sum(sizes))
            self.assertLessEqual(max(sizes), compression.PIECE)

    def test_a_dictionary_of_any_size_is_not_given(self):
        huge = lzma.compress(
            b'x', filters=[{'id': lzma.FILTER_LZMA2, 'dict_size': 1 << 29}]
        )
        self.assertRaises(compression.BadArchive, plain, huge)


class ExpanderTestCase(base.BaseTestCase):
    def test_zstd_is_not_taken_in_parts(self):
        self.assertRaises(
            compression.BadArchive,
            compression.Expander,
            compression.Kind.ZSTD,
        )

    def test_end_is_known(self):
        packed = gzip.compress(DATA)
        expander = compression.Expander(compression.Kind.GZIP)
        self.assertNotEqual([], list(expander.feed(packed[:-1])))
        self.assertRaises(compression.BadArchive, expander.close)
        self.assertEqual([], list(expander.feed(packed[-1:])))
        expander.close()
