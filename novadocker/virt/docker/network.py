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


"""The ports of a server: os-vif, and our veth.

os-vif makes whatever the port's binding asks for on the host. We make the
veth between that and the namespace, and configure the end inside.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import socket
from typing import Any
from typing import Protocol

from nova import exception as nova_exception
from nova.network import model as network_model
from nova.network import os_vif_util
from os_vif import exception as os_vif_exception
from os_vif.objects import vif as os_vif_vif
from oslo_log import log as logging

from novadocker import exception
import novadocker.privsep.netns
from novadocker.virt.docker import binding
from novadocker.virt.docker import checkpoint
from novadocker.virt.docker import naming
from novadocker.virt.docker import nic
from novadocker.virt.docker import plugging
from novadocker.virt.docker import undo as undoing
from novadocker.virt.docker import vif_events

LOG = logging.getLogger(__name__)


class Sandbox(Protocol):
    """A namespace: a process in it, and its inode."""

    @property
    def pid(self) -> int: ...

    @property
    def netns(self) -> int: ...


class Switch(Protocol):
    """Open vSwitch, which knows its ports by the names of their devices."""

    def has(self, name: str) -> bool:
        """:raises: SwitchUnavailable"""


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """How to wait for Neutron, and where ports are.

    :ivar plug_timeout: seconds to wait for a port to be wired, 0 for not
        waiting at all
    :ivar plug_is_fatal: whether a server may not start without
    :ivar bridge: the integration bridge, to look for a port of which nothing
        else is known
    """

    plug_timeout: int
    plug_is_fatal: bool
    bridge: str = 'br-int'


def dump(network_info: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Nova's description of ports as values that JSON can hold."""
    return [dict(vif) for vif in network_info]


def load(vifs: Iterable[Mapping[str, Any]]) -> network_model.NetworkInfo:
    """Read back what :func:`dump` gave."""
    return network_model.NetworkInfo.hydrate(list(vifs))


class Network:
    """Ports of the servers of this host.

    :ivar names: the directory where namespaces have their names
    """

    names = novadocker.privsep.netns.NETNS_DIR

    def __init__(
        self, virtapi: Any, switch: Switch, settings: NetworkSettings
    ) -> None:
        self._events = vif_events.VifEvents(
            virtapi, settings.plug_timeout, settings.plug_is_fatal
        )
        self._switch = switch
        self._bridge = settings.bridge

    def check(self, network_info: Iterable[Any]) -> None:
        """Refuse ports that cannot be plugged, before anything is made.

        :raises: VirtualInterfacePlugException
        """
        for vif in network_info:
            binding.convert(vif)

    def waiting(
        self, instance: Any, network_info: Iterable[Any]
    ) -> contextlib.AbstractContextManager[None]:
        """Plug inside of this; it ends when Neutron has wired the ports.

        :raises: NetworkSetupFailed if it has not in time, and must have
        """
        return self._events.waiting(
            instance,
            [vif['id'] for vif in network_info if vif['active'] is False],
        )

    # Plugging

    def there(
        self, network_info: Iterable[Any], sandbox: Sandbox
    ) -> list[nic.Interface]:
        """The NICs that a namespace has, before these ports are plugged.

        :raises: NetworkSetupFailed
        """
        ids = [vif['id'] for vif in network_info]
        if not ids:
            return []
        with _failing(*ids):
            return self.interfaces(sandbox)

    def missing(
        self, network_info: Iterable[Any], there: Iterable[nic.Interface]
    ) -> list[Any]:
        """Those ports of which a namespace has no NIC.

        :param there: the NICs that it has
        """
        devices = {one.device for one in there}
        return [vif for vif in network_info if nic.device(vif) not in devices]

    def plug(
        self,
        instance: Any,
        network_info: Iterable[Any],
        sandbox: Sandbox,
        there: Sequence[nic.Interface],
        known: checkpoint.Checkpoint | None = None,
    ) -> list[nic.Nic]:
        """Give a namespace the NICs of all ports.

        What is there and right stays untouched. Where a port fails, those
        that this call has made are taken back. What needs privileges is done
        for all ports in one call, since a call costs as much as a NIC.

        :param there: the NICs that the namespace has
        :param known: what was plugged before, maybe in an earlier life of
            the namespace: NICs keep their names, and lose the fixed IPs that
            their ports have lost
        :returns: the NICs that were made
        :raises: NetworkSetupFailed; VirtualInterfacePlugException as
            :meth:`check` does
        """
        vifs = list(network_info)
        wanted = _wanted(vifs, there, known)
        ports = {
            one: binding.convert(vif)
            for one, vif in zip(wanted, vifs, strict=True)
        }
        info = os_vif_util.nova_to_osvif_instance(instance)
        with undoing.Undo(instance) as undo:
            new = [one for one in wanted if not self._is_whole(one, there)]
            for one in new:
                with _failing(one.port_id):
                    self._clear(instance, ports[one], one.device)
                undo.callback(self._unplug, instance, ports[one], one.device)
            _at_once(novadocker.privsep.netns.connect, sandbox, new)
            for one, port in ports.items():
                # Of a hybrid plug that is whole nothing is os-vif's to do. A
                # part that goes right now it would make again, and the
                # switch not notice.
                if one in new or not one.inner:
                    with _failing(one.port_id):
                        plugging.plug(port, info)
            _at_once(novadocker.privsep.netns.complete, sandbox, wanted)
        return new

    def _is_whole(
        self, wanted: nic.Nic, there: Iterable[nic.Interface]
    ) -> bool:
        """Whether a port is there, with all that os-vif has made for it.

        By one device of a hybrid plug os-vif knows that it has made it. What
        it makes last is the port of the switch.
        """
        if not any(one.is_end_of(wanted) for one in there):
            return False
        with _failing(wanted.port_id):
            return not wanted.inner or (
                all(_exists(device) for device in wanted.inner)
                and self._switch.has(wanted.inner[-1])
            )

    def _clear(self, instance: Any, port: Any, device: str) -> None:
        """Make room for a port that is to be made.

        A switch that knows it from an earlier namespace would not notice that
        there is another device of that name now.
        """
        if not isinstance(port, os_vif_vif.VIFOpenVSwitch) or self._switch.has(
            device
        ):
            self._unplug(instance, port, device)

    def announce(self, nics: Sequence[nic.Nic], sandbox: Sandbox) -> None:
        """Tell the neighbours of NICs which of them has what addresses now.

        To be called when they are wired: before, nobody hears it.

        :raises: NetworkSetupFailed
        """
        _at_once(novadocker.privsep.netns.announce, sandbox, nics)

    # Unplugging

    def unplug(self, instance: Any, vifs: Iterable[Any]) -> None:
        """Remove all that is left of ports; nothing is success.

        By now the ports may be unbound, and nothing be known of them but
        their ids.

        A switch that does not answer keeps its port: os-vif logs that, and
        does not tell.

        :raises: VirtualInterfaceUnplugException after all have been tried
        """
        failed = []
        for vif in vifs:
            try:
                self._unplug(
                    instance,
                    binding.last_known(vif, self._bridge),
                    nic.device(vif),
                )
            except nova_exception.VirtualInterfaceUnplugException as exc:
                LOG.exception(
                    'Could not unplug port %s', vif['id'], instance=instance
                )
                failed.append(f'{vif["id"]}: {exc}')
        if failed:
            raise nova_exception.VirtualInterfaceUnplugException(
                reason='; '.join(failed)
            )

    def _unplug(self, instance: Any, port: Any, device: str) -> None:
        """Take away both: the port where one fails, and the other."""
        info = os_vif_util.nova_to_osvif_instance(instance)
        errors: list[Exception] = []

        def attempt(step: Callable[[], None]) -> None:
            try:
                step()
            except (os_vif_exception.ExceptionBase, OSError) as exc:
                errors.append(exc)

        attempt(lambda: plugging.unplug(port, info))
        failed = errors.copy()
        attempt(lambda: novadocker.privsep.netns.delete(device))
        if failed:
            # The device may have gone, with its namespace, while os-vif was
            # at it. It is not there any more.
            errors.remove(failed[0])
            attempt(lambda: plugging.unplug(port, info))
        if errors:
            raise nova_exception.VirtualInterfaceUnplugException(
                reason='; '.join(str(error) for error in errors)
            ) from errors[0]

    # The namespace

    def interfaces(self, sandbox: Sandbox) -> list[nic.Interface]:
        """The NICs that a namespace has."""
        return [
            nic.Interface(
                name=one['name'],
                device=one['device'],
                mac=one['mac'],
                mtu=one['mtu'],
                up=one['up'],
                addresses=tuple(
                    f'{ip}/{bits}' for ip, bits in one['addresses']
                ),
            )
            for one in novadocker.privsep.netns.interfaces(
                sandbox.pid, sandbox.netns
            )
        ]

    def link(self, uuid: str, sandbox: Sandbox) -> bool:
        """Let ``ip netns exec nova-<uuid>`` work on the host.

        :returns: whether it did not before
        """
        made: bool = novadocker.privsep.netns.link(
            naming.instance_name(uuid), sandbox.pid, sandbox.netns
        )
        return made

    def is_linked(self, uuid: str, pid: int) -> bool:
        """Whether it works, by way of this process."""
        return novadocker.privsep.netns.target(
            naming.instance_name(uuid)
        ) == novadocker.privsep.netns.of_process(pid)

    def unlink(self, uuid: str) -> None:
        novadocker.privsep.netns.unlink(naming.instance_name(uuid))

    def sweep(self) -> None:
        """Forget the names of namespaces that a crash has left behind."""
        for name in novadocker.privsep.netns.sweep():
            LOG.warning('Removed the stale link %s to a namespace', name)


def _wanted(
    vifs: Sequence[Any],
    there: Iterable[nic.Interface],
    known: checkpoint.Checkpoint | None,
) -> list[nic.Nic]:
    """The NICs of ports, under the names that they have or had."""
    names = dict(known.names) if known else {}
    names.update({one.device: one.name for one in there})
    lost = nic.withdrawn(known.vifs if known else (), vifs)
    return [
        dataclasses.replace(one, withdrawn=lost[one.port_id])
        for one in nic.nics(vifs, names)
    ]


def _exists(device: str) -> bool:
    try:
        return socket.if_nametoindex(device) > 0
    except OSError:
        return False


def _at_once(
    step: Callable[[int, int, list[dict[str, Any]]], None],
    sandbox: Sandbox,
    nics: Sequence[nic.Nic],
) -> None:
    """Do something with all of these NICs."""
    if nics:
        with _failing(*(one.port_id for one in nics)):
            step(
                sandbox.pid,
                sandbox.netns,
                [dataclasses.asdict(one) for one in nics],
            )


@contextlib.contextmanager
def _failing(*ports: str) -> Iterator[None]:
    """Say of which ports an error is, or of one of which."""
    try:
        yield
    except (
        os_vif_exception.ExceptionBase,
        nova_exception.VirtualInterfaceUnplugException,
        exception.SwitchUnavailable,
        OSError,
    ) as exc:
        raise exception.NetworkSetupFailed(
            port=' or '.join(ports), reason=str(exc)
        ) from exc
