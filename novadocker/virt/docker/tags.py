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

"""What a server's metadata says of its tagged devices."""

from typing import Any

from nova import objects


def device_metadata(
    context: Any, instance: Any, without: str | None = None
) -> Any:
    """Describe the ports that a user has tagged; None if there is none.

    Nova's metadata service and config drive show it to the server, which
    finds the device by its MAC address.

    :param without: id of a port that is being detached: Nova knows it until
        that is done
    """
    tagged = [
        vif
        for vif in objects.VirtualInterfaceList.get_by_instance_uuid(
            context, instance.uuid
        )
        if vif.tag and vif.uuid != without
    ]
    if not tagged:
        return None
    return objects.InstanceDeviceMetadata(
        devices=[
            objects.NetworkInterfaceMetadata(mac=vif.address, tags=[vif.tag])
            for vif in tagged
        ]
    )
