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

"""How the engine is reached, and what its failures are here.

The one module that knows the Docker SDK. Only the low-level APIClient is
used: the SDK's objects make several requests for what is one verb.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import threading

import docker
from docker import constants as docker_constants
from docker import errors as docker_errors
from docker import tls as docker_tls
from docker import transport as docker_transport
from docker import utils as docker_utils
import requests
import urllib3

from novadocker import exception
from novadocker.virt.docker import model
from novadocker.virt.docker import terminal

# The API of Docker Engine 20.10, the oldest engine still met on supported
# distributions.
MIN_DOCKER_API_VERSION = '1.41'


# The engine wants keys by which one leaves a terminal, and keeps the first of
# them back until it knows. Its own first one is that of a shell's history.
NO_DETACH = 'ctrl-^,ctrl-_,ctrl-^,ctrl-_'

# Bytes that are sent at a time. The SDK copies them into a buffer of its own,
# and one of a mebibyte would be new memory of the kernel's each time.
_PIECE = 1 << 18


class Source:
    """The chunks of an archive, and the error that broke them off."""

    def __init__(self, archive: Iterable[bytes]) -> None:
        self._archive = archive
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._archive:
                # None is empty: requests would end a chunked upload there.
                # None is a view: the urllib3 of OpenStack 2025 takes bytes.
                for start in range(0, len(chunk), _PIECE):
                    yield chunk[start : start + _PIECE]
        except Exception as exc:
            self.error = exc
            raise


@contextlib.contextmanager
def translated(
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


def attach(api: docker.APIClient, container: str) -> terminal.Terminal:
    """Open the terminal of a container."""
    flags = dict.fromkeys(('stdin', 'stdout', 'stderr', 'stream'), 1)
    opened = api.attach_socket(container, flags | {'detachKeys': NO_DETACH})
    return terminal.Terminal(opened._response)


def start(api: docker.APIClient, command: str) -> terminal.Terminal:
    """Start a command that was created, and open its terminal."""
    opened = api.exec_start(command, tty=True, socket=True)
    return terminal.Terminal(opened._response)


class _UnixAdapter(docker_transport.UnixHTTPAdapter):
    """One pool of connections to a socket.

    The SDK's own has a pool for each URL, which is a new connection for
    nearly each request, and 25 that are kept open.
    """

    def get_connection(
        self, url: str, proxies: object = None
    ) -> urllib3.HTTPConnectionPool:
        found: urllib3.HTTPConnectionPool = super().get_connection(
            'http+docker://localhost', proxies
        )
        return found


class Connections:
    """Connections to one engine, one for each thread.

    The SDK's session is not promised to be thread-safe. The API version is
    negotiated once, by the first request.
    """

    def __init__(self, settings: model.EngineSettings) -> None:
        self._settings = settings
        self._local = threading.local()
        self._lock = threading.Lock()
        self._version: str | None = None

    def api_version(self) -> str:
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
        api = docker.APIClient(
            base_url=settings.url, version=version, timeout=timeout, tls=tls
        )
        if settings.url.startswith('unix://'):
            socket_url = f'http+{settings.url}'
            api.mount('http+docker://', _UnixAdapter(socket_url, timeout))
        return api

    def api(self, timeout: int | None = None) -> docker.APIClient:
        """This thread's connection, for quick verbs unless told else."""
        seconds = timeout or self._settings.timeout
        apis = self._local.__dict__.setdefault('apis', {})
        if seconds not in apis:
            apis[seconds] = self._new_api(self.api_version(), seconds)
        return apis[seconds]

    def probe(self) -> None:
        """Have the engine answer on a connection that it does not have yet.

        One that is ending still answers on those that it has.
        """
        with contextlib.closing(
            self._new_api(self.api_version(), self._settings.timeout)
        ) as api:
            api.ping()
