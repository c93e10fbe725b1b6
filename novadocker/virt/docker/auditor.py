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

"""A host under audit, while everybody goes on working on it."""

from collections.abc import Callable
import dataclasses
import time

from novadocker import exception
from novadocker.virt.docker import audit
from novadocker.virt.docker import findings
from novadocker.virt.docker import nova_records
from novadocker.virt.docker import survey as survey_mod

# Seconds until something that is off is looked at again: what the driver
# heals by itself, and what was seen in the middle of a change, is well then.
PAUSE = 3.0


@dataclasses.dataclass(frozen=True)
class Audit:
    """What an audit has found.

    :ivar servers: how many there are to be
    :ivar asked: whether Nova has said so
    """

    findings: list[findings.Finding]
    servers: int
    asked: bool


class Auditor:
    """Audits one Nova host."""

    def __init__(
        self,
        survey: survey_mod.Survey,
        records: nova_records.Records,
        host: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._survey = survey
        self._records = records
        self._host = host
        self._sleep = sleep
        # Why Nova is not asked again.
        self._silence: exception.NovaUnavailable | None = None

    def audit(self) -> Audit:
        """Find what is off now, and was a moment ago.

        :raises: EngineUnavailable, OSError
        """
        found, servers = self._look()
        if findings.worst(found):
            self._sleep(PAUSE)
            before = found
            found, servers = self._look()
            found = [one for one in found if one in before or not one.level]
        if self._silence is not None:
            found = [_unasked(self._silence), *found]
        return Audit(found, servers, self._silence is None)

    def _look(self) -> tuple[list[findings.Finding], int]:
        """What is off at this moment, and how many servers there are."""
        if self._silence is None:
            try:
                return self._compared_with_nova()
            except exception.NovaUnavailable as exc:
                self._silence = exc
        seen = self._survey.look()
        servers = nova_records.assumed(seen)
        count = sum(bool(one.containers) for one in seen.traces.values())
        return audit.compare(self._host, servers, seen), count

    def _compared_with_nova(self) -> tuple[list[findings.Finding], int]:
        """Nova is asked before and after one has looked."""
        before = self._records.here()
        seen = self._survey.look()
        after = self._records.here()
        after |= self._records.of(seen.servers - set(after))
        servers = nova_records.settled(before, after)
        return audit.compare(self._host, servers, seen), len(before)


def _unasked(exc: exception.NovaUnavailable) -> findings.Finding:
    return findings.warning(
        'nova',
        f'{exc}: servers were compared with their labels and checkpoints '
        'alone, and nothing is repaired',
        'See that nova-conductor and the message queue run, and that this '
        'nova.conf is that of nova-compute.',
    )
