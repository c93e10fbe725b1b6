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
"""Everything that needs root, and nothing else.

Functions below this package run in a helper process with the capabilities
of the context and no others. The name of the context is part of
etc/nova/rootwrap.d/docker.filters.
"""

from oslo_privsep import capabilities
from oslo_privsep import priv_context

CAPABILITIES = (
    # Links, addresses, routes.
    capabilities.CAP_NET_ADMIN,
    # setns() into a container's network namespace.
    capabilities.CAP_SYS_ADMIN,
    # /proc/<pid>/ns of a process of another user.
    capabilities.CAP_SYS_PTRACE,
    # /var/run/netns, /proc/sys, and the files of instances.
    capabilities.CAP_DAC_OVERRIDE,
    # Attributes and times of these files.
    capabilities.CAP_FOWNER,
)

sys_admin_pctxt = priv_context.PrivContext(
    # Only modules below this package may hold entry points.
    __name__,
    cfg_section='novadocker_privileged',
    pypath=__name__ + '.sys_admin_pctxt',
    capabilities=CAPABILITIES,
)
