#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.
"""Processes of containers, and what they can be told.

The kernel drops every signal but SIGKILL that the first process of a pid
namespace has no handler for. A shell is such a process: waiting for it to end
by its own will is waiting for nothing.
"""

import pathlib
import re
import signal

_PROC = pathlib.Path('/proc')

_REAL_TIME = re.compile(r'RTMIN\+(\d+)')


def number(name: str) -> int:
    """The number of a signal, by any of the names that an image may use.

    :raises: ValueError for a name of no signal
    """
    bare = name.upper().removeprefix('SIG')
    if bare.isdecimal():
        return int(bare)
    real_time = _REAL_TIME.fullmatch(bare)
    if real_time:
        return int(signal.SIGRTMIN) + int(real_time[1])
    try:
        return int(signal.Signals[f'SIG{bare}'])
    except KeyError as exc:
        raise ValueError(f'{name} is no signal') from exc


def inner_pid(pid: int, proc: pathlib.Path = _PROC) -> int:
    """The id by which a container knows a process of its own.

    :raises: OSError if it has ended
    """
    for line in (proc / str(pid) / 'status').read_text().splitlines():
        field, _, value = line.partition(':')
        if field == 'NSpid':
            return int(value.split()[-1])
    return pid


def hears(pid: int, name: str, proc: pathlib.Path = _PROC) -> bool:
    """Whether a first process reacts to a signal, as far as can be seen.

    It does if it has a handler, or has blocked the signal in order to wait
    for it, as systemd does.
    """
    try:
        bit = 1 << (number(name) - 1)
        status = (proc / str(pid) / 'status').read_text()
    except (OSError, ValueError):
        # The engine will know.
        return True
    masks = {
        field: int(value, 16)
        for field, _, value in (
            line.partition(':') for line in status.splitlines()
        )
        if field in ('SigBlk', 'SigCgt')
    }
    return any(mask & bit for mask in masks.values())
