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


"""Neutron's word, through Nova, that a port is wired."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import sys
from typing import Any

from nova import exception as nova_exception
from oslo_log import log as logging

from novadocker import exception

LOG = logging.getLogger(__name__)


def _event_timeouts() -> tuple[type[BaseException], ...]:
    """What Nova may raise when an event does not come in time.

    Up to 2025.1 that is eventlet's Timeout, which is no Exception.
    """
    own = getattr(nova_exception, 'InstanceEventTimeout', None)
    eventlet = getattr(sys.modules.get('eventlet.timeout'), 'Timeout', None)
    return tuple(one for one in (own, eventlet) if one is not None)


class VifEvents:
    """Waits for ports of servers."""

    def __init__(self, virtapi: Any, timeout: int, is_fatal: bool) -> None:
        """Wait as the operator wants.

        :param timeout: seconds, 0 for not waiting at all
        :param is_fatal: whether a server may not start without its ports
        """
        self._virtapi = virtapi
        self._timeout = timeout
        self._is_fatal = is_fatal

    @contextlib.contextmanager
    def waiting(self, instance: Any, ports: Sequence[str]) -> Iterator[None]:
        """Plug ports inside of this; it ends when Neutron has wired them.

        The waiting begins before the block, which no event can then escape.

        :param ports: ids of those that are not wired yet
        :raises: NetworkSetupFailed if they are not in time, and must be
        """
        timeout = self._timeout
        if not ports or not timeout:
            yield
            return
        try:
            with self._virtapi.wait_for_instance_event(
                instance,
                [('network-vif-plugged', port) for port in ports],
                # By its place, since it has changed its name.
                timeout,
                self._event_failed,
            ):
                yield
        except _event_timeouts() as exc:
            self._not_wired(
                instance,
                ', '.join(ports),
                f'Neutron has not wired it within {timeout} seconds. Ask the '
                f'operator to look at the network agent of this host.',
                exc,
            )

    def _event_failed(self, event_name: str, instance: Any) -> bool:
        self._not_wired(
            instance,
            event_name.removeprefix('network-vif-plugged-'),
            'Neutron reports that it could not wire it.',
        )
        return True

    def _not_wired(
        self,
        instance: Any,
        port: str,
        reason: str,
        cause: BaseException | None = None,
    ) -> None:
        if self._is_fatal:
            raise exception.NetworkSetupFailed(
                port=port, reason=reason
            ) from cause
        LOG.warning(
            'The server starts without a working port %s: %s',
            port,
            reason,
            instance=instance,
        )
