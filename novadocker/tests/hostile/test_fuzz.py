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

"""The filter against archives that a machine makes up.

Each is refused, or what comes out is one image without a name, made of what
its config has the digests of. By default always the same ones, in some
seconds. NOVADOCKER_FUZZ_SECONDS looks for new ones, for about that long.
"""

import bz2
from collections.abc import Callable
import gzip
import json
import lzma
import os
import tarfile
import time
import tracemalloc
from typing import Any

import hypothesis
from hypothesis import strategies
from oslotest import base
import zstandard

from novadocker import exception
from novadocker.tests.fixtures import archives
from novadocker.tests.fixtures import streams
from novadocker.virt.docker import archive
from novadocker.virt.docker import compression
from novadocker.virt.docker import image_config
from novadocker.virt.docker import tar_stream

_SECONDS = int(os.environ.get('NOVADOCKER_FUZZ_SECONDS', '0'))
_EXAMPLES = 250
_LONG_EXAMPLES = 2000

# Bytes that the filter may hold for an archive of some kilobytes.
_MEMORY = 4 << 20

_LIMITS = archive.Limits(size=1 << 20, unpacked=1 << 20, members=40, layers=8)

_PACKERS: tuple[Callable[[bytes], bytes], ...] = (
    bytes,
    lambda data: gzip.compress(data, 1, mtime=0),
    bz2.compress,
    lambda data: lzma.compress(data, preset=0),
    zstandard.compress,
)
_SEEDS = (
    archives.good(),
    archives.tar(archives.oci()),
    archives.tar(archives.oci(also_docker=True)),
    archives.tar(
        archives.oci(
            packed=_PACKERS[1], platforms=(archives.ARCHITECTURE, 'mips')
        )
    ),
    archives.root_file_system(),
)

# Changes of bytes: a place and how many, as parts of a whole, and what comes
# there.
_places = strategies.integers(0, 1 << 16)
_edits = strategies.lists(
    strategies.tuples(
        _places,
        strategies.sampled_from((0, 1, 2, 8, 155, 512, 1024, 5120)),
        strategies.one_of(
            strategies.binary(max_size=16),
            strategies.sampled_from(
                (b'\0' * 512, b'\xff' * 8, b'..', b'/', b'"', b'7777777')
            ),
            # Or bytes of another place.
            _places,
        ),
    ),
    max_size=4,
)

_names = strategies.one_of(
    strategies.sampled_from(
        (
            'manifest.json',
            'index.json',
            'MANIFEST.JSON',
            './manifest.json',
            'repositories',
            'a/layer.tar',
            'b/layer.tar',
            'config.json',
            'blobs/sha256/' + archives.digest(archives.LAYERS[0]),
            archives.digest(archives.config()) + '.json',
            '..',
            '/etc/passwd',
            'etc/passwd',
        )
    ),
    strategies.text(max_size=8),
)
_types = strategies.sampled_from(
    (
        tarfile.REGTYPE,
        tarfile.REGTYPE,
        tarfile.REGTYPE,
        tarfile.AREGTYPE,
        tarfile.DIRTYPE,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.GNUTYPE_SPARSE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
    )
)
# Of what JSON an image is made, and what else there may be in its place.
_digests = strategies.sampled_from(
    [f'sha256:{archives.digest(one)}' for one in archives.LAYERS]
    + [f'sha256:{archives.digest(archives.config())}', 'sha256:', 'md5:0']
)
_values: Any = strategies.recursive(
    strategies.one_of(
        strategies.none(),
        strategies.booleans(),
        strategies.integers(),
        strategies.floats(allow_nan=False, allow_infinity=False),
        strategies.text(max_size=8),
        _names,
        _digests,
    ),
    lambda inner: strategies.one_of(
        strategies.lists(inner, max_size=3),
        strategies.dictionaries(
            strategies.sampled_from(
                'Config RepoTags Layers config rootfs type diff_ids Rootfs '
                'os architecture Labels Cmd Entrypoint manifests digest '
                'platform layers schemaVersion annotations'.split()
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@strategies.composite
def _documents(draw: Any) -> bytes:
    """A manifest, an index or a config, with some values changed."""
    value = json.loads(
        draw(
            strategies.sampled_from(
                (
                    archives.config(),
                    archives.manifest('config.json', ['a/layer.tar']),
                    archives.config(archives.LAYERS[:1]),
                    *(
                        one.content
                        for one in archives.oci()
                        if one.content.startswith(b'{')
                    ),
                )
            )
        )
    )
    for _ in range(draw(strategies.integers(0, 2))):
        value = _replaced(draw, value)
    return json.dumps(value).encode('utf-8', 'surrogatepass')


def _replaced(draw: Any, value: Any) -> Any:
    """A value with another somewhere inside."""
    if isinstance(value, dict) and value:
        key = draw(strategies.sampled_from(sorted(value)))
        return {**value, key: _replaced(draw, value[key])}
    if isinstance(value, list) and value:
        place = draw(strategies.integers(0, len(value) - 1))
        return [
            *value[:place],
            _replaced(draw, value[place]),
            *value[place + 1 :],
        ]
    return draw(_values)


_members = strategies.builds(
    archives.Member,
    name=_names,
    content=strategies.one_of(
        _documents(),
        strategies.sampled_from(archives.LAYERS),
        strategies.sampled_from(archives.LAYERS).map(_PACKERS[1]),
        strategies.binary(max_size=40),
    ),
    type=_types,
    link=_names.filter(lambda name: '\0' not in name),
    claim=strategies.one_of(
        strategies.none(),
        strategies.none(),
        strategies.integers(-5, 1 << 40),
    ),
    pax=strategies.lists(
        strategies.tuples(
            strategies.sampled_from(
                ('path', 'size', 'linkpath', 'GNU.sparse.size', 'mtime')
            ),
            strategies.text(max_size=8),
        ),
        max_size=1,
    ).map(tuple),
)


def _look(data: bytes, limits: archive.Limits = _LIMITS) -> bool:
    """Let the filter have it; tells whether it was taken."""
    tracemalloc.start()
    try:
        output, image = streams.filtered(data, 4096, limits=limits)
    except exception.ImageRejected:
        return False
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < _MEMORY + 3 * len(data), peak
    _check(output, image)
    return True


def _check(output: bytes, image: archive.Image) -> None:
    found = streams.contents(output)
    (entry,) = json.loads(found['manifest.json'])
    assert entry['RepoTags'] is None
    assert streams.VICTIM not in found['manifest.json']
    assert entry['Config'] == image.id.removeprefix('sha256:') + '.json'
    assert image_config.digest(found[entry['Config']]) == image.id
    assert all('/' not in name and '..' not in name for name in found)
    plain = [
        b''.join(compression.expanded([found[name]]))
        for name in entry['Layers']
    ]
    assert image_config.parse_config(image.config).diff_ids == tuple(
        map(image_config.digest, plain)
    )
    assert all(map(tar_stream.is_header, plain))


def _fuzz(test: Callable[[Any], None], strategy: Any) -> None:
    """Run a test with many values; new ones, if there is time for it."""
    end = time.monotonic() + _SECONDS / 2
    while True:
        settings = hypothesis.settings(
            max_examples=_LONG_EXAMPLES if _SECONDS else _EXAMPLES,
            derandomize=not _SECONDS,
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        settings(hypothesis.given(strategy)(test))()
        if time.monotonic() >= end:
            return


class FuzzTestCase(base.BaseTestCase):
    def test_changed_bytes(self):
        taken = []

        def look(case):
            seed, edits, pack, inside = case
            data = seed if inside else pack(seed)
            for place, count, by in edits:
                at = place * len(data) >> 16
                if isinstance(by, int):
                    by = data[by * len(data) >> 16 :][:count]
                data = data[:at] + by + data[at + count :]
            taken.append(_look(pack(data) if inside else data))

        _fuzz(
            look,
            strategies.tuples(
                strategies.sampled_from(_SEEDS),
                _edits,
                strategies.sampled_from(_PACKERS),
                strategies.booleans(),
            ),
        )
        self.assertIn(True, taken)
        self.assertIn(False, taken)

    def test_made_up_members(self):
        taken = []

        def look(members):
            made = []
            for one in members:
                try:
                    made.append(one.written())
                except ValueError:
                    # What cannot be written is no attack.
                    continue
            taken.append(_look(b''.join(made) + archives.END))

        good = [one for one in archives.saved() if one.content]
        _fuzz(
            look,
            strategies.lists(
                strategies.one_of(_members, strategies.sampled_from(good)),
                max_size=8,
            ),
        )
        self.assertIn(False, taken)

    def test_changed_documents(self):
        """Good layers, and all that says what they are in doubt."""
        taken = []

        def look(case):
            config, manifest, index = case
            name = archives.digest(config) + '.json'
            manifest = manifest.replace(b'config.json', name.encode())
            members = [archives.Member('a/layer.tar', archives.LAYERS[0])]
            members.append(archives.Member(name, config))
            members.append(archives.Member('manifest.json', manifest))
            if index:
                members += [
                    one for one in archives.oci() if one.name != 'index.json'
                ]
                members.append(archives.Member('index.json', index))
            taken.append(_look(archives.tar(members)))

        _fuzz(
            look,
            strategies.tuples(
                strategies.one_of(
                    _documents(),
                    strategies.just(archives.config(archives.LAYERS[:1])),
                ),
                strategies.one_of(
                    _documents(),
                    strategies.just(
                        archives.manifest('config.json', ['a/layer.tar'])
                    ),
                ),
                strategies.one_of(strategies.just(b''), _documents()),
            ),
        )
        self.assertIn(True, taken)
        self.assertIn(False, taken)
