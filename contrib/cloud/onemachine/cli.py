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

"""The command line."""

import contextlib
import dataclasses
import fcntl
import subprocess
import sys
import time
import typing

import click

from onemachine import cloud as cloud_mod
from onemachine import settings as settings_mod
from onemachine import steps


@click.group(context_settings={'help_option_names': ['-h', '--help']})
@click.pass_context
def main(context: click.Context) -> None:
    """A whole OpenStack with the Docker driver on this machine.

    Settings are variables of the environment, or lines of the file
    /etc/nova-docker-cloud.conf ($CLOUD_SETTINGS names another one); README.rst
    beside this command lists them.
    """
    try:
        context.obj = settings_mod.load()
    except ValueError as error:
        raise click.ClickException(str(error)) from error


@contextlib.contextmanager
def _alone(settings: settings_mod.Settings) -> typing.Iterator[None]:
    """One change of the cloud at a time."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    with (settings.folder / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _up(settings: settings_mod.Settings) -> cloud_mod.Cloud:
    if settings.hosts not in (0, 1, 2):
        raise click.ClickException(f'CLOUD_HOSTS={settings.hosts}')
    if settings.neutron not in ('', *cloud_mod.MECHANISMS):
        raise click.ClickException(f'CLOUD_NEUTRON={settings.neutron}')
    begin = time.monotonic()
    with _alone(settings):
        cloud = cloud_mod.Cloud(settings)
        cloud.up()
    click.echo(f'The cloud is up, after {time.monotonic() - begin:.0f} s')
    return cloud


@main.command()
@click.option(
    '--neutron',
    type=click.Choice(list(cloud_mod.MECHANISMS)),
    help='Neutron with its own agents on Open vSwitch, which is the default, '
    'or with OVN. A cloud stays with what it was made with.',
)
@click.option(
    '--hosts',
    type=click.IntRange(1, 2),
    help='How many compute hosts there are; a cloud of one can get another.',
)
@click.pass_obj
def up(
    settings: settings_mod.Settings, neutron: str | None, hosts: int | None
) -> None:
    """Bring the cloud up; what is up stays as it is."""
    if neutron:
        settings = dataclasses.replace(settings, neutron=neutron)
    if hosts:
        settings = dataclasses.replace(settings, hosts=hosts)
    _up(settings)
    command = settings_mod.CONTRIB / 'cloud'
    click.echo(f'Use it: eval "$({command} env)"; openstack server list')


@main.command()
@click.pass_obj
def demo(settings: settings_mod.Settings) -> None:
    """Bring the cloud up and boot a container image, step by step."""
    _up(settings)
    from onemachine import demo as demo_mod

    demo_mod.Demo(settings).run()


@main.command()
@click.option(
    '--user',
    type=click.Choice(['admin', 'demo']),
    default='admin',
    show_default=True,
    help='Each works in the project of its name.',
)
@click.option(
    '--host',
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help='Whose engine and switch are meant.',
)
@click.pass_obj
def env(settings: settings_mod.Settings, user: str, host: int) -> None:
    """Print variables for the shell to eval."""
    known = cloud_mod.Cloud(settings).hosts
    if host > len(known):
        raise click.ClickException(f'The cloud has no host {host}')
    for name, value in cloud_mod.environment(known[host - 1], user).items():
        click.echo(f"export {name}='{value}'")
    click.echo(f'export PATH="{settings.bin}:$PATH"')


@main.command()
@click.pass_obj
def status(settings: settings_mod.Settings) -> None:
    """Tell how each process is; ends with 1 when one is down."""
    cloud = cloud_mod.Cloud(settings)
    if not cloud.processes.kept():
        click.echo('The cloud is down')
        sys.exit(1)
    states = cloud.processes.states()
    for name in cloud.names():
        state = states.get(name, {'statename': 'UNKNOWN', 'description': ''})
        click.echo(
            f'{name:<22} {state["statename"]:<9} {state["description"]}'
        )
    if {state['statename'] for state in states.values()} != {'RUNNING'}:
        sys.exit(1)


def _service(
    context: click.Context, parameter: click.Parameter, name: str
) -> str:
    names = cloud_mod.Cloud(context.obj).names()
    if name not in names:
        raise click.BadParameter('one of ' + ', '.join(names))
    return name


@main.command()
@click.argument('service', callback=_service)
@click.option('-f', '--follow', is_flag=True, help='Go on as it grows.')
@click.option('-n', '--lines', default=100, show_default=True)
@click.pass_obj
def logs(
    settings: settings_mod.Settings, service: str, follow: bool, lines: int
) -> None:
    """Show the end of the log of a service."""
    command = ['tail', f'--lines={lines}']
    if follow:
        command.append('--follow=name')
    sys.exit(
        subprocess.run([*command, settings.log / f'{service}.log']).returncode
    )


@main.command()
@click.argument('service', callback=_service)
@click.pass_obj
def stop(settings: settings_mod.Settings, service: str) -> None:
    """Stop a service, until it or the cloud is started again."""
    _running(settings).processes.stop(service)


@main.command()
@click.argument('service', callback=_service)
@click.pass_obj
def start(settings: settings_mod.Settings, service: str) -> None:
    """Start a service and wait until it is there."""
    _running(settings).start(service)


def _running(settings: settings_mod.Settings) -> cloud_mod.Cloud:
    cloud = cloud_mod.Cloud(settings)
    if not cloud.processes.kept():
        raise click.ClickException('The cloud is down')
    return cloud


@main.command()
@click.argument('service', callback=_service)
@click.pass_obj
def restart(settings: settings_mod.Settings, service: str) -> None:
    """Stop a service and start it again."""
    cloud = _running(settings)
    with _alone(settings), steps.step(service, cloud.processes.log(service)):
        cloud.processes.stop(service)
        cloud.start(service)


@main.command()
@click.option(
    '--purge',
    is_flag=True,
    help='Remove all of it; Debian packages that were installed stay.',
)
@click.pass_obj
def down(settings: settings_mod.Settings, purge: bool) -> None:
    """Stop all processes and containers of the cloud."""
    with _alone(settings):
        cloud_mod.Cloud(settings).down(purge)
    click.echo('The cloud is gone' if purge else 'The cloud is down')
