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

"""The image of the sandbox, made from nothing.

A sandbox needs one process that holds its namespaces and ends when told to.
The program is small enough to be written down here, so that a host needs no
registry, no compiler and no package for it. In C it would be::

    sigset_t set = {SIGTERM, SIGINT};
    sigprocmask(SIG_BLOCK, &set, NULL);
    while (sigtimedwait(&set, NULL, NULL) < 0)
        ;
    _exit(0);

A signal without a handler does not reach the first process of a pid
namespace, but one that is blocked stays pending, and is waited for. Children
do not need to be reaped: the pid namespace is the sandbox's own, and the image
has no other program.
"""

from collections.abc import Mapping
import dataclasses
import functools
import hashlib
import io
import json
import struct
import tarfile
from typing import Any

from novadocker import exception
from novadocker.virt.docker import naming

_BASE = 0x400000
_PAGE = 0x10000  # the largest page that aarch64 kernels use
_ELF_HEADER = struct.Struct('<4sBBBBB7xHHIQQQIHHHHHH')
_PROGRAM_HEADER = struct.Struct('<IIQQQQQQ')
_LOAD, _READ_EXECUTE = 1, 5

# SIGINT and SIGTERM, as the kernel's set of signals: bit n - 1 for signal n
_SIGNALS = struct.pack('<Q', 1 << (2 - 1) | 1 << (15 - 1))

_X86_64 = bytes.fromhex(
    'b80e000000'  # mov eax, 14         rt_sigprocmask
    '31ff'  # xor edi, edi              SIG_BLOCK
    '488d3532000000'  # lea rsi, [set]
    '31d2'  # xor edx, edx
    '41ba08000000'  # mov r10d, 8       bytes in a set
    '0f05'  # syscall
    'b880000000'  # wait: mov eax, 128  rt_sigtimedwait
    '488d3d1c000000'  # lea rdi, [set]
    '31f6'  # xor esi, esi
    '31d2'  # xor edx, edx
    '41ba08000000'  # mov r10d, 8
    '0f05'  # syscall
    '85c0'  # test eax, eax
    '78e4'  # js wait                   EINTR, as after a stop and continue
    'b8e7000000'  # mov eax, 231        exit_group
    '31ff'  # xor edi, edi
    '0f05'  # syscall
    '0f1f00'  # nop                     aligns the set
)
_AARCH64 = bytes.fromhex(
    '000080d2'  # mov x0, #0            SIG_BLOCK
    '21020010'  # adr x1, set
    '020080d2'  # mov x2, #0
    '030180d2'  # mov x3, #8            bytes in a set
    'e81080d2'  # mov x8, #135          rt_sigprocmask
    '010000d4'  # svc #0
    '80010010'  # wait: adr x0, set
    '010080d2'  # mov x1, #0
    '020080d2'  # mov x2, #0
    '030180d2'  # mov x3, #8
    '281180d2'  # mov x8, #137          rt_sigtimedwait
    '010000d4'  # svc #0
    '1f000071'  # cmp w0, #0
    '2bffff54'  # b.lt wait             EINTR, as after a stop and continue
    '000080d2'  # mov x0, #0
    'c80b80d2'  # mov x8, #94           exit_group
    '010000d4'  # svc #0
    '1f2003d5'  # nop                   aligns the set
)


@dataclasses.dataclass(frozen=True)
class _Machine:
    """What differs between processors.

    :ivar elf: the number of the architecture in an ELF header
    :ivar oci: its name in an image
    """

    elf: int
    oci: str
    code: bytes


_MACHINES: Mapping[str, _Machine] = {
    'x86_64': _Machine(62, 'amd64', _X86_64),
    'aarch64': _Machine(183, 'arm64', _AARCH64),
}


@dataclasses.dataclass(frozen=True)
class SandboxImage:
    """An image ready to be loaded.

    :ivar id: the digest of its configuration, by which the engine knows it
    :ivar reference: the tag that keeps it from being pruned as dangling
    """

    id: str
    reference: str
    archive: bytes


def program(architecture: str) -> bytes:
    """The program as an ELF executable.

    :param architecture: as the engine and `uname -m` name it
    :raises: EngineNotSupported for one that has no program
    """
    machine = _MACHINES.get(architecture)
    if machine is None:
        raise exception.EngineNotSupported(
            reason=f'its architecture is {architecture}, supported are '
            + ' and '.join(_MACHINES)
        )
    code = machine.code + _SIGNALS
    start = _ELF_HEADER.size + _PROGRAM_HEADER.size
    size = start + len(code)
    header = _ELF_HEADER.pack(
        b'\x7fELF', 2, 1, 1, 0, 0,  # 64 bits, little endian
        2, machine.elf, 1,  # an executable
        _BASE + start, _ELF_HEADER.size, 0, 0,
        _ELF_HEADER.size, _PROGRAM_HEADER.size, 1, 0, 0, 0,
    )  # fmt: skip
    segment = _PROGRAM_HEADER.pack(
        _LOAD, _READ_EXECUTE, 0, _BASE, _BASE, size, size, _PAGE
    )
    return header + segment + code


@functools.cache
def sandbox_image(architecture: str) -> SandboxImage:
    """Make the image; the same bytes on every host and at any time.

    :raises: EngineNotSupported for an architecture that has no program
    """
    layer = _tar({'pause': program(architecture)})
    config = _json(
        {
            'architecture': _MACHINES[architecture].oci,
            'config': {'Entrypoint': ['/pause']},
            'created': '1970-01-01T00:00:00Z',
            'os': 'linux',
            'rootfs': {'diff_ids': [_digest(layer)], 'type': 'layers'},
        }
    )
    image_id = _digest(config)
    name = image_id.removeprefix('sha256:')
    reference = f'{naming.SANDBOX_REPOSITORY}:{name[:12]}'
    manifest = _json(
        [
            {
                'Config': f'{name}.json',
                'Layers': ['layer.tar'],
                'RepoTags': [reference],
            }
        ]
    )
    archive = _tar(
        {
            f'{name}.json': config,
            'layer.tar': layer,
            'manifest.json': manifest,
        }
    )
    return SandboxImage(image_id, reference, archive)


def _digest(content: bytes) -> str:
    return 'sha256:' + hashlib.sha256(content).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _tar(members: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w', format=tarfile.PAX_FORMAT) as (
        tar
    ):
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o555
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()
