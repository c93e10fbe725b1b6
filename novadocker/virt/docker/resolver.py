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

"""What a server's resolv.conf and hosts say."""

from collections.abc import Iterable
from collections.abc import Mapping

from novadocker.virt.docker import nic


def resolv_conf(wanted: Iterable[nic.Nic], domains: Mapping[str, str]) -> str:
    """The content of a server's /etc/resolv.conf.

    :param domains: the DNS domain of each port, by its id
    """
    nics = list(wanted)
    search = dict.fromkeys(domains.get(one.port_id, '') for one in nics)
    search.pop('', None)
    servers = dict.fromkeys(server for one in nics for server in one.dns)
    lines = [f'search {" ".join(search)}'] if search else []
    lines += [f'nameserver {server}' for server in servers]
    return ''.join(f'{line}\n' for line in lines)


def hosts(
    hostname: str | None, wanted: Iterable[nic.Nic], domains: Mapping[str, str]
) -> str:
    """The content of a server's /etc/hosts.

    Its own name, with its domain and without, stands for its first address
    of each family.

    :param domains: the DNS domain of each port, by its id
    """
    lines = [
        '127.0.0.1 localhost',
        '::1 localhost ip6-localhost ip6-loopback',
        'fe00::0 ip6-localnet',
        'ff00::0 ip6-mcastprefix',
        'ff02::1 ip6-allnodes',
        'ff02::2 ip6-allrouters',
    ]
    own: dict[int, str] = {}
    for one in wanted:
        names = _names(hostname or '', domains.get(one.port_id, ''))
        for address in one.addresses:
            own.setdefault(address.version, f'{address.ip} {names}')
    if hostname:
        lines += own.values()
    return '\n'.join(lines) + '\n'


def _names(hostname: str, domain: str) -> str:
    """A server's names; Nova lets a user give one with its domain."""
    short, dot, _ = hostname.partition('.')
    if dot:
        return f'{hostname} {short}'
    return f'{hostname}.{domain} {hostname}' if domain else hostname
