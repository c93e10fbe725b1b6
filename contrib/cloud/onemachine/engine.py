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

"""The Docker engine of the cloud's own."""

import contextlib
import json
import os
import pathlib

from onemachine import network
from onemachine import settings as settings_mod
from onemachine import steps


# What an engine writes outside of the folders that it is given.
_STRAYS = ('/etc/docker/key.json', '/etc/docker', '/opt/containerd')


def remember_strays(settings: settings_mod.Settings) -> None:
    """Write down which of an engine's stray files are not there yet."""
    path = settings.state / 'strays.json'
    if not path.exists():
        absent = [name for name in _STRAYS if not os.path.exists(name)]
        path.write_text(json.dumps(absent))


def remove_strays(settings: settings_mod.Settings) -> None:
    """Remove the stray files that came with the engine of the cloud.

    A folder that has got a content meanwhile stays.
    """
    path = settings.state / 'strays.json'
    for name in json.loads(path.read_text()) if path.exists() else ():
        stray = pathlib.Path(name)
        if not stray.is_dir():
            stray.unlink(missing_ok=True)
            continue
        for folder in (*stray.rglob('*'), stray):
            with contextlib.suppress(OSError):
                folder.rmdir()


def create_bridge(settings: settings_mod.Settings) -> None:
    """Make the engine's bridge.

    Nothing of the cloud uses it. An engine that is told to have none
    deletes docker0, whoever owns that.
    """
    log = settings.log / 'bootstrap.log'
    name = settings.engine_bridge
    if network.has_link(settings, name):
        return
    ip = (*settings.within, 'ip')
    steps.run([*ip, 'link', 'add', name, 'type', 'bridge'], log)
    steps.run(
        [*ip, 'address', 'add', settings.engine_bridge_address, 'dev', name],
        log,
    )
    steps.run([*ip, 'link', 'set', name, 'up'], log)


def remove_bridge(settings: settings_mod.Settings) -> None:
    """Remove the engine's bridge."""
    if network.has_link(settings, settings.engine_bridge):
        steps.run(
            ['ip', 'link', 'delete', settings.engine_bridge],
            settings.log / 'bootstrap.log',
        )


def docker(settings: settings_mod.Settings, *words: str) -> str:
    """Call the command docker on the cloud's engine."""
    return steps.answer(
        ['docker', '--host', f'unix://{settings.engine_socket}', *words]
    )


def stop_containers(settings: settings_mod.Settings) -> None:
    """Stop all containers; with --live-restore they outlive the engine."""
    running = docker(settings, 'ps', '--quiet').split()
    if running:
        docker(settings, 'kill', *running)
    network.remove_names(
        settings,
        docker(settings, 'ps', '--all', '--format', '{{.Names}}').split(),
    )


def remove_containers(settings: settings_mod.Settings) -> None:
    """Remove all containers."""
    found = docker(settings, 'ps', '--all', '--quiet').split()
    if found:
        docker(settings, 'rm', '--force', '--volumes', *found)
