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

"""Image files that an operator has put where hosts can read them.

Glance's own store of files is such a directory, mounted on a compute host.
Nothing in it is believed: a file has to be what Glance has recorded of the
image, or the image comes from Glance.
"""

from collections.abc import Iterator
import contextlib
import errno
import hashlib
import os
import stat
from typing import Any

from oslo_utils import uuidutils

from novadocker.virt.docker import download
from novadocker.virt.docker import transfer

# Bytes that are read at a time.
_CHUNK = 1 << 18

# A link could lead anywhere, and opening a pipe could last for ever.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@contextlib.contextmanager
def opened(
    directory: str, record: download.Record
) -> Iterator[Iterator[bytes]]:
    """Read an image from its file, which has the image's id as its name.

    Gives the data, to be iterated once; that raises ImageRejected at its end
    for data that are not what the record says. Everything here raises OSError
    for a file that cannot be used: FileNotFoundError if there is none.
    """
    if not uuidutils.is_uuid_like(record.image_id):
        raise OSError(errno.EINVAL, 'the image id is no name of a file')
    if not os.path.isdir(directory):
        raise NotADirectoryError(errno.ENOTDIR, 'it is no directory')
    path = os.path.join(directory, record.image_id)
    with open(path, 'rb', buffering=0, opener=_opener) as file:
        _check_file(file, record)
        hasher = _hasher(record)

        def read(target: transfer.Writable) -> None:
            while chunk := file.read(_CHUNK):
                target.write(chunk)
                hasher.update(chunk)
            if hasher.hexdigest() != record.hash_value:
                raise record.rejected(f'{path} has other data.')

        with transfer.produced(read) as chunks:
            yield chunks


def _hasher(record: download.Record) -> Any:
    if record.hash_algorithm is None:
        raise OSError(errno.EINVAL, 'Glance has no hash to hold it against')
    return hashlib.new(record.hash_algorithm)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | _FLAGS)


def _check_file(file: Any, record: download.Record) -> None:
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, 'it is no file')
    if found.st_size != record.size:
        # As while it is being copied.
        raise OSError(
            errno.EINVAL,
            f'it has {found.st_size} bytes, and {record.size} are expected',
        )
