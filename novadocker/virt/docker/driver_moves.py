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

"""Nova's ComputeDriver, as far as servers get another size or host."""

from typing import Any

from nova import objects

from novadocker.virt.docker import migration as migration_mod
from novadocker.virt.docker import parcel
from novadocker.virt.docker import serial_console
from novadocker.virt.docker import tags


def _stays(migration: Any) -> bool:
    """Whether a migration is between a host and itself.

    By Nova's names: addresses may be several hosts'.
    """
    return bool(migration.source_compute == migration.dest_compute)


class Moves:
    """The methods of the driver for resize and cold migration."""

    _migrations: migration_mod.Migrations
    _serial: serial_console.SerialConsoles

    def migrate_disk_and_power_off(
        self,
        context: Any,
        instance: Any,
        dest: str,
        flavor: Any,
        network_info: Any,
        block_device_info: Any = None,
        timeout: int = 0,
        retry_interval: int = 0,
    ) -> str:
        under_way = objects.Migration.get_by_id_and_instance(
            context, instance.migration_context.migration_id, instance.uuid
        )
        stays = _stays(under_way)
        self._migrations.refuse(instance, flavor, stays)
        self._serial.close(instance.uuid)
        if stays:
            self._migrations.stop(instance, network_info, timeout)
            return ''
        return self._migrations.depart(
            context, instance, network_info, timeout
        )

    def finish_migration(
        self,
        context: Any,
        migration: Any,
        instance: Any,
        disk_info: str,
        network_info: Any,
        image_meta: Any,
        resize_instance: bool,
        allocations: Any,
        block_device_info: Any = None,
        power_on: bool = True,
        share_info: Any = None,
    ) -> None:
        if _stays(migration):
            self._migrations.resize(instance, network_info, power_on)
            return
        self._migrations.arrive(
            context,
            instance,
            network_info,
            parcel.Parcel.loads(disk_info),
            power_on,
        )
        instance.device_metadata = tags.device_metadata(context, instance)

    def confirm_migration(
        self, context: Any, migration: Any, instance: Any, network_info: Any
    ) -> None:
        self._migrations.confirm(context, instance, _stays(migration))

    def finish_revert_migration(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        migration: Any,
        block_device_info: Any = None,
        power_on: bool = True,
        share_info: Any = None,
    ) -> None:
        self._migrations.revert(context, instance, network_info, power_on)

    def delete_instance_files(self, instance: Any) -> bool:
        """Remove what is left of a server that was deleted elsewhere.

        :returns: whether Nova need not ask again
        """
        self._migrations.abandon(instance)
        return True
