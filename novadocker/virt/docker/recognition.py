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


"""What a stream is, by its first bytes."""

from collections.abc import Iterator
import itertools

from novadocker.virt.docker import compression
from novadocker.virt.docker import tar_stream

# Bytes by which the kind of an archive is told.
HEAD = 1 << 16
# Compressed bytes in which those must have come. A block of bzip2 has to be
# there as a whole.
_MAX_SILENCE = 1 << 22

# What is at the top of a root file system, and never of an image archive.
_ROOT_NAMES = frozenset(
    '.dockerenv bin boot dev etc home lib lib32 lib64 libx32 lost+found media '
    'mnt opt proc root run sbin srv sys tmp usr var'.split()
)
# What people upload instead, by the bytes at a place.
_MISTAKES = (
    (0, b'QFI\xfb', 'a qcow2 disk image'),
    (0, b'KDMV', 'a VMDK disk image'),
    (0, b'vhdxfile', 'a VHDX disk image'),
    (0, b'conectix', 'a VHD disk image'),
    (64, b'\x7f\x10\xda\xbe', 'a VDI disk image'),
    (0, b'hsqs', 'a squashfs file system'),
    (0, b'PK\x03\x04', 'a zip archive'),
    (0, b'\x7fELF', 'a program'),
    (0x8001, b'CD001', 'an ISO 9660 image'),
    (0x438, b'\x53\xef', 'an ext4 file system'),
    (510, b'\x55\xaa', 'a disk image'),
)


def peek(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes of what a stream expands to, and the stream again."""
    read: list[bytes] = []

    def recorded() -> Iterator[bytes]:
        size = 0
        for chunk in chunks:
            read.append(chunk)
            size += len(chunk)
            if size > _MAX_SILENCE:
                raise compression.BadArchive('it does not begin')
            yield chunk

    head = b''
    for piece in compression.expanded(recorded()):
        head += piece
        if len(head) >= HEAD:
            break
    # In one piece: what is to be told by the first bytes must be in there.
    return head, itertools.chain((b''.join(read),), chunks)


def is_root_file_system(head: bytes) -> bool:
    """Whether a tar archive that begins so has the files of a system."""
    return _first_name(head).partition('/')[0] in _ROOT_NAMES


def _first_name(head: bytes) -> str:
    """The name of the first member that is not the root directory itself."""
    try:
        for member in tar_stream.Reader((head,), len(head)):
            if member.name != '.':
                return member.name
    except compression.BadArchive:
        # The reader of the whole archive will say it at its place.
        pass
    return ''


def described(head: bytes) -> str:
    """What something is that is no tar archive, in words for a user."""
    if not head:
        return 'empty'
    for place, magic, what in _MISTAKES:
        if head.startswith(magic, place):
            return what
    try:
        text = head[:1024].decode('utf-8', 'strict')
    except UnicodeDecodeError:
        return 'no tar archive'
    if text.lstrip().startswith('{'):
        return 'a JSON text, such as the manifest of an image alone'
    return 'a text' if text.isprintable() or '\n' in text else 'no tar archive'
