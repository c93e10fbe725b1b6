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


from unittest import mock

from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import fake_host
from novadocker.virt.docker import guest
from novadocker.virt.docker import naming
from novadocker.virt.docker import rebuild
from novadocker.virt.docker import rescue

GONE = fake_host.GONE


class RebuilderTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.host = self.useFixture(fake_host.FakeHost())
        self.engine = self.host.engine
        self.rebuilder = rebuild.Rebuilder(
            self.host.rooms, self.host.lifecycle, self.host.name
        )
        self.host.spawn()
        self.before = self.host.containers()
        self.host.image = fake_host.OTHER_IMAGE

    def stop(self):
        self.host.lifecycle.power_off(self.host.instance, 0)

    def rebuild(self, stopping=None):
        self.rebuilder.rebuild(
            None,
            self.host.instance,
            guest.Order(mock.sentinel.meta),
            self.host.vifs,
            stopping or self.stop,
        )

    def test_server_gets_the_image_and_keeps_the_sandbox(self):
        self.rebuild()

        after = self.host.containers()
        self.assertEqual(
            {self.host.server: 'running', self.host.box: 'running'},
            self.host.states(),
        )
        self.assertEqual(self.before[self.host.box], after[self.host.box])
        self.assertEqual(
            fake_host.OTHER_IMAGE.id,
            self.engine.inspect(self.host.server).image_id,
        )

    def test_it_runs_until_the_image_is_there(self):
        def stopping():
            self.assertEqual(self.before, self.host.containers())
            self.host.images.ensure.assert_called_with(
                None, self.host.instance, mock.sentinel.meta
            )
            self.stop()

        self.rebuild(stopping)

    def test_image_that_cannot_be_had_leaves_the_server_running(self):
        self.host.images.ensure.side_effect = exception.ImageRejected(
            image_id='i', reason='bad'
        )
        self.assertRaises(exception.ImageRejected, self.rebuild)

        self.assertEqual(self.before, self.host.containers())

    def test_failure_of_each_step_keeps_the_old_container(self):
        failures = [
            lambda: self.engine.fail('stop', GONE),
            lambda: self.engine.fail('rename', GONE),
            lambda: self.engine.fail('create', GONE),
            lambda: self.engine.fail('start', GONE),
        ]
        old, _ = self.before[self.host.server]
        for arrange in failures:
            arrange()
            self.assertRaises(exception.EngineUnavailable, self.rebuild)

            after = self.host.containers()
            self.assertEqual({self.host.server, self.host.box}, set(after))
            self.assertEqual(old, after[self.host.server][0])
            self.host.lifecycle.power_on(self.host.instance, self.host.vifs)
        self.assertEqual(self.before, self.host.containers())

    def test_new_host_name_needs_a_new_sandbox(self):
        self.host.instance.hostname = 'other'
        self.rebuild()

        found = self.engine.inspect(self.host.box)
        self.assertEqual('other', found.hostname)
        self.assertEqual(
            f'container:{found.id}',
            self.engine.inspect(self.host.server).network,
        )

    def test_rescue_that_nova_knows_nothing_of_is_over(self):
        meta = mock.Mock(properties={})
        rescue.Rescuer(self.host.rooms, self.host.lifecycle).rescue(
            None, self.host.instance, guest.Order(meta), self.host.vifs
        )
        self.rebuild()

        self.assertEqual(
            {self.host.server: 'running', self.host.box: 'running'},
            self.host.states(),
        )

    def test_server_that_was_never_built(self):
        self.host.lifecycle.destroy(self.host.instance, None, True)
        self.rebuild(lambda: None)

        self.assertEqual(
            {self.host.server: 'running', self.host.box: 'running'},
            self.host.states(),
        )

    def test_what_a_broken_off_rebuild_left_is_cleared_up(self):
        self.stop()
        self.engine.fail('remove', GONE)
        self.assertRaises(exception.EngineUnavailable, self.rebuild)
        old = naming.aside_name(
            self.host.server, self.host.name, naming.REPLACED
        )
        self.assertIn(old, self.host.containers())

        self.rebuild()

        self.assertEqual(
            {self.host.server, self.host.box}, set(self.host.containers())
        )
