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


"""How Neutron has bound a port, in the terms of os-vif."""

from typing import Any

from nova import exception as nova_exception
from nova.network import os_vif_util
from os_vif.objects import network as os_vif_network
from os_vif.objects import vif as os_vif_vif

from novadocker import exception
from novadocker.virt.docker import nic

# Those that name a device of the host, which can be any device.
_USABLE = (
    os_vif_vif.VIFOpenVSwitch,
    os_vif_vif.VIFBridge,
    os_vif_vif.VIFGeneric,
)


def convert(vif: Any) -> Any:
    """A port in the terms of os-vif.

    :raises: VirtualInterfacePlugException, which makes Nova give up on the
        server, unless a container can use what the port is bound as
    """
    if not nic.is_bound(vif):
        raise nova_exception.VirtualInterfacePlugException(
            f'Port {vif["id"]} is not bound to this host ({vif["type"]}). Ask '
            f'the operator whether the network agent of this host is alive.'
        )
    try:
        found = os_vif_util.nova_to_osvif_vif(vif)
    except (nova_exception.NovaException, NotImplementedError) as exc:
        raise exception.PortNotSupported(
            port=vif['id'], vif_type=vif['type']
        ) from exc
    if not isinstance(found, _USABLE):
        raise exception.PortNotSupported(port=vif['id'], vif_type=vif['type'])
    profile = found.port_profile if 'port_profile' in found else None
    if profile is not None:
        # The port is of a device that we make: os-vif adds it to the switch,
        # which it leaves to libvirt otherwise, and makes no tap of its name.
        for field, value in (('create_port', True), ('create_tap', False)):
            if field in profile.fields:
                setattr(profile, field, value)
    return found


def last_known(vif: Any, bridge: str) -> Any:
    """A port of which not much may be known any more, to unplug it.

    :param bridge: where to look for it, if that is not known either
    """
    try:
        return convert(vif)
    except nova_exception.VirtualInterfacePlugException:
        return _assumed(vif, bridge)


def _assumed(vif: Any, bridge: str) -> Any:
    """A port of Open vSwitch, of the name that Nova gives its device.

    os-vif finds the parts of a hybrid plug by the port's id.
    """
    network = vif['network'] or {}
    return os_vif_vif.VIFOpenVSwitch(
        id=vif['id'],
        vif_name=nic.device(vif),
        plugin='ovs',
        network=os_vif_network.Network(bridge=network.get('bridge') or bridge),
        port_profile=os_vif_vif.VIFPortProfileOpenVSwitch(
            interface_id=vif['id']
        ),
    )
