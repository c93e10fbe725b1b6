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
"""The door by which nova-compute lets us in.

nova-compute calls ``os_vif.initialize()``, which imports every plugin with an
``os_vif`` entry point, before it loads the compute driver. That import is all
we need. An error here would be logged and swallowed by stevedore, and Nova
would then not find the driver: this module imports little and cannot fail.
"""

from os_vif import exception
from os_vif.objects import host_info
from os_vif.objects import instance_info as os_vif_instance
from os_vif.objects import vif as os_vif_vif
from os_vif import plugin

from novadocker import nova_loader

_NOT_A_PORT_PLUGIN = (
    'the plugin "novadocker" makes no ports: the VIF has to name the plugin '
    'of its network back end, such as "ovs"'
)

nova_loader.install()


class NovaDockerPlugin(plugin.PluginBase):
    """A plugin for no type of VIF.

    Ports are made by whatever plugin Neutron's binding names; the driver
    adds the veth pair. Nothing asks this plugin to plug anything, unless a
    VIF is made with its name by mistake.
    """

    def describe(self) -> host_info.HostPluginInfo:
        return host_info.HostPluginInfo(
            plugin_name='novadocker', vif_info=[]
        )

    def plug(
        self,
        vif: os_vif_vif.VIFBase,
        instance_info: os_vif_instance.InstanceInfo,
    ) -> None:
        raise exception.PlugException(vif=vif, err=_NOT_A_PORT_PLUGIN)

    def unplug(
        self,
        vif: os_vif_vif.VIFBase,
        instance_info: os_vif_instance.InstanceInfo,
    ) -> None:
        raise exception.UnplugException(vif=vif, err=_NOT_A_PORT_PLUGIN)
