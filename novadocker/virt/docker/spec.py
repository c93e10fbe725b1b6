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

"""From Nova's words to specs of containers: pure functions."""

from collections.abc import Mapping
import dataclasses
import re
import shlex
from typing import Any

from oslo_utils import strutils

from novadocker import exception
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import quotas

# Where cloud-init looks for a config drive that is no device.
CONFIG_DRIVE = '/var/lib/cloud/seed/config_drive'

# By which cloud-init knows a container of Nova's, where it would ask the
# firmware of a virtual machine.
_PRODUCT = {'product_name': 'OpenStack Nova'}

# Where a server that is rescued finds its own root file system.
RESCUE_PATH = '/mnt/instance'

# Metadata whose keys begin so are environment variables.
_VARIABLE = 'env.'
_VARIABLE_NAME = re.compile('[A-Za-z_][A-Za-z0-9_]*')

# A flavor's word on servers that end; of any other value there is none.
LIFECYCLE = 'docker:lifecycle'
SERVICE = 'service'
JOB = 'job'

# A flavor's word on what a crash dump is; without it there is none.
CRASH_SIGNAL = 'docker:crash_dump_signal'
CRASH_SIGNALS = ('SIGQUIT', 'SIGABRT')

# A flavor's word on whether sudo and su work.
NEW_PRIVILEGES = 'docker:allow_new_privileges'

# The sandbox holds one sleeping process.
_SANDBOX_LIMITS = model.Limits(memory=16 * 1024**2, cpu_shares=2, pids=8)

# Neutron assigns every address and route, and the driver sets them: nothing
# is to be learnt from the network. The engine switches IPv6 off in a
# namespace without a network of its own.
_SANDBOX_SYSCTLS = {
    'net.ipv6.conf.all.disable_ipv6': '0',
    'net.ipv6.conf.default.disable_ipv6': '0',
    'net.ipv6.conf.default.accept_ra': '0',
    'net.ipv6.conf.default.autoconf': '0',
}


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """What an operator decides for all servers.

    :ivar pids_limit: processes and threads of one server
    :ivar capabilities: what root may do in a server, without CAP_
    :ivar console_log_size: bytes of one file of console output
    :ivar instances_path: directory on the host with one for each server
    :ivar disk: device of the host whose use can be limited, empty for none
    """

    pids_limit: int
    capabilities: tuple[str, ...]
    console_log_size: int
    instances_path: str = ''
    disk: str = ''

    @property
    def log_limits(self) -> model.LogLimits:
        # Two, so that there is something to read right after a rotation.
        return model.LogLimits(self.console_log_size, 2)


def sandbox(
    instance: Any, host: str, image_id: str, settings: ServerSettings
) -> model.ContainerSpec:
    """The container that owns an instance's namespace, name and resolver."""
    return model.ContainerSpec(
        name=naming.sandbox_name(instance.uuid),
        image=image_id,
        labels=naming.labels(instance.uuid, naming.ROLE_SANDBOX, host),
        network='none',
        limits=_SANDBOX_LIMITS,
        log=settings.log_limits,
        hostname=instance.hostname,
        read_only=True,
        sysctls=_SANDBOX_SYSCTLS,
    )


def server(
    instance: Any,
    host: str,
    image: model.ImageInfo,
    sandbox_id: str,
    settings: ServerSettings,
) -> model.ContainerSpec:
    """The container that runs an instance's image.

    It has a terminal and an open standard input, so that an image whose
    command is a shell stays up.

    :raises: CommandRejected
    """
    flavor = instance.flavor
    labels = naming.labels(instance.uuid, naming.ROLE_INSTANCE, host)
    labels |= naming.usage_labels(usage(flavor))
    return model.ContainerSpec(
        name=naming.instance_name(instance.uuid),
        image=image.id,
        labels=labels,
        network=f'container:{sandbox_id}',
        limits=limits(flavor, settings),
        log=settings.log_limits,
        command=command(instance.image_meta.properties),
        environment=_PRODUCT | environment(instance.metadata),
        tty=True,
        capabilities=settings.capabilities,
        new_privileges=new_privileges(flavor),
        mounts=_mounts(instance, settings),
    )


def usage(flavor: Any) -> naming.Usage:
    """What a server of this flavor takes of its host."""
    return naming.Usage(flavor.vcpus, flavor.memory_mb, flavor.root_gb)


def limits(flavor: Any, settings: ServerSettings) -> model.Limits:
    """All that a container has of its flavor, but for labels.

    :raises: FeatureNotSupported
    """
    rates = quotas.disk_rates(flavor)
    if rates and not settings.disk:
        raise exception.FeatureNotSupported(
            feature='a limited disk rate on a host whose engine keeps '
            'containers on no disk that the kernel can limit'
        )
    return model.Limits(
        memory=flavor.memory_mb * 1024**2,
        cpus=quotas.cpus(flavor),
        cpu_shares=quotas.cpu_shares(flavor),
        pids=settings.pids_limit,
        disk=model.DiskRates(settings.disk, **rates) if rates else None,
    )


def rescue(
    wanted: model.ContainerSpec, image_meta: Any, root: model.Overlay
) -> model.ContainerSpec:
    """The container that runs another image in the place of a server's.

    :param root: what the server's root file system is made of
    :raises: CommandRejected
    """
    return dataclasses.replace(
        wanted,
        labels={**wanted.labels, naming.LABEL_RESCUE: RESCUE_PATH},
        command=command(image_meta.properties),
        overlays=(model.OverlayMount(root, RESCUE_PATH),),
    )


def check_command(wanted: model.ContainerSpec, image: model.ImageInfo) -> None:
    """:raises: CommandRejected if there is nothing to run"""
    if wanted.command is None and not (image.command or image.entrypoint):
        raise exception.CommandRejected(reason='the image names no command')


def environment(metadata: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that a server's metadata ask for.

    :raises: VariableRefused
    """
    found = {}
    for key, value in metadata.items():
        if key.startswith(_VARIABLE):
            name = key.removeprefix(_VARIABLE)
            if not _VARIABLE_NAME.fullmatch(name) or '\0' in value:
                raise exception.VariableRefused(name=name)
            found[name] = value
    return found


def _mounts(
    instance: Any, settings: ServerSettings
) -> tuple[model.Mount, ...]:
    if not instance.config_drive:
        return ()
    source = naming.config_drive_path(settings.instances_path, instance.uuid)
    return (model.Mount(str(source), CONFIG_DRIVE),)


def is_job(flavor: Any) -> bool:
    """Whether a server of this flavor runs once, to its end."""
    return bool(flavor.extra_specs.get(LIFECYCLE) == JOB)


def new_privileges(flavor: Any) -> bool:
    """Whether processes of a server may become more than they are.

    :raises: FeatureNotSupported for a word that is neither yes nor no
    """
    found = flavor.extra_specs.get(NEW_PRIVILEGES, False)
    try:
        return bool(strutils.bool_from_string(found, strict=True))
    except ValueError as exc:
        raise exception.FeatureNotSupported(
            feature=f'a flavor with {NEW_PRIVILEGES}={found}, which may be '
            'true or false'
        ) from exc


def crash_signal(flavor: Any) -> str:
    """The signal that makes a server of this flavor tell what it does.

    :raises: FeatureNotSupported if the flavor allows none
    """
    found = flavor.extra_specs.get(CRASH_SIGNAL)
    if found not in CRASH_SIGNALS:
        raise exception.FeatureNotSupported(
            feature=f'a crash dump unless its flavor has {CRASH_SIGNAL}, '
            f'which may be {" or ".join(CRASH_SIGNALS)}'
        )
    return str(found)


def command(properties: Any) -> tuple[str, ...] | None:
    """The command that an image's properties give, as a shell splits it.

    :raises: CommandRejected
    """
    line = properties.get('os_command_line')
    if not line:
        return None
    try:
        return tuple(shlex.split(line))
    except ValueError as exc:
        raise exception.CommandRejected(
            reason=f'os_command_line cannot be split into words ({exc})'
        ) from exc


def refuse_unsupported(
    instance: Any, block_device_info: Any, accel_info: Any
) -> None:
    """Refuse what a server would silently lack.

    Called before anything is made.

    :raises: FeatureNotSupported, VariableRefused
    """
    environment(instance.metadata)
    _refuse_extra_specs(instance.flavor)
    devices = block_device_info or {}
    unsupported = {
        'volumes': devices.get('block_device_mapping'),
        'an ephemeral disk': devices.get('ephemerals'),
        'a swap disk': devices.get('swap') and instance.flavor.swap,
        'accelerators': accel_info,
    }
    for feature, wanted in unsupported.items():
        if wanted:
            raise exception.FeatureNotSupported(feature=feature)


def refuse_flavor(flavor: Any) -> None:
    """Refuse a flavor for a server that exists.

    :raises: FeatureNotSupported
    """
    _refuse_extra_specs(flavor)
    for feature, wanted in (
        ('an ephemeral disk', flavor.ephemeral_gb),
        ('a swap disk', flavor.swap),
    ):
        if wanted:
            raise exception.FeatureNotSupported(feature=feature)


def _refuse_extra_specs(flavor: Any) -> None:
    new_privileges(flavor)
    quotas.check(flavor)
    wanted = flavor.extra_specs.get(LIFECYCLE, SERVICE)
    if wanted not in (SERVICE, JOB):
        raise exception.FeatureNotSupported(
            feature=f'the lifecycle {wanted} of its flavor'
        )
