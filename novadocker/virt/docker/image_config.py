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


"""The JSON inside an image archive, read strictly.

The engine takes keys in any case and the last of several equal ones, so that
one text can say different things to it and to us. Such a text is refused:
what is checked here is what the engine will act on.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import hashlib
import json
import re
from typing import Any

from novadocker.virt.docker import compression
from novadocker.virt.docker import naming

_DIGEST = re.compile(r'sha256:[0-9a-f]{64}')

# Keys that decide something here; in no other spelling may they occur.
_CONFIG_KEYS = ('architecture', 'os', 'config', 'rootfs')
_ROOTFS_KEYS = ('type', 'diff_ids')
_RUN_KEYS = ('Entrypoint', 'Cmd', 'Labels', 'Volumes')

# Of a container's configuration: what belongs to the machine it ran on.
_OF_THE_HOST = (
    'AttachStderr',
    'AttachStdin',
    'AttachStdout',
    'Domainname',
    'Hostname',
    'Image',
    'MacAddress',
    'NetworkDisabled',
    'OpenStdin',
    'StdinOnce',
    'Tty',
)

# Bytes of a JSON text; parsed, it takes up to fifty times as much.
_MAX_JSON = 1 << 20

# What goes by other names in Go, by `uname -m`.
_ARCHITECTURES = {
    'x86_64': 'amd64',
    'aarch64': 'arm64',
    'armv6l': 'arm',
    'armv7l': 'arm',
    'i386': '386',
    'i686': '386',
}

Json = Mapping[str, Any]


def architecture_of(machine: str) -> str:
    """The name that images have for what ``uname -m`` says."""
    return _ARCHITECTURES.get(machine, machine)


def digest(content: bytes) -> str:
    return 'sha256:' + hashlib.sha256(content).hexdigest()


@dataclasses.dataclass(frozen=True)
class Config:
    """What an image says of itself.

    :ivar diff_ids: digests of its layers, uncompressed, lowest first
    """

    architecture: str
    os: str
    diff_ids: tuple[str, ...]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    labels: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Which members of an archive make the image."""

    config: str
    layers: tuple[str, ...]


def parse(content: bytes, what: str) -> Any:
    """:raises: BadArchive for what is no JSON, or no unambiguous one"""
    if len(content) > _MAX_JSON:
        raise compression.BadArchive(
            f'its {what} has {len(content)} bytes, more than {_MAX_JSON}'
        )
    try:
        return json.loads(
            content.decode('utf-8'),
            object_pairs_hook=_object(what),
            parse_constant=_no_number,
        )
    except compression.BadArchive:
        raise
    except (ValueError, RecursionError) as exc:
        raise compression.BadArchive(f'its {what} is no valid JSON') from exc


def _object(what: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) != len(pairs):
            raise compression.BadArchive(f'its {what} says a thing twice')
        return built

    return build


def _no_number(text: str) -> None:
    raise ValueError(f'{text} is no number in JSON')


def mapping(value: Any, what: str, keys: tuple[str, ...]) -> Json:
    if not isinstance(value, dict):
        raise compression.BadArchive(f'its {what} is no JSON object')
    folded = {key.casefold() for key in keys}
    for key in value:
        if key.casefold() in folded and key not in keys:
            raise compression.BadArchive(
                f'its {what} has the key {ascii(key)}, which is ambiguous'
            )
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise compression.BadArchive(f'its {what} is missing or no text')
    return value


def _texts(value: Any, what: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(
        isinstance(item, str) for item in value
    ):
        raise compression.BadArchive(f'its {what} is no list of texts')
    return tuple(value)


def as_digest(value: Any, what: str) -> str:
    """:raises: BadArchive"""
    text = _text(value, what)
    if not _DIGEST.fullmatch(text):
        raise compression.BadArchive(f'its {what} is no sha256 digest')
    return text


def parse_config(content: bytes) -> Config:
    """:raises: BadArchive"""
    found = mapping(parse(content, 'config'), 'config', _CONFIG_KEYS)
    rootfs = mapping(found.get('rootfs'), 'config.rootfs', _ROOTFS_KEYS)
    if rootfs.get('type') != 'layers':
        raise compression.BadArchive('its config.rootfs is not of layers')
    run = mapping(found.get('config') or {}, 'config.config', _RUN_KEYS)
    labels = run.get('Labels') or {}
    if not isinstance(labels, dict) or not all(
        isinstance(value, str) for value in labels.values()
    ):
        raise compression.BadArchive('its labels are no texts')
    return Config(
        architecture=_text(found.get('architecture'), 'architecture'),
        os=_text(found.get('os'), 'operating system'),
        diff_ids=tuple(
            as_digest(item, 'diff_id')
            for item in _texts(rootfs.get('diff_ids'), 'list of diff_ids')
        ),
        entrypoint=_texts(run.get('Entrypoint'), 'Entrypoint'),
        command=_texts(run.get('Cmd'), 'Cmd'),
        labels=labels,
    )


def parse_manifest(content: bytes) -> Manifest:
    """The manifest.json of `docker save`.

    :raises: BadArchive, also if it names not exactly one image
    """
    found = parse(content, 'manifest.json')
    if not isinstance(found, list):
        raise compression.BadArchive('its manifest.json is no list')
    if len(found) != 1:
        raise compression.BadArchive(
            f'it holds {len(found)} images{_named(found)} where one is '
            'expected: save one image alone'
        )
    entry = mapping(found[0], 'manifest.json', ())
    return Manifest(
        config=_text(entry.get('Config'), 'manifest.json: Config'),
        layers=_texts(entry.get('Layers'), 'manifest.json: Layers'),
    )


def _named(entries: list[Any]) -> str:
    tags = [
        tag
        for entry in entries
        if isinstance(entry, dict)
        for tag in entry.get('RepoTags') or ()
        if isinstance(tag, str)
    ]
    shown = ', '.join(ascii(tag[:60]) for tag in tags[:3])
    return f' ({shown})' if shown else ''


def manifest_json(config: str, layers: list[str], reference: str) -> bytes:
    """A manifest.json for one image, of one name or of none."""
    tags = [reference] if reference else None
    entry = {'Config': config, 'RepoTags': tags, 'Layers': layers}
    return json.dumps([entry]).encode()


def cleaned(content: bytes, run: Json) -> bytes:
    """A committed image's config, with nothing of the server's host in it.

    :param run: what the image below says how to run it, which takes the
        place of what the driver had the server run with
    """
    config = dict(parse(content, 'config'))
    # Older engines keep the whole container in here.
    for key in ('container', 'container_config'):
        config.pop(key, None)
    kept = {key: run[key] for key in run if key not in _OF_THE_HOST}
    labels = {
        key: value
        for key, value in (kept.get('Labels') or {}).items()
        if not naming.is_our_label(key)
    }
    config['config'] = {**kept, 'Labels': labels or None}
    history = [dict(entry) for entry in config.get('history') or ()]
    if history:
        history[-1]['created_by'] = 'openstack server image create'
        config['history'] = history
    return json.dumps(config, separators=(',', ':')).encode()


def labelled(content: bytes, labels: Mapping[str, str]) -> bytes:
    """A config with these labels, whatever else it has."""
    config = dict(parse(content, 'config'))
    run = dict(config.get('config') or {})
    run['Labels'] = {**(run.get('Labels') or {}), **labels}
    config['config'] = run
    return json.dumps(config, separators=(',', ':')).encode()


def without_volumes(content: bytes) -> bytes:
    """A config whose image keeps all data in its root file system.

    The engine would put a volume's data beside that, where no snapshot finds
    them. A config that names no volume stays the same to the byte, and its
    image keeps its id.
    """
    config = parse(content, 'config')
    run = config.get('config') or {}
    if not run.get('Volumes'):
        return content
    kept = {key: run[key] for key in run if key != 'Volumes'}
    return json.dumps({**config, 'config': kept}).encode()


def of_root_file_system(
    architecture: str, diff_id: str, command: tuple[str, ...]
) -> bytes:
    """The config of an image that is one layer and nothing else."""
    config = {
        'architecture': architecture,
        'os': 'linux',
        # The same file has to become the same image, whenever it is loaded.
        'created': '1970-01-01T00:00:00Z',
        'config': {'Cmd': list(command)},
        'rootfs': {'type': 'layers', 'diff_ids': [diff_id]},
        'history': [{'created': '1970-01-01T00:00:00Z'}],
    }
    return json.dumps(config, separators=(',', ':')).encode()
