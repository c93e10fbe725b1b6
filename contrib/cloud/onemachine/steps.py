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

"""The steps of a command, each told with the time it took."""

import collections.abc
import concurrent.futures
import contextlib
import pathlib
import subprocess
import threading
import time

import click

_told = threading.Lock()


class StepFailed(click.ClickException):
    """A step failed; the message says what to read."""


class CommandFailed(Exception):
    """A command ended with another code than 0."""


def _tell(sign: str, seconds: float, name: str, colour: str) -> None:
    with _told:
        click.echo(
            f'{click.style(sign, fg=colour):<4} {seconds:6.1f} s  {name}'
        )


@contextlib.contextmanager
def step(name: str, log: pathlib.Path | None = None):
    """Time what is inside and print it.

    :param log: what to read when it fails
    :raises StepFailed: what is inside failed
    """
    begin = time.monotonic()
    try:
        yield
    except StepFailed:
        raise
    except Exception as error:
        _tell('FAIL', time.monotonic() - begin, name, 'red')
        text = f'"{name}" failed: {error}'
        if log is not None:
            text += f'\nRead {log}'
        raise StepFailed(text) from error
    _tell('ok', time.monotonic() - begin, name, 'green')


def together(*works: collections.abc.Callable[[], object]) -> None:
    """Do things side by side; the first failure is raised when all ended."""
    with concurrent.futures.ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(work) for work in works]
    for future in futures:
        future.result()


def run(
    command: collections.abc.Sequence[str | pathlib.Path],
    log: pathlib.Path,
    **options,
) -> None:
    """Run a command with its output appended to a log.

    :raises CommandFailed: it ended with another code than 0
    """
    words = [str(word) for word in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('a') as output:
        output.write('$ ' + ' '.join(words) + '\n')
        output.flush()
        code = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            **options,
        ).returncode
    if code:
        raise CommandFailed(f'{words[0]} ended with {code}')


def answer(
    command: collections.abc.Sequence[str | pathlib.Path], **options
) -> str:
    """Run a command and return what it says.

    :raises CommandFailed: it ended with another code than 0
    """
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    if done.returncode:
        raise CommandFailed(
            f'{" ".join(words)} ended with {done.returncode}: '
            f'{done.stderr.strip() or done.stdout.strip()}'
        )
    return done.stdout.strip()
