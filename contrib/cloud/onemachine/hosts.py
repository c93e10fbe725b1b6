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

"""A second compute host, on the same machine.

It is a network namespace with a mount namespace: what two hosts of a cloud
would have in common here, the names of devices and those of namespaces, they
do not share. A cable, which is a pair of devices, joins the two hosts' bridges
of the physical network.
"""

import pathlib

from onemachine import network
from onemachine import settings as settings_mod
from onemachine import steps

# The device at either end of the cable.
_CABLE = 'ndc-cable'

# /sys shows the devices of the namespace that it was mounted in, and whoever
# mounts it anew has to bring its cgroups along.
_MOUNT = """
set -e
mount -t tmpfs -o mode=755 tmpfs /run/netns
mkdir -p "$1"
mount --rbind /sys/fs/cgroup "$1"
mount -t sysfs sysfs /sys
mount --rbind "$1" /sys/fs/cgroup
umount --recursive --lazy "$1"
rmdir "$1"
"""


def make(settings: settings_mod.Settings) -> None:
    """Make the namespaces of a host, where it has none.

    :param settings: those of the host
    """
    log = settings.log / 'bootstrap.log'
    name = settings.namespace
    if not pathlib.Path('/run/netns', name).exists():
        steps.run(['ip', 'netns', 'add', name], log)
        steps.run(['ip', '-netns', name, 'link', 'set', 'lo', 'up'], log)
    if not network.has_link(settings.of_host(1), _CABLE):
        steps.run(
            [
                *('ip', 'link', 'add', _CABLE, 'type', 'veth'),
                *('peer', 'name', _CABLE, 'netns', name),
            ],
            log,
        )
    for where in ((), ('-netns', name)):
        steps.run(['ip', *where, 'link', 'set', _CABLE, 'up'], log)
    if not _is_mounted(settings.mounts):
        _make_mounts(settings, log)


def _is_mounted(path: pathlib.Path) -> bool:
    """Whether a file is more than that: a namespace."""
    return (
        path.exists() and path.stat().st_dev != path.parent.stat().st_dev
    )


def _make_mounts(settings: settings_mod.Settings, log: pathlib.Path) -> None:
    folder = settings.mounts.parent
    folder.mkdir(exist_ok=True)
    # A mount namespace is kept by a mount that is in no other one.
    steps.run(['mount', '--bind', folder, folder], log)
    steps.run(['mount', '--make-private', folder], log)
    settings.mounts.touch()
    steps.run(
        [
            *('nsenter', f'--net=/run/netns/{settings.namespace}', '--'),
            *('unshare', f'--mount={settings.mounts}'),
            *('--propagation=private', '--'),
            *('sh', '-c', _MOUNT, 'sh', settings.run / 'cgroup'),
        ],
        log,
    )


def plug_cable(settings: settings_mod.Settings) -> None:
    """Plug the cable in at a host."""
    network.vsctl(
        settings, '--may-exist', 'add-port', settings.external_bridge, _CABLE
    )


def unmake(settings: settings_mod.Settings) -> None:
    """Remove the namespaces of a host, and the cable with them.

    What the kernel knows of the host ends with its last process.
    """
    log = settings.log / 'bootstrap.log'
    folder = settings.mounts.parent
    if _is_mounted(settings.mounts):
        steps.run(['umount', '--recursive', folder], log)
    if pathlib.Path('/run/netns', settings.namespace).exists():
        steps.run(['ip', 'netns', 'delete', settings.namespace], log)
