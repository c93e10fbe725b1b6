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

"""Taking back what was made, when the rest of it fails."""

from collections.abc import Callable
import types
from typing import Any
from typing import Self

from nova import exception as nova_exception
from oslo_log import log as logging

LOG = logging.getLogger(__name__)


class Undo:
    """Steps back, run in reverse where the block ends in an exception.

    A step back that fails is logged and does not keep the others from being
    run, nor hide why they were needed: Nova decides by the first exception.
    """

    def __init__(self, instance: Any) -> None:
        self._instance = instance
        self._steps: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def callback(self, step: Callable[..., Any], *args: Any) -> None:
        """Register how to take back what has just been, or may be, made."""
        self._steps.append((step, args))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        if error is None:
            return
        for step, args in reversed(self._steps):
            try:
                step(*args)
            except (nova_exception.NovaException, OSError):
                LOG.exception(
                    'Could not take back a step after: %s',
                    error,
                    instance=self._instance,
                )
