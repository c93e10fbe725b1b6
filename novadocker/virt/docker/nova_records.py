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

"""What Nova says of the servers of a host.

Nova is asked through its conductor, as nova-compute asks it, and answers soon
or is believed to be away: a library that waits for a message queue may do so
for ever.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import queue
import threading
from typing import Any
from typing import TypeVar

from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from oslo_log import log as logging

from novadocker import exception
from novadocker.virt.docker import traces

LOG = logging.getLogger(__name__)

_T = TypeVar('_T')

# What the driver looks at of an instance whose ports it plugs.
_ATTRIBUTES = ['flavor', 'info_cache', 'metadata', 'system_metadata']


class Records:
    """Nova's records, as far as they concern one host."""

    def __init__(self, host: str, patience: float) -> None:
        """:param patience: seconds to wait for an answer"""
        self._host = host
        self._patience = patience

    def here(self) -> dict[str, traces.Server]:
        """The servers that are on this host.

        :raises: NovaUnavailable
        """
        found = self._asked(
            lambda: objects.InstanceList.get_by_host(
                nova_context.get_admin_context(),
                self._host,
                expected_attrs=['info_cache'],
            )
        )
        return {one.uuid: self.server(one) for one in found}

    def of(self, uuids: Iterable[str]) -> dict[str, traces.Server]:
        """Those of these servers that Nova knows, deleted ones as well.

        :raises: NovaUnavailable
        """
        wanted = sorted(uuids)
        if not wanted:
            return {}
        found = self._asked(
            lambda: objects.InstanceList.get_by_filters(
                nova_context.get_admin_context(read_deleted='yes'),
                {'uuid': wanted},
                expected_attrs=['info_cache'],
            )
        )
        return {one.uuid: self.server(one) for one in found}

    def instance(self, uuid: str) -> Any:
        """A server as it is now, deleted or not; None if Nova has none.

        :raises: NovaUnavailable
        """

        def ask() -> Any:
            try:
                return objects.Instance.get_by_uuid(
                    nova_context.get_admin_context(read_deleted='yes'),
                    uuid,
                    expected_attrs=_ATTRIBUTES,
                )
            except nova_exception.InstanceNotFound:
                return None

        return self._asked(ask)

    def server(self, instance: Any) -> traces.Server:
        """An instance, as much as matters here."""
        cache = instance.info_cache
        return traces.Server(
            uuid=instance.uuid,
            fate=self._fate(instance),
            vm_state=instance.vm_state or '',
            task=instance.task_state or '',
            vifs=tuple(cache.network_info or ()) if cache else (),
            host=instance.host or instance.launched_on or '',
        )

    def _fate(self, instance: Any) -> traces.Fate:
        if instance.deleted:
            return traces.Fate.DELETED
        if instance.host is None:
            return traces.Fate.NOWHERE
        if instance.host == self._host:
            return traces.Fate.HERE
        return traces.Fate.ELSEWHERE

    def _asked(self, ask: Callable[[], _T]) -> _T:
        """Ask in a thread of its own, which may be left behind."""
        answers: queue.SimpleQueue[_T | Exception] = queue.SimpleQueue()

        def ask_thread() -> None:
            try:
                answers.put(ask())
            except Exception as exc:
                LOG.info('Nova could not be asked', exc_info=True)
                answers.put(exc)

        threading.Thread(
            target=ask_thread, name='novadocker-records', daemon=True
        ).start()
        try:
            answer = answers.get(timeout=self._patience)
        except queue.Empty:
            raise exception.NovaUnavailable(
                reason=f'no word from the conductor in {self._patience:g} s'
            ) from None
        if isinstance(answer, Exception):
            raise exception.NovaUnavailable(reason=answer) from answer
        return answer


def settled(
    before: Mapping[str, traces.Server], after: Mapping[str, traces.Server]
) -> dict[str, traces.Server]:
    """The later, with those in work that have changed in between.

    :param before: servers of this host
    :param after: the same, and others
    """
    return {
        uuid: dataclasses.replace(one, task=one.task or 'it has just changed')
        if (one.fate is traces.Fate.HERE or uuid in before)
        and one != before.get(uuid)
        else one
        for uuid, one in after.items()
    }


def assumed(seen: traces.Seen) -> dict[str, traces.Server]:
    """What can be believed of servers where Nova is silent."""
    return {
        uuid: traces.Server(
            uuid,
            traces.Fate.HERE if one.containers else traces.Fate.UNASKED,
            vifs=one.known.vifs if one.known else (),
        )
        for uuid, one in seen.traces.items()
    }
