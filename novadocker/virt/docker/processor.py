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

"""What the processors of this host can do, which is what servers' can."""

import collections
import dataclasses
import functools
import pathlib

import os_traits

_CPUINFO = pathlib.Path('/proc/cpuinfo')

# By the names that the kernel gives them. What only a hypervisor can
# make use of, such as vmx and svm, is not for containers, which have no
# /dev/kvm.
_X86 = {
    '3dnow': '3DNOW',
    'abm': 'ABM',
    'aes': 'AESNI',
    'amx_bf16': 'AMXBF16',
    'amx_int8': 'AMXINT8',
    'amx_tile': 'AMXTILE',
    'avx': 'AVX',
    'avx2': 'AVX2',
    'avx512_bitalg': 'AVX512BITALG',
    'avx512_vbmi2': 'AVX512VBMI2',
    'avx512_vnni': 'AVX512VNNI',
    'avx512_vpopcntdq': 'AVX512VPOPCNTDQ',
    'avx512bw': 'AVX512BW',
    'avx512cd': 'AVX512CD',
    'avx512dq': 'AVX512DQ',
    'avx512er': 'AVX512ER',
    'avx512f': 'AVX512F',
    'avx512ifma': 'AVX512IFMA',
    'avx512pf': 'AVX512PF',
    'avx512vbmi': 'AVX512VBMI',
    'avx512vl': 'AVX512VL',
    'bmi1': 'BMI',
    'bmi2': 'BMI2',
    'f16c': 'F16C',
    'fma': 'FMA3',
    'fma4': 'FMA4',
    'gfni': 'AVX512GFNI',
    'mmx': 'MMX',
    'mpx': 'MPX',
    'pclmulqdq': 'CLMUL',
    'pni': 'SSE3',
    'sha_ni': 'SHA',
    'sse': 'SSE',
    'sse2': 'SSE2',
    'sse4_1': 'SSE41',
    'sse4_2': 'SSE42',
    'sse4a': 'SSE4A',
    'ssse3': 'SSSE3',
    'tbm': 'TBM',
    'vaes': 'AVX512VAES',
    'vpclmulqdq': 'AVX512VPCLMULQDQ',
    'xop': 'XOP',
}
_TRAITS = {flag: f'HW_CPU_X86_{name}' for flag, name in _X86.items()}
# Those of ARM have the names that the kernel gives them.
_ARM = 'HW_CPU_AARCH64_'


@dataclasses.dataclass(frozen=True)
class Processors:
    """Those of a host, of which a server may get any.

    :ivar flags: what each of them has, by the kernel's names
    :ivar threads: whether a core runs several threads at a time
    """

    flags: frozenset[str] = frozenset()
    threads: bool = False


@functools.cache
def processors() -> Processors:
    """Those of this host."""
    found = collections.defaultdict(list)
    for line in _CPUINFO.read_text().splitlines():
        name, _, value = line.partition(':')
        found[name.strip()].append(value.strip())
    flags = [
        frozenset(value.split())
        # ARM calls them so.
        for value in found['flags'] or found['Features']
    ]
    return Processors(
        frozenset.intersection(*flags) if flags else frozenset(),
        # Of a package; without them a core is a thread.
        found['siblings'] != found['cpu cores'],
    )


def traits(architecture: str, found: Processors) -> set[str]:
    """The traits of a host, of those that the installed library knows.

    :param architecture: in Nova's words
    """
    if architecture == 'aarch64':
        named = {_ARM + flag.upper() for flag in found.flags}
    else:
        named = {_TRAITS[flag] for flag in found.flags & _TRAITS.keys()}
    named.add(f'HW_ARCH_{architecture.upper()}')
    if found.threads:
        named.add(os_traits.HW_CPU_HYPERTHREADING)
    return named & set(os_traits.get_traits())


@functools.cache
def ours() -> frozenset[str]:
    """All traits that this module decides on, whether a host has them."""
    return frozenset(
        {os_traits.HW_CPU_HYPERTHREADING}.union(
            _TRAITS.values(),
            os_traits.get_traits(prefix=_ARM),
            os_traits.get_traits(prefix='HW_ARCH_'),
        )
    )
