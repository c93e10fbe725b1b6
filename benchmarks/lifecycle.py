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


"""What operations on a server cost over the plain engine, in one run.

Needs root, an engine of its own that DOCKER_HOST names, and some eight times
the changed data on the disk::

    python -m novadocker.tests.fixtures.engine -- \
        python benchmarks/lifecycle.py

reboot
    the engine's own restart, against the driver's hard reboot
resize
    the engine's own update and restart, against a resize on the same host
    from the stop to the new start
migrate
    commit, save to a file, load from it into a second engine, create and
    start, against a cold migration to a second host with an engine of its
    own, by way of a Glance that keeps a file; of a server that has written
    random data

Both containers of a server are there in each, and the plain engine does not
plug its port. The two of a pair take turns, so that a machine that slows down
slows both. The ratio to quote is that of the medians; below 1 the driver is
faster.
"""

import argparse
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time
from typing import Any
from unittest import mock
import uuid

import boot
import docker
import fixtures
from glanceclient.common import http
from glanceclient.common import utils
from nova import exception as nova_exception
from nova import objects

from novadocker.tests.fixtures import driver
from novadocker.tests.fixtures import engine
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import driver as docker_driver
from novadocker.virt.docker import naming
from novadocker.virt.docker import parcel

MIB = 1 << 20
LARGE = {'vcpus': 2, 'memory_mb': 128, 'root_gb': 0}
SMALL = {'vcpus': 1, 'memory_mb': 64, 'root_gb': 0}
OTHER = 'benchmark-other'


class FileGlance:
    """Images in files.

    What Glance itself computes is not counted: it does that elsewhere.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._sums: dict[str, str] = {}

    def _path(self, image_id: str) -> pathlib.Path:
        return self._directory / image_id

    def add(self, data: bytes) -> str:
        image_id = str(uuid.uuid4())
        self._path(image_id).write_bytes(data)
        return image_id

    def create(self, context: Any, record: dict[str, Any]) -> None:
        self._path(record['id']).touch()

    def update(
        self, context: Any, image_id: str, image_info: Any, data: Any
    ) -> dict[str, Any]:
        with self._path(image_id).open('wb') as file:
            while chunk := data.read(http.CHUNKSIZE):
                file.write(chunk)
            return {'size': file.tell()}

    def hash(self) -> None:
        """Know the hash of everything, as Glance does after an upload."""
        for path in self._directory.iterdir():
            if path.name not in self._sums:
                with path.open('rb') as file:
                    found = hashlib.file_digest(file, 'sha512').hexdigest()
                self._sums[path.name] = found

    def get(self, context: Any, image_id: str) -> dict[str, Any]:
        if not self._path(image_id).exists():
            raise nova_exception.ImageNotFound(image_id=image_id)
        return {
            'id': image_id,
            'status': 'active',
            'container_format': 'docker',
            'disk_format': 'raw',
            'size': self._path(image_id).stat().st_size,
            'os_hash_algo': 'sha512',
            'os_hash_value': self._sums.get(image_id),
            'properties': {},
        }

    def _chunks(self, image_id: str) -> Iterator[bytes]:
        with self._path(image_id).open('rb') as file:
            while chunk := file.read(http.CHUNKSIZE):
                yield chunk

    def download(
        self, context: Any, image_id: str, data: Any, trusted_certs: Any
    ) -> None:
        for chunk in utils.serious_integrity_iter(
            self._chunks(image_id), hashlib.sha512(), self._sums[image_id]
        ):
            data.write(chunk)

    def delete(self, context: Any, image_id: str) -> None:
        self.get(context, image_id)
        self._path(image_id).unlink()


def seconds(work: Callable[[], Any]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def shell(command: str) -> str:
    return subprocess.run(
        command, shell=True, check=True, capture_output=True, text=True
    ).stdout.strip()


def a_flavor(values: dict[str, int]) -> objects.Flavor:
    return objects.Flavor(ephemeral_gb=0, swap=0, extra_specs={}, **values)


class Benchmark:
    """A server here, and a second host.

    :param url: of the second host's engine
    """

    def __init__(
        self,
        host: driver.DockerDriver,
        there: docker_driver.DockerDriver,
        url: str,
        glance: FileGlance,
    ) -> None:
        self._glance = glance
        self._here = host.driver
        self._there = there
        self._url = url
        self._api = docker.APIClient(
            os.environ['DOCKER_HOST'], version='1.41', timeout=3600
        )
        self._context = mock.Mock(user_id='me', project_id='a-project')
        self._image_id = glance.add(images.SHELL.archive())
        glance.hash()
        self._host = host

    def server(self) -> Any:
        """A server that runs here, with its ports."""
        instance = instances.an_instance(flavor=SMALL)
        instance.image_ref = self._image_id
        instance.task_state = None
        vifs = driver.a_network(0)
        self._host.spawn(instance, driver.image_meta(self._image_id), vifs)
        return instance, vifs

    def reboot(self, rounds: int) -> dict[str, Any]:
        instance, vifs = self.server()
        name = naming.instance_name(instance.uuid)
        found = pair(
            rounds,
            lambda: self._api.restart(name, timeout=0),
            lambda: self._here.reboot(None, instance, vifs, 'HARD'),
        )
        self._host.destroy(instance, vifs)
        return found

    def resize(self, rounds: int) -> dict[str, Any]:
        instance, vifs = self.server()
        name = naming.instance_name(instance.uuid)
        flavors = [a_flavor(LARGE), a_flavor(SMALL)] * (rounds + 1)
        moves = self._here._migrations

        def plain() -> None:
            memory = flavors[0].memory_mb * MIB
            self._api.update_container(
                name,
                mem_limit=memory,
                memswap_limit=memory,
                cpu_period=100000,
                cpu_quota=100000 * flavors[0].vcpus,
            )
            self._api.restart(name, timeout=0)

        def ours() -> None:
            instance.old_flavor = instance.flavor
            moves.refuse(instance, flavors[0], True)
            moves.stop(instance, vifs, 0)
            instance.flavor = flavors.pop(0)
            moves.resize(instance, vifs, True)

        found = pair(rounds, plain, ours)
        self._host.destroy(instance, vifs)
        return found

    def migrate(self, rounds: int, changed: int) -> dict[str, Any]:
        """:param changed: MiB that the server has written"""
        plain, ours = [], []
        for _ in range(rounds):
            instance, vifs = self.server()
            name = naming.instance_name(instance.uuid)
            shell(
                f'docker exec {name} dd if=/dev/urandom of=/changed '
                f'bs={MIB} count={changed}'
            )
            # For both, so that none has to: a kill takes equally long.
            self._here.power_off(instance)
            plain.append(seconds(lambda one=name: self._plain_move(one)))
            self._forget_plain_move()
            ours.append(self._move(instance, vifs))
            self._there.destroy(self._context, instance, vifs)
            self._here._migrations.confirm(self._context, instance, False)
        return result(plain, ours)

    def _plain_move(self, name: str) -> None:
        there = f'docker --host {self._url}'
        with tempfile.NamedTemporaryFile() as file:
            shell(f'docker commit {name} benchmark:2')
            shell(f'docker save benchmark:2 > {file.name}')
            shell(f'{there} load < {file.name}')
        shell(f'{there} run --detach --name plain-sandbox --network none '
              '--tty benchmark:2 sh')
        shell(f'{there} run --detach --name plain --tty '
              '--network container:plain-sandbox benchmark:2 sh')

    def _forget_plain_move(self) -> None:
        there = f'docker --host {self._url}'
        shell(f'{there} rm --force plain plain-sandbox')
        shell(f'{there} rmi benchmark:2')
        shell('docker rmi benchmark:2')

    def _move(self, instance: Any, vifs: Any) -> float:
        begin = time.monotonic()
        told = self._here._migrations.depart(
            self._context, instance, vifs, 0
        )
        took = time.monotonic() - begin
        self._glance.hash()
        begin = time.monotonic()
        self._there._migrations.arrive(
            self._context, instance, vifs, parcel.Parcel.loads(told), True
        )
        return took + time.monotonic() - begin


def pair(
    rounds: int, plain: Callable[[], Any], ours: Callable[[], Any]
) -> dict[str, Any]:
    """Let both take turns; the first turn is not counted."""
    times: list[tuple[float, float]] = [
        (seconds(plain), seconds(ours)) for _ in range(rounds + 1)
    ]
    first, second = zip(*times[1:], strict=True)
    return result(list(first), list(second))


def result(plain: list[float], ours: list[float]) -> dict[str, Any]:
    medians = statistics.median(plain), statistics.median(ours)
    return {
        'engine_s': medians[0],
        'driver_s': medians[1],
        'ratio': medians[1] / medians[0],
    }


@dataclasses.dataclass(frozen=True)
class _Second:
    """A second host, which has an engine of its own."""

    driver: docker_driver.DockerDriver
    url: str


@contextlib.contextmanager
def second_host() -> Iterator[_Second]:
    with (
        engine.DockerEngine() as own,
        fixtures.TempDir() as directory,
    ):
        # The first host is wired by now.
        driver.CONF.set_override('host_url', own.url, group='docker')
        driver.CONF.set_override('instances_path', directory.path)
        made = docker_driver.DockerDriver(None)
        made.init_host(OTHER)
        try:
            yield _Second(made, own.url)
        finally:
            made.cleanup_host(OTHER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument(
        '--changed', type=int, default=1024, help='MiB that a server wrote'
    )
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument(
        '--moves', type=int, default=3, help='rounds of the migration'
    )
    parser.add_argument('--output', help='a file for the results, as JSON')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        glance = FileGlance(pathlib.Path(directory))
        with (
            fixtures.MockPatch(
                'novadocker.virt.docker.images.glance.API',
                return_value=glance,
            ),
            # There is no database that would take the word of an end.
            fixtures.MockPatch('novadocker.virt.docker.action_log.tell'),
            driver.DockerDriver(boot.HOST) as host,
            second_host() as second,
        ):
            benchmark = Benchmark(host, second.driver, second.url, glance)
            results = {
                'reboot': benchmark.reboot(arguments.rounds),
                'resize': benchmark.resize(arguments.rounds),
                'migrate': benchmark.migrate(
                    arguments.moves, arguments.changed
                ),
            }
    for name, row in results.items():
        values = '  '.join(f'{key} {value:.2f}' for key, value in row.items())
        print(f'{name:10}{values}')
    if arguments.output:
        pathlib.Path(arguments.output).write_text(
            json.dumps(results, indent=2) + '\n'
        )


if __name__ == '__main__':
    main()
