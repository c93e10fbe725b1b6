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

"""What a boot costs over the plain engine, in one run.

Needs root, and an engine of its own that DOCKER_HOST names::

    python -m novadocker.tests.fixtures.engine -- python benchmarks/boot.py

Three ways to the same two containers with the same NIC, at 1, 10 and 30 at
once:

plain
    the requests to the engine and the plugging of the port, one after the
    other, with nothing around them
spawn
    the driver's spawn, as nova-compute calls it, of an image that the engine
    has
api
    from the request to Nova's API until the server is ACTIVE, with --cloud;
    most of it is Neutron, which looks for new ports every two seconds

Plain and spawn take turns, so that a machine that slows down slows both. The
ratio to quote is that of the medians.
"""

import argparse
from collections.abc import Callable
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import statistics
import time
from typing import Any

import docker
import nova.conf
from oslo_config import cfg

from novadocker.tests.fixtures import driver
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import engine_json
from novadocker.virt.docker import model
from novadocker.virt.docker import network
from novadocker.virt.docker import pause
from novadocker.virt.docker import spec
from novadocker.virt.docker import switch

CONF = nova.conf.CONF
HOST = 'benchmark'


@dataclasses.dataclass(frozen=True)
class Boot:
    """One server to be."""

    instance: Any
    network_info: Any


def a_boot(number: int) -> Boot:
    return Boot(instances.an_instance(), driver.a_network(number))


class Plain:
    """The plain engine: the least that makes the same server."""

    def __init__(self, url: str, image: model.ImageInfo) -> None:
        self._url = url
        self._image = image
        self._sandbox_image = pause.sandbox_image(os.uname().machine)
        self._network = network.Network(
            None,
            switch.Switch(cfg.CONF.os_vif_ovs),
            network.NetworkSettings(0, True),
        )
        self._settings = spec.ServerSettings(
            CONF.docker.pids_limit,
            tuple(CONF.docker.capabilities),
            CONF.docker.console_log_size,
        )

    def boot(self, boot: Boot) -> None:
        api = docker.APIClient(self._url, version='1.41')
        sandbox = self._start(
            api,
            spec.sandbox(
                boot.instance, HOST, self._sandbox_image.id, self._settings
            ),
        )
        pid = api.inspect_container(sandbox)['State']['Pid']
        self._network.plug(
            boot.instance,
            boot.network_info,
            _Namespace(pid, os.stat(f'/proc/{pid}/ns/net').st_ino),
            [],
        )
        self._start(
            api,
            spec.server(
                boot.instance, HOST, self._image, sandbox, self._settings
            ),
        )

    def _start(self, api: Any, wanted: model.ContainerSpec) -> str:
        container: str = api.create_container_from_config(
            engine_json.container_config(wanted), name=wanted.name
        )['Id']
        api.start(container)
        return container


@dataclasses.dataclass(frozen=True)
class _Namespace:
    pid: int
    netns: int


class Spawn:
    """The driver, wired as nova-compute wires it."""

    def __init__(self, host: driver.DockerDriver, image_meta: Any) -> None:
        self._host = host
        self._image_meta = image_meta

    def boot(self, boot: Boot) -> None:
        self._host.spawn(boot.instance, self._image_meta, boot.network_info)

    def remove(self, boot: Boot) -> None:
        self._host.destroy(boot.instance, boot.network_info)


class Api:
    """A cloud, seen by its user, with an image and a network of our own.

    Needs an administrator's OS_*, to lift the quotas for a while.
    """

    def __init__(self, flavor: str) -> None:
        import openstack

        self._cloud = openstack.connect()
        self._project = self._cloud.current_project_id
        self._flavor = self._cloud.compute.find_flavor(flavor).id

    def __enter__(self) -> 'Api':
        unlimited = {'instances': -1, 'cores': -1, 'ram': -1}
        self._cloud.set_compute_quotas(self._project, **unlimited)
        self._image = self._cloud.image.create_image(
            name=HOST,
            container_format='docker',
            disk_format='raw',
            data=images.SHELL.archive(),
        )
        self._network = self._cloud.network.create_network(name=HOST)
        self._cloud.network.create_subnet(
            network_id=self._network.id, ip_version=4, cidr='10.211.0.0/24'
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._cloud.network.delete_network(self._network)
        self._cloud.image.delete_image(self._image)
        self._cloud.delete_compute_quotas(self._project)

    def boot(self, name: str) -> None:
        server = self._cloud.compute.create_server(
            name=name,
            image_id=self._image.id,
            flavor_id=self._flavor,
            networks=[{'uuid': self._network.id}],
        )
        self._cloud.compute.wait_for_server(server, interval=0.1, wait=600)

    def remove(self, name: str) -> None:
        server = self._cloud.compute.find_server(name)
        self._cloud.compute.delete_server(server)
        self._cloud.compute.wait_for_delete(server, interval=0.2, wait=300)


def timed(work: Callable[[Any], None], jobs: list[Any]) -> list[float]:
    """Do all jobs at once; the seconds that each has taken."""

    def one(job: Any) -> float:
        begin = time.monotonic()
        work(job)
        return time.monotonic() - begin

    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(one, jobs))


def compare(
    servers: int, times: int, plain: Plain, spawn: Spawn
) -> dict[str, list[float]]:
    """Let both ways take turns."""
    found: dict[str, list[float]] = {'plain': [], 'spawn': []}
    ways = [('plain', plain.boot), ('spawn', spawn.boot)]
    for number in range(times):
        for name, work in ways if number % 2 else reversed(ways):
            boots = [a_boot(index) for index in range(servers)]
            found[name] += timed(work, boots)
            timed(spawn.remove, boots)
    return found


def through_api(servers: int, times: int, api: Api) -> list[float]:
    found = []
    for number in range(times):
        names = [f'benchmark-{number}-{index}' for index in range(servers)]
        found += timed(api.boot, names)
        timed(api.remove, names)
    return found


def row(servers: int, way: str, seconds: list[float], base: float) -> Any:
    median = statistics.median(seconds)
    return {
        'servers': servers,
        'way': way,
        'boots': len(seconds),
        'median_ms': round(median * 1000),
        'min_ms': round(min(seconds) * 1000),
        'max_ms': round(max(seconds) * 1000),
        'ratio_to_plain': round(median / base, 2),
    }


def table(rows: list[Any]) -> str:
    lines = [
        f'{"at once":>7}  {"way":<6} {"boots":>5} {"median ms":>9} '
        f'{"min":>6} {"max":>6}  ratio to plain'
    ]
    lines += [
        f'{one["servers"]:>7}  {one["way"]:<6} {one["boots"]:>5} '
        f'{one["median_ms"]:>9} {one["min_ms"]:>6} {one["max_ms"]:>6}  '
        f'{one["ratio_to_plain"]:.2f}'
        for one in rows
    ]
    return '\n'.join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--at-once', type=int, nargs='+', default=[1, 10, 30], metavar='N'
    )
    parser.add_argument(
        '--boots', type=int, default=30, help='for each row, about'
    )
    parser.add_argument('--json', type=pathlib.Path, metavar='FILE')
    parser.add_argument('--cloud', action='store_true')
    parser.add_argument('--flavor', default='docker.tiny')
    return parser.parse_args()


def rounds(options: argparse.Namespace, servers: int) -> int:
    return max(2, options.boots // servers)


def measure_api(options: argparse.Namespace) -> dict[int, list[float]]:
    with Api(options.flavor) as api:
        through_api(1, 1, api)
        return {
            servers: through_api(
                servers, max(1, rounds(options, servers) // 4), api
            )
            for servers in options.at_once
        }


def main() -> None:
    options = parse()
    rows = []
    # First, since the cloud is not to be seen from the host's namespace that
    # the other ways have for their own.
    by_api = measure_api(options) if options.cloud else {}
    with driver.DockerDriver(HOST) as host:
        image_meta = host.load(images.SHELL)
        plain = Plain(
            os.environ['DOCKER_HOST'],
            host.client.inspect_image(images.SHELL.id),
        )
        spawn = Spawn(host, image_meta)
        # Not counted: what is made once for a host.
        compare(1, 1, plain, spawn)
        for servers in options.at_once:
            found = compare(servers, rounds(options, servers), plain, spawn)
            if servers in by_api:
                found['api'] = by_api[servers]
            base = statistics.median(found['plain'])
            rows += [
                row(servers, way, seconds, base)
                for way, seconds in found.items()
            ]
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
    main()
