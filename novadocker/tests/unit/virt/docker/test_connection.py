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

import collections
import threading

from docker import constants as docker_constants
from oslotest import base

from novadocker import exception
from novadocker.tests.unit.virt.docker import test_client
from novadocker.virt.docker import client
from novadocker.virt.docker import connection
from novadocker.virt.docker import model


class SourceTestCase(base.BaseTestCase):
    def test_chunks_are_cut_into_pieces(self):
        chunks = [b'a' * (1 << 20), b'', b'bc']
        pieces = list(connection.Source(chunks))
        self.assertEqual(b''.join(chunks), b''.join(pieces))
        self.assertEqual([1 << 18] * 4 + [2], [len(one) for one in pieces])

    def test_pieces_are_bytes_for_the_oldest_urllib3(self):
        pieces = connection.Source([b'a' * (1 << 20)])
        self.assertEqual({bytes}, {type(piece) for piece in pieces})


class VersionTestCase(test_client.ClientTestCase):
    def version(self, offered):
        self.answers('version', content={'ApiVersion': offered})
        self.client.ping()
        self.client.list_containers({})
        return self.last.path.split('/')[1]

    def test_engines_version_is_used(self):
        self.assertEqual('v1.42', self.version('1.42'))

    def test_newer_engine_is_asked_in_a_version_that_the_sdk_knows(self):
        self.assertEqual(
            'v' + docker_constants.DEFAULT_DOCKER_API_VERSION,
            self.version('1.999'),
        )

    def test_oldest_engine(self):
        oldest = connection.MIN_DOCKER_API_VERSION
        self.assertEqual(f'v{oldest}', self.version(oldest))

    def test_engine_that_is_too_old(self):
        self.answers('version', content={'ApiVersion': '1.40'})
        error = self.assertRaises(
            exception.EngineNotSupported, self.client.ping
        )
        self.assertIn('1.40', str(error))

    def test_it_is_asked_for_once(self):
        def request():
            self.client.list_containers({})

        threads = [threading.Thread(target=request) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asked = [one for one in self.engine.requests if one.path == '/version']
        self.assertEqual(1, len(asked))

    def test_each_thread_has_a_connection(self):
        def requests():
            self.client.list_containers({})
            self.client.start('nova-1')
            self.client.start('nova-2')
            barrier.wait()

        barrier = threading.Barrier(3)
        threads = [threading.Thread(target=requests) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        used = collections.Counter(
            one.connection
            for one in self.engine.requests
            if '/containers/' in one.path
        )
        self.assertEqual([3, 3, 3], list(used.values()))


class TLSTestCase(base.BaseTestCase):
    def test_tls_files_that_are_not_there(self):
        settings = model.EngineSettings(
            url='tcp://127.0.0.1:9',
            timeout=1,
            ca_file='/none/ca',
            cert_file='/none/cert',
            key_file='/none/key',
        )
        self.assertRaises(
            exception.EngineUnavailable, client.Client(settings).ping
        )
