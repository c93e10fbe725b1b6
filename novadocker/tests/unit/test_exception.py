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

from nova import exception as nova_exception
from oslotest import base

from novadocker import exception

# By these classes Nova ends a build without a try on another host.
FATAL = (
    nova_exception.ImageUnacceptable,
    nova_exception.InvalidInput,
    nova_exception.VirtualInterfaceCreateException,
)


def everything():
    return [
        one
        for one in vars(exception).values()
        if isinstance(one, type)
        and issubclass(one, exception.NovaDockerException)
    ]


class TreeTestCase(base.BaseTestCase):
    def test_tree_is_drawn(self):
        for one in everything():
            self.assertIn(one.__name__, exception.__doc__)

    def test_host_that_may_recover_is_not_the_end(self):
        for one in (exception.EngineUnavailable, exception.EngineError):
            self.assertFalse(issubclass(one, FATAL), one)
        self.assertTrue(
            issubclass(
                exception.EngineUnavailable,
                nova_exception.HypervisorUnavailable,
            )
        )

    def test_what_fails_everywhere_is_not_tried_elsewhere(self):
        for one in (
            exception.CommandRejected,
            exception.FeatureNotSupported,
            exception.ImageRejected,
            exception.NetworkSetupFailed,
        ):
            self.assertTrue(issubclass(one, FATAL), one)

    def test_port_that_cannot_be_plugged(self):
        self.assertTrue(
            issubclass(
                exception.PortNotSupported,
                nova_exception.VirtualInterfacePlugException,
            )
        )


class EngineErrorTestCase(base.BaseTestCase):
    def test_answers_of_the_engine(self):
        for kind in (
            exception.EngineError,
            exception.ContainerConflict,
            exception.ContainerNotFound,
            exception.ImageNotFoundInEngine,
        ):
            error = kind(409, 'the name is taken')
            self.assertIsInstance(error, exception.EngineError)
            self.assertEqual(409, error.status)
            self.assertEqual('the name is taken', error.reason)
            self.assertIn('409', str(error))
            self.assertIn('the name is taken', str(error))


class MessagesTestCase(base.BaseTestCase):
    """A user reads them as the fault of a server."""

    def test_all_that_is_known_is_said(self):
        for error, words in (
            (exception.EngineUnavailable(reason='no socket'), 'no socket'),
            (exception.EngineNotSupported(reason='too old'), 'too old'),
            (exception.ImageRejected(image_id='i', reason='r'), 'r'),
            (exception.CommandRejected(reason='no /sh'), 'no /sh'),
            (exception.CommandRejected(reason=''), 'os_command_line'),
            (exception.NetworkSetupFailed(port='p', reason='r'), 'p'),
            (exception.PortNotSupported(port='p', vif_type='hw'), 'hw'),
            (exception.FeatureNotSupported(feature='a disk'), 'a disk'),
            (exception.RescueRefused(reason='it is btrfs'), 'it is btrfs'),
            (exception.RescueLost(), 'Unrescue'),
        ):
            self.assertIn(words, str(error))
            self.assertNotIn('%(', str(error))

    def test_cause_and_advice_are_not_cut_off(self):
        reason = 'engine: runtime: ' * 20 + 'exec: "/usr/bin/none": not found'
        shown = f'Build of instance {"x" * 36} aborted: '
        shown += str(exception.CommandRejected(reason=reason))
        self.assertIn('exec: "/usr/bin/none": not found', shown[:255])
        self.assertIn('os_command_line', shown[:255])
