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

import pathlib

import fixtures
import os_traits
from oslotest import base

from novadocker.virt.docker import processor

X86 = """\
processor\t: 0
model name\t: AMD EPYC
siblings\t: 4
cpu cores\t: 2
flags\t\t: fpu sse sse2 pni svm avx
bugs\t\t: spectre_v1

processor\t: 1
model name\t: AMD EPYC
siblings\t: 4
cpu cores\t: 2
flags\t\t: fpu sse sse2 pni svm
bugs\t\t: spectre_v1
"""
ARM = """\
processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd aes crc32 cpuid flagm
CPU implementer\t: 0x41
"""


class ProcessorsTestCase(base.BaseTestCase):
    def processors(self, text):
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).join('info'))
        path.write_text(text)
        processor.processors.cache_clear()
        self.addCleanup(processor.processors.cache_clear)
        with fixtures.MockPatchObject(processor, '_CPUINFO', path):
            return processor.processors()

    def test_a_server_may_run_on_any_processor(self):
        self.assertEqual(
            {'fpu', 'sse', 'sse2', 'pni', 'svm'}, self.processors(X86).flags
        )

    def test_threads_are_more_than_cores(self):
        self.assertTrue(self.processors(X86).threads)
        alone = X86.replace('siblings\t: 4', 'siblings\t: 2')
        self.assertFalse(self.processors(alone).threads)

    def test_arm_calls_them_features(self):
        found = self.processors(ARM)
        self.assertIn('asimd', found.flags)
        self.assertFalse(found.threads)

    def test_a_kernel_that_tells_nothing(self):
        self.assertEqual(
            processor.Processors(), self.processors('processor : 0\n')
        )


def traits(architecture, *flags, threads=False):
    return processor.traits(
        architecture, processor.Processors(frozenset(flags), threads)
    )


class TraitsTestCase(base.BaseTestCase):
    def test_names_are_those_of_openstack(self):
        self.assertEqual(
            {'HW_ARCH_X86_64', 'HW_CPU_X86_SSE3', 'HW_CPU_X86_CLMUL'},
            traits('x86_64', 'pni', 'pclmulqdq', 'fpu', 'avx9'),
        )

    def test_arm(self):
        self.assertEqual(
            {
                'HW_ARCH_AARCH64',
                'HW_CPU_AARCH64_AES',
                'HW_CPU_AARCH64_ASIMD',
                'HW_CPU_HYPERTHREADING',
            },
            traits('aarch64', 'asimd', 'aes', 'flagm', threads=True),
        )

    def test_flags_of_another_architecture_mean_nothing(self):
        self.assertEqual({'HW_ARCH_PPC64LE'}, traits('ppc64le', 'altivec'))

    def test_what_needs_a_hypervisor_is_not_there(self):
        self.assertEqual({'HW_ARCH_X86_64'}, traits('x86_64', 'vmx', 'svm'))

    def test_what_is_reported_can_be_taken_back(self):
        everything = traits(
            'x86_64', 'avx', 'amx_tile', threads=True
        ) | traits('aarch64', 'asimd', 'sve')
        self.assertEqual(set(), everything - processor.ours())

    def test_all_names_are_known_to_the_library(self):
        standard = set(os_traits.get_traits())
        # The oldest that is supported does not know these yet.
        younger = {
            f'HW_CPU_X86_AMX{kind}' for kind in ('BF16', 'INT8', 'TILE')
        }
        self.assertEqual(set(), processor.ours() - standard - younger)
