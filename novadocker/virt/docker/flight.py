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


"""One piece of work for all who want it at the same time."""

from collections.abc import Callable
from concurrent import futures
import threading
from typing import Generic
from typing import TypeVar

T = TypeVar('T')


class SingleFlight(Generic[T]):
    """Has threads that want the same thing share the work and its result.

    :param personal: errors that concern the one who asked, and not the
        thing: whoever waited then tries on his own account
    """

    def __init__(self, personal: tuple[type[BaseException], ...] = ()) -> None:
        self._personal = personal
        self._lock = threading.Lock()
        self._flights: dict[str, futures.Future[T]] = {}

    def run(self, key: str, work: Callable[[], T]) -> T:
        """Do the work for this key, or wait for who does it already.

        :raises: what the work raises, to all who waited for it
        """
        while True:
            with self._lock:
                flight = self._flights.get(key)
                if flight is None:
                    mine = self._flights[key] = futures.Future()
            if flight is None:
                return self._fly(key, mine, work)
            error = flight.exception()
            if not isinstance(error, self._personal):
                return flight.result()

    def _fly(
        self, key: str, flight: futures.Future[T], work: Callable[[], T]
    ) -> T:
        try:
            result = work()
        except BaseException as exc:
            self._land(key)
            flight.set_exception(exc)
            raise
        self._land(key)
        flight.set_result(result)
        return result

    def _land(self, key: str) -> None:
        # Before the result is out: who comes later than that asks anew.
        with self._lock:
            del self._flights[key]
