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

"""Nova's ComputeDriver on the Docker engine.

A table of contents: each method narrows what Nova passes and calls one of the
objects that do the work.
"""

from typing import Any

from nova.compute import task_states
import nova.conf
from nova.console import type as console_type
from nova import exception as nova_exception
from nova.objects import diagnostics as nova_diagnostics
from nova import utils
from nova.virt import driver
from nova.virt import hardware
from os_brick.initiator import connector

from novadocker.virt.docker import capabilities
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import driver_moves
from novadocker.virt.docker import guest
from novadocker.virt.docker import host as docker_host
from novadocker.virt.docker import settings
from novadocker.virt.docker import spec
from novadocker.virt.docker import tags
from novadocker.virt.docker import wiring

CONF = nova.conf.CONF


class DockerDriver(driver_moves.Moves, driver.ComputeDriver):
    """Servers as Docker containers; see the method's ops object for how."""

    capabilities = capabilities.CAPABILITIES

    # Life of the service

    def __init__(self, virtapi: Any, read_only: bool = False) -> None:
        super().__init__(virtapi)
        self._client = engine.Client(settings.engine())
        # Nova 31 asks a host that is new to it before init_host().
        self._roster = wiring.listing(self._client, CONF.host)

    def init_host(self, host: str) -> None:
        """Wire everything for this Nova host.

        :raises: EngineUnavailable, EngineNotSupported
        """
        self._nodename = host
        house = wiring.furnish(
            self._client,
            host,
            wiring.Nova(self.virtapi, self.emit_event),
            self._get_reserved_host_disk_gb_from_config(),
        )
        self._ports = house.ports
        self._lifecycle = house.lifecycle
        self._roster = house.roster
        self._rebuilder = house.rebuilder
        self._migrations = house.migrations
        self._rescuer = house.rescuer
        self._console = house.console
        self._serial = house.serial
        self._images = house.images
        self._image_cache = house.image_cache
        self._snapshots = house.snapshots
        self._diagnostics = house.diagnostics
        self._guests = house.guests
        self._host = house.host
        self._watchers = house.watchers
        self._watchers.start()

    def cleanup_host(self, host: str) -> None:
        self._watchers.stop()
        self._serial.stop()

    # The host

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        return [self._nodename]

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        # Nova asks when it has resumed the servers that it wants to run.
        self._watchers.settle()
        return self._host.resources()

    def update_provider_tree(
        self, provider_tree: Any, nodename: str, allocations: Any = None
    ) -> None:
        current = provider_tree.data(nodename).inventory
        ratios = self._get_allocation_ratios(current)
        self._host.report(provider_tree, nodename, ratios)

    def get_host_ip_addr(self) -> str:
        return str(CONF.my_ip)

    def get_host_uptime(self) -> str:
        return docker_host.uptime()

    def get_volume_connector(self, instance: Any) -> dict[str, Any]:
        found: dict[str, Any] = connector.get_connector_properties(
            utils.get_root_helper(),
            CONF.my_block_storage_ip,
            multipath=False,
            enforce_multipath=False,
            host=CONF.host,
        )
        return found

    # Servers there are

    def list_instances(self) -> list[str]:
        return self._roster.names()

    def list_instance_uuids(self) -> list[str]:
        return self._roster.uuids()

    def instance_exists(self, instance: Any) -> bool:
        return self._roster.exists(instance)

    def get_info(
        self, instance: Any, use_cache: bool = True
    ) -> hardware.InstanceInfo:
        return self._roster.get_info(instance)

    # From nothing to running, and back

    def spawn(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: str | None,
        allocations: Any,
        network_info: Any = None,
        block_device_info: Any = None,
        power_on: bool = True,
        accel_info: Any = None,
    ) -> None:
        spec.refuse_unsupported(instance, block_device_info, accel_info)
        order = guest.Order(
            image_meta, tuple(injected_files), admin_password, power_on
        )
        self._lifecycle.spawn(context, instance, order, network_info)
        instance.device_metadata = tags.device_metadata(context, instance)

    def rebuild(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: str | None,
        allocations: Any,
        bdms: Any,
        detach_block_devices: Any,
        attach_block_devices: Any,
        network_info: Any = None,
        evacuate: bool = False,
        block_device_info: Any = None,
        preserve_ephemeral: bool = False,
        accel_uuids: Any = None,
        reimage_boot_volume: bool = False,
    ) -> None:
        """Rebuild a server here; to evacuate one is to spawn it anew."""
        if evacuate:
            # Nova then does what its documentation says of evacuation.
            raise NotImplementedError
        if preserve_ephemeral:
            raise nova_exception.PreserveEphemeralNotSupported
        spec.refuse_unsupported(instance, block_device_info, accel_uuids)
        order = guest.Order(
            image_meta, tuple(injected_files), admin_password
        )

        def stopping() -> None:
            if self._roster.exists(instance):
                self._lifecycle.power_off(
                    instance, settings.shutdown_timeout(instance)
                )
            # What Nova shows while it does this by itself.
            instance.task_state = task_states.REBUILD_BLOCK_DEVICE_MAPPING
            instance.save(expected_task_state=[task_states.REBUILDING])
            instance.task_state = task_states.REBUILD_SPAWNING
            instance.save(
                expected_task_state=[task_states.REBUILD_BLOCK_DEVICE_MAPPING]
            )

        self._rebuilder.rebuild(
            context, instance, order, network_info, stopping
        )
        instance.device_metadata = tags.device_metadata(context, instance)

    def destroy(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        self._serial.close(instance.uuid)
        if self._migrations.keeps(instance):
            self._migrations.rest(
                instance, settings.shutdown_timeout(instance)
            )
            return
        self._lifecycle.destroy(instance, network_info, destroy_disks)
        self._migrations.discard(context, instance)

    def cleanup(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        migrate_data: Any = None,
        destroy_vifs: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        self._serial.close(instance.uuid)
        self._lifecycle.destroy(instance, network_info, destroy_disks)

    def power_on(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        accel_info: Any = None,
        share_info: Any = None,
    ) -> None:
        if not self._migrations.resume(context, instance, network_info):
            self._lifecycle.power_on(instance, network_info)

    def resume_state_on_host_boot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        share_info: Any = None,
        block_device_info: Any = None,
    ) -> None:
        self._lifecycle.resume_after_boot(instance, network_info)

    def power_off(
        self, instance: Any, timeout: int = 0, retry_interval: int = 0
    ) -> None:
        if instance.task_state == task_states.RESCUING:
            # Nova asks for the rescue when the server has been stopped.
            self._rescuer.check(instance)
        self._lifecycle.power_off(instance, timeout)

    def reboot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        reboot_type: str,
        block_device_info: Any = None,
        bad_volumes_callback: Any = None,
        accel_info: Any = None,
        share_info: Any = None,
    ) -> None:
        if self._migrations.resume(context, instance, network_info):
            return
        soft = reboot_type == 'SOFT'
        grace = settings.shutdown_timeout(instance) if soft else 0
        self._lifecycle.reboot(instance, network_info, grace)

    def poll_rebooting_instances(self, timeout: int, instances: Any) -> None:
        """A reboot ends by itself: the engine kills what does not stop."""

    def pause(self, instance: Any) -> None:
        self._lifecycle.pause(instance)

    def unpause(self, instance: Any) -> None:
        self._lifecycle.unpause(instance)

    def trigger_crash_dump(self, instance: Any) -> None:
        self._lifecycle.crash(instance)

    def suspend(self, context: Any, instance: Any) -> None:
        self._lifecycle.suspend(instance)

    def resume(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        share_info: Any = None,
    ) -> None:
        self._lifecycle.resume(instance, network_info)

    def rescue(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        image_meta: Any,
        rescue_password: str,
        block_device_info: Any,
        share_info: Any = None,
    ) -> None:
        order = guest.Order(image_meta, admin_password=rescue_password)
        self._rescuer.rescue(context, instance, order, network_info)

    def unrescue(self, context: Any, instance: Any) -> None:
        self._rescuer.unrescue(instance)

    # Ports

    def plug_vifs(self, instance: Any, network_info: Any) -> None:
        self._ports.repair(instance, network_info)

    def unplug_vifs(self, instance: Any, network_info: Any) -> None:
        self._ports.unplug(instance, network_info)

    def attach_interface(
        self, context: Any, instance: Any, image_meta: Any, vif: Any
    ) -> None:
        self._ports.attach(instance, vif)
        instance.device_metadata = tags.device_metadata(context, instance)

    def detach_interface(self, context: Any, instance: Any, vif: Any) -> None:
        self._ports.detach(instance, vif)
        instance.device_metadata = tags.device_metadata(
            context, instance, without=vif['id']
        )

    # Images and consoles

    def snapshot(
        self,
        context: Any,
        instance: Any,
        image_id: str,
        update_task_state: Any,
    ) -> None:
        self._snapshots.take(context, instance, image_id, update_task_state)

    def manage_image_cache(self, context: Any, all_instances: Any) -> None:
        self._image_cache.manage(all_instances)
        self._migrations.sweep()

    def cache_image(self, context: Any, image_id: str) -> bool:
        return self._images.fetch(context, image_id)

    def get_console_output(self, context: Any, instance: Any) -> bytes:
        return self._console.output(instance)

    def get_serial_console(
        self, context: Any, instance: Any
    ) -> console_type.ConsoleSerial:
        return self._serial.get(instance)

    def set_admin_password(self, instance: Any, new_pass: str) -> None:
        self._guests.set_password(instance, new_pass)

    def get_diagnostics(self, instance: Any) -> dict[str, Any]:
        return self._diagnostics.plain(instance)

    def get_instance_diagnostics(
        self, instance: Any
    ) -> nova_diagnostics.Diagnostics:
        return self._diagnostics.details(instance)

    # What containers do not do

    def check_can_live_migrate_destination(
        self,
        context: Any,
        instance: Any,
        src_compute_info: Any,
        dst_compute_info: Any,
        block_migration: bool = False,
        disk_over_commit: bool = False,
    ) -> None:
        """Refuse, in the one way that leaves the instance as it was."""
        raise nova_exception.MigrationPreCheckError(
            reason='a container cannot be moved while it runs'
        )
