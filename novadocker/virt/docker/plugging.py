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

"""os-vif, asked by one at a time where it cannot bear more.

Whether a device exists os-vif asks pyroute2, which since 0.9 runs an event
loop of the calling thread for each question. Where eventlet makes one thread
of all, the second of two that ask at a time fails (os-vif's bug 2109396).
"""

import contextlib
import sys
import threading
from typing import Any

import os_vif

_LOCK = threading.Lock()


def threads_are_green() -> bool:
    """Whether eventlet makes one thread of all, as up to Nova 33."""
    patcher = sys.modules.get('eventlet.patcher')
    return patcher is not None and patcher.is_monkey_patched('thread')


def plug(port: Any, info: Any) -> None:
    """Make what a port has on the host.

    :raises: os_vif.exception.PlugException
    """
    with _turn():
        os_vif.plug(port, info)


def unplug(port: Any, info: Any) -> None:
    """Take away what a port has on the host.

    :raises: os_vif.exception.UnplugException
    """
    with _turn():
        os_vif.unplug(port, info)


def _turn() -> contextlib.AbstractContextManager[Any]:
    return _LOCK if threads_are_green() else contextlib.nullcontext()
