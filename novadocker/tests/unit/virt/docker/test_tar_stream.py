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


import io
import tarfile

from oslotest import base

from novadocker.tests.fixtures import archives
from novadocker.virt.docker import compression
from novadocker.virt.docker import tar_stream

Member = archives.Member
Type = tar_stream.Type


def read(data, size=100, max_members=50):
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    reader = tar_stream.Reader(chunks, max_members)
    return [(member, b''.join(reader.content())) for member in reader]


def names(data):
    return [member.name for member, _ in read(data)]


class ReaderTestCase(base.BaseTestCase):
    def assert_bad(self, data, word=''):
        found = self.assertRaises(compression.BadArchive, read, data)
        self.assertIn(word, str(found))

    def test_members_and_contents(self):
        data = archives.tar(
            [
                Member('./', type=tarfile.DIRTYPE),
                Member('d/', type=tarfile.DIRTYPE),
                Member('./d//file', b'x' * 513),
                Member('d/sym', type=tarfile.SYMTYPE, link='../e/f'),
                Member('hard', type=tarfile.LNKTYPE, link='./d/file'),
                Member('empty'),
            ]
        )
        expected = [
            (tar_stream.Member('.', Type.DIRECTORY, 0), b''),
            (tar_stream.Member('d', Type.DIRECTORY, 0), b''),
            (tar_stream.Member('d/file', Type.FILE, 513), b'x' * 513),
            (tar_stream.Member('d/sym', Type.SYMLINK, 0, 'e/f'), b''),
            (tar_stream.Member('hard', Type.HARDLINK, 0, 'd/file'), b''),
            (tar_stream.Member('empty', Type.FILE, 0), b''),
        ]
        for size in (1, 512, 10_000):
            self.assertEqual(expected, read(data, size))

    def test_content_that_nobody_reads_is_passed_over(self):
        data = archives.tar([Member('a', b'a' * 2000), Member('b', b'b')])
        reader = tar_stream.Reader([data], 5)
        found = []
        for member in reader:
            found.append((member.name, reader.take(1)))
        self.assertEqual([('a', b'a'), ('b', b'b')], found)

    def test_what_tarfile_writes_in_every_format(self):
        long_name = 'd' * 90 + '/' + 'n' * 150
        for form in (
            tarfile.USTAR_FORMAT,
            tarfile.GNU_FORMAT,
            tarfile.PAX_FORMAT,
        ):
            name = 'short' if form == tarfile.USTAR_FORMAT else long_name
            output = io.BytesIO()
            with tarfile.open(
                fileobj=output, mode='w', format=form
            ) as archive:
                info = tarfile.TarInfo(name)
                info.size = 3
                archive.addfile(info, io.BytesIO(b'abc'))
                link = tarfile.TarInfo('link')
                link.type, link.linkname = tarfile.SYMTYPE, name
                archive.addfile(link)
            (file, content), (link, _) = read(output.getvalue())
            self.assertEqual((name, b'abc'), (file.name, content))
            self.assertEqual(name, link.target)

    def test_size_of_a_pax_header_is_the_size(self):
        head = Member('p', b'9 size=5\n', type=tarfile.XHDTYPE).written()
        body = Member('a', b'12345', claim=0).written()
        ((member, content),) = read(head + body + archives.END)
        self.assertEqual((5, b'12345'), (member.size, content))

    def test_other_global_headers_do_not_matter(self):
        head = Member('g', b'13 comment=a\n', type=tarfile.XGLTYPE).written()
        self.assertEqual(['x'], names(head + archives.tar([Member('x')])))

    def test_padding_of_a_tape(self):
        data = archives.tar([Member('x')]) + b'\0' * 9000
        self.assertEqual(['x'], names(data))

    def test_number_of_members(self):
        data = archives.tar([Member('x')] * 51)
        self.assert_bad(data, '50')

    def test_ends_after_an_extended_header(self):
        head = Member('p', b'9 path=a\n', type=tarfile.XHDTYPE).written()
        self.assert_bad(head + archives.END, 'extended')

    def test_damaged_end(self):
        self.assert_bad(b'\0' * 512 + b'x' * 512, 'end')

    def test_pax_record_twice(self):
        body = b'11 path=ab\n11 path=cd\n'
        head = Member('p', body, type=tarfile.XHDTYPE).written()
        self.assert_bad(head + archives.tar([Member('x')]), 'twice')


class SafePathTestCase(base.BaseTestCase):
    def test_one_spelling(self):
        for path in ('a/b', './a/b', 'a//b', 'a/./b/'):
            self.assertEqual('a/b', tar_stream.safe_path(path))

    def test_others(self):
        for path in ('', '/a', '..', 'a/..', '../a', 'a/../b', 'a\0b', '//a'):
            self.assertRaises(
                compression.BadArchive, tar_stream.safe_path, path
            )


class HeaderTestCase(base.BaseTestCase):
    def test_what_a_tar_archive_begins_with(self):
        self.assertTrue(tar_stream.is_header(archives.good()))
        self.assertTrue(tar_stream.is_header(b'\0' * 512))

    def test_what_it_does_not_begin_with(self):
        for block in (b'', b'\0' * 511, b'x' * 512, b'{"a": 1}' * 64):
            self.assertFalse(tar_stream.is_header(block))


class WriterTestCase(base.BaseTestCase):
    def test_is_read_by_others(self):
        data = (
            tar_stream.header('1.tar', 3)
            + b'abc'
            + tar_stream.padding(3)
            + tar_stream.file('b', b'y' * 512)
            + tar_stream.END
        )
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            found = {
                info.name: archive.extractfile(info).read() for info in archive
            }
        self.assertEqual({'1.tar': b'abc', 'b': b'y' * 512}, found)

    def test_sizes_beyond_eight_gibibytes(self):
        size = 20 << 30
        header = tar_stream.header('1.tar', size)
        self.assertEqual(
            size, tarfile.TarInfo.frombuf(header, 'utf-8', 'strict').size
        )
        reader = tar_stream.Reader([header], 5)
        self.assertEqual(size, next(iter(reader)).size)
