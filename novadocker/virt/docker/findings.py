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

"""What is off on a host, and what is to be done about it."""

from collections.abc import Iterable
import dataclasses
import enum
from typing import Any

from oslo_upgradecheck import upgradecheck

#: How bad a finding is, and what the command ends with: the codes of
#: nova-status. What is a success is only worth knowing.
Level = upgradecheck.Code


class Remedy(enum.StrEnum):
    """What ``--repair`` knows to do, in the order in which it does it.

    A port that is plugged is remembered instead of one that is not wanted any
    more, so that this one goes first. The values are part of the output.
    """

    DETACH = 'detach'  # take a port from a server that it has not in Nova
    PLUG = 'plug'  # give it those that it has
    UNLINK = 'unlink'  # remove the name of its namespace
    CLEAR = 'clear'  # remove what is no user's data of one that is not here
    REMOVE = 'remove'  # remove everything of one that was deleted
    UNTAG = 'untag'  # remove an image that nobody needs


@dataclasses.dataclass(frozen=True)
class Repair:
    """A remedy for a server.

    :ivar detail: the port to DETACH, the image to UNTAG, or to
        REMOVE with the server
    """

    remedy: Remedy
    server: str
    detail: str = ''


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is off, or worth knowing.

    :ivar subject: what it is about, such as ``engine``
    :ivar text: what was found
    :ivar advice: what to do about it
    :ivar repair: what ``--repair`` does about it, if it can do anything
    """

    level: upgradecheck.Code
    subject: str
    text: str
    advice: str = ''
    repair: Repair | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            'level': self.level.name.lower(),
            'subject': self.subject,
            'text': self.text,
            'advice': self.advice,
            'repair': self.repair.remedy.value if self.repair else None,
        }


def note(subject: str, text: str, advice: str = '') -> Finding:
    return Finding(Level.SUCCESS, subject, text, advice)


def warning(
    subject: str, text: str, advice: str, repair: Repair | None = None
) -> Finding:
    return Finding(Level.WARNING, subject, text, advice, repair)


def failure(
    subject: str, text: str, advice: str, repair: Repair | None = None
) -> Finding:
    return Finding(Level.FAILURE, subject, text, advice, repair)


def ordered(found: Iterable[Finding]) -> list[Finding]:
    """The worst first, else in the order in which they were found."""
    return sorted(found, key=lambda one: -one.level)


def worst(found: Iterable[Finding]) -> upgradecheck.Code:
    return max((one.level for one in found), default=Level.SUCCESS)
