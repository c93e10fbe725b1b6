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

import dataclasses

from nova.compute import vm_states
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import fake_host
from novadocker.virt.docker import naming
from novadocker.virt.docker import undo as undoing


class AsideTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.host = self.useFixture(fake_host.FakeHost())
        self.aside = self.host.rooms.aside
        self.host.spawn()
        self.own, _ = self.host.containers()[self.host.server]

    def put(self, why=naming.RESCUED):
        undo = undoing.Undo(self.host.instance)
        return self.aside.put(self.host.server, why, undo)

    def stand_in(self, **labels):
        """Have another container take the server's place."""
        engine = self.host.engine
        found = engine.containers[self.own].spec
        return engine.create(
            dataclasses.replace(found, labels={**found.labels, **labels})
        )

    def rescue(self):
        self.put()
        return self.stand_in(**{naming.LABEL_RESCUE: '/mnt'})

    def assert_back(self):
        self.assertEqual(
            {self.host.server, self.host.box}, set(self.host.containers())
        )
        self.assertEqual(self.own, self.host.containers()[self.host.server][0])

    def test_it_has_another_name_until_that_is_taken_back(self):
        def fail():
            with undoing.Undo(self.host.instance) as undo:
                name = self.aside.put(self.host.server, 'old', undo)
                self.assertEqual(
                    {name, self.host.box}, set(self.host.states())
                )
                raise fake_host.GONE

        self.assertRaises(exception.EngineUnavailable, fail)
        self.assert_back()

    def test_nothing_to_put_aside(self):
        self.host.engine.remove(self.own)
        self.assertIsNone(self.put())

    def test_what_was_replaced_goes_for_the_next(self):
        first, new = self.put('old'), self.stand_in()
        self.assertEqual(first, self.put('old'))
        self.assertEqual(new, self.host.containers()[first][0])

    def test_current(self):
        self.assertEqual(self.own, self.current())

    def current(self):
        return self.aside.current(self.host.instance).id

    def test_current_was_put_aside(self):
        self.put()
        self.assertEqual(self.own, self.current())
        self.assert_back()

    def test_rescue_is_current_while_nova_says_so(self):
        rescue = self.rescue()
        self.host.instance.vm_state = vm_states.RESCUED
        self.assertEqual(rescue, self.current())

        self.host.instance.vm_state = vm_states.ERROR
        self.assertEqual(self.own, self.current())
        self.assert_back()

    def test_nothing_is_current(self):
        self.host.engine.remove(self.own)
        self.assertRaises(exception.ContainerNotFound, self.current)

    def test_restore_twice(self):
        self.rescue()
        for _ in range(2):
            self.aside.restore(self.host.uuid)
            self.assert_back()

    def test_restore_leaves_the_only_one_that_there_is(self):
        rescue = self.rescue()
        self.host.engine.remove(self.own)
        self.aside.restore(self.host.uuid)
        self.assertEqual(
            rescue, self.host.containers()[self.host.server][0]
        )

    def test_restore_leaves_what_was_put_aside_for_good(self):
        """Such as the way back of a server that is on another host."""
        name = self.put('moved')
        self.aside.restore(self.host.uuid)
        self.assertEqual({name, self.host.box}, set(self.host.states()))


class MovedTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.host = self.useFixture(fake_host.FakeHost())
        self.host.spawn()
        self.aside = self.host.rooms.aside
        self.before = self.host.containers()

    def put(self, name, undo=None):
        return self.aside.put(
            name, naming.MOVED, undo or undoing.Undo(self.host.instance)
        )

    def test_name_is_free(self):
        name = self.put(self.host.server)
        self.assertEqual({name, self.host.box}, set(self.host.containers()))

    def test_nothing_to_be_put_aside(self):
        self.assertIsNone(self.put('nova-none'))

    def test_what_was_forgotten_is_removed(self):
        name = self.put(self.host.box)
        self.host.engine.rename(self.host.server, self.host.box)
        self.put(self.host.box)
        old, _ = self.before[self.host.server]
        self.assertEqual({name}, set(self.host.containers()))
        self.assertEqual(old, self.host.containers()[name][0])

    def test_undone(self):
        undo = undoing.Undo(self.host.instance)
        self.put(self.host.server, undo)
        undo.__exit__(ValueError, ValueError(), None)
        self.assertEqual(self.before, self.host.containers())

    def test_servers(self):
        self.assertEqual([], self.aside.servers(naming.MOVED))
        self.put(self.host.server)
        self.assertEqual([self.host.uuid], self.aside.servers(naming.MOVED))
        self.assertEqual([], self.aside.servers(naming.REPLACED))

    def test_both_are_put_back(self):
        for name in (self.host.server, self.host.box):
            self.put(name)
        for _ in range(2):
            self.aside.put_back(self.host.uuid, naming.MOVED)
            self.assertEqual(self.before, self.host.containers())

    def test_what_was_put_aside_for_something_else_stays(self):
        name = self.put(self.host.server)
        self.aside.put_back(self.host.uuid, naming.REPLACED)
        self.assertEqual({name, self.host.box}, set(self.host.containers()))

    def test_one_that_was_replaced_stays_aside(self):
        old = self.put(self.host.server)
        first, _ = self.before[self.host.server]
        made = self.host.engine.create(
            self.host.engine.containers[first].spec
        )
        self.aside.put_back(self.host.uuid, naming.MOVED)
        found = self.host.containers()
        self.assertEqual({self.host.server, self.host.box, old}, set(found))
        self.assertEqual(made, found[self.host.server][0])
