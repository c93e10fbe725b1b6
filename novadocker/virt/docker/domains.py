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

"""The DNS domains of a server's ports, which Neutron knows and Nova does not.

A virtual machine would be told by DHCP. Neutron is asked once for each port:
the answer is kept in the checkpoint, so that a start needs no Neutron.
"""

import dataclasses
from typing import Any

from keystoneauth1 import exceptions as keystone_exceptions
from neutronclient.common import exceptions as neutron_exceptions
from nova import context as nova_context
from nova import exception as nova_exception
from nova.network import neutron
from oslo_log import log as logging

from novadocker.virt.docker import checkpoint

LOG = logging.getLogger(__name__)

_ERRORS = (
    keystone_exceptions.ClientException,
    neutron_exceptions.NeutronException,
    nova_exception.NovaException,
)


class Domains:
    """Asks Neutron, and remembers."""

    def __init__(
        self, checkpoints: checkpoint.Checkpoints, otherwise: str
    ) -> None:
        """Ask what the checkpoints do not know.

        :param otherwise: the domain of ports where Neutron has no names
        """
        self._checkpoints = checkpoints
        self._otherwise = otherwise

    def of(self, instance: Any, network_info: Any) -> dict[str, str]:
        """The domain of each port, by its id; empty if it has none.

        A server does without where Neutron does not answer, until the next
        time that its names are written.
        """
        ids = [vif['id'] for vif in network_info]
        known = self._checkpoints.read(instance.uuid)
        found = dict(known.domains) if known else {}
        if not found.keys() >= set(ids):
            try:
                found = _ask(instance)
            except _ERRORS as exc:
                LOG.warning(
                    'Neutron does not tell the DNS domain of this server: %s',
                    exc,
                    instance=instance,
                )
            else:
                self._remember(instance.uuid, known, found)
        told = {port: found.get(port) for port in ids}
        return {
            port: self._otherwise if domain is None else domain
            for port, domain in told.items()
        }

    def _remember(
        self,
        uuid: str,
        known: checkpoint.Checkpoint | None,
        domains: dict[str, str | None],
    ) -> None:
        if known is not None:
            self._checkpoints.write(
                uuid, dataclasses.replace(known, domains=domains)
            )


def _ask(instance: Any) -> dict[str, str | None]:
    """What Neutron says of all ports of a server, in one request.

    :returns: None for each where it has no names
    """
    client = neutron.get_client(nova_context.get_admin_context(), admin=True)
    answer = client.list_ports(
        device_id=instance.uuid, fields=['id', 'dns_assignment']
    )
    return {port['id']: _domain(port) for port in answer['ports']}


def _domain(port: dict[str, Any]) -> str | None:
    """The domain in which Neutron's name server knows a port's addresses."""
    names = port.get('dns_assignment')
    if names is None:
        return None
    for name in names:
        domain: str = name['fqdn'].removeprefix(name['hostname'])
        return domain.strip('.')
    return ''
