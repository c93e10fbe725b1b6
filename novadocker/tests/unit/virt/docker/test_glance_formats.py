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

from keystoneauth1 import exceptions as ksa_exceptions
from oslotest import base

from novadocker import exception
from novadocker.virt.docker import glance_formats

SCHEMA = {'properties': {'container_format': {'enum': [None, 'docker']}}}


class ContainerFormatsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.adapter = mock.Mock()
        self.adapter.get_endpoint.return_value = 'http://glance:9292'
        self.get = self.adapter.session.get
        self.get.return_value.json.return_value = SCHEMA
        patch = mock.patch(
            'nova.utils.get_ksa_adapter',
            autospec=True,
            return_value=self.adapter,
        )
        self.get_adapter = patch.start()
        self.addCleanup(patch.stop)

    def test_formats(self):
        for endpoint in ('', '/', '/v2', '/v2/'):
            self.adapter.get_endpoint.return_value = (
                f'http://host/image{endpoint}'
            )
            self.assertEqual(['docker'], glance_formats.container_formats())
            self.assertEqual(
                'http://host/image/v2/schemas/image',
                self.get.call_args.args[0],
            )

    def test_credentials_are_those_for_placement(self):
        glance_formats.container_formats()
        self.assertEqual(
            [
                mock.call('placement'),
                mock.call(
                    'image',
                    ksa_auth=self.adapter.auth,
                    ksa_session=self.adapter.session,
                ),
            ],
            self.get_adapter.mock_calls[:2],
        )

    def assert_unavailable(self):
        self.assertRaises(
            exception.GlanceUnavailable, glance_formats.container_formats
        )

    def test_no_credentials(self):
        self.adapter.auth = None
        self.assert_unavailable()

    def test_no_answer(self):
        self.get.side_effect = ksa_exceptions.ConnectFailure('away')
        self.assert_unavailable()

    def test_another_answer(self):
        for answer in ({}, {'properties': {'container_format': {}}}):
            self.get.return_value.json.return_value = answer
            self.assert_unavailable()
        self.get.return_value.json.side_effect = ValueError
        self.assert_unavailable()
