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

import sys

from os_vif import exception
from os_vif import objects
from oslotest import base

from novadocker import nova_loader
from novadocker import os_vif_plugin


class NovaDockerPluginTestCase(base.BaseTestCase):

    def setUp(self) -> None:
        super().setUp()
        objects.register_all()
        self.plugin = os_vif_plugin.NovaDockerPlugin.load('novadocker')
        self.vif = objects.vif.VIFBase(plugin='novadocker')
        self.instance_info = objects.instance_info.InstanceInfo()

    def test_importing_it_lets_nova_find_the_driver(self) -> None:
        finders = [type(finder).__module__ for finder in sys.meta_path]
        self.assertIn(nova_loader.__name__, finders)

    def test_it_says_that_it_plugs_nothing(self) -> None:
        described = self.plugin.describe()
        self.assertEqual('novadocker', described.plugin_name)
        self.assertEqual([], described.vif_info)

    def test_the_description_can_be_sent(self) -> None:
        primitive = self.plugin.describe().obj_to_primitive()
        self.assertEqual([], primitive['versioned_object.data']['vif_info'])

    def test_plug_says_what_is_wrong(self) -> None:
        error = self.assertRaises(
            exception.PlugException,
            self.plugin.plug, self.vif, self.instance_info,
        )
        self.assertIn('makes no ports', str(error))

    def test_unplug_says_what_is_wrong(self) -> None:
        error = self.assertRaises(
            exception.UnplugException,
            self.plugin.unplug, self.vif, self.instance_info,
        )
        self.assertIn('makes no ports', str(error))
