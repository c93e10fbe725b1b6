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

"""Ports that ask for bandwidth."""

from novadocker.tests.e2e import base
from novadocker.tests.fixtures import images

_EGRESS = 'NET_BW_EGR_KILOBIT_PER_SEC'
# Of all that the cloud has on a host, in kilobits a second.
_ALL = 1_000_000


class QualityTestCase(base.TestCase):
    def policy(self):
        network = self.cloud.admin.network
        made = network.create_qos_policy(
            name=self.name, project_id=self.group.project_id
        )
        self.addCleanup(network.delete_qos_policy, made)
        return made

    def port_of(self, policy):
        made = self.port(self.cloud.network, qos_policy_id=policy.id)
        return {'port': made.id}

    def test_bandwidth_that_is_there_for_a_port(self):
        if 'neutron-openvswitch-agent' not in self.cloud.agents():
            self.skipTest('with OVN the cloud has no bandwidth to give')
        policy = self.policy()
        self.cloud.admin.network.create_qos_minimum_bandwidth_rule(
            policy, min_kbps=_ALL * 3 // 4, direction='egress'
        )
        image = self.upload(images.SHELL)
        server = self.boot(image, self.port_of(policy))
        self.assert_plugged(server)
        self.assertEqual(
            _ALL * 3 // 4, self.allocation(server).get(_EGRESS)
        )
        # There is no more of it on this host, and no other takes servers.
        second = self.request(image, self.port_of(policy))
        found = self.wait_for_status(second, 'ERROR')
        self.assertIn('No valid host', found.fault['message'])
        self.cloud.demo.compute.reboot_server(server, 'HARD')
        self.wait_for_status(server, 'ACTIVE')
        self.assert_plugged(server)
        self.delete(server)
        # What was given is there again.
        self.boot(image, self.port_of(policy))
