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

"""What stack.sh says when it cannot go on."""

from novadocker.tests.devstack import base


class FailuresTestCase(base.DevStackTestCase):
    """Each time the message says what to do, and nothing is half done."""

    def test_another_driver(self) -> None:
        self.machine.write_localrc(
            'enable_plugin nova-docker /opt/stack/nova-docker main'
        )
        self.fails(
            "VIRT_DRIVER is 'libvirt'",
            'Put VIRT_DRIVER=docker into the localrc section of local.conf',
        )
        self.assertNotIn('docker', self.machine.groups())

    def test_hypervisor_file_of_an_older_version(self) -> None:
        self.configure()
        stale = self.machine.devstack / 'lib/nova_plugins/hypervisor-docker'
        stale.parent.mkdir(exist_ok=True)
        stale.write_text('')
        self.fails(f'Remove {stale}')

    def test_file_that_is_not_there(self) -> None:
        self.configure('NOVA_DOCKER_IMAGE_FILE=/no/such/file.tar')
        self.fails(
            'NOVA_DOCKER_IMAGE_FILE=/no/such/file.tar is not there',
            'an archive of docker save',
        )
        self.assertNotIn('docker', self.machine.groups())

    def test_file_without_content(self) -> None:
        empty = self.machine.root / 'empty.tar'
        empty.touch()
        self.configure(f'NOVA_DOCKER_IMAGE_FILE={empty}')
        self.fails(f'NOVA_DOCKER_IMAGE_FILE={empty} is not there, or empty')

    def test_download_that_fails(self) -> None:
        url = 'http://127.0.0.1:9/guest.tar'
        self.configure(f'NOVA_DOCKER_IMAGE_FILE={url}')
        for _ in range(2):
            self.fails(f'NOVA_DOCKER_IMAGE_FILE={url} cannot be had')
        self.assertEqual([], self.machine.images)

    def test_image_that_nobody_has(self) -> None:
        self.configure('NOVA_DOCKER_IMAGE=127.0.0.1:9/no-such-image')
        self.fails(
            "no image '127.0.0.1:9/no-such-image', and cannot pull it",
            'Set NOVA_DOCKER_IMAGE to one that',
            'or NOVA_DOCKER_IMAGE_FILE to an archive of docker save',
        )
        # It is known long before Glance is there.
        self.assertEqual([], self.machine.calls('openstack'))

    def test_image_that_only_a_registry_has(self) -> None:
        self.configure('NOVA_DOCKER_IMAGE=no-such-image', 'OFFLINE=True')
        self.fails(
            "OFFLINE is True, and the engine has no image 'no-such-image'",
            'or NOVA_DOCKER_IMAGE_FILE to an archive of docker save',
        )

    def test_no_engine_and_no_network(self) -> None:
        self.machine.remove_engine()
        self.configure('OFFLINE=True')
        self.fails('There is no Docker engine', 'Install Docker Engine 20.10')

    def test_package_that_is_not_there(self) -> None:
        self.machine.remove_engine()
        (self.machine.doubles / 'packages.none').touch()
        self.configure()
        self.fails(
            'Unable to locate package docker.io',
            'There is no Docker engine',
            'Install Docker Engine 20.10 or later',
        )

    def test_engine_that_does_not_start(self) -> None:
        self.configure('NOVA_DOCKER_SOCKET=/no/such/socket')
        self.fails(
            'does not answer at /no/such/socket',
            "See 'systemctl status docker'",
            'or set NOVA_DOCKER_SOCKET',
        )
        self.assertIn(
            'systemctl start docker', self.machine.calls('systemctl')
        )

    def test_socket_of_another_group(self) -> None:
        self.machine.execute('groupadd', 'others')
        self.configure('DOCKER_GROUP=others')
        self.fails(
            "belongs to the group 'docker', and nova-compute will run with "
            "'others'",
            'Set DOCKER_GROUP to a group that may open the socket',
        )

    def test_image_that_glance_does_not_take(self) -> None:
        self.configure(f'NOVA_DOCKER_IMAGE_FILE={self.archive()}')
        full = self.machine.doubles / 'glance.full'
        full.touch()
        self.fails(
            'the image does not fit',
            'Glance did not take the image cirros',
            "See 'journalctl -u devstack@g-api'",
            'Then run stack.sh again',
        )
        # What was begun does not keep the next attempt from success.
        self.assertEqual([], self.machine.images)
        full.unlink()
        self.runs('stack')
        self.assertEqual(1, len(self.machine.images))

    def test_glance_that_does_not_answer(self) -> None:
        self.configure(f'NOVA_DOCKER_IMAGE_FILE={self.archive()}')
        (self.machine.doubles / 'glance.down').touch()
        self.fails(
            'HTTP 503', 'Glance does not answer',
            "See 'journalctl -u devstack@g-api'",
        )

    def test_disk_that_is_full(self) -> None:
        self.load_guest()
        self.configure('NOVA_DOCKER_IMAGE=guest')
        self.machine.state.mkdir()
        (self.machine.state / 'image.tar').symlink_to('/dev/full')
        self.fails(
            "The engine cannot save the image 'guest'",
            f'Is there room in {self.machine.state}?',
        )
        self.assertEqual([], self.machine.images)
