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


"""What images cost over the engine's own command, in one run.

Needs root, an engine of its own that DOCKER_HOST names, and four times the
size of the image on the disk::

    python -m novadocker.tests.fixtures.engine -- python benchmarks/images.py

load
    an archive of six layers from a file: `docker load`, against the driver
    with all its checks, the file being read and hashed by the code of
    Glance's client; with the memory that this takes, and the bytes that are
    written to disk beside the engine's own
filter
    the archive filter alone
boots
    servers of one image that is not there yet, all at once: `docker load` and
    then the bare requests to the engine, against the driver's spawn; with the
    number of downloads
snapshot
    `docker commit` and `docker save` to nowhere, against the driver's
    snapshot to a Glance that reads and forgets

The two of a pair take turns, so that a machine that slows down slows both.
The ratio to quote is that of the medians; above 1 the driver is faster. The
seconds of the processor are those of the engine's command and of this
process: they say more than the clock where others use the machine too.
"""

import argparse
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time
from typing import Any
import uuid

import boot
import fixtures
from glanceclient.common import http
from glanceclient.common import utils
from nova import objects

from novadocker.tests.fixtures import archives
from novadocker.tests.fixtures import driver
from novadocker.tests.fixtures import images as busybox
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import archive
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import images
from novadocker.virt.docker import last_use
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import snapshots

MiB = 1 << 20
LAYERS = 6
PIECE = 10 * MiB


class FileGlance:
    """One image, in a file, and a place for snapshots that forgets them."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        with path.open('rb') as file:
            self.sha512 = hashlib.file_digest(file, 'sha512').hexdigest()
        self.downloads = 0

    def chunks(self) -> Iterator[bytes]:
        with self.path.open('rb') as file:
            while chunk := file.read(http.CHUNKSIZE):
                yield chunk

    def get(self, context: Any, image_id: str) -> dict[str, Any]:
        return {
            'size': self.size,
            'os_hash_algo': 'sha512',
            'os_hash_value': self.sha512,
        }

    def download(
        self, context: Any, image_id: str, data: Any, trusted_certs: Any
    ) -> None:
        self.downloads += 1
        for chunk in utils.serious_integrity_iter(
            self.chunks(), hashlib.sha512(), self.sha512
        ):
            data.write(chunk)

    def update(
        self, context: Any, image_id: str, image_info: Any, data: Any
    ) -> dict[str, Any]:
        size = 0
        while chunk := data.read(http.CHUNKSIZE):
            size += len(chunk)
        return {'size': size}


_SLEEP = (
    ('bin/busybox', busybox.BUSYBOX.read_bytes()),
    ('bin/sleep', 'busybox'),
)


def make_archive(path: pathlib.Path, size: int) -> None:
    """Write an archive of so many bytes in layers; half of them compress."""
    names = []
    diff_ids = []
    with path.open('wb') as file:
        for number in range(LAYERS):
            content = busybox.tar(
                [
                    *(_SLEEP if number == 0 else ()),
                    *(
                        (f'{number}/{piece}', os.urandom(PIECE // 2) * 2)
                        for piece in range(max(1, size // LAYERS // PIECE))
                    ),
                ]
            )
            names.append(f'{archives.digest(b"%d" % number)}/layer.tar')
            diff_ids.append(f'sha256:{archives.digest(content)}')
            file.write(archives.Member(names[-1], content).written())
        rootfs = {'type': 'layers', 'diff_ids': diff_ids}
        config = archives.config(
            rootfs=rootfs, config={'Cmd': ['/bin/sleep', '86400']}
        )
        name = archives.digest(config) + '.json'
        manifest = archives.manifest(name, names, ('benchmark:1',))
        file.write(
            archives.tar(
                [
                    archives.Member(name, config),
                    archives.Member('manifest.json', manifest),
                ]
            )
        )


def shell(command: str) -> str:
    return subprocess.run(
        command, shell=True, check=True, capture_output=True, text=True
    ).stdout.strip()


def seconds(work: Callable[[], Any]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def processor() -> float:
    """Seconds of the processor that we and our ended children have used."""
    return sum(os.times()[:4])


def written() -> int:
    """Bytes that this process has sent to a disk."""
    lines = pathlib.Path('/proc/self/io').read_text().splitlines()
    return int(dict(line.split(': ') for line in lines)['write_bytes'])


@contextlib.contextmanager
def memory_watched() -> Iterator[list[int]]:
    """The most bytes that this process had at a time over what it began with.

    The one number is there when the context has ended.
    """
    page = os.sysconf('SC_PAGESIZE')
    status = pathlib.Path('/proc/self/statm')

    def resident() -> int:
        return int(status.read_text().split()[1]) * page

    begin = resident()
    peak = [0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            peak[0] = max(peak[0], resident() - begin)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


class Benchmark:
    def __init__(self, path: pathlib.Path, locks: str, rounds: int) -> None:
        self.rounds = rounds
        self.path = path
        self.glance = FileGlance(path)
        self.client = engine.Client(
            model.EngineSettings(url=os.environ['DOCKER_HOST'], timeout=600)
        )
        self.images = images.Images(
            self.client,
            images.ImageSettings(locks),
            last_use.LastUse(locks),
            self.glance,
        )
        self.snapshots = snapshots.Snapshots(self.client, self.images, True)
        self.instance = instances.an_instance(flavor={'root_gb': 0})

    def load(self) -> dict[str, Any]:
        meta = objects.ImageMeta(
            id=str(uuid.uuid4()), container_format='docker', disk_format='raw'
        )
        reference = naming.image_reference(meta.id)
        plain, ours, memory, times = [], [], [], []
        disk = written()
        for _ in range(self.rounds):
            times.append(processor())
            plain.append(seconds(self.load_plain))
            times.append(processor())
            shell('docker rmi benchmark:1')
            times.append(processor())
            with memory_watched() as peak:
                ours.append(
                    seconds(
                        lambda: self.images.ensure(None, self.instance, meta)
                    )
                )
            times.append(processor())
            memory.append(peak[0])
            self.client.remove_image(reference)
        return pair(plain, ours) | {
            'engine_cpu_s': used(times[0::4], times[1::4]),
            'driver_cpu_s': used(times[2::4], times[3::4]),
            'memory_mib': max(memory) / MiB,
            'written_mib': (written() - disk) / MiB,
        }

    def load_plain(self) -> None:
        shell(f'docker load < {self.path}')

    def filter(self) -> dict[str, Any]:
        rules = archive.Rules(
            'an-image',
            archives.MACHINE,
            archive.Limits(1 << 40, 1 << 40, 1000, 100),
        )
        rates = []
        for _ in range(self.rounds):
            filtered = archive.Archive(self.glance.chunks(), rules)
            took = seconds(lambda one=filtered: sum(map(len, one)))
            rates.append(self.glance.size / took / 1e6)
        return {'mb_per_s': statistics.median(rates)}

    def snapshot(self, size: int) -> dict[str, Any]:
        self.client.load([busybox.SHELL.archive()])
        name = naming.instance_name(self.instance.uuid)
        run = f'docker run --detach --tty --interactive --name={name}'
        run += ' --network=none'
        container = shell(f'{run} {busybox.SHELL.id}')
        write = f'dd if=/dev/urandom of=/big bs={MiB} count={size // MiB}'
        shell(f'docker exec {container} {write}')
        plain, ours = [], []
        for _ in range(self.rounds):
            plain.append(
                seconds(
                    lambda: shell(
                        f'docker commit {container} benchmark:2 && '
                        'docker save benchmark:2 > /dev/null'
                    )
                )
            )
            shell('docker rmi benchmark:2')
            image_id = str(uuid.uuid4())
            ours.append(
                seconds(
                    lambda new=image_id: self.snapshots.take(
                        None, self.instance, new, lambda **_: None
                    )
                )
            )
            self.client.remove_image(naming.image_reference(image_id))
        self.client.remove(container)
        return pair(plain, ours)

    def boots(self, servers: int) -> dict[str, Any]:
        """:param servers: as many at once"""
        plain, ours, downloads = [], [], []
        patch = fixtures.MockPatch(
            'novadocker.virt.docker.images.glance.API',
            return_value=self.glance,
        )
        with patch, driver.DockerDriver(boot.HOST) as host:
            # Not counted: what is made once for a host.
            first = boot.Spawn(host, host.load(busybox.SHELL))
            boot.timed(first.boot, [a_boot(0)])
            for _ in range(max(2, self.rounds // 2)):
                jobs = [a_boot(number) for number in range(servers)]
                bare = boot.Spawn(host, None)
                plain.append(seconds(lambda jobs=jobs: self.boot_plain(jobs)))
                boot.timed(bare.remove, jobs)
                shell('docker rmi benchmark:1')
                jobs = [a_boot(number) for number in range(servers)]
                meta = driver.image_meta(str(uuid.uuid4()))
                spawn = boot.Spawn(host, meta)
                before = self.glance.downloads
                ours.append(
                    seconds(
                        lambda jobs=jobs, spawn=spawn: boot.timed(
                            spawn.boot, jobs
                        )
                    )
                )
                downloads.append(self.glance.downloads - before)
                boot.timed(spawn.remove, jobs)
                host.client.remove_image(naming.image_reference(meta.id))
        return pair(plain, ours) | {'downloads': max(downloads)}

    def boot_plain(self, jobs: list[boot.Boot]) -> None:
        self.load_plain()
        image = self.client.inspect_image('benchmark:1')
        plain = boot.Plain(os.environ['DOCKER_HOST'], image)
        boot.timed(plain.boot, jobs)


def a_boot(number: int) -> boot.Boot:
    # Whose flavor says no size, has room for any image.
    return boot.Boot(
        instances.an_instance(flavor={'root_gb': 0}), driver.a_network(number)
    )


def used(begins: list[float], ends: list[float]) -> float:
    return statistics.median(
        end - begin for begin, end in zip(begins, ends, strict=True)
    )


def pair(plain: list[float], ours: list[float]) -> dict[str, Any]:
    medians = statistics.median(plain), statistics.median(ours)
    return {
        'engine_s': medians[0],
        'driver_s': medians[1],
        'ratio': medians[0] / medians[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--mib', type=int, default=1200, help='of the archive')
    parser.add_argument('--changed', type=int, default=300, help='MiB written')
    parser.add_argument('--servers', type=int, default=20, help='at once')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--output', help='a file for the results, as JSON')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / 'archive.tar'
        make_archive(path, arguments.mib * MiB)
        benchmark = Benchmark(path, directory, arguments.rounds)
        results = {
            'filter': benchmark.filter(),
            'load': benchmark.load(),
            'snapshot': benchmark.snapshot(arguments.changed * MiB),
            # The last, since it takes this process out of the host's network.
            'boots': benchmark.boots(arguments.servers),
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
