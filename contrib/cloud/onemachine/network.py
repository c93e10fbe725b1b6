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

"""Open vSwitch of the cloud's own, and what it leaves in the kernel."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

from onemachine import settings as settings_mod
from onemachine import steps

_SCHEMA = pathlib.Path('/usr/share/openvswitch/vswitch.ovsschema')
_NAMESPACES = pathlib.Path('/run/netns')
# One for all networks: Open vSwitch cuts what is to be segmented to the MTU
# of the port where it leaves, whatever its sender and receiver have agreed
# on. It is not that of Ethernet, so that who takes that for granted is found
# out.
MTU = 1450


def datapath(settings: settings_mod.Settings) -> str:
    """'system' where the kernel switches, else 'netdev'.

    The kernel has one datapath of that type, which belongs to the Open
    vSwitch that is on the machine already, if there is one.
    """
    if settings.datapath:
        return settings.datapath
    remembered = settings.state / 'datapath'
    if remembered.exists():
        return remembered.read_text().strip()
    if shutil.which('modprobe'):
        subprocess.run(
            ['modprobe', 'openvswitch'], capture_output=True, check=False
        )
    module = pathlib.Path('/sys/module/openvswitch').exists()
    taken = pathlib.Path('/sys/class/net/ovs-system').exists()
    found = 'system' if module and not taken else 'netdev'
    remembered.parent.mkdir(parents=True, exist_ok=True)
    remembered.write_text(found + '\n')
    return found


def create_database(settings: settings_mod.Settings) -> None:
    """Make the configuration database of Open vSwitch."""
    path = settings.state / 'openvswitch' / 'conf.db'
    if not path.exists():
        steps.run(
            ['ovsdb-tool', 'create', path, _SCHEMA],
            settings.log / 'bootstrap.log',
        )


def initialize(
    settings: settings_mod.Settings, kind: str, mechanism: str
) -> None:
    """Write what ovs-vswitchd reads at its start."""
    values = [f'external_ids:system-id={settings.hostname}']
    if kind == 'netdev':
        # The packets of a veth carry unfinished checksums. This makes Open
        # vSwitch take them as they are. OVN's routers take what TCP has not
        # cut yet for too large, and nothing there but the servers, which
        # complete their packets themselves, sends much through a veth.
        wanted = 'true' if mechanism == 'ovs' else 'false'
        values.append(f'other_config:userspace-tso-enable={wanted}')
    vsctl(settings, '--no-wait', 'init')
    vsctl(settings, '--no-wait', 'set', 'Open_vSwitch', '.', *values)
    _add_external_bridge(settings, kind)


def _add_external_bridge(settings: settings_mod.Settings, kind: str) -> None:
    """Make the bridge that Neutron's agent connects its own one to."""
    name = settings.external_bridge
    vsctl(
        settings,
        *('--no-wait', '--may-exist', 'add-br', name),
        *('--', 'set', 'Bridge', name, f'datapath_type={kind}'),
        *('--', 'set', 'Interface', name, f'mtu_request={MTU}'),
    )


def connect_host(settings: settings_mod.Settings) -> None:
    """Give the host its address on the external network."""
    log = settings.log / 'bootstrap.log'
    device = settings.external_bridge
    address = settings.external_address
    steps.run(['ip', 'address', 'replace', address, 'dev', device], log)
    steps.run(['ip', 'link', 'set', device, 'up'], log)


def has_link(settings: settings_mod.Settings, name: str) -> bool:
    """Whether the host has a device of that name."""
    try:
        steps.answer([*settings.within, 'ip', 'link', 'show', 'dev', name])
    except steps.CommandFailed:
        return False
    return True


def switching(settings: settings_mod.Settings) -> None:
    """Fail unless ovs-vswitchd has taken up the configuration.

    It answers before it has made the bridges that its database names.
    """
    steps.answer(
        [
            'ovs-appctl',
            '-t',
            settings.run / 'openvswitch' / 'ovs-vswitchd.ctl',
            'version',
        ]
    )
    bridge = settings.external_bridge
    if not has_link(settings, bridge):
        raise RuntimeError(f'ovs-vswitchd has not made {bridge} yet')


def vsctl(settings: settings_mod.Settings, *words: str) -> str:
    """Call ovs-vsctl on the cloud's database."""
    return steps.answer(
        [
            'ovs-vsctl',
            '--timeout=10',
            f'--db=unix:{settings.ovsdb_socket}',
            *words,
        ]
    )


def leave(settings: settings_mod.Settings) -> None:
    """Let ovs-vswitchd end so that no device of its own stays."""
    control = settings.run / 'openvswitch' / 'ovs-vswitchd.ctl'
    steps.run(
        ['ovs-appctl', '-T', '30', '-t', control, 'exit', '--cleanup'],
        settings.log / 'bootstrap.log',
    )


def end_helpers(settings: settings_mod.Settings) -> None:
    """End what the cloud's processes have started and left running.

    Such are the agents' dnsmasq and haproxy. They are known by the mark in
    their environment that supervisor gave.
    """
    for ending in (signal.SIGTERM, signal.SIGKILL):
        for _ in range(20):
            left = _marked(settings)
            if not left:
                return
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, ending)
            time.sleep(0.25)
    raise RuntimeError(f'these do not end: {left}')


def _marked(settings: settings_mod.Settings) -> list[int]:
    mark = f'NOVA_DOCKER_CLOUD={settings.folder}'.encode()
    found = []
    for entry in pathlib.Path('/proc').glob('[0-9]*'):
        # Other's processes may be out of reach even for root.
        with contextlib.suppress(
            PermissionError, FileNotFoundError, ProcessLookupError
        ):
            if mark in (entry / 'environ').read_bytes().split(b'\0'):
                found.append(int(entry.name))
    return found


def remove_namespaces(settings: settings_mod.Settings) -> None:
    """Remove the namespaces of the cloud's networks and routers.

    The agents have a folder for each network that DHCP serves, and a file for
    each that has a way to the metadata.
    """
    state = settings.state / 'neutron'
    owners = {
        path.stem
        for kind in ('dhcp', 'ns-metadata-proxy')
        for path in (state / kind).glob('*')
    }
    for name in os.listdir(_NAMESPACES) if _NAMESPACES.exists() else ():
        kind, _, owner = name.partition('-')
        if kind in ('qdhcp', 'qrouter') and owner in owners:
            steps.run(
                ['ip', 'netns', 'delete', name],
                settings.log / 'bootstrap.log',
            )


def remove_names(settings: settings_mod.Settings, names: list[str]) -> None:
    """Remove the names of containers' namespaces whose processes are gone."""
    if names:
        wanted = ' -o '.join(f'-name {name}' for name in names).split()
        steps.answer(
            [
                *(*settings.within, 'find', _NAMESPACES, '-maxdepth', '1'),
                *('-xtype', 'l', '(', *wanted, ')', '-delete'),
            ]
        )


def make_namespaces_folder(settings: settings_mod.Settings) -> None:
    """Make the folder of namespaces as the command ip does.

    Neutron's agents would make one that everybody may write to.
    """
    if not _NAMESPACES.exists():
        log = settings.log / 'bootstrap.log'
        name = f'cloud-{os.getpid()}'
        steps.run(['ip', 'netns', 'add', name], log)
        steps.run(['ip', 'netns', 'delete', name], log)
