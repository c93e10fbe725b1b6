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

"""Who works for a Nova host, and with whom.

All objects of the driver are made here, and know of each other from here
alone.
"""

from collections.abc import Callable
from concurrent import futures
import dataclasses
from typing import Any

import nova.conf
from nova.virt import event as virtevent

from novadocker.virt.docker import aside
from novadocker.virt.docker import checkpoint
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import config_drive
from novadocker.virt.docker import console
from novadocker.virt.docker import diagnostics
from novadocker.virt.docker import disk
from novadocker.virt.docker import domains
from novadocker.virt.docker import events
from novadocker.virt.docker import healing
from novadocker.virt.docker import host as docker_host
from novadocker.virt.docker import host_watch
from novadocker.virt.docker import image_cache
from novadocker.virt.docker import images
from novadocker.virt.docker import injection
from novadocker.virt.docker import lifecycle
from novadocker.virt.docker import migration
from novadocker.virt.docker import model
from novadocker.virt.docker import network
from novadocker.virt.docker import obituary
from novadocker.virt.docker import observed
from novadocker.virt.docker import parcel
from novadocker.virt.docker import pause
from novadocker.virt.docker import ports
from novadocker.virt.docker import rebuild
from novadocker.virt.docker import rescue
from novadocker.virt.docker import resized
from novadocker.virt.docker import roster
from novadocker.virt.docker import sandbox
from novadocker.virt.docker import serial_console
from novadocker.virt.docker import settings
from novadocker.virt.docker import snapshots
from novadocker.virt.docker import spec
from novadocker.virt.docker import suspension
from novadocker.virt.docker import switch
from novadocker.virt.docker import transport

CONF = nova.conf.CONF

# Loads that may go on at once. Those that wait for another's load of the same
# image count too.
LOADERS = 16


@dataclasses.dataclass(frozen=True)
class Nova:
    """What of nova-compute the driver works with."""

    virtapi: Any
    emit: Callable[[virtevent.LifecycleEvent], None]


@dataclasses.dataclass(frozen=True)
class Watchers:
    """Those that work in threads of their own."""

    healer: healing.Healer
    events: events.Events
    host: host_watch.HostWatch

    def start(self) -> None:
        for one in (self.healer, self.events, self.host):
            one.start()

    def stop(self) -> None:
        """End their threads; does not wait for them."""
        for one in (self.host, self.events, self.healer):
            one.stop()

    def settle(self) -> None:
        """Take note that Nova has started what it wants to run."""
        self.healer.settle(self.events.ended)


@dataclasses.dataclass(frozen=True)
class House:
    """What the driver's methods call."""

    ports: ports.Ports
    lifecycle: lifecycle.Lifecycle
    roster: roster.Roster
    rebuilder: rebuild.Rebuilder
    migrations: migration.Migrations
    rescuer: rescue.Rescuer
    images: images.Images
    image_cache: image_cache.ImageCache
    snapshots: snapshots.Snapshots
    console: console.Console
    serial: serial_console.SerialConsoles
    diagnostics: diagnostics.Diagnostics
    guests: injection.Guests
    host: docker_host.Host
    watchers: Watchers


def furnish(
    client: engine.Client, host: str, nova: Nova, reserved_disk_gb: int
) -> House:
    """Wire everything for a Nova host.

    :raises: EngineUnavailable, EngineNotSupported
    """
    info = client.info()
    wanted = settings.server(disk.limitable(info))
    rooms = _rooms(client, host, nova, info, wanted)
    servers = lifecycle.Lifecycle(rooms, host, wanted)
    taken = snapshots.Snapshots(
        client, rooms.images, CONF.docker.snapshot_pause
    )
    return House(
        ports=rooms.ports,
        lifecycle=servers,
        roster=roster.Roster(rooms.observed, rooms.suspensions),
        rebuilder=rebuild.Rebuilder(rooms, servers, host),
        migrations=_migrations(rooms, servers, taken, host, wanted),
        rescuer=rescue.Rescuer(rooms, servers),
        images=rooms.images,
        image_cache=_image_cache(rooms, taken, host, info),
        snapshots=taken,
        console=console.Console(client),
        serial=serial_console.SerialConsoles(
            client, settings.serial_console()
        ),
        diagnostics=diagnostics.Diagnostics(client, rooms.sandboxes),
        guests=rooms.guests,
        host=docker_host.Host(
            client,
            rooms.observed,
            rooms.resizes,
            host,
            settings.reserved(reserved_disk_gb),
        ),
        watchers=_watchers(rooms, servers, host),
    )


def listing(client: engine.Client, host: str) -> roster.Roster:
    """What tells which servers a Nova host has, before it is wired."""
    return roster.Roster(
        observed.Observed(client, host),
        suspension.Suspensions(CONF.instances_path),
    )


def _rooms(
    client: engine.Client,
    host: str,
    nova: Nova,
    info: model.EngineInfo,
    wanted: spec.ServerSettings,
) -> lifecycle.Rooms:
    checkpoints = checkpoint.Checkpoints(CONF.instances_path)
    sandboxes = sandbox.Sandboxes(
        client,
        host,
        info.architecture,
        wanted,
        domains.Domains(checkpoints, CONF.api.dhcp_domain),
    )
    net = network.Network(
        nova.virtapi, switch.Switch(CONF.os_vif_ovs), settings.network()
    )
    net.sweep()
    return lifecycle.Rooms(
        client=client,
        sandboxes=sandboxes,
        ports=ports.Ports(net, sandboxes, checkpoints),
        images=images.Images(
            client, settings.images(), settings.last_use(info.id)
        ),
        observed=observed.Observed(client, host),
        loaders=futures.ThreadPoolExecutor(LOADERS, 'novadocker-loader'),
        suspensions=suspension.Suspensions(CONF.instances_path),
        obituaries=obituary.Obituaries(client, nova.emit),
        guests=injection.Guests(client, CONF.docker.inject_password),
        drives=config_drive.ConfigDrives(CONF.instances_path),
        resizes=resized.Resizes(CONF.instances_path),
        aside=aside.Aside(client, host),
    )


def _migrations(
    rooms: lifecycle.Rooms,
    servers: lifecycle.Lifecycle,
    taken: snapshots.Snapshots,
    host: str,
    wanted: spec.ServerSettings,
) -> migration.Migrations:
    carrier = transport.Transport(
        rooms.client,
        rooms.images,
        taken,
        parcel.Parcels(CONF.instances_path),
        settings.transport(host),
    )
    return migration.Migrations(rooms, servers, carrier, wanted)


def _image_cache(
    rooms: lifecycle.Rooms,
    taken: snapshots.Snapshots,
    host: str,
    info: model.EngineInfo,
) -> image_cache.ImageCache:
    sandbox_image = pause.sandbox_image(info.architecture)
    return image_cache.ImageCache(
        image_cache.Rooms(
            rooms.client, rooms.images, taken, settings.last_use(info.id)
        ),
        settings.image_cache(host, sandbox_image.reference),
    )


def _watchers(
    rooms: lifecycle.Rooms, servers: lifecycle.Lifecycle, host: str
) -> Watchers:
    healer = healing.Healer(servers, rooms.ports, rooms.observed, host)
    return Watchers(
        healer=healer,
        events=events.Events(
            rooms.client,
            rooms.observed,
            host,
            rooms.obituaries.emit,
            healer,
        ),
        host=host_watch.HostWatch(
            rooms.ports, network.Network.names, healer.mend
        ),
    )
