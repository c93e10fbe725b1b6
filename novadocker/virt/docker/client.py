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

The one module that knows the Docker SDK. It takes specs, gives infos, and
turns every failure into one of our errors. Only the low-level APIClient is
used: the SDK's objects make several requests for what is one verb.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import threading
from typing import Any
from typing import Self

import docker
from docker import constants as docker_constants
from docker import errors as docker_errors
from docker import tls as docker_tls
from docker import utils as docker_utils
import requests
import urllib3

from novadocker import exception
from novadocker.virt.docker import engine_json
from novadocker.virt.docker import model

# The API of Docker Engine 20.10, the oldest engine still met on supported
# distributions.
MIN_DOCKER_API_VERSION = '1.41'

# Seconds without a byte from the engine, for requests that move or make whole
# layers: unpacking a large one is silent.
LAYER_TIMEOUT = 3600

# Seconds that the engine may take to stop a container beyond the grace that
# the container's process is given.
STOP_MARGIN = 60


@contextlib.contextmanager
def _translated(
    not_found: type[exception.EngineError] = exception.ContainerNotFound,
) -> Iterator[None]:
    """Turn the SDK's errors into ours, by class and status alone."""
    try:
        yield
    except docker_errors.ImageNotFound as exc:
        raise exception.ImageNotFoundInEngine(404, _reason(exc)) from exc
    except docker_errors.NotFound as exc:
        raise not_found(404, _reason(exc)) from exc
    except docker_errors.APIError as exc:
        status = exc.response.status_code
        kind = exception.EngineError
        if status == requests.codes.conflict:
            kind = exception.ContainerConflict
        raise kind(status, _reason(exc)) from exc
    except (
        docker_errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as exc:
        raise exception.EngineUnavailable(reason=exc) from exc


def _reason(exc: docker_errors.APIError) -> str:
    return str(exc.explanation or exc)


class _Source:
    """The chunks of an archive, and the error that broke them off."""

    def __init__(self, archive: Iterable[bytes]) -> None:
        self._archive = archive
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._archive:
                # requests would end a chunked upload at an empty chunk
                if chunk:
                    yield chunk
        except Exception as exc:
            self.error = exc
            raise


class EventStream:
    """The engine's events, until closed or until the engine goes away."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._closed = False

    def __iter__(self) -> Iterator[model.Event]:
        with _translated():
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

    Safe to share between threads: each has a connection of its own, since
    the SDK's session is not promised to be thread-safe. The API version is
    negotiated once, by the first request.

    Every verb may raise EngineUnavailable, and EngineError for an answer
    that its description does not name.
    """

    def __init__(self, settings: model.EngineSettings) -> None:
        self._settings = settings
        self._local = threading.local()
        self._lock = threading.Lock()
        self._version: str | None = None

    # How requests are made

    def _api_version(self) -> str:
        with self._lock:
            if self._version is None:
                self._version = self._negotiate()
            return self._version

    def _negotiate(self) -> str:
        probe = self._new_api('auto', self._settings.timeout)
        offered: str = probe._version
        probe.close()
        if docker_utils.version_lt(offered, MIN_DOCKER_API_VERSION):
            raise exception.EngineNotSupported(
                reason=f'it speaks API {offered}, at least '
                f'{MIN_DOCKER_API_VERSION} is needed: upgrade it to Docker '
                'Engine 20.10 or later'
            )
        newest: str = docker_constants.DEFAULT_DOCKER_API_VERSION
        return offered if docker_utils.version_lt(offered, newest) else newest

    def _new_api(self, version: str, timeout: int) -> docker.APIClient:
        settings = self._settings
        tls: docker_tls.TLSConfig | bool = False
        if settings.cert_file:
            tls = docker_tls.TLSConfig(
                client_cert=(settings.cert_file, settings.key_file),
                ca_cert=settings.ca_file,
                verify=True,
            )
        return docker.APIClient(
            base_url=settings.url, version=version, timeout=timeout, tls=tls
        )

    def _api(self, timeout: int | None = None) -> docker.APIClient:
        """This thread's connection, for quick verbs unless told else."""
        seconds = timeout or self._settings.timeout
        apis = self._local.__dict__.setdefault('apis', {})
        if seconds not in apis:
            apis[seconds] = self._new_api(self._api_version(), seconds)
        return apis[seconds]

    # The engine

    def ping(self) -> None:
        """Do nothing, but fail where the engine does not answer."""
        with _translated():
            self._api().ping()

    def info(self) -> model.EngineInfo:
        with _translated():
            return engine_json.engine_info(
                self._api().info(), self._api_version()
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
        with _translated():
            return EventStream(
                self._api().events(since=start, filters=filters, decode=True)
            )

    # Containers

    def create(self, spec: model.ContainerSpec) -> str:
        """Create a container and return its id.

        :raises: ContainerConflict if the name is taken,
            ImageNotFoundInEngine if the image is not there
        """
        with _translated():
            answer = self._api().create_container_from_config(
                engine_json.container_config(spec), name=spec.name
            )
        return str(answer['Id'])

    def start(self, container: str) -> None:
        """Start a container; one that runs already is left alone.

        :raises: ContainerNotFound; EngineError with status 400 if its
            command cannot be executed
        """
        with _translated():
            self._api().start(container)

    def stop(self, container: str, timeout: int) -> None:
        """Ask its process to end, and kill it after ``timeout`` seconds."""
        with _translated():
            self._api(timeout + STOP_MARGIN).stop(container, timeout=timeout)

    def stop_if_there(self, container: str) -> None:
        """Stop a container at once; one that is gone is success."""
        with contextlib.suppress(exception.ContainerNotFound):
            self.stop(container, 0)

    def kill(self, container: str, signal: str = 'SIGKILL') -> None:
        """:raises: ContainerConflict if the container does not run"""
        with _translated():
            self._api().kill(container, signal)

    def pause(self, container: str) -> None:
        with _translated():
            self._api().pause(container)

    def unpause(self, container: str) -> None:
        with _translated():
            self._api().unpause(container)

    def rename(self, container: str, name: str) -> None:
        with _translated():
            self._api().rename(container, name)

    def remove(self, container: str) -> None:
        """Kill and remove a container; one that is gone is success."""
        with contextlib.suppress(exception.ContainerNotFound), _translated():
            self._api().remove_container(container, v=True, force=True)

    def inspect(self, container: str) -> model.ContainerInfo:
        """:raises: ContainerNotFound"""
        with _translated():
            return engine_json.container_info(
                self._api().inspect_container(container)
            )

    def list_containers(
        self, labels: Mapping[str, str]
    ) -> list[model.ContainerSummary]:
        """All containers with all of these labels, in any state."""
        filters = {'label': engine_json.label_filter(labels)}
        with _translated():
            rows = self._api().containers(all=True, filters=filters)
        return [engine_json.container_summary(row) for row in rows]

    def logs(self, container: str, lines: int) -> bytes:
        """The last lines that the container's processes have written."""
        with _translated():
            output: bytes = self._api().logs(container, tail=lines)
        return output

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
        with _translated():
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
        source = _Source(archive)
        try:
            with _translated():
                answer = self._api(LAYER_TIMEOUT).load_image(iter(source))
                return engine_json.loaded_references(answer)
        except exception.EngineUnavailable:
            # An error of the archive's own source may be of the same kind.
            if source.error is not None:
                raise source.error from None
            raise

    def inspect_image(self, reference: str) -> model.ImageInfo:
        """:raises: ImageNotFoundInEngine"""
        with _translated():
            return engine_json.image_info(self._api().inspect_image(reference))

    def list_images(self, repository: str) -> list[model.ImageInfo]:
        """All images that carry a tag of this repository."""
        with _translated():
            rows = self._api().images(name=repository)
        return [engine_json.image_row(row) for row in rows]

    def tag(self, image: str, reference: str) -> None:
        """:raises: ImageNotFoundInEngine"""
        repository, _, tag = reference.rpartition(':')
        with _translated():
            self._api().tag(image, repository, tag)

    def remove_image(self, reference: str) -> None:
        """Remove a tag, and the image with its last; gone is success.

        :raises: ContainerConflict if a container needs the image
        """
        with (
            contextlib.suppress(exception.ImageNotFoundInEngine),
            _translated(),
        ):
            self._api().remove_image(reference)

    def save(self, reference: str) -> Iterator[bytes]:
        """Stream an image as an archive.

        :raises: ImageNotFoundInEngine when iterated
        """
        with _translated(not_found=exception.ImageNotFoundInEngine):
            yield from self._api(LAYER_TIMEOUT).get_image(reference)
