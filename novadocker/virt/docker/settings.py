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

"""Nova's configuration, in the words of those that it is handed to.

Nothing else reads options but the driver itself.
"""

import os
from typing import Any

from nova.compute import utils as compute_utils
import nova.conf
from oslo_utils import units

from novadocker import conf as novadocker_conf
from novadocker.virt.docker import host as docker_host
from novadocker.virt.docker import image_cache as cache_mod
from novadocker.virt.docker import images as images_mod
from novadocker.virt.docker import last_use as last_use_mod
from novadocker.virt.docker import model
from novadocker.virt.docker import network as network_mod
from novadocker.virt.docker import serial_console as serial_console_mod
from novadocker.virt.docker import spec
from novadocker.virt.docker import transport as transport_mod

CONF = nova.conf.CONF
novadocker_conf.register_opts(CONF)


def engine() -> model.EngineSettings:
    return model.EngineSettings(
        url=CONF.docker.host_url,
        timeout=CONF.docker.engine_timeout,
        ca_file=CONF.docker.ca_file,
        cert_file=CONF.docker.cert_file,
        key_file=CONF.docker.key_file,
    )


def server(disk: str = '') -> spec.ServerSettings:
    """:param disk: device whose use can be limited"""
    return spec.ServerSettings(
        pids_limit=CONF.docker.pids_limit,
        capabilities=tuple(CONF.docker.capabilities),
        console_log_size=CONF.docker.console_log_size,
        instances_path=CONF.instances_path,
        disk=disk,
    )


def serial_console() -> serial_console_mod.ConsoleSettings:
    return serial_console_mod.ConsoleSettings(
        address=CONF.serial_console.proxyclient_address,
        mode=CONF.docker.serial_console_mode,
    )


def shutdown_timeout(instance: Any) -> int:
    """Seconds that a server's process is given to end.

    Nova hands them to the driver where it stops a server, but not where it
    reboots one.
    """
    found: int = compute_utils.get_value_from_system_metadata(
        instance,
        key='image_os_shutdown_timeout',
        type=int,
        default=CONF.shutdown_timeout,
    )
    return found


def network() -> network_mod.NetworkSettings:
    return network_mod.NetworkSettings(
        plug_timeout=CONF.vif_plugging_timeout,
        plug_is_fatal=CONF.vif_plugging_is_fatal,
        bridge=CONF.neutron.ovs_bridge,
    )


def last_use(engine_id: str) -> last_use_mod.LastUse:
    return last_use_mod.LastUse(
        os.path.join(
            CONF.instances_path, CONF.image_cache.subdirectory_name, engine_id
        )
    )


def image_cache(host: str, sandbox_image: str) -> cache_mod.CacheSettings:
    return cache_mod.CacheSettings(
        host=host,
        sandbox_image=sandbox_image,
        remove_unused=CONF.image_cache.remove_unused_base_images,
        min_age=CONF.image_cache.remove_unused_original_minimum_age_seconds,
    )


def transport(host: str) -> transport_mod.TransportSettings:
    return transport_mod.TransportSettings(
        host=host, signed=_images_are_signed()
    )


def images() -> images_mod.ImageSettings:
    return images_mod.ImageSettings(
        # As Nova's libvirt driver: shared by all services of the host.
        lock_path=os.path.join(CONF.instances_path, 'locks'),
        max_size=CONF.docker.image_max_size * units.Gi,
        max_unpacked=CONF.docker.image_max_unpacked_size * units.Gi,
        max_members=CONF.docker.image_max_members,
        max_layers=CONF.docker.image_max_layers,
        shared_directory=_shared_directory(),
    )


def _shared_directory() -> str | None:
    """Where files of images are; nowhere if images have to be signed.

    Nova verifies signatures on what it downloads, and only there.
    """
    wanted: str | None = CONF.docker.shared_directory
    return None if _images_are_signed() else wanted


def _images_are_signed() -> bool:
    """Whether Nova takes nothing from Glance that is not signed."""
    return bool(
        CONF.glance.verify_glance_signatures
        or (
            CONF.glance.enable_certificate_validation
            and CONF.glance.default_trusted_certificate_ids
        )
    )


def reserved(disk_gb: int) -> docker_host.Reserved:
    """What of the host is not for servers.

    :param disk_gb: as Nova works it out
    """
    return docker_host.Reserved(
        cpus=CONF.reserved_host_cpus,
        memory_mb=CONF.reserved_host_memory_mb,
        disk_gb=disk_gb,
    )
