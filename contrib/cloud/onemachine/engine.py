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

import pathlib

from onemachine import network
from onemachine import settings as settings_mod
from onemachine import steps


def create_bridge(settings: settings_mod.Settings) -> None:
    """Make the engine's bridge.

    Nothing of the cloud uses it. An engine that is told to have none
    deletes docker0, whoever owns that.
    """
    log = settings.log / 'bootstrap.log'
    name = settings.engine_bridge
    if pathlib.Path(f'/sys/class/net/{name}').exists():
        return
    steps.run(['ip', 'link', 'add', name, 'type', 'bridge'], log)
    steps.run(
        ['ip', 'address', 'add', settings.engine_bridge_address, 'dev', name],
        log,
    )
    steps.run(['ip', 'link', 'set', name, 'up'], log)


def remove_bridge(settings: settings_mod.Settings) -> None:
    """Remove the engine's bridge."""
    if pathlib.Path(f'/sys/class/net/{settings.engine_bridge}').exists():
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
        docker(settings, 'ps', '--all', '--format', '{{.Names}}').split()
    )


def remove_containers(settings: settings_mod.Settings) -> None:
    """Remove all containers."""
    found = docker(settings, 'ps', '--all', '--quiet').split()
    if found:
        docker(settings, 'rm', '--force', '--volumes', *found)
