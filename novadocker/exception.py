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

"""The errors of this driver.

    NovaDockerException
      EngineUnavailable              is a HypervisorUnavailable
      EngineNotSupported
      EngineError(status, reason)    an answer of the engine nobody expected
        ContainerNotFound
        ContainerConflict
        ImageNotFoundInEngine
      ImageRejected(reason)          is an ImageUnacceptable
      CommandRejected(reason)        is an InvalidInput
      NetworkSetupFailed(port)       is a VirtualInterfaceCreateException
      PortNotSupported(port)         is a VirtualInterfacePlugException
      FeatureNotSupported(feature)   is an InvalidInput
      NoSuchUser(user)               is an InvalidInput
      FileRefused(path)              is an InvalidInput
      VariableRefused(name)          is an InvalidInput
      CrashDumpRefused(signal)       is a TriggerCrashDumpNotSupported
      RescueRefused(reason)          is an InstanceNotRescuable
      RescueLost
      SwitchUnavailable
      GlanceUnavailable
      NovaUnavailable                Nova's conductor does not answer

Nova decides by class what to do with a failed build: those of Nova's classes
that stand behind ours end it without another host being tried, since another
host would fail in the same way. Every message is read by a user as the fault
of a server, so it says what to do next.
"""

from nova import exception as nova_exception


class NovaDockerException(nova_exception.NovaException):
    """Base of everything this driver raises on its own account."""

    msg_fmt = 'The Docker driver met an unknown error.'


class EngineUnavailable(
    NovaDockerException, nova_exception.HypervisorUnavailable
):
    """The engine did not answer, or not within the configured time."""

    msg_fmt = (
        'The Docker engine of this host does not answer (%(reason)s). Try '
        'again when the operator has brought it back.'
    )


class EngineNotSupported(NovaDockerException):
    """The engine, or the host below it, cannot run this driver."""

    msg_fmt = 'The Docker engine of this host cannot be used: %(reason)s'


class EngineError(NovaDockerException):
    """The engine answered, but with a failure.

    :ivar status: the HTTP status, or 500 for a failure inside a stream
    :ivar reason: the engine's own explanation
    """

    msg_fmt = 'The Docker engine refused (%(status)s): %(reason)s'

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status=status, reason=reason)
        self.status = status
        self.reason = reason


class ContainerNotFound(EngineError):
    """There is no such container in the engine."""


class ContainerConflict(EngineError):
    """The name is taken, or the container's state forbids the request."""


class ImageNotFoundInEngine(EngineError):
    """There is no such image in the engine."""


class ImageRejected(NovaDockerException, nova_exception.ImageUnacceptable):
    """The Glance image is no usable or no safe image for this host."""

    msg_fmt = 'Image %(image_id)s is unacceptable: %(reason)s'


class CommandRejected(NovaDockerException, nova_exception.InvalidInput):
    """The image's command cannot be executed."""

    msg_fmt = (
        'The command could not be started (%(reason)s). Set the image '
        'property os_command_line to another.'
    )

    # Nova shows 255 characters of a fault, and begins it with words of its
    # own. The engine's last ones name the cause.
    _SHOWN = 100

    def __init__(self, reason: str) -> None:
        shown = reason[-self._SHOWN :]
        super().__init__(reason=shown if shown == reason else f'...{shown}')


class NetworkSetupFailed(
    NovaDockerException, nova_exception.VirtualInterfaceCreateException
):
    """A port could not be connected to the server."""

    msg_fmt = 'Port %(port)s could not be connected: %(reason)s'


class PortNotSupported(
    NovaDockerException, nova_exception.VirtualInterfacePlugException
):
    """The port's binding is of a kind that no container can use."""

    msg_fmt = (
        'Port %(port)s is bound as %(vif_type)s, which a container cannot '
        'use. Ask the operator for a network whose mechanism driver binds '
        'normal ports on this host, such as Open vSwitch.'
    )


class FeatureNotSupported(NovaDockerException, nova_exception.InvalidInput):
    """The request asks for something that this driver does not do."""

    msg_fmt = (
        'A container server cannot have %(feature)s. Ask for a server '
        'without, or for another hypervisor type.'
    )


class SwitchUnavailable(NovaDockerException):
    """Open vSwitch does not tell its ports."""

    msg_fmt = 'Open vSwitch does not answer at %(connection)s: %(reason)s'


class GlanceUnavailable(NovaDockerException):
    """Glance does not say what images it takes."""

    msg_fmt = 'Glance does not tell its container formats: %(reason)s'


class NovaUnavailable(NovaDockerException):
    """Nova did not say which servers there are."""

    msg_fmt = 'Nova does not answer: %(reason)s'


class NoSuchUser(NovaDockerException, nova_exception.InvalidInput):
    """The image has not the user that it wants to be logged in as."""

    msg_fmt = (
        'The image has no user %(user)s. Set its property os_admin_user to '
        'one that it has.'
    )


class FileRefused(NovaDockerException, nova_exception.InvalidInput):
    """A file that was sent along has no name."""

    msg_fmt = '%(path)s is not the path of a file.'


class VariableRefused(NovaDockerException, nova_exception.InvalidInput):
    """Metadata that are to become an environment variable cannot be one."""

    msg_fmt = (
        'The metadata key env.%(name)s does not name an environment '
        'variable: letters, digits and underscores make a name.'
    )


class CrashDumpRefused(
    NovaDockerException, nova_exception.TriggerCrashDumpNotSupported
):
    """The process would not notice, as any first process."""

    msg_fmt = (
        'The process of the server has no handler for %(signal)s, so that '
        'the kernel would drop it.'
    )


class RescueRefused(NovaDockerException, nova_exception.InstanceNotRescuable):
    """The server's root file system cannot be had by another container."""

    msg_fmt = 'The server cannot be rescued on this host: %(reason)s.'


class RescueLost(NovaDockerException):
    """What stands in for a rescued server cannot run any more."""

    msg_fmt = (
        'The sandbox of this server was removed, so that its rescue cannot '
        'go on. Unrescue the server.'
    )
