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

"""What Nova may expect of this driver, by Nova's own names.

Nova makes traits of them, which the scheduler and operators see.
"""

CAPABILITIES = {
    'has_imagecache': True,
    'supports_evacuate': True,
    # It could, but Nova would then do so whenever somebody wants a server to
    # leave its host, and that has room.
    'supports_migrate_to_same_host': False,
    'supports_attach_interface': True,
    'supports_device_tagging': True,
    'supports_tagged_attach_interface': True,
    'supports_tagged_attach_volume': False,
    'supports_extend_volume': False,
    'supports_multiattach': False,
    'supports_trusted_certs': True,
    'supports_pcpus': False,
    'supports_accelerators': False,
    'supports_bfv_rescue': False,
    'supports_secure_boot': False,
    'supports_remote_managed_ports': False,
    'supports_socket_pci_numa_affinity': False,
    'supports_vtpm': False,
    'supports_ephemeral_encryption': False,
    'supports_ephemeral_encryption_luks': False,
    'supports_ephemeral_encryption_plain': False,
    'supports_address_space_passthrough': False,
    'supports_address_space_emulated': False,
    'supports_stateless_firmware': False,
    'supports_virtio_fs': False,
    'supports_mem_backing_file': False,
    'supports_image_type_aki': False,
    'supports_image_type_ami': False,
    'supports_image_type_ari': False,
    'supports_image_type_iso': False,
    'supports_image_type_qcow2': False,
    'supports_image_type_raw': True,
    'supports_image_type_vdi': False,
    'supports_image_type_vhd': False,
    'supports_image_type_vhdx': False,
    'supports_image_type_vmdk': False,
    'supports_image_type_ploop': False,
}
