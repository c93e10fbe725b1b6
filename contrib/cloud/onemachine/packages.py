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

"""Debian's packages and the Python ones."""

import configparser
import contextlib
import hashlib
import os
import pathlib
import shutil
import subprocess
import sysconfig
import typing

from onemachine import settings as settings_mod
from onemachine import steps

# What has to be there, and the package that brings it. What is on the
# machine already, from wherever, is left alone.
PROGRAMS = {
    '/usr/sbin/mariadbd': 'mariadb-server',
    '/usr/lib/rabbitmq/bin/rabbitmq-server': 'rabbitmq-server',
    'ovs-vswitchd': 'openvswitch-switch',
    'dockerd': 'docker.io',
    'docker': 'docker.io',
    'dnsmasq': 'dnsmasq-base',
    'haproxy': 'haproxy',
    'radvd': 'radvd',
    'conntrack': 'conntrack',
    'ipset': 'ipset',
    'iptables': 'iptables',
    'ip': 'iproute2',
    'ping': 'iputils-ping',
    'curl': 'curl',
    'sudo': 'sudo',
    'visudo': 'sudo',
    'busybox': 'busybox-static',
    'gcc': 'gcc',
    'git': 'git',
}

OVN_PROGRAMS = {'ovn-northd': 'ovn-central', 'ovn-controller': 'ovn-host'}
# Headers of the C library and of Python, for uWSGI.
LIBRARIES = {
    '/usr/include/stdio.h': 'libc6-dev',
}

_POLICY = pathlib.Path('/usr/sbin/policy-rc.d')
_POLICY_TEXT = """#!/bin/sh
# nova-docker's cloud installs packages whose services it runs by itself.
exit 101
"""


def missing(mechanism: str = 'ovs') -> list[str]:
    """The Debian packages that have to be installed.

    :param mechanism: what Neutron works with
    """
    programs = PROGRAMS | (OVN_PROGRAMS if mechanism == 'ovn' else {})
    wanted = {
        package for name, package in programs.items() if not _which(name)
    }
    wanted |= {
        package
        for path, package in LIBRARIES.items()
        if not pathlib.Path(path).exists()
    }
    if not _python_headers():
        wanted.add('python3-dev')
    return sorted(wanted)


def missing_to_build() -> list[str]:
    """The Debian packages that pip needs.

    uWSGI is compiled; pbr asks git for the version of this repository.
    """
    needed = {'gcc', 'git', 'libc6-dev', 'python3-dev'}
    return sorted(needed & set(missing()))


def _which(name: str) -> str | None:
    path = os.environ.get('PATH', '') + ':/usr/sbin:/sbin:/usr/local/sbin'
    return shutil.which(name, path=path)


def _python_headers() -> bool:
    return (pathlib.Path(sysconfig.get_path('include')) / 'Python.h').exists()


def install_debian(
    settings: settings_mod.Settings, packages: list[str]
) -> None:
    """Install packages without starting any service of theirs."""
    if not packages:
        return
    log = settings.log / 'apt.log'
    environ = dict(os.environ, DEBIAN_FRONTEND='noninteractive')
    before = _enabled_units()
    with _no_services_started():
        # Another one may be at work: wait for it.
        apt = ['apt-get', '--option=DPkg::Lock::Timeout=300']
        steps.run([*apt, 'update'], log, env=environ)
        steps.run(
            [*apt, 'install', '--yes', '--no-install-recommends', *packages],
            log,
            env=environ,
        )
    # They are not to start with the machine either.
    new = sorted(_enabled_units() - before)
    if new:
        steps.run(['systemctl', 'disable', *new], log)


@contextlib.contextmanager
def _no_services_started() -> typing.Iterator[None]:
    aside = _POLICY.with_suffix('.d.nova-docker-cloud')
    if _POLICY.exists() and not aside.exists():
        if _POLICY.read_text() != _POLICY_TEXT:
            _POLICY.rename(aside)
    _POLICY.write_text(_POLICY_TEXT)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if aside.exists():
            aside.rename(_POLICY)
        else:
            _POLICY.unlink()


def _enabled_units() -> set[str]:
    if not pathlib.Path('/run/systemd/system').exists():
        return set()
    listed = subprocess.run(
        [
            'systemctl',
            'list-unit-files',
            '--state=enabled',
            '--type=service,socket',
            '--no-legend',
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {line.split()[0] for line in listed.splitlines() if line.strip()}


def install_python(settings: settings_mod.Settings) -> None:
    """Install OpenStack into the virtual environment."""
    contrib = settings_mod.CONTRIB
    files = [contrib / 'requirements.txt', contrib / 'constraints.txt']
    with _once(settings, 'openstack', files) as needed:
        if needed:
            _pip(
                settings,
                [
                    '--no-compile',
                    '--constraint',
                    str(files[1]),
                    '--requirement',
                    str(files[0]),
                ],
            )
            _compile(settings)


def _compile(settings: settings_mod.Settings) -> None:
    """Compile what was installed: pip does it on one processor, with tests."""
    # As with pip, a file that cannot be compiled is for nobody to import.
    with contextlib.suppress(steps.CommandFailed):
        steps.run(
            [
                *(settings.bin / 'python', '-m', 'compileall', '-q'),
                *('-j', '0', '-x', '/tests/'),
                sysconfig.get_path('purelib'),
            ],
            settings.log / 'pip.log',
        )


def install_driver(settings: settings_mod.Settings) -> None:
    """Install this repository beside Nova."""
    root = settings_mod.REPOSITORY
    editable = _readable_by_all(root)
    files = [root / 'setup.cfg', root / 'pyproject.toml']
    requirements = root / 'requirements.txt'
    if requirements.exists():
        files.append(requirements)
    with _once(settings, 'driver', files) as needed:
        # An installed copy grows old with every change of the sources.
        if needed or not editable:
            options = ['--editable'] if editable else []
            _pip(
                settings,
                [
                    f'--constraint={settings_mod.CONTRIB}/constraints.txt',
                    *options,
                    str(root),
                ],
            )


def _pip(settings: settings_mod.Settings, words: list[str]) -> None:
    environ = dict(
        os.environ,
        # pbr asks git, which refuses a repository of another user.
        GIT_CONFIG_COUNT='1',
        GIT_CONFIG_KEY_0='safe.directory',
        GIT_CONFIG_VALUE_0=str(settings_mod.REPOSITORY),
    )
    if not (settings_mod.REPOSITORY / '.git').exists():
        # A copy without history: pbr has nothing to ask.
        about = configparser.ConfigParser()
        about.read(settings_mod.REPOSITORY / 'setup.cfg')
        environ.setdefault('PBR_VERSION', about['metadata']['version'])
    steps.run(
        [settings.bin / 'python', '-m', 'pip', 'install', *words],
        settings.log / 'pip.log',
        env=environ,
    )


def _readable_by_all(path: pathlib.Path) -> bool:
    return all(
        folder.stat().st_mode & 0o005 == 0o005
        for folder in [path, *path.parents]
    )


@contextlib.contextmanager
def _once(
    settings: settings_mod.Settings, name: str, files: list[pathlib.Path]
) -> typing.Iterator[bool]:
    """Whether there is work to do, remembered when it was done."""
    digest = hashlib.sha256()
    for path in files:
        # Where it is counts as well: an editable install points there.
        digest.update(str(path).encode() + path.read_bytes())
    stamp = settings.venv / f'.{name}'
    current = digest.hexdigest()
    needed = not stamp.exists() or stamp.read_text() != current
    yield needed
    stamp.write_text(current)
