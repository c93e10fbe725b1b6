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


import contextlib
import sys
import types

import fixtures
from nova import exception as nova_exception
from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import instances
from novadocker.virt.docker import vif_events

ONE = '6a7bc5f2-8b0e-4a34-a1f7-3b53a8a2b5d1'
OTHER = 'd83c2c0e-96b3-4e0f-8f05-5bd3cdb4bb7e'


class EventTimeout(nova_exception.NovaException):
    """What Nova raises when an event does not come."""


class VirtAPI:
    """Nova's waiting for Neutron.

    :ivar outcome: called when the block is done
    """

    def __init__(self):
        self.waits = []
        self.outcome = lambda on_error: None

    @contextlib.contextmanager
    def wait_for_instance_event(
        self, instance, events, renamed=300, error_callback=None
    ):
        self.waits.append((events, renamed))
        yield
        self.outcome(error_callback)


class WaitingTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        # Nova has had it since 2025.2.
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova.exception.InstanceEventTimeout', EventTimeout
            )
        )
        self.virtapi = VirtAPI()
        self.instance = instances.an_instance()

    def wait(self, *ids, timeout=300, is_fatal=True):
        events = vif_events.VifEvents(self.virtapi, timeout, is_fatal)
        with events.waiting(self.instance, ids):
            self.waits_inside = list(self.virtapi.waits)

    def test_waiting_begins_before_the_block(self):
        self.wait(ONE, OTHER, timeout=7)
        names = [('network-vif-plugged', port) for port in (ONE, OTHER)]
        self.assertEqual([(names, 7)], self.waits_inside)

    def test_nothing_to_wait_for(self):
        self.wait()
        self.assertEqual([], self.virtapi.waits)

    def test_not_wanted(self):
        self.wait(ONE, timeout=0)
        self.assertEqual([], self.virtapi.waits)

    def times_out(self, error):
        def outcome(on_error):
            raise error

        self.virtapi.outcome = outcome

    def test_timeout(self):
        self.times_out(EventTimeout())
        error = self.assertRaises(exception.NetworkSetupFailed, self.wait, ONE)
        self.assertIsInstance(
            error, nova_exception.VirtualInterfaceCreateException
        )
        self.assertIn(ONE, str(error))

    def test_timeout_that_is_not_fatal(self):
        self.times_out(EventTimeout())
        self.wait(ONE, is_fatal=False)

    def test_timeout_as_nova_under_eventlet_has_it(self):
        class Timeout(BaseException):
            pass

        self.useFixture(
            fixtures.MonkeyPatch(
                'sys.modules',
                sys.modules
                | {'eventlet.timeout': types.SimpleNamespace(Timeout=Timeout)},
            )
        )
        self.times_out(Timeout())
        self.assertRaises(exception.NetworkSetupFailed, self.wait, ONE)

    def test_neutron_reports_a_failure(self):

        def outcome(on_error):
            on_error(f'network-vif-plugged-{ONE}', self.instance)

        self.virtapi.outcome = outcome
        error = self.assertRaises(exception.NetworkSetupFailed, self.wait, ONE)
        self.assertIn(f'Port {ONE} ', str(error))

    def test_failure_that_is_not_fatal(self):
        answers = []
        self.virtapi.outcome = lambda on_error: answers.append(
            on_error(f'network-vif-plugged-{ONE}', self.instance)
        )
        self.wait(ONE, is_fatal=False)
        # Anything but False has Nova go on waiting for the other ports.
        self.assertEqual([True], answers)

    def test_failure_of_what_was_to_be_waited_for(self):
        def plug():
            events = vif_events.VifEvents(self.virtapi, 300, True)
            with events.waiting(self.instance, [ONE]):
                raise KeyError('plug')

        self.assertRaises(KeyError, plug)
