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

"""Whether a host is fit for nova-compute with this driver.

Nothing here needs nova-compute to have run before.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import configparser
import dataclasses
import grp
from importlib import metadata
import os
import pathlib
import pwd
import shlex

from nova import exception as nova_exception
from nova.virt import node
from oslo_privsep import daemon as privsep_daemon

from novadocker import exception
from novadocker import privsep
import novadocker.privsep.firewall
import novadocker.privsep.netns
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import findings
from novadocker.virt.docker import naming
from novadocker.virt.docker import pause
from novadocker.virt.docker import switch as switch_mod

_PLUGINS = ('novadocker', 'ovs')
_FORMAT = 'docker'
# What is in our own filters, wherever an operator has put them.
_FILTER = rb'novadocker\.privsep\.sys_admin_pctxt'
# Whether packets inside of Linux bridges pass the host's packet filter.
_BRIDGE_NF = {4: 'bridge-nf-call-iptables', 6: 'bridge-nf-call-ip6tables'}
_BRIDGE_NF_DIR = pathlib.Path('/proc/sys/net/bridge')


@dataclasses.dataclass(frozen=True)
class HostSettings:
    """What nova.conf says about the host.

    :ivar engine_url: where the engine listens
    :ivar rootwrap_config: empty if nova-rootwrap is not used
    """

    host: str
    engine_url: str
    compute_driver: str
    state_path: str
    instances_path: str
    rootwrap_config: str
    plug_timeout: int
    plug_is_fatal: bool


@dataclasses.dataclass(frozen=True)
class Probes:
    """Who is asked.

    :ivar formats: gives the container formats that Glance takes
    """

    client: engine.Client
    switch: switch_mod.Switch
    formats: Callable[[], Iterable[str]]


class Checks:
    """The checks of one host.

    :ivar can_look: whether servers can be looked at, known after the checks
    :ivar can_repair: whether they can be repaired
    """

    def __init__(self, settings: HostSettings, probes: Probes) -> None:
        self._settings = settings
        self._probes = probes
        self.can_look = True
        self.can_repair = True

    def run(self) -> list[findings.Finding]:
        return [
            one
            for check in (
                self._configuration,
                self._user,
                self._directories,
                self._engine,
                self._identity,
                self._plugins,
                self._filters,
                self._helper,
                self._switch,
                self._glance,
            )
            for one in check()
        ]

    # What Nova is told

    def _configuration(self) -> Iterator[findings.Finding]:
        driver = self._settings.compute_driver or ''
        if not (
            driver.startswith('novadocker.')
            and driver.endswith('.DockerDriver')
        ):
            yield findings.failure(
                'nova.conf',
                f'compute_driver is {driver or "not set"}',
                'Set it to novadocker.virt.docker.DockerDriver.',
            )
        if not (self._settings.plug_timeout and self._settings.plug_is_fatal):
            yield findings.warning(
                'nova.conf',
                'servers start whether or not Neutron has wired their ports',
                'Set vif_plugging_is_fatal to True and vif_plugging_timeout '
                'to 300, their defaults.',
            )

    def _user(self) -> Iterator[findings.Finding]:
        try:
            owner = os.stat(self._settings.state_path).st_uid
        except OSError:
            return
        if owner != os.geteuid():
            self.can_repair = False
            name = _user_name(owner)
            yield findings.warning(
                'user',
                f'this runs as {_user_name(os.geteuid())}, and nova-compute '
                f'as {name}: rights are not checked, nothing is repaired',
                f'sudo -u {name} nova-docker-status',
            )

    def _directories(self) -> Iterator[findings.Finding]:
        for option, path in (
            ('state_path', self._settings.state_path),
            ('instances_path', self._settings.instances_path),
        ):
            there = _existing(pathlib.Path(path))
            if not os.access(there, os.W_OK | os.X_OK):
                self.can_repair = False
                yield findings.failure(
                    option,
                    f'{_user_name(os.geteuid())} may not write to {there}',
                    f'chown it to the user of nova-compute, or set {option}.',
                )

    def _identity(self) -> Iterator[findings.Finding]:
        """Nova refuses to start on a host that it knew and that lost it."""
        try:
            known = node.read_local_node_uuid()
        except (nova_exception.InvalidNodeConfiguration, OSError) as exc:
            yield findings.failure(
                'compute_id',
                f'cannot be read: {exc}',
                'Restore it from "openstack hypervisor list".',
            )
            return
        if known is not None:
            return
        if self.can_look and self._probes.client.list_containers(
            naming.host_filter(self._settings.host)
        ):
            yield findings.failure(
                'compute_id',
                f'is not in {self._settings.state_path}, and there are '
                'servers here',
                'Restore it from "openstack hypervisor list": nova-compute '
                'will not start without. state_path has to persist.',
            )
        else:
            yield findings.note(
                'compute_id', 'is not there: nova-compute has never run here'
            )

    # The engine

    def _engine(self) -> Iterator[findings.Finding]:
        try:
            info = self._probes.client.info()
            pause.sandbox_image(info.architecture)
        except exception.EngineUnavailable as exc:
            self.can_look = False
            yield self._unreachable(exc)
            return
        except (exception.EngineNotSupported, exception.EngineError) as exc:
            self.can_look = False
            yield findings.failure(
                'engine', str(exc), 'Docker Engine 20.10 or later is needed.'
            )
            return
        if not os.path.isdir(info.root_dir):
            yield findings.failure(
                'engine',
                f'its data directory {info.root_dir} cannot be seen here',
                'nova-compute and the engine need to be on one host, and to '
                'see it at the same path.',
            )
        if info.storage_driver != 'overlay2':
            yield findings.warning(
                'engine',
                f'its storage driver {info.storage_driver} does not say where '
                'layers are: no rescue, and moves lose extended attributes',
                'Before the first server, "storage-driver": "overlay2" in '
                'daemon.json.',
            )
        if not info.live_restore:
            yield findings.note(
                'engine',
                'servers end when it is restarted, and are started again',
                '"live-restore": true in daemon.json lets them run on.',
            )

    def _unreachable(
        self, exc: exception.EngineUnavailable
    ) -> findings.Finding:
        url = self._settings.engine_url
        path = pathlib.Path(url.removeprefix('unix://'))
        user = _user_name(os.geteuid())
        if not url.startswith('unix://'):
            advice = 'See that it listens there, and [docker] in nova.conf.'
        elif not os.access(there := _existing(path.parent), os.X_OK):
            advice = f'{user} may not look into {there}.'
        elif not path.exists():
            advice = f'There is no {path}: start it, or set [docker]host_url.'
        elif not os.access(path, os.R_OK | os.W_OK):
            group = _group_name(path.stat().st_gid)
            advice = (
                f'{user} may not open {path}: usermod -a -G {group} {user}, '
                'then restart nova-compute.'
            )
        else:
            advice = 'See its log.'
        return findings.failure('engine', str(exc), advice)

    # Privileges

    def _plugins(self) -> Iterator[findings.Finding]:
        there = {
            point.name: point
            for point in metadata.entry_points(group='os_vif')
        }
        for name in _PLUGINS:
            try:
                there[name].load()
            except (KeyError, ImportError, AttributeError) as exc:
                yield findings.failure(
                    'os-vif',
                    f'plugin {name} cannot be loaded: {exc!r}',
                    'Install nova-docker and os-vif into the environment of '
                    'nova-compute.',
                )

    def _filters(self) -> Iterator[findings.Finding]:
        """Whether rootwrap's filters name us; what is unreadable may."""
        config = self._settings.rootwrap_config
        if not config:
            return
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(pathlib.Path(config).read_text())
            folders = parser.get('DEFAULT', 'filters_path').split(',')
            named = any(
                _FILTER in path.read_bytes()
                for folder in folders
                for path in pathlib.Path(folder.strip()).glob('*')
                if path.is_file()
            )
        except PermissionError:
            return
        except (OSError, configparser.Error) as exc:
            yield findings.failure(
                'rootwrap',
                f'{config} cannot be used: {exc}',
                'Install the rootwrap.conf of Nova, or set rootwrap_config.',
            )
            return
        if not named:
            yield findings.warning(
                'rootwrap',
                f'no filter of {", ".join(folders)} lets our helper start',
                'Copy docker.filters there, from etc/nova/rootwrap.d of the '
                'environment that nova-docker is in.',
            )

    def _helper(self) -> Iterator[findings.Finding]:
        try:
            novadocker.privsep.netns.inode(os.getpid())
        except (OSError, privsep_daemon.FailedToDropPrivileges) as exc:
            self.can_look = False
            command = shlex.join(
                privsep.sys_admin_pctxt.helper_command('SOCKET')
            )
            yield findings.failure(
                'privsep',
                f'our helper does not start: {exc}',
                f'{_user_name(os.geteuid())} has to be allowed in sudoers, '
                f'without a password: {command}',
            )
        else:
            for family in _BRIDGE_NF:
                yield from _firewall(family)

    # Others

    def _switch(self) -> Iterator[findings.Finding]:
        try:
            bridges = self._probes.switch.bridges()
        except exception.SwitchUnavailable as exc:
            yield findings.warning(
                'switch',
                str(exc),
                'ovs-vsctl set-manager ptcp:6640:127.0.0.1, or set '
                '[os_vif_ovs]ovsdb_connection.',
            )
            return
        if not bridges:
            yield findings.warning(
                'switch',
                'has no bridge',
                'Start the Neutron agent of this host, which makes it.',
            )

    def _glance(self) -> Iterator[findings.Finding]:
        try:
            known = list(self._probes.formats())
        except exception.GlanceUnavailable as exc:
            yield findings.warning(
                'glance',
                f'could not be asked: {exc}',
                'See [placement] and [glance] in nova.conf.',
            )
            return
        if _FORMAT not in known:
            yield findings.failure(
                'glance',
                f'takes no images of format {_FORMAT}, but {", ".join(known)}',
                f'Add {_FORMAT} to [image_format]container_formats in '
                'glance-api.conf.',
            )


def _firewall(family: int) -> Iterator[findings.Finding]:
    """Docker makes the host drop what is forwarded, bridges included."""
    option = _BRIDGE_NF[family]
    try:
        through = (_BRIDGE_NF_DIR / option).read_text().strip() == '1'
        policy = novadocker.privsep.firewall.forward_policy(family)
    except FileNotFoundError:
        # Without br_netfilter bridges are not looked at.
        return
    except OSError as exc:
        yield findings.note('firewall', f'could not be read: {exc}')
        return
    if through and policy == 'DROP':
        yield findings.warning(
            'firewall',
            f'FORWARD drops (IPv{family}), and br_netfilter shows it what '
            f'passes Linux bridges (net.bridge.{option}=1)',
            '"iptables": false in daemon.json and iptables -P FORWARD ACCEPT; '
            'where Neutron does not filter by iptables, '
            f'sysctl net.bridge.{option}=0 does as well.',
        )


def _existing(path: pathlib.Path) -> pathlib.Path:
    """The path, or the nearest directory above it that is there."""
    # Unlike a path's method this has an answer where the user may not look.
    return next(one for one in (path, *path.parents) if os.path.exists(one))


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
