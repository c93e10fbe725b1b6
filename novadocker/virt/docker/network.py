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
from typing import Any
from typing import Protocol

from nova import exception as nova_exception
from nova.network import model as network_model
from nova.network import os_vif_util
import os_vif
from os_vif import exception as os_vif_exception
from os_vif.objects import vif as os_vif_vif
from oslo_log import log as logging

from novadocker import exception
import novadocker.privsep.netns
from novadocker.virt.docker import binding
from novadocker.virt.docker import checkpoint
from novadocker.virt.docker import naming
from novadocker.virt.docker import nic
from novadocker.virt.docker import undo as undoing
from novadocker.virt.docker import vif_events

LOG = logging.getLogger(__name__)


class Sandbox(Protocol):
    """A namespace: a process in it, and its inode."""

    @property
    def pid(self) -> int: ...

    @property
    def netns(self) -> int: ...


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


@dataclasses.dataclass(frozen=True)
class Interface:
    """A NIC as it is.

    :ivar device: its end on the host, empty if there is none
    :ivar addresses: in the form address/prefix
    """

    name: str
    device: str
    mac: str
    mtu: int
    up: bool
    addresses: tuple[str, ...]

    def is_end_of(self, wanted: nic.Nic) -> bool:
        return (self.name, self.device, self.mac) == (
            wanted.name,
            wanted.device,
            wanted.mac,
        )


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

    def __init__(self, virtapi: Any, settings: NetworkSettings) -> None:
        self._events = vif_events.VifEvents(
            virtapi, settings.plug_timeout, settings.plug_is_fatal
        )
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

    def missing(
        self, network_info: Iterable[Any], sandbox: Sandbox
    ) -> list[Any]:
        """Those ports of which a namespace has no NIC."""
        vifs = list(network_info)
        there = {one.device for one in self.interfaces(sandbox)}
        return [vif for vif in vifs if nic.device(vif) not in there]

    def plug(
        self,
        instance: Any,
        network_info: Iterable[Any],
        sandbox: Sandbox,
        known: checkpoint.Checkpoint | None = None,
    ) -> list[Any]:
        """Give a namespace the NICs of all ports.

        What is there and right stays untouched. Where a port fails, those
        that this call has made are taken back.

        :param known: what was plugged before, maybe in an earlier life of
            the namespace: NICs keep their names, and lose the fixed IPs that
            their ports have lost
        :returns: the ports of the NICs that were made
        :raises: NetworkSetupFailed; VirtualInterfacePlugException as
            :meth:`check` does
        """
        vifs = list(network_info)
        ports = [binding.convert(vif) for vif in vifs]
        if not vifs:
            return []
        made = []
        with undoing.Undo(instance) as undo:
            with _failing(vifs[0]['id']):
                there = self.interfaces(sandbox)
            for vif, port, wanted in zip(
                vifs, ports, _wanted(vifs, there, known), strict=True
            ):
                with _failing(wanted.port_id):
                    if not any(one.is_end_of(wanted) for one in there):
                        self._make(instance, port, wanted, sandbox, undo)
                        made.append(vif)
                    self._complete(instance, port, wanted, sandbox)
        return made

    def _make(
        self,
        instance: Any,
        port: Any,
        wanted: nic.Nic,
        sandbox: Sandbox,
        undo: undoing.Undo,
    ) -> None:
        # A switch that knows the port from an earlier namespace would not
        # notice that there is another device of that name now.
        self._unplug(instance, port, wanted.device)
        undo.callback(self._unplug, instance, port, wanted.device)
        novadocker.privsep.netns.connect(
            sandbox.pid, sandbox.netns, dataclasses.asdict(wanted)
        )

    def _complete(
        self, instance: Any, port: Any, wanted: nic.Nic, sandbox: Sandbox
    ) -> None:
        os_vif.plug(port, os_vif_util.nova_to_osvif_instance(instance))
        # A plugin that made a Linux bridge of its own for the port leaves it
        # to us to put the device there.
        novadocker.privsep.netns.bring_up(
            wanted.device,
            wanted.mtu,
            port.bridge_name
            if isinstance(port, os_vif_vif.VIFBridge)
            else None,
        )
        novadocker.privsep.netns.configure(
            sandbox.pid, sandbox.netns, dataclasses.asdict(wanted)
        )

    def announce(self, vifs: Iterable[Any], sandbox: Sandbox) -> None:
        """Tell the neighbours of ports which NIC has their addresses now.

        To be called when they are wired: before, nobody hears it.

        :raises: NetworkSetupFailed
        """
        devices = {nic.device(vif): vif['id'] for vif in vifs}
        for one in self.interfaces(sandbox) if devices else ():
            if one.device in devices:
                with _failing(devices[one.device]):
                    novadocker.privsep.netns.announce(
                        sandbox.pid, sandbox.netns, one.name
                    )

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

        attempt(lambda: os_vif.unplug(port, info))
        failed = errors.copy()
        attempt(lambda: novadocker.privsep.netns.delete(device))
        if failed:
            # The device may have gone, with its namespace, while os-vif was
            # at it. It is not there any more.
            errors.remove(failed[0])
            attempt(lambda: os_vif.unplug(port, info))
        if errors:
            raise nova_exception.VirtualInterfaceUnplugException(
                reason='; '.join(str(error) for error in errors)
            ) from errors[0]

    # The namespace

    def interfaces(self, sandbox: Sandbox) -> list[Interface]:
        """The NICs that a namespace has."""
        return [
            Interface(
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
    there: Iterable[Interface],
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


@contextlib.contextmanager
def _failing(port: str) -> Iterator[None]:
    """Say of which port an error is."""
    try:
        yield
    except (
        os_vif_exception.ExceptionBase,
        nova_exception.VirtualInterfaceUnplugException,
        OSError,
    ) as exc:
        raise exception.NetworkSetupFailed(port=port, reason=str(exc)) from exc
