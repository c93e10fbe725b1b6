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

"""The engine, in the engine's own verbs.

It takes specs, gives infos, and turns every failure into one of our errors.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
from typing import Any
from typing import Self

from novadocker import exception
from novadocker.virt.docker import connection
from novadocker.virt.docker import engine_json
from novadocker.virt.docker import model
from novadocker.virt.docker import terminal

# Seconds without a byte from the engine, for requests that move or make whole
# layers: unpacking a large one is silent.
LAYER_TIMEOUT = 3600

# Seconds that the engine may take to stop a container beyond the grace that
# the container's process is given.
STOP_MARGIN = 60

# Bytes of a file that is looked at.
FILE_SIZE = 1024**2

# Bytes of output that are kept in memory.
LOG_SIZE = 1024**2

# Rows and columns. No way to a terminal tells its true size, and what is at
# one needs some size.
TERMINAL_SIZE = (24, 80)


class EventStream:
    """The engine's events, until closed or until the engine goes away."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._closed = False

    def __iter__(self) -> Iterator[model.Event]:
        with connection.translated():
            for event in self._stream:
                known = engine_json.event(event)
                if known is not None:
                    yield known

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the stream; may be called from another thread, and twice."""
        if not self._closed:
            self._closed = True
            self._stream.close()


class Client:
    """Verbs of the engine.

    Safe to share between threads.

    Every verb may raise EngineUnavailable, and EngineError for an answer
    that its description does not name.
    """

    def __init__(self, settings: model.EngineSettings) -> None:
        self._connections = connection.Connections(settings)
        self._api = self._connections.api

    # The engine

    def ping(self) -> None:
        """Do nothing, but fail where the engine is not there, or is ending."""
        with connection.translated():
            self._connections.probe()

    def info(self) -> model.EngineInfo:
        with connection.translated():
            return engine_json.engine_info(
                self._api().info(), self._connections.api_version()
            )

    def events(
        self, labels: Mapping[str, str], since: int | None = None
    ) -> EventStream:
        """Follow what happens to containers with all of these labels.

        :param since: nanoseconds; replays what happened from then on
        """
        filters = {
            'type': 'container',
            'event': [action.value for action in model.EventAction],
            'label': engine_json.label_filter(labels),
        }
        start = None if since is None else engine_json.timestamp(since)
        with connection.translated():
            return EventStream(
                self._api().events(since=start, filters=filters, decode=True)
            )

    # Containers

    def create(self, spec: model.ContainerSpec) -> str:
        """Create a container and return its id.

        :raises: ContainerConflict if the name is taken,
            ImageNotFoundInEngine if the image is not there
        """
        with connection.translated():
            answer = self._api().create_container_from_config(
                engine_json.container_config(spec), name=spec.name
            )
        return str(answer['Id'])

    def start(self, container: str) -> None:
        """Start a container; one that runs already is left alone.

        :raises: ContainerNotFound; EngineError with status 400 if its
            command cannot be executed
        """
        with connection.translated():
            self._api().start(container)

    def stop(self, container: str, timeout: int) -> None:
        """Ask its process to end, and kill it after ``timeout`` seconds."""
        with connection.translated():
            self._api(timeout + STOP_MARGIN).stop(container, timeout=timeout)

    def stop_if_there(self, container: str) -> None:
        """Stop a container at once; one that is gone is success."""
        with contextlib.suppress(exception.ContainerNotFound):
            self.stop(container, 0)

    def kill(self, container: str, signal: str = 'SIGKILL') -> None:
        """:raises: ContainerConflict if the container does not run"""
        with connection.translated():
            self._api().kill(container, signal)

    def pause(self, container: str) -> None:
        with connection.translated():
            self._api().pause(container)

    def unpause(self, container: str) -> None:
        with connection.translated():
            self._api().unpause(container)

    def rename(self, container: str, name: str) -> None:
        with connection.translated():
            self._api().rename(container, name)

    def update(self, container: str, limits: model.Limits) -> None:
        """Give a container other limits, but for that of its processes.

        :raises: ContainerNotFound
        """
        with connection.translated():
            self._api().update_container(
                container, **engine_json.update(limits)
            )

    def remove(self, container: str) -> None:
        """Kill and remove a container; one that is gone is success."""
        with (
            contextlib.suppress(exception.ContainerNotFound),
            connection.translated(),
        ):
            self._api().remove_container(container, v=True, force=True)

    def inspect(self, container: str) -> model.ContainerInfo:
        """:raises: ContainerNotFound"""
        with connection.translated():
            return engine_json.container_info(
                self._api().inspect_container(container)
            )

    def list_containers(
        self, labels: Mapping[str, str]
    ) -> list[model.ContainerSummary]:
        """All containers with all of these labels, in any state."""
        filters = {'label': engine_json.label_filter(labels)}
        with connection.translated():
            rows = self._api().containers(all=True, filters=filters)
        return [engine_json.container_summary(row) for row in rows]

    def size(self, container: str) -> int:
        """Bytes of all files of a container, those of its image included.

        Sparse files count as if they were full.

        :raises: ContainerNotFound
        """
        with connection.translated():
            found = self._api().inspect_container(container)['Id']
            rows = self._api(LAYER_TIMEOUT).containers(
                all=True, size=True, filters={'id': found}
            )
        return int(rows[0]['SizeRootFs']) if rows else 0

    def logs(self, container: str, lines: int) -> bytes:
        """The last lines that the container's processes have written.

        Of these no more than LOG_SIZE bytes, however long they are.
        """
        with connection.translated():
            output: bytes = self._api().logs(container, tail=lines)
        return output[-LOG_SIZE:]

    # Files

    def read_file(
        self, container: str, path: str
    ) -> model.ContainerFile | None:
        """Read a small file of a container, whether it runs or not.

        Links are followed within its root file system.

        :returns: with its true path; None if there is none, or no file, or
            one of more than FILE_SIZE bytes
        """
        with contextlib.suppress(exception.ContainerNotFound):
            with connection.translated():
                data, stat = self._api().get_archive(container, path)
                if stat['linkTarget']:
                    path = stat['linkTarget']
                    data, stat = self._api().get_archive(container, path)
                if stat['size'] <= FILE_SIZE:
                    return engine_json.archived_file(path, b''.join(data))
        return None

    def write_files(self, container: str, archive: bytes) -> None:
        """Unpack a tar at the root of a container's file system.

        :raises: ContainerNotFound
        """
        with connection.translated():
            self._api().put_archive(container, '/', archive)

    # Terminals

    def attach(self, container: str) -> terminal.Terminal:
        """Join whoever is at the terminal of the container's process.

        :raises: ContainerNotFound. Of a container that does not run there is
            no output before it is started.
        """
        api = self._api()
        with connection.translated():
            opened = connection.attach(api, container)
            api.resize(container, *TERMINAL_SIZE)
        return opened

    def shell(
        self, container: str, command: Sequence[str]
    ) -> tuple[str, terminal.Terminal]:
        """Run a command beside the container's process, at a terminal.

        :returns: its id, and the terminal
        :raises: ContainerConflict if the container does not run
        """
        api = self._api()
        with connection.translated():
            made = api.exec_create(
                container,
                list(command),
                stdin=True,
                tty=True,
                environment={'TERM': 'linux'},
                detach_keys=connection.NO_DETACH,
            )['Id']
            opened = connection.start(api, made)
            # Whatever can be resized runs.
            with contextlib.suppress(exception.EngineError):
                with connection.translated():
                    api.exec_resize(made, *TERMINAL_SIZE)
        return str(made), opened

    def shell_pid(self, shell: str) -> int:
        """The process id on the host of what was run, 0 if it has ended."""
        with connection.translated():
            found = self._api().exec_inspect(shell)
        return int(found['Pid']) if found['Running'] else 0

    def run(self, container: str, command: Sequence[str]) -> None:
        """Run a command in a container, and do not wait for its end.

        :raises: ContainerConflict if the container does not run
        """
        api = self._api()
        with connection.translated():
            made = api.exec_create(container, list(command))
            api.exec_start(made['Id'], detach=True)

    def commit(
        self,
        container: str,
        repository: str,
        tag: str,
        config: Mapping[str, Any],
        pause: bool,
    ) -> str:
        """Make an image of a container's root file system; returns its id.

        :param config: changes to the container's configuration for the
            image, in the engine's own words
        :param pause: whether processes are frozen meanwhile, so that the
            files are those of one instant
        """
        with connection.translated():
            answer = self._api(LAYER_TIMEOUT).commit(
                container, repository, tag, pause=pause, conf=dict(config)
            )
        return str(answer['Id'])

    # Images

    def load(self, archive: Iterable[bytes]) -> tuple[str, ...]:
        """Load a saved archive; returns the references of what came of it.

        An exception raised by ``archive`` itself comes through unchanged;
        the engine keeps nothing of an archive that ends before its time.
        """
        source = connection.Source(archive)
        try:
            with connection.translated():
                answer = self._api(LAYER_TIMEOUT).load_image(iter(source))
                return engine_json.loaded_references(answer)
        except exception.EngineUnavailable:
            # An error of the archive's own source may be of the same kind.
            if source.error is not None:
                raise source.error from None
            raise

    def inspect_image(self, reference: str) -> model.ImageInfo:
        """:raises: ImageNotFoundInEngine"""
        with connection.translated():
            return engine_json.image_info(self._api().inspect_image(reference))

    def list_images(self, repository: str) -> list[model.ImageInfo]:
        """All images that carry a tag of this repository.

        :param repository: or a pattern such as ``some/*``
        """
        with connection.translated():
            rows = self._api().images(name=repository)
        return [engine_json.image_row(row) for row in rows]

    def remove_image(self, reference: str) -> None:
        """Remove a tag, and the image with its last; gone is success.

        :raises: ContainerConflict if a container needs the image
        """
        with (
            contextlib.suppress(exception.ImageNotFoundInEngine),
            connection.translated(),
        ):
            self._api().remove_image(reference)

    def save(self, reference: str) -> Iterator[bytes]:
        """Stream an image as an archive.

        :raises: ImageNotFoundInEngine when iterated
        """
        with connection.translated(not_found=exception.ImageNotFoundInEngine):
            yield from self._api(LAYER_TIMEOUT).get_image(reference)
