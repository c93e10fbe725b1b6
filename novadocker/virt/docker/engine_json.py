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

"""The engine's JSON, to and from our dataclasses: pure functions."""

from collections.abc import Iterable
from collections.abc import Mapping
import io
import stat
import tarfile
from typing import Any

from novadocker import exception
from novadocker.virt.docker import model

_NANO = 10**9
# Microseconds: the period in which a quota of CPU time is given out. A quota
# is used instead of NanoCpus, which the engine bounds by the host's CPUs.
_CPU_PERIOD = 100_000

# The engine's lists of limits, by what of DiskRates they have.
_DISK_RATES = {
    'read_bytes': 'BlkioDeviceReadBps',
    'read_requests': 'BlkioDeviceReadIOps',
    'write_bytes': 'BlkioDeviceWriteBps',
    'write_requests': 'BlkioDeviceWriteIOps',
}

# The first words of the two lines by which a load tells what it made.
_LOADED = ('Loaded image ID: ', 'Loaded image: ')


def label_filter(labels: Mapping[str, str]) -> list[str]:
    return [f'{key}={value}' for key, value in labels.items()]


def timestamp(nanoseconds: int) -> str:
    """The time as the engine's ``since`` wants it, to the nanosecond."""
    return f'{nanoseconds // _NANO}.{nanoseconds % _NANO:09d}'


def container_config(spec: model.ContainerSpec) -> dict[str, Any]:
    """The body of a request to create a container."""
    config: dict[str, Any] = {
        'Image': spec.image,
        'Labels': dict(spec.labels),
        'Env': [f'{name}={value}' for name, value in spec.environment.items()],
        'Tty': spec.tty,
        'OpenStdin': spec.tty,
        # An image's own check would run as often as the image wants, at the
        # host's expense, and Nova does not ask for what it finds.
        'Healthcheck': {'Test': ['NONE']},
        'HostConfig': _host_config(spec),
    }
    if spec.command is not None:
        config['Cmd'] = list(spec.command)
    if spec.entrypoint is not None:
        config['Entrypoint'] = list(spec.entrypoint)
    if spec.hostname is not None:
        config['Hostname'] = spec.hostname
    return config


def _host_config(spec: model.ContainerSpec) -> dict[str, Any]:
    host: dict[str, Any] = {
        'NetworkMode': spec.network,
        # The driver supervises: a sandbox that the engine restarts by itself
        # would come back without any NIC.
        'RestartPolicy': {'Name': 'no'},
        'CapDrop': ['ALL'],
        'CapAdd': list(spec.capabilities),
        'SecurityOpt': [] if spec.new_privileges else ['no-new-privileges'],
        'Privileged': False,
        'ReadonlyRootfs': spec.read_only,
        'LogConfig': {
            'Type': 'json-file',
            'Config': {
                'max-size': str(spec.log.size),
                'max-file': str(spec.log.files),
            },
        },
    }
    mounts = [_bind(one) for one in spec.mounts]
    mounts += [_overlay(one, spec.labels) for one in spec.overlays]
    if mounts:
        host['Mounts'] = mounts
    if spec.sysctls:
        host['Sysctls'] = dict(spec.sysctls)
    limits = spec.limits
    if limits.memory is not None:
        # MemorySwap is memory and swap together
        host.update(Memory=limits.memory, MemorySwap=limits.memory)
    if limits.cpus is not None:
        host['CpuPeriod'] = _CPU_PERIOD
        host['CpuQuota'] = int(limits.cpus * _CPU_PERIOD)
    if limits.cpu_shares is not None:
        host['CpuShares'] = limits.cpu_shares
    if limits.pids is not None:
        host['PidsLimit'] = limits.pids
    if limits.disk is not None:
        host |= _throttles(limits.disk)
    return host


def _throttles(disk: model.DiskRates) -> dict[str, Any]:
    return {
        key: [{'Path': disk.device, 'Rate': rate}]
        for field, key in _DISK_RATES.items()
        if (rate := getattr(disk, field)) is not None
    }


def update(limits: model.Limits) -> dict[str, Any]:
    """Other limits for a container, as the SDK's verb takes them.

    Neither the number of processes nor the use of a disk is among what that
    knows.
    """
    found: dict[str, Any] = {}
    if limits.memory is not None:
        found |= {
            'mem_limit': limits.memory,
            'memswap_limit': limits.memory,
        }
    if limits.cpus is not None:
        found['cpu_period'] = _CPU_PERIOD
        found['cpu_quota'] = int(limits.cpus * _CPU_PERIOD)
    if limits.cpu_shares is not None:
        found['cpu_shares'] = limits.cpu_shares
    return found


def _bind(mount: model.Mount) -> dict[str, Any]:
    return {
        'Type': 'bind',
        'Source': mount.source,
        'Target': mount.target,
        'ReadOnly': True,
    }


def _overlay(
    mount: model.OverlayMount, labels: Mapping[str, str]
) -> dict[str, Any]:
    """A volume without a name: the engine removes it with the container.

    It is mounted for as long as the container runs, by the engine itself.
    """
    return {
        'Type': 'volume',
        'Target': mount.target,
        'VolumeOptions': {
            'NoCopy': True,
            'Labels': dict(labels),
            'DriverConfig': {
                'Name': 'local',
                'Options': {
                    'type': 'overlay',
                    'device': 'overlay',
                    'o': mount.root.options,
                },
            },
        },
    }


def container_summary(row: Mapping[str, Any]) -> model.ContainerSummary:
    return model.ContainerSummary(
        id=row['Id'],
        name=row['Names'][0].lstrip('/') if row.get('Names') else '',
        state=model.ContainerState(row['State']),
        labels=row.get('Labels') or {},
        image_id=row['ImageID'],
    )


def container_info(found: Mapping[str, Any]) -> model.ContainerInfo:
    state = found['State']
    config = found['Config']
    return model.ContainerInfo(
        id=found['Id'],
        name=found['Name'].lstrip('/'),
        state=model.ContainerState(state['Status']),
        pid=state['Pid'],
        exit_code=state['ExitCode'],
        oom_killed=state['OOMKilled'],
        error=state['Error'],
        image_id=found['Image'],
        labels=config.get('Labels') or {},
        network=found['HostConfig']['NetworkMode'],
        tty=config['Tty'],
        resolv_conf_path=found['ResolvConfPath'],
        hosts_path=found['HostsPath'],
        started_at=state['StartedAt'],
        finished_at=state['FinishedAt'],
        hostname=config.get('Hostname') or '',
        stop_signal=config.get('StopSignal') or 'SIGTERM',
        restarts=found.get('RestartCount') or 0,
        limits=_limits(found['HostConfig']),
        root=_root(found.get('GraphDriver') or {}),
    )


def _limits(host: Mapping[str, Any]) -> model.Limits:
    quota = host.get('CpuQuota') or 0
    return model.Limits(
        memory=host.get('Memory') or None,
        cpus=quota / _CPU_PERIOD if quota > 0 else None,
        cpu_shares=host.get('CpuShares') or None,
        pids=host.get('PidsLimit') or None,
        disk=_disk_rates(host),
    )


def _disk_rates(host: Mapping[str, Any]) -> model.DiskRates | None:
    found = {
        field: host[key][0]
        for field, key in _DISK_RATES.items()
        if host.get(key)
    }
    if not found:
        return None
    return model.DiskRates(
        next(iter(found.values()))['Path'],
        **{field: one['Rate'] for field, one in found.items()},
    )


def _root(storage: Mapping[str, Any]) -> model.Overlay | None:
    # Of a container that is being removed, the engine says no more.
    data = storage.get('Data')
    if storage.get('Name') != 'overlay2' or not data:
        return None
    # The image of one layer has none below it.
    lower = data.get('LowerDir') or ''
    return model.Overlay(lower, data['UpperDir'], data['WorkDir'])


def image_info(found: Mapping[str, Any]) -> model.ImageInfo:
    config = found.get('Config') or {}
    return model.ImageInfo(
        id=found['Id'],
        tags=tuple(found.get('RepoTags') or ()),
        size=found['Size'],
        architecture=found.get('Architecture') or '',
        os=found.get('Os') or '',
        labels=config.get('Labels') or {},
        parent=found.get('Parent') or '',
        entrypoint=tuple(config.get('Entrypoint') or ()),
        command=tuple(config.get('Cmd') or ()),
        config=config,
        layers=tuple((found.get('RootFS') or {}).get('Layers') or ()),
        root=_root(found.get('GraphDriver') or {}),
    )


def image_row(row: Mapping[str, Any]) -> model.ImageInfo:
    """A row of the list of images, which does not know everything."""
    return model.ImageInfo(
        id=row['Id'],
        tags=tuple(row.get('RepoTags') or ()),
        size=row['Size'],
        architecture='',
        os='',
        labels=row.get('Labels') or {},
        parent=row.get('ParentId') or '',
        entrypoint=(),
        command=(),
    )


def engine_info(
    found: Mapping[str, Any], api_version: str
) -> model.EngineInfo:
    return model.EngineInfo(
        id=found['ID'],
        name=found['Name'],
        version=found['ServerVersion'],
        api_version=api_version,
        cpus=found['NCPU'],
        memory=found['MemTotal'],
        architecture=found['Architecture'],
        os_type=found['OSType'],
        kernel=found['KernelVersion'],
        root_dir=found['DockerRootDir'],
        storage_driver=found['Driver'],
        cgroup_version=found.get('CgroupVersion') or '1',
        live_restore=bool(found.get('LiveRestoreEnabled')),
        swap_limit=bool(found.get('SwapLimit')),
        warnings=tuple(found.get('Warnings') or ()),
    )


def event(found: Mapping[str, Any]) -> model.Event | None:
    """An event, or None for one of a kind that nobody asked for."""
    try:
        action = model.EventAction(found['Action'])
    except ValueError:
        return None
    attributes = found['Actor']['Attributes']
    code = attributes.get('exitCode')
    return model.Event(
        action=action,
        container_id=found['Actor']['ID'],
        labels=attributes,
        time=found['timeNano'],
        exit_code=None if code is None else int(code),
    )


def loaded_references(answer: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Read the answer to a load to its end.

    :raises: EngineError for a failure, which the engine reports inside an
        answer that has begun with status 200
    """
    found = []
    for line in answer:
        if 'errorDetail' in line or 'error' in line:
            detail = line.get('errorDetail') or {}
            raise exception.EngineError(
                500, detail.get('message') or line.get('error') or ''
            )
        said = line.get('stream') or ''
        found += [
            said.removeprefix(words).strip()
            for words in _LOADED
            if said.startswith(words)
        ]
    return tuple(found)


def archived_file(path: str, archive: bytes) -> model.ContainerFile | None:
    """The file in an archive of one; None if it is another thing."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is None:
                return None
            return model.ContainerFile(
                path,
                content.read(),
                stat.S_IMODE(member.mode),
                member.uid,
                member.gid,
            )
    return None
