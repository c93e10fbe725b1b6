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

"""Users, endpoints, flavors and networks, through the SDK.

One process: the command openstack takes two seconds for each call.
"""

import datetime
import ipaddress

import openstack

from onemachine import settings as settings_mod

_CATALOG = {
    'glance': ('image', ''),
    'placement': ('placement', ''),
    'neutron': ('network', ''),
    'nova': ('compute', '/v2.1'),
}
_FLAVORS = (
    # name, vcpus, MiB of memory, GiB of disk
    ('docker.tiny', 1, 64, 1),
    ('docker.small', 1, 256, 2),
    ('docker.medium', 2, 1024, 4),
)


def connect(
    settings: settings_mod.Settings, user: str = 'admin'
) -> openstack.connection.Connection:
    """A connection as 'admin' or 'demo', each in the project of its name."""
    return openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth_url=f'{settings.url("keystone")}/v3',
        username=user,
        password=settings_mod.secrets_of(settings)[user],
        project_name=user,
        user_domain_name='Default',
        project_domain_name='Default',
        region_name=settings.region,
        identity_api_version='3',
    )


def identity(settings: settings_mod.Settings) -> None:
    """Make users, roles and the catalog."""
    cloud = connect(settings)
    secrets = settings_mod.secrets_of(settings)
    roles = {role.name: role for role in cloud.identity.roles()}
    for name in ('service', 'admin', 'member', 'reader'):
        if name not in roles:
            roles[name] = cloud.identity.create_role(name=name)
    projects = {
        name: cloud.identity.find_project(name)
        or cloud.identity.create_project(name=name, domain_id='default')
        for name in ('service', 'demo')
    }
    for name in _CATALOG:
        user = _user(cloud, name, secrets['service'])
        for role in ('admin', 'service'):
            cloud.identity.assign_project_role_to_user(
                projects['service'], user, roles[role]
            )
    user = _user(cloud, 'demo', secrets['demo'])
    cloud.identity.assign_project_role_to_user(
        projects['demo'], user, roles['member']
    )
    _catalog(cloud, settings)


def _user(cloud, name: str, password: str):
    user = cloud.identity.find_user(name)
    if user is None:
        return cloud.identity.create_user(
            name=name, password=password, domain_id='default'
        )
    return user


def _catalog(cloud, settings: settings_mod.Settings) -> None:
    known = {service.type: service for service in cloud.identity.services()}
    endpoints = {
        (endpoint.service_id, endpoint.interface): endpoint
        for endpoint in cloud.identity.endpoints()
    }
    for name, (kind, path) in _CATALOG.items():
        service = known.get(kind) or cloud.identity.create_service(
            name=name, type=kind
        )
        url = settings.url(name) + path
        for interface in ('public', 'internal', 'admin'):
            endpoint = endpoints.get((service.id, interface))
            if endpoint is None:
                cloud.identity.create_endpoint(
                    service_id=service.id,
                    interface=interface,
                    url=url,
                    region_id=settings.region,
                )
            elif endpoint.url != url:
                cloud.identity.update_endpoint(endpoint, url=url)


def flavors(settings: settings_mod.Settings) -> None:
    """Make the flavors."""
    cloud = connect(settings)
    known = {flavor.name for flavor in cloud.compute.flavors()}
    for name, vcpus, memory, disk in _FLAVORS:
        if name not in known:
            cloud.compute.create_flavor(
                name=name, vcpus=vcpus, ram=memory, disk=disk
            )


def networks(settings: settings_mod.Settings) -> None:
    """Make the external network, and that of the project demo behind it."""
    here = ipaddress.ip_interface(settings.external_address)
    public = _network(
        connect(settings),
        'public',
        {
            'is_router_external': True,
            'provider_network_type': 'flat',
            'provider_physical_network': 'physnet1',
        },
        # The host is what is outside.
        {
            'cidr': str(here.network),
            'gateway_ip': str(here.ip),
            'is_dhcp_enabled': False,
        },
    )
    cloud = connect(settings, 'demo')
    demo = _network(cloud, 'demo', {}, {'cidr': settings.demo_subnet})
    router = cloud.network.find_router('demo')
    if router is None:
        router = cloud.network.create_router(
            name='demo', external_gateway_info={'network_id': public.id}
        )
    inside = cloud.network.ports(
        device_id=router.id, device_owner='network:router_interface'
    )
    if not any(True for _ in inside):
        cloud.network.add_interface_to_router(
            router, subnet_id=demo.subnet_ids[0]
        )


def _network(cloud, name: str, values: dict, subnet: dict):
    """A network with a subnet."""
    found = cloud.network.find_network(name)
    if found is None:
        found = cloud.network.create_network(name=name, **values)
    if not found.subnet_ids:
        cloud.network.create_subnet(
            name=name, network_id=found.id, ip_version=4, **subnet
        )
        found = cloud.network.get_network(found.id)
    return found


def living(
    settings: settings_mod.Settings,
    wanted: tuple[tuple[str, str], ...],
    since: datetime.datetime,
) -> None:
    """Fail unless all agents and services have reported since then.

    :param wanted: their programs and hosts
    :param since: aware, UTC
    :raises RuntimeError: naming those that have not
    """
    cloud = connect(settings)
    seen = {}
    for agent in cloud.network.agents():
        reported = agent.last_heartbeat_at.replace('Z', '')
        seen[agent.binary, agent.host] = reported
    for service in cloud.compute.services():
        seen[service.binary, service.host] = service.updated_at
    silent = [
        ' of '.join(one)
        for one in wanted
        if not seen.get(one)
        or datetime.datetime.fromisoformat(seen[one]).replace(
            tzinfo=datetime.UTC
        )
        < since
    ]
    if silent:
        raise RuntimeError('no word from ' + ', '.join(silent))


def mapped(settings: settings_mod.Settings, count: int) -> bool:
    """Whether the API knows that many compute hosts."""
    return len(list(connect(settings).compute.hypervisors())) >= count


def served(settings: settings_mod.Settings, mechanism: str) -> None:
    """Fail unless the network demo has DHCP and its router.

    :raises RuntimeError: a port of these is not there or not up
    """
    demo = connect(settings, 'demo').network
    router = demo.find_router('demo').id
    ports = connect(settings).network.ports
    wanted = {'router_interface': {'device_id': router}}
    if mechanism == 'ovs':
        # OVN has no agent for DHCP, and does not say that a gateway is up.
        wanted['router_gateway'] = {'device_id': router}
        wanted['dhcp'] = {'network_id': demo.find_network('demo').id}
    for what, of in wanted.items():
        found = ports(device_owner=f'network:{what}', **of)
        if not any(port.status == 'ACTIVE' for port in found):
            raise RuntimeError(f'the port {what} of demo is not up yet')
