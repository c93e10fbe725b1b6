#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

import importlib
import sys

from oslotest import base

from novadocker import nova_loader


class NovaLoaderTestCase(base.BaseTestCase):

    def setUp(self) -> None:
        super().setUp()
        # As in a process that has loaded nothing of ours yet.
        path, modules = [*sys.meta_path], {**sys.modules}
        self.addCleanup(sys.modules.update, modules)
        self.addCleanup(sys.meta_path.__setitem__, slice(None), path)
        sys.meta_path[:] = [
            finder for finder in path
            if type(finder).__module__ != nova_loader.__name__
        ]
        for name in modules:
            if name.startswith(nova_loader.SHIM):
                del sys.modules[name]

    def test_nova_does_not_know_us_by_itself(self) -> None:
        self.assertRaises(
            ModuleNotFoundError, importlib.import_module, nova_loader.SHIM
        )

    def test_nova_finds_the_driver(self) -> None:
        nova_loader.install()
        # The very steps of nova.virt.driver.load_compute_driver().
        found = importlib.import_module('nova.virt.novadocker.virt.docker')
        ours = importlib.import_module('novadocker.virt.docker')
        self.assertIs(ours.DockerDriver, found.DockerDriver)

    def test_what_nova_sees_is_no_second_copy_of_the_package(self) -> None:
        nova_loader.install()
        importlib.import_module('nova.virt.novadocker.virt.docker')
        self.assertRaises(
            ModuleNotFoundError,
            importlib.import_module,
            'nova.virt.novadocker.virt.docker.driver',
        )

    def test_installing_twice_adds_one_finder(self) -> None:
        nova_loader.install()
        once = [*sys.meta_path]
        nova_loader.install()
        self.assertEqual(once, sys.meta_path)

    def test_the_usual_finders_come_first(self) -> None:
        before = [*sys.meta_path]
        nova_loader.install()
        self.assertEqual(before, sys.meta_path[:-1])

    def test_other_names_are_left_alone(self) -> None:
        nova_loader.install()
        for name in ('nova.virt.novadockers', 'nova.virt.missing'):
            self.assertRaises(
                ModuleNotFoundError, importlib.import_module, name
            )
