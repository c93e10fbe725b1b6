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
import functools
import hashlib
from typing import Any

from cryptography import exceptions as crypto_exceptions
from nova import exception as nova_exception

from novadocker import exception
from novadocker.virt.docker import transfer


@dataclasses.dataclass(frozen=True)
class Data:
    """The data of an image.

    :ivar chunks: to be iterated once; raises ImageRejected for data that are
        not what the record says, GlanceConnectionFailed, and Glance's errors
    :ivar size: bytes that there will be; None if it is not known
    """

    chunks: Iterator[bytes]
    size: int | None


@dataclasses.dataclass(frozen=True)
class _Record:
    """What Glance has noted of an image's data when they were uploaded.

    :ivar size: bytes; None if it is not known
    """

    size: int | None
    hash_algorithm: str | None
    hash_value: str | None


@contextlib.contextmanager
def opened(
    image_api: Any, context: Any, image_id: str, trusted_certs: Any
) -> Iterator[Data]:
    """Download an image, in a thread that ends with the context.

    :raises: Glance's errors
    """
    record = _record(image_api.get(context, image_id))
    with transfer.produced(
        lambda target: image_api.download(
            context,
            image_id,
            # Written to a file, for only then does Nova verify a signature
            # and still hand the bytes out.
            data=target,
            trusted_certs=trusted_certs,
        )
    ) as chunks:
        yield Data(_verified(chunks, record, image_id), record.size)


def _record(found: Any) -> _Record:
    return _Record(
        size=found.get('size') or None,
        hash_algorithm=found.get('os_hash_algo'),
        hash_value=found.get('os_hash_value'),
    )


def _verified(
    chunks: Iterator[bytes], record: _Record, image_id: str
) -> Iterator[bytes]:
    """Pass a download on, and fail at its end if it is not as recorded."""
    rejected = functools.partial(exception.ImageRejected, image_id=image_id)
    algorithm = record.hash_algorithm if record.hash_value else None
    if algorithm and algorithm not in hashlib.algorithms_available:
        raise rejected(reason=f'its hash algorithm {algorithm} is unknown.')
    hasher = hashlib.new(algorithm) if algorithm else None
    size = 0
    try:
        for chunk in chunks:
            size += len(chunk)
            if hasher is not None:
                hasher.update(chunk)
            yield chunk
    except OSError as exc:
        # Glance's client raises it both for a connection that breaks and
        # for data that are not those that it was promised.
        if size != record.size:
            raise nova_exception.GlanceConnectionFailed(
                server='of this cloud', reason=exc
            ) from exc
        raise rejected(reason=f'its data are damaged: {exc}.') from exc
    except crypto_exceptions.InvalidSignature as exc:
        raise rejected(reason='its signature is of other data.') from exc
    if record.size is not None and size != record.size:
        raise rejected(
            reason=f'Glance has {size} bytes of it instead of {record.size}: '
            'upload it again.'
        )
    if hasher is not None and hasher.hexdigest() != record.hash_value:
        raise rejected(
            reason='its data in Glance are damaged, they do not have the '
            f'{algorithm} that was recorded: upload it again.'
        )
