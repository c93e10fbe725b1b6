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
import json
import os
import platform
import shutil
import signal
import subprocess
import tarfile
import time

import fixtures
from oslotest import base

from novadocker import exception
from novadocker.virt.docker import pause

EMULATORS = {'x86_64': 'qemu-x86_64', 'aarch64': 'qemu-aarch64'}


class ProgramTestCase(base.BaseTestCase):
    def run_program(self, architecture):
        """Start the program as this machine can: for real or emulated."""
        path = self.useFixture(fixtures.TempDir()).join('pause')
        with open(path, 'wb') as target:
            target.write(pause.program(architecture))
        os.chmod(path, 0o755)
        command = [path]
        if architecture != platform.machine():
            emulator = shutil.which(EMULATORS[architecture])
            if emulator is None:
                self.skipTest(f'no emulator for {architecture} installed')
            command.insert(0, emulator)
        process = subprocess.Popen(command)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def check(self, architecture, number):
        process = self.run_program(architecture)
        deadline = time.monotonic() + 5
        while process.poll() is None and time.monotonic() < deadline:
            # One sent before the program blocks it would kill it instead.
            time.sleep(0.2)
            self.assertIsNone(process.poll(), 'ended by itself')
            process.send_signal(number)
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                continue

        self.assertEqual(0, process.poll())

    def test_ends_when_told_x86_64(self):
        self.check('x86_64', signal.SIGTERM)
        self.check('x86_64', signal.SIGINT)

    def test_ends_when_told_aarch64(self):
        self.check('aarch64', signal.SIGTERM)

    def test_stays_through_a_stop_and_continue(self):
        process = self.run_program(platform.machine())
        time.sleep(0.1)
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.1)

        self.assertIsNone(process.poll())

    def test_other_processors_are_refused(self):
        refused = self.assertRaises(
            exception.EngineNotSupported, pause.program, 'riscv64'
        )

        self.assertIn('riscv64', str(refused))
        self.assertIn('aarch64', str(refused))


class SandboxImageTestCase(base.BaseTestCase):
    def test_digest_names_the_content(self):
        for architecture, oci in (('x86_64', 'amd64'), ('aarch64', 'arm64')):
            image = pause.sandbox_image(architecture)
            with tarfile.open(fileobj=io.BytesIO(image.archive)) as archive:
                [entry] = json.load(archive.extractfile('manifest.json'))
                config = json.load(archive.extractfile(entry['Config']))

            self.assertEqual(f'{image.id[7:]}.json', entry['Config'])
            self.assertEqual([image.reference], entry['RepoTags'])
            self.assertEqual(oci, config['architecture'])

    def test_is_the_same_everywhere(self):
        """A change here makes every host load a new image: let it be meant."""
        self.assertEqual(
            'sha256:4f06eda5227e4219fcdb5c6ae2b9c83a'
            '08d1759f888dc59d1cd1c508b00eafa5',
            pause.sandbox_image('x86_64').id,
        )

    def test_takes_a_few_kib(self):
        self.assertLess(len(pause.sandbox_image('x86_64').archive), 32768)
