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


"""The data of a Glance image, as they come, held against its record.

Glance's client verifies the hash that Glance has recorded, and Nova's a
signature. What they find comes at the end of the data, in place of it, as an
error that says whether another try can help.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import hashlib
from typing import Any

from cryptography import exceptions as crypto_exceptions
from nova import exception as nova_exception

from novadocker import exception
from novadocker.virt.docker import transfer


@dataclasses.dataclass(frozen=True)
class Record:
    """What Glance has noted of an image's data when they were uploaded.

    :ivar size: bytes; None if it is not known
    :ivar hash_value: of all the data; None if there is none
    """

    image_id: str
    size: int | None
    hash_algorithm: str | None
    hash_value: str | None

    def rejected(self, reason: str) -> exception.ImageRejected:
        return exception.ImageRejected(image_id=self.image_id, reason=reason)


def record(image_api: Any, context: Any, image_id: str) -> Record:
    """Ask Glance for an image's record.

    :raises: ImageRejected for one by which no data can be verified, Glance's
        errors
    """
    found = image_api.get(context, image_id)
    hash_value = found.get('os_hash_value')
    read = Record(
        image_id=image_id,
        size=found.get('size') or None,
        hash_algorithm=found.get('os_hash_algo') if hash_value else None,
        hash_value=hash_value,
    )
    algorithm = read.hash_algorithm
    if algorithm and algorithm not in hashlib.algorithms_available:
        raise read.rejected(f'its hash algorithm {algorithm} is unknown.')
    return read


@contextlib.contextmanager
def opened(
    image_api: Any, context: Any, record: Record, trusted_certs: Any
) -> Iterator[Iterator[bytes]]:
    """Download an image, in a thread that ends with the context.

    Gives the data, to be iterated once; that raises ImageRejected for data
    that are not what the record says, GlanceConnectionFailed, and Glance's
    errors.
    """
    with transfer.produced(
        lambda target: image_api.download(
            context,
            record.image_id,
            # Written to a file, for only then does Nova verify a signature
            # and still hand the bytes out.
            data=target,
            trusted_certs=trusted_certs,
        )
    ) as chunks:
        yield _verified(chunks, record)


def _verified(chunks: Iterator[bytes], record: Record) -> Iterator[bytes]:
    """Pass a download on, and fail at its end if it is not as recorded.

    The hash is not computed again: it would cost as much as everything else
    that is done with the bytes here.
    """
    size = 0
    try:
        for chunk in chunks:
            size += len(chunk)
            yield chunk
    except OSError as exc:
        # Glance's client raises it both for a connection that breaks and
        # for data that are not those that it was promised.
        if size != record.size:
            raise nova_exception.GlanceConnectionFailed(
                server='of this cloud', reason=exc
            ) from exc
        raise record.rejected(
            f'its data in Glance are damaged, upload it again: {exc}.'
        ) from exc
    except crypto_exceptions.InvalidSignature as exc:
        raise record.rejected('its signature is of other data.') from exc
    if record.size is not None and size != record.size:
        raise record.rejected(
            f'Glance has {size} bytes of it instead of {record.size}: '
            'upload it again.'
        )
