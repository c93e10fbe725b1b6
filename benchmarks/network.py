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


"""What a NIC costs over plain netlink, in one run.

Needs root, bash, and an engine of its own that DOCKER_HOST names::

    python -m novadocker.tests.fixtures.engine -- \
        python benchmarks/network.py

Everything is compared with NICs that are moved in after the start, by plain
netlink and os-vif with nothing around them. Drivers without a sandbox work
that way.

gap
    from the first process to its default route, in the eyes of that process:
    it reads /proc/net/route until there is one
nic
    what a server with five NICs takes longer to be wired than one with one,
    for each of the four: as the driver does it in each boot, its privileges
    in a process of their own, against the same NICs by plain netlink
attach, detach
    of a port of a server that runs; attach until another server gets an
    answer from the new address

The ways take turns, so that a machine that slows down slows both. The ratio
to quote is that of the medians.
"""

import argparse
from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import itertools
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import time
from typing import Any

from nova import objects
from oslo_config import cfg

from novadocker.tests.fixtures import driver
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import instances
from novadocker.tests.fixtures import late
from novadocker.tests.fixtures import network as ports
from novadocker.tests.fixtures import ovs
from novadocker.virt.docker import naming
from novadocker.virt.docker import network
from novadocker.virt.docker import sandbox
from novadocker.virt.docker import settings
from novadocker.virt.docker import spec
from novadocker.virt.docker import switch
from novadocker.virt.docker import undo as undoing
from novadocker.virt.docker import wiring

HOST = 'benchmark'
FEW, MANY = 1, 5
# Seconds until a container has said what it has to say.
PATIENCE = 30

# Nothing but what the shell does itself: a program would take longer to
# start than what is measured.
_WATCH = """\
start=$EPOCHREALTIME
while :; do
    while read -r device destination rest; do
        [[ $destination == 00000000 ]] && break 2
    done < /proc/net/route
done
end=$EPOCHREALTIME
echo "gap $((${end/./} - ${start/./})) us"
exec sleep 86400
"""


def watcher() -> images.Image:
    """An image that says how long it has waited for a default route."""
    libraries = re.findall(
        r'/\S+', subprocess.check_output(['ldd', '/bin/bash'], text=True)
    )
    return images.Image(
        command=('/bin/bash', '-c', _WATCH),
        files=tuple(
            (name.lstrip('/'), pathlib.Path(name).read_bytes())
            for name in ('/bin/bash', *libraries)
        ),
    )


_hosts = itertools.count(1)


def a_port(gateway: str | None = None) -> Any:
    """A port with an address that none has had before."""
    number = next(_hosts)
    address = f'10.99.{number // 250}.{number % 250 + 2}'
    subnet = ports.Subnet('10.99.0.0/16', [address], gateway=gateway)
    return ports.userspace(ports.vif(subnet))


def some_ports(count: int) -> Any:
    """The first has the default route, as in any server."""
    vifs = [a_port(None if index else '10.99.0.1') for index in range(count)]
    return network.load(network.dump(vifs))


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that runs, and the process that has its namespace."""

    instance: Any
    pid: int


class Benchmark:
    """A compute host, and the ways to give its servers NICs."""

    def __init__(self, host: driver.DockerDriver, rounds: int) -> None:
        self._host = host
        self._rounds = rounds
        self._ports = wiring.furnish(
            host.client, HOST, wiring.Nova(None, lambda event: None), 0
        ).ports
        self._shell = host.load(images.SHELL)

    def _server(self) -> Server:
        """A server without a port."""
        instance = instances.an_instance()
        self._has(instance, [])
        self._host.spawn(instance, self._shell, [])
        name = naming.sandbox_name(instance.uuid)
        return Server(instance, self._host.client.inspect(name).pid)

    def _has(self, instance: Any, vifs: Sequence[Any]) -> None:
        """Have Nova know that an instance has these ports."""
        instance.info_cache = objects.InstanceInfoCache(
            network_info=network.load(network.dump(vifs))
        )

    def _turns(
        self, ways: dict[str, Callable[[], float]]
    ) -> dict[str, list[float]]:
        """Let ways take turns; the first round is not counted."""
        found: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(self._rounds + 1):
            names = list(ways)
            for name in names if number % 2 else reversed(names):
                seconds = ways[name]()
                if number:
                    found[name].append(seconds)
        return found

    # The gap

    def gap(self) -> dict[str, list[float]]:
        image = watcher()
        meta = self._host.load(image)
        wanted = self._host.client.inspect_image(image.id)
        return self._turns(
            {
                'late': lambda: self._late(wanted),
                'driver': lambda: self._early(meta),
            }
        )

    def _early(self, meta: Any) -> float:
        instance, vifs = instances.an_instance(), some_ports(1)
        self._host.spawn(instance, meta, vifs)
        seconds = self._told(instance)
        self._host.destroy(instance, vifs)
        return seconds

    def _late(self, image: Any) -> float:
        instance, vifs = instances.an_instance(), some_ports(1)
        plain = late.Plain(instance)
        wanted = dataclasses.replace(
            # The driver is not to look after it.
            spec.server(instance, 'another', image, '', settings.server()),
            network='none',
        )
        client = self._host.client
        name = client.create(wanted)
        try:
            client.start(name)
            plain.plug(client.inspect(name).pid, vifs)
            return self._told(instance)
        finally:
            plain.unplug(vifs)
            client.remove(name)

    def _told(self, instance: Any) -> float:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            output = self._host.driver.get_console_output(None, instance)
            if found := re.search(rb'gap (\d+) us', output):
                return int(found[1]) / 1e6
            time.sleep(0.05)
        raise TimeoutError('the first process has seen no default route')

    # What a NIC adds

    def nics(self) -> dict[str, list[float]]:
        server = self._server()
        plain = late.Plain(server.instance)

        def by_hand(count: int) -> float:
            vifs = some_ports(count)
            seconds = timed(lambda: plain.plug(server.pid, vifs))
            plain.unplug(vifs)
            return seconds

        def by_driver(count: int) -> float:
            vifs = some_ports(count)
            seconds = timed(lambda: self._wire(server.instance, box, vifs))
            self._ports.unplug_all(server.instance, vifs)
            self._ports.forget(server.instance.uuid)
            return seconds

        box = self._box(server)
        found = self._turns(
            {
                'late': lambda: slope(by_hand),
                'driver': lambda: slope(by_driver),
            }
        )
        self._host.destroy(server.instance, [])
        return found

    def _box(self, server: Server) -> sandbox.Sandbox:
        found = self._host.client.inspect(
            naming.sandbox_name(server.instance.uuid)
        )
        return sandbox.Sandbox(
            found.id,
            found.pid,
            os.stat(f'/proc/{found.pid}/ns/net').st_ino,
            found.resolv_conf_path,
            found.hosts_path,
        )

    def _wire(
        self, instance: Any, box: sandbox.Sandbox, vifs: Sequence[Any]
    ) -> None:
        with (
            undoing.Undo(instance) as undo,
            self._ports.wired(instance, vifs, box, undo),
        ):
            pass

    # Hot plug

    def hot_plug(self) -> dict[str, dict[str, list[float]]]:
        server = self._server()
        detached: dict[str, list[float]] = {'late': [], 'driver': []}
        plain = late.Plain(server.instance)

        def by_hand() -> float:
            vifs = [a_port()]
            attached = timed(
                lambda: (plain.plug(server.pid, vifs), peer.hears(vifs[0]))
            )
            detached['late'].append(timed(lambda: plain.unplug(vifs)))
            return attached

        def by_driver() -> float:
            vif = a_port()
            attached = timed(
                lambda: (self._attach(server.instance, vif), peer.hears(vif))
            )
            self._has(server.instance, [vif])
            detached['driver'].append(
                timed(lambda: self._detach(server.instance, vif))
            )
            self._has(server.instance, [])
            return attached

        with ovs.Namespace() as namespace, Peer(namespace) as peer:
            attached = self._turns({'late': by_hand, 'driver': by_driver})
        self._host.destroy(server.instance, [])
        return {
            'attach': attached,
            'detach': {way: times[1:] for way, times in detached.items()},
        }

    def _attach(self, instance: Any, vif: Any) -> None:
        self._host.driver.attach_interface(
            self._host.context, instance, None, vif
        )

    def _detach(self, instance: Any, vif: Any) -> None:
        self._host.driver.detach_interface(self._host.context, instance, vif)


class Peer:
    """A server that asks others whether they are there."""

    def __init__(self, namespace: ovs.Namespace) -> None:
        self._vif, self._instance = a_port(), instances.an_instance()
        self._network = network.Network(
            None,
            switch.Switch(cfg.CONF.os_vif_ovs),
            network.NetworkSettings(0, True),
        )
        self._network.plug(self._instance, [self._vif], namespace, [])
        # What is not there when it is asked for is asked for again at once.
        namespace.run('sysctl', 'net.ipv4.neigh.eth0.retrans_time_ms=5')
        self._inside = late.Inside(namespace.pid)

    def __enter__(self) -> 'Peer':
        return self

    def __exit__(self, *error: object) -> None:
        self._inside.__exit__()
        self._network.unplug(self._instance, [self._vif])

    def hears(self, vif: Any) -> None:
        """Wait until a port answers."""
        address = vif['network']['subnets'][0]['ips'][0]['address']
        deadline = time.monotonic() + PATIENCE
        while not self._inside.do(self._ask, address):
            if time.monotonic() > deadline:
                raise TimeoutError(f'{address} does not answer')

    def _ask(self, address: str) -> bool:
        with socket.socket() as connection:
            connection.settimeout(0.02)
            try:
                connection.connect((address, 9))
            except ConnectionRefusedError:
                return True
            except OSError:
                return False
        return True


def timed(work: Callable[[], Any]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def slope(work: Callable[[int], float]) -> float:
    """What one more adds, to a work that is told how many there are."""
    return (work(MANY) - work(FEW)) / (MANY - FEW)


def rows(what: str, found: dict[str, list[float]]) -> list[dict[str, Any]]:
    base = statistics.median(found['late'])
    return [
        {
            'what': what,
            'way': way,
            'times': len(seconds),
            'median_ms': round(statistics.median(seconds) * 1000, 2),
            'min_ms': round(min(seconds) * 1000, 2),
            'max_ms': round(max(seconds) * 1000, 2),
            'ratio_to_late': round(statistics.median(seconds) / base, 3),
        }
        for way, seconds in found.items()
    ]


def table(found: list[dict[str, Any]]) -> str:
    lines = [
        f'{"what":<7} {"way":<6} {"times":>5} {"median ms":>9} {"min":>7} '
        f'{"max":>7}  ratio to late'
    ]
    lines += [
        f'{one["what"]:<7} {one["way"]:<6} {one["times"]:>5} '
        f'{one["median_ms"]:>9.2f} {one["min_ms"]:>7.2f} '
        f'{one["max_ms"]:>7.2f}  {one["ratio_to_late"]:.3f}'
        for one in found
    ]
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--rounds', type=int, default=30)
    parser.add_argument('--json', type=pathlib.Path, metavar='FILE')
    options = parser.parse_args()
    with driver.DockerDriver(HOST, apart=True) as host:
        benchmark = Benchmark(host, options.rounds)
        found = rows('gap', benchmark.gap()) + rows('nic', benchmark.nics())
        for what, times in benchmark.hot_plug().items():
            found += rows(what, times)
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + '\n')


if __name__ == '__main__':
    main()
