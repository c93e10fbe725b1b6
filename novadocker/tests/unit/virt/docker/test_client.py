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

import json
import socket

from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import http_engine
from novadocker.virt.docker import client
from novadocker.virt.docker import model

SPEC = model.ContainerSpec(
    name='nova-1',
    image='sha256:1',
    labels={'role': 'instance'},
    network='none',
    limits=model.Limits(),
    log=model.LogLimits(size=65536, files=2),
)


class ClientTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.engine = self.useFixture(http_engine.HttpEngine())
        self.client = client.Client(
            model.EngineSettings(url=self.engine.url, timeout=5)
        )

    def answers(self, path, status=200, content=None):
        self.engine.answers[path] = (status, content or {})

    @property
    def last(self):
        return self.engine.requests[-1]


class ErrorsTestCase(ClientTestCase):
    def fails_with(self, error, request, *args):
        found = self.assertRaises(error, request, *args)
        self.assertIs(error, type(found))
        return found

    def test_container_not_found(self):
        self.answers('containers/a/json', 404, {'message': 'gone'})
        error = self.fails_with(
            exception.ContainerNotFound, self.client.inspect, 'a'
        )
        self.assertEqual((404, 'gone'), (error.status, error.reason))

    def test_image_not_found(self):
        self.answers('containers/create', 404, {'message': 'No such image: a'})
        self.fails_with(
            exception.ImageNotFoundInEngine, self.client.create, SPEC
        )

    def test_image_to_save_not_found(self):
        self.answers('images/a/get', 404, {'message': 'it does not exist'})
        self.fails_with(
            exception.ImageNotFoundInEngine, list, self.client.save('a')
        )

    def test_conflict(self):
        self.answers('containers/create', 409, {'message': 'taken'})
        self.fails_with(exception.ContainerConflict, self.client.create, SPEC)

    def test_any_other_status(self):
        for status in (400, 403, 500, 503):
            self.answers('containers/a/start', status, {'message': 'no'})
            error = self.fails_with(
                exception.EngineError, self.client.start, 'a'
            )
            self.assertEqual((status, 'no'), (error.status, error.reason))

    def test_nothing_to_do_is_no_error(self):
        self.answers('containers/a/start', 304)
        self.client.start('a')
        self.answers('containers/a/stop', 304)
        self.client.stop('a', 0)

    def test_what_is_gone_is_removed(self):
        self.answers('containers/a', 404, {'message': 'gone'})
        self.client.remove('a')
        self.answers('images/a', 404, {'message': 'No such image: a'})
        self.client.remove_image('a')
        self.answers('containers/a/stop', 404, {'message': 'gone'})
        self.client.stop_if_there('a')

    def test_other_failures_of_a_removal(self):
        self.answers('containers/a', 500, {'message': 'busy'})
        self.fails_with(exception.EngineError, self.client.remove, 'a')
        self.answers('images/a', 409, {'message': 'in use'})
        self.fails_with(
            exception.ContainerConflict, self.client.remove_image, 'a'
        )

    def test_connection_that_breaks(self):
        self.answers('_ping', None)
        self.fails_with(exception.EngineUnavailable, self.client.ping)

    def test_answer_that_does_not_come(self):
        path = self.engine.url.removeprefix('unix://') + '2'
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(path)
            silent.listen()
            settings = model.EngineSettings(url=f'unix://{path}', timeout=1)
            self.fails_with(
                exception.EngineUnavailable, client.Client(settings).ping
            )


class VerbsTestCase(ClientTestCase):
    """What is asked of the engine, where the contract cannot show it."""

    def test_create(self):
        self.answers('containers/create', 201, {'Id': 'abc'})
        self.assertEqual('abc', self.client.create(SPEC))
        self.assertEqual({'name': 'nova-1'}, self.last.query)
        body = json.loads(self.last.body)
        self.assertEqual('sha256:1', body['Image'])
        self.assertEqual('none', body['HostConfig']['NetworkMode'])

    def test_stop_gives_the_process_its_time(self):
        for timeout in (0, 60):
            self.client.stop('a', timeout)
            self.assertEqual(str(timeout), self.last.query['t'])
        self.client.stop_if_there('a')
        self.assertEqual('0', self.last.query['t'])

    def test_remove_takes_anonymous_volumes_along(self):
        self.client.remove('a')
        self.assertEqual('True', self.last.query['v'])
        self.assertEqual('True', self.last.query['force'])

    def test_kill(self):
        self.client.kill('a', 'SIGHUP')
        self.assertEqual('SIGHUP', self.last.query['signal'])

    def test_list_containers_is_one_request(self):
        row = {
            'Id': 'a',
            'Names': ['/b'],
            'State': 'exited',
            'Labels': {},
            'ImageID': 'c',
        }
        self.client.ping()
        self.answers('containers/json', content=[row] * 20)
        before = len(self.engine.requests)
        found = self.client.list_containers({'x': 'y', 'z': ''})
        self.assertEqual(20, len(found))
        self.assertEqual(1, len(self.engine.requests) - before)
        self.assertEqual('1', self.last.query['all'])
        self.assertEqual(
            {'label': ['x=y', 'z=']}, json.loads(self.last.query['filters'])
        )

    def test_events(self):
        lines = [
            json.dumps(
                {
                    'Action': action,
                    'Actor': {'ID': 'a', 'Attributes': {}},
                    'timeNano': number,
                }
            ).encode()
            for number, action in enumerate(('start', 'exec_die', 'die'))
        ]
        self.answers('events', content=tuple(lines))
        with self.client.events({'x': 'y'}, since=1_000_000_005) as stream:
            found = list(stream)
        self.assertEqual([0, 2], [event.time for event in found])
        self.assertEqual('1.000000005', self.last.query['since'])
        filters = json.loads(self.last.query['filters'])
        self.assertEqual(['container'], filters['type'])
        self.assertEqual(['x=y'], filters['label'])
        self.assertIn('die', filters['event'])

    def test_load_sends_each_chunk_but_empty_ones(self):
        self.answers('images/load', content={'stream': 'Loaded image: a:b'})
        loaded = self.client.load(iter([b'one', b'', b'two']))
        self.assertEqual(('a:b',), loaded)
        self.assertEqual([b'one', b'two'], self.last.body)

    def test_load_that_fails_within_a_good_answer(self):
        self.answers(
            'images/load',
            content={'errorDetail': {'message': 'bad'}, 'error': 'bad'},
        )
        error = self.assertRaises(
            exception.EngineError, self.client.load, [b'one']
        )
        self.assertEqual((500, 'bad'), (error.status, error.reason))

    def test_error_of_the_source_of_a_load(self):
        def archive():
            yield b'one'
            raise ConnectionResetError('Glance')

        error = self.assertRaises(
            ConnectionResetError, self.client.load, archive()
        )
        self.assertEqual('Glance', str(error))

    def test_engine_that_breaks_off_a_load(self):
        self.answers('images/load', None)
        self.assertRaises(
            exception.EngineUnavailable, self.client.load, [b'one']
        )

    def test_commit(self):
        self.answers('commit', 201, {'Id': 'sha256:2'})
        made = self.client.commit('a', 'b', 'c', {'Entrypoint': []}, False)
        self.assertEqual('sha256:2', made)
        self.assertEqual('False', self.last.query['pause'])
        self.assertEqual({'Entrypoint': []}, json.loads(self.last.body))

    def test_save_streams(self):
        self.answers('images/a/get', content=(b'x' * 50_000,) * 2)
        self.assertEqual(b'x' * 100_000, b''.join(self.client.save('a')))
