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

"""Supervisor, which keeps the processes."""

import collections.abc
import functools
import pathlib
import typing
import urllib.error
import urllib.request
import xmlrpc.client

from supervisor import xmlrpc as supervisor_rpc
import tenacity

from onemachine import service as service_mod
from onemachine import services as services_mod
from onemachine import settings as settings_mod
from onemachine import steps

_GOOD = ('RUNNING', 'STARTING')


class Processes:
    """The processes of the cloud."""

    def __init__(self, settings: settings_mod.Settings) -> None:
        self._settings = settings
        self._pids: dict[str, int] = {}

    @property
    def _rpc(self) -> typing.Any:
        # A connection for each call: one does not survive a refusal, and
        # threads can't share it.
        socket = self._settings.run / 'supervisor.sock'
        return xmlrpc.client.ServerProxy(
            'http://supervisor',
            transport=supervisor_rpc.SupervisorTransport(
                None, None, f'unix://{socket}'
            ),
        ).supervisor

    def kept(self) -> bool:
        """Whether supervisor runs."""
        try:
            self._rpc.getState()
        except OSError:
            return False
        return True

    def keep(self) -> None:
        """Start supervisor, or tell it what has changed."""
        configuration = self._settings.etc / 'supervisord.conf'
        if not self.kept():
            steps.run(
                [
                    self._settings.bin / 'supervisord',
                    '--configuration',
                    configuration,
                ],
                self._settings.log / 'supervisord.log',
            )
            for attempt in _patiently(10):
                with attempt:
                    self._rpc.getState()
        ((added, changed, removed),) = self._rpc.reloadConfig()
        self.stop(*changed, *removed)
        for name in changed + removed:
            self._rpc.removeProcessGroup(name)
        for name in added + changed:
            self._rpc.addProcessGroup(name)

    def states(self) -> dict[str, dict]:
        """Supervisor's word on each process, by name."""
        return {
            process['name']: process
            for process in self._rpc.getAllProcessInfo()
        }

    def start(self, *names: str) -> None:
        """Start those that do not run."""
        states = self.states()
        for name in names:
            if states[name]['statename'] not in _GOOD:
                try:
                    self._rpc.startProcess(name, False)
                except xmlrpc.client.Fault as fault:
                    # It may have come back by itself meanwhile.
                    if (
                        fault.faultCode
                        != supervisor_rpc.Faults.ALREADY_STARTED
                    ):
                        raise

    def stop(self, *names: str) -> None:
        """Stop these side by side and wait until all have ended."""
        states = self.states()
        running = [
            name
            for name in names
            if name in states
            and states[name]['statename'] in (*_GOOD, 'BACKOFF', 'STOPPING')
        ]
        if running:
            steps.together(
                *(functools.partial(self._stop_one, name) for name in running)
            )

    def _stop_one(self, name: str) -> None:
        try:
            self._rpc.stopProcess(name)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != supervisor_rpc.Faults.NOT_RUNNING:
                raise

    def wait_for_end(self, name: str) -> None:
        """Wait until a process that was told to end has ended."""
        for attempt in _patiently(30):
            with attempt:
                if self.states()[name]['statename'] in _GOOD:
                    raise TimeoutError(f'{name} does not end')

    def end(self) -> None:
        """End supervisor, with whatever still runs."""
        if not self.kept():
            return
        self._rpc.shutdown()
        for attempt in _patiently(60):
            with attempt:
                if self.kept():
                    raise TimeoutError('supervisor does not end')

    def check(self, name: str) -> None:
        """Fail when a process has failed for good.

        :raises steps.StepFailed: with the log to read
        """
        state = self.states()[name]
        # Supervisor starts it again: another pid tells that it has failed.
        known = self._pids.setdefault(name, state['pid'] or 0)
        if state['statename'] in ('FATAL', 'EXITED') or (
            known and state['pid'] != known
        ):
            raise steps.StepFailed(
                f'{name} does not stay up. {state["description"]}\n'
                f'Read {self.log(name)}'
            )
        self._pids[name] = state['pid']

    def log(self, name: str) -> pathlib.Path:
        return self._settings.log / f'{name}.log'

    def wait(
        self,
        name: str,
        ready: collections.abc.Callable[[], typing.Any],
        seconds: int = 120,
    ) -> None:
        """Wait until a process is ready.

        :param ready: raises while it is not
        :raises steps.StepFailed: it failed or took too long
        """
        try:
            for attempt in _patiently(seconds):
                with attempt:
                    self.check(name)
                    ready()
        except steps.StepFailed:
            raise
        except Exception as error:
            raise steps.StepFailed(
                f'{name} is not ready after {seconds} s: {error}\n'
                f'Read {self.log(name)}'
            ) from error


def _patiently(seconds: int) -> tenacity.Retrying:
    return tenacity.Retrying(
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_fixed(0.3),
        retry=tenacity.retry_if_not_exception_type(steps.StepFailed),
        reraise=True,
    )


def answers(
    settings: settings_mod.Settings, api: service_mod.Service
) -> None:
    """Ask an API once.

    uWSGI listens before the application is loaded, and so an open port
    tells nothing.

    :raises OSError: no answer, or that of a broken application
    """
    port = services_mod.port(settings, api.name)
    url = f'http://{settings.address}:{port}{api.ready}'
    try:
        urllib.request.urlopen(url, timeout=30).close()
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise
