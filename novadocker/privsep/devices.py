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

"""The network devices of the host, looked at."""

from typing import Any

import pyroute2

from novadocker import privsep
from novadocker.privsep import nics


@privsep.sys_admin_pctxt.entrypoint
def devices() -> list[dict[str, Any]]:
    """All devices, each with the keys name, up, and bridge.

    The last is the name of the Linux bridge that it is in, empty for none.

    :raises: OSError
    """
    with pyroute2.IPRoute() as ipr:
        links = list(ipr.get_links())
    names = {link['index']: link.get_attr('IFLA_IFNAME') for link in links}
    bridges = {link['index'] for link in links if nics.kind(link) == 'bridge'}
    return [
        {
            'name': names[link['index']],
            'up': bool(link['flags'] & nics.IFF_UP),
            'bridge': names[master] if master in bridges else '',
        }
        for link in links
        for master in [link.get_attr('IFLA_MASTER')]
    ]
