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

from oslo_config import cfg
from oslotest import base

from novadocker import conf


class ConfTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.conf = cfg.ConfigOpts()
        conf.register_opts(self.conf)
        self.conf([])

    def test_options_are_listed_as_they_are_registered(self):
        [(group, options)] = conf.list_opts()
        self.assertEqual('docker', group.name)
        self.assertEqual(
            set(self.conf.docker), {option.dest for option in options}
        )

    def test_registering_twice_does_no_harm(self):
        conf.register_opts(self.conf)

    def test_every_option_is_explained(self):
        for _, options in conf.list_opts():
            for option in options:
                self.assertTrue((option.help or '').strip(), option.name)

    def test_addresses(self):
        for url in (
            'unix:///var/run/docker.sock',
            'unix:///tmp/a-b.sock',
            'tcp://192.0.2.1:2376',
            'tcp://docker.example.org:2376',
        ):
            self.conf.set_override('host_url', url, 'docker')
            self.assertEqual(url, self.conf.docker.host_url)

    def test_what_is_no_address(self):
        for url in (
            '',
            '/var/run/docker.sock',
            'unix://docker.sock',
            'http://192.0.2.1:2375',
            'tcp://',
        ):
            self.assertRaises(
                ValueError, self.conf.set_override, 'host_url', url, 'docker'
            )

    def test_no_capability_that_reaches_beyond_the_server(self):
        dangerous = {
            'DAC_READ_SEARCH',
            'NET_ADMIN',
            'MKNOD',
            'SYS_ADMIN',
            'SYS_MODULE',
            'SYS_PTRACE',
            'SYS_RAWIO',
        }
        self.assertEqual(
            set(), dangerous.intersection(self.conf.docker.capabilities)
        )

    def test_limits_have_a_least_value(self):
        for name in ('engine_timeout', 'pids_limit', 'console_log_size'):
            self.assertRaises(
                ValueError, self.conf.set_override, name, 0, 'docker'
            )
