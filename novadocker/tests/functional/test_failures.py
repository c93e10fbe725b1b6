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

"""A boot that fails leaves nothing, at whatever step it fails."""

from unittest import mock

from nova import exception as nova_exception

from novadocker import exception
import novadocker.privsep.netns
from novadocker.tests.fixtures import images
from novadocker.tests.functional import base
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import images as docker_images


class FailuresTestCase(base.FunctionalTestCase):
    def fail(self, owner, name, error, calls=1):
        """Have a function fail at one of its calls, the first is 1."""
        real = getattr(owner, name)
        count = iter(range(1, 1000))

        def failing(*args, **kwargs):
            if next(count) == calls:
                raise error
            return real(*args, **kwargs)

        patch = mock.patch.object(owner, name, failing)
        patch.start()
        self.addCleanup(patch.stop)

    def assert_boot_leaves_nothing(
        self, message='oops', fault='Exhausted all hosts'
    ):
        server = self.create(self.glance.add(images.SHELL))
        # There is one host, and Nova tries others for what they may do better.
        self.assertIn(fault, self.wait_for_fault(server)['message'])
        self.assertIn(message, self.stdlog.logger.output)
        self.assert_nothing_left(server)
        self.delete(server)
        self.assert_nothing_left(server)

    def test_sandbox_is_not_created(self):
        self.fail(engine.Client, 'create', exception.EngineError(500, 'oops'))
        self.assert_boot_leaves_nothing()

    def test_sandbox_is_not_started(self):
        self.fail(engine.Client, 'start', exception.EngineError(500, 'oops'))
        self.assert_boot_leaves_nothing()

    def test_image_is_not_loaded(self):
        self.fail(
            docker_images.Images, 'ensure', exception.EngineError(500, 'oops')
        )
        self.assert_boot_leaves_nothing()

    def test_nic_is_not_configured(self):
        self.fail(novadocker.privsep.netns, 'complete', OSError(5, 'oops'))
        self.assert_boot_leaves_nothing(fault='not rescheduling')

    def test_instance_container_is_not_created(self):
        self.fail(
            engine.Client, 'create', exception.EngineError(500, 'oops'), 2
        )
        self.assert_boot_leaves_nothing()

    def test_instance_container_is_not_started(self):
        self.fail(
            engine.Client, 'start', exception.EngineError(500, 'oops'), 2
        )
        self.assert_boot_leaves_nothing()

    def test_glance_breaks_off(self):
        self.fail(
            self.glance,
            'download',
            nova_exception.GlanceConnectionFailed(server='g', reason='oops'),
        )
        self.assert_boot_leaves_nothing()

    def test_engine_goes_away_in_the_middle(self):
        self.fail(
            engine.Client, 'create', exception.EngineUnavailable(reason='x'), 2
        )
        self.assert_boot_leaves_nothing('does not answer')

    def test_image_for_another_kind_of_host(self):
        """The scheduler keeps it away, and so does a host it is forced to."""
        for properties in (
            {'img_hv_type': 'kvm'},
            {'hw_architecture': 'alpha'},
        ):
            image_id = self.glance.add(images.SHELL, **properties)
            server = self.create(image_id)
            fault = self.wait_for_fault(server)['message']
            self.assertIn('No valid host was found', fault)
            forced = self.create(
                image_id, availability_zone=f'nova:{self.host}'
            )
            fault = self.wait_for_fault(forced)['message']
            (name,) = properties
            self.assertIn(f'its property {name} is', fault)
            self.assert_nothing_left(forced)
        self.assertEqual([], self.glance.downloads)
