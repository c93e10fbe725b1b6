#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.
from unittest import mock

from nova import exception as nova_exception
from nova.virt import event as virtevent
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import fake_engine
from novadocker.tests.fixtures import images
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import model
from novadocker.virt.docker import naming
from novadocker.virt.docker import obituary

IMAGE = images.BARE


class ObituariesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.instance = instances.an_instance()
        self.tell = self.patch(obituary.action_log, 'tell')
        self.emit = mock.Mock()
        self.engine = fake_engine.FakeEngine()
        self.engine.load([IMAGE.archive()])
        self.engine.requests.clear()
        self.obituaries = obituary.Obituaries(self.engine, self.emit)
        self.name = naming.instance_name(self.instance.uuid)

    def patch(self, thing, name):
        patch = mock.patch.object(thing, name, autospec=True)
        self.addCleanup(patch.stop)
        return patch.start()

    def ended(self, says='', **end):
        self.engine.create(
            model.ContainerSpec(
                name=self.name,
                image=IMAGE.id,
                labels={},
                network='none',
                limits=model.Limits(),
                log=model.LogLimits(65536, 2),
                command=('sh', '-c', f'{says}; sleep 1'),
            )
        )
        self.engine.start(self.name)
        self.engine.end(self.name, **end)

    def hear(self, transition=virtevent.EVENT_LIFECYCLE_STOPPED):
        event = virtevent.LifecycleEvent(self.instance.uuid, transition)
        self.obituaries.emit(event)
        self.emit.assert_called_once_with(event)

    def message(self):
        self.tell.assert_called_once_with(
            self.instance.uuid, 'process_ended', mock.ANY
        )
        return self.tell.call_args.args[2]

    def test_exit_code_and_last_words(self):
        self.ended('echo hello; echo world', code=3)
        self.hear()

        self.assertEqual(
            'exit code 3; last output: hello world', self.message()
        )

    def test_a_quiet_death(self):
        self.ended(code=0)
        self.hear()

        self.assertEqual('exit code 0', self.message())

    def test_out_of_memory(self):
        self.ended('echo x', code=137, oom=True)
        self.hear()

        self.assertIn('exit code 137, out of memory;', self.message())

    def test_the_last_words_are_kept_where_there_is_no_room_for_all(self):
        self.ended(f'echo {"a" * 1000} the cause', code=1)
        self.hear()

        self.assertLessEqual(len(self.message()), 255)
        self.assertTrue(self.message().endswith('a the cause'))

    def hear_again(self):
        self.emit.reset_mock()
        self.tell.reset_mock()
        self.hear()

    def test_what_was_asked_for_is_no_news(self):
        self.obituaries.expect(self.instance.uuid)
        self.ended()
        self.hear()
        self.tell.assert_not_called()

        self.obituaries.begin(self.instance.uuid)
        self.engine.start(self.name)
        self.engine.end(self.name, code=1)
        self.hear_again()
        self.assertEqual('exit code 1', self.message())

    def test_each_end_is_told_once(self):
        self.ended(code=1)
        self.hear()
        self.hear_again()
        self.tell.assert_not_called()

        self.engine.start(self.name)
        self.hear_again()
        self.tell.assert_not_called()
        self.engine.end(self.name, code=2)
        self.hear_again()
        self.assertEqual('exit code 2', self.message())

    def test_what_could_not_be_told_is_told_again(self):
        self.ended(code=1)
        self.tell.side_effect = nova_exception.NovaException
        self.assertRaises(nova_exception.NovaException, self.hear)
        self.tell.side_effect = None
        self.hear_again()

        self.assertEqual('exit code 1', self.message())

    def test_of_servers_that_are_gone_nothing_is_kept(self):
        self.ended(code=1)
        self.hear()
        self.obituaries.expect(self.instance.uuid)
        self.obituaries.forget(self.instance.uuid)
        self.hear_again()

        self.assertEqual('exit code 1', self.message())

    def test_no_end_is_only_passed_on(self):
        self.hear(virtevent.EVENT_LIFECYCLE_STARTED)

        self.assertEqual(0, self.engine.requests.total())

    def test_nova_hears_of_it_where_the_cause_cannot_be_told(self):
        self.engine.go_down()
        self.assertRaises(exception.EngineUnavailable, self.hear)
        self.assertEqual(1, self.emit.call_count)
