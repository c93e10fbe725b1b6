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

"""The ports of one server: plugged, remembered, and given back."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import dataclasses
from typing import Any

from oslo_concurrency import lockutils
from oslo_log import log as logging

from novadocker.virt.docker import checkpoint
from novadocker.virt.docker import network
from novadocker.virt.docker import nic
from novadocker.virt.docker import sandbox
from novadocker.virt.docker import undo as undoing

LOG = logging.getLogger(__name__)

# In the place of a namespace's inode, of a server that is on another host.
_LEFT = 0


class Ports:
    """Keeps sandboxes, the network, and what is remembered of it together.

    Nova's operations and repairs may meet at one server: what changes its
    ports is done by one of them at a time.
    """

    def __init__(
        self,
        net: network.Network,
        sandboxes: sandbox.Sandboxes,
        checkpoints: checkpoint.Checkpoints,
    ) -> None:
        self._network = net
        self._sandboxes = sandboxes
        self._checkpoints = checkpoints
        # The servers of the devices that are plugged here.
        self._owners: dict[str, str] = {}
        # The processes that the names of servers' namespaces lead to.
        self._holders: dict[str, int] = {}

    # A server on its way to running

    @contextlib.contextmanager
    def wired(
        self,
        instance: Any,
        network_info: Any,
        box: sandbox.Sandbox,
        undo: undoing.Undo,
        wait: bool = True,
    ) -> Iterator[None]:
        """Plug all ports; at the end of the block Neutron has wired them.

        Ports that the server has no more are taken from it.

        :param wait: for that; without it only this host's part is done
        :raises: NetworkSetupFailed, VirtualInterfacePlugException
        """
        self._network.check(network_info)
        with contextlib.ExitStack() as waiting:
            with _alone(instance.uuid):
                self._withdraw(instance, network_info)
                there = self._network.there(network_info, box)
                # Neutron has nothing to say of a port that was there before.
                missing = self._network.missing(network_info, there)
                waiting.enter_context(
                    self._network.waiting(instance, missing if wait else [])
                )
                made, _ = self._connect(
                    instance, network_info, box, there, undo
                )
            yield
        self._network.announce(made, box)

    def _withdraw(self, instance: Any, network_info: Any) -> None:
        """Unplug what was plugged, and is not the server's any more.

        Nova may have been away when Neutron told of a port that was deleted.
        """
        ids = {vif['id'] for vif in network_info}
        gone = [
            vif for vif in self._plugged(instance.uuid) if vif['id'] not in ids
        ]
        if gone:
            self._network.unplug(instance, gone)

    def _connect(
        self,
        instance: Any,
        network_info: Any,
        box: sandbox.Sandbox,
        there: Sequence[nic.Interface],
        undo: undoing.Undo,
    ) -> tuple[list[nic.Nic], bool]:
        """Give the sandbox its ports; ones that are right are left alone.

        :param there: the NICs that it has
        :returns: the NICs that were made, and whether it was given its name
        """
        known = self._checkpoints.read(instance.uuid)
        self._remember(instance, network_info, box, known)
        made = self._network.plug(instance, network_info, box, there, known)
        ids = {one.port_id for one in made}
        undo.callback(
            self._network.unplug,
            instance,
            [vif for vif in network_info if vif['id'] in ids],
        )
        if made or known is None or known.netns != box.netns:
            # Otherwise left alone: the files are the server's to change.
            self._sandboxes.write_names(box, instance, network_info)
        self._holders[instance.uuid] = box.pid
        return made, self._network.link(instance.uuid, box)

    def _remember(
        self,
        instance: Any,
        network_info: Any,
        box: sandbox.Sandbox,
        known: checkpoint.Checkpoint | None,
    ) -> None:
        """Write down what is to be plugged.

        A NIC keeps its name when one before it goes, and over every start.

        :param known: what was written down before
        """
        vifs = list(network_info)
        named = nic.names(vifs, known.names if known else {})
        names = {nic.device(vif): named[vif['id']] for vif in vifs}
        for vif in vifs:
            self._owners.update(dict.fromkeys(_devices(vif), instance.uuid))
        self._checkpoints.write(
            instance.uuid,
            checkpoint.Checkpoint(
                box.id,
                box.netns,
                tuple(network.dump(vifs)),
                names,
                known.domains if known else {},
            ),
        )

    # A server that runs, or could

    def repair(self, instance: Any, network_info: Any) -> None:
        """Plug what is missing of a server's ports.

        Without a sandbox there is nothing to plug into: starting the server
        will do it.
        """
        self._network.check(network_info)
        with _alone(instance.uuid):
            box = self._sandboxes.find(instance.uuid)
            if box is not None:
                done = self._repair(instance, network_info, box)
                _tell(instance, 'it was found incomplete', done)

    def mend(self, instance: Any, cause: str) -> None:
        """Make good what has happened to the network of a running server.

        It gets back what was plugged last: that is known here, and needs no
        word of Neutron.

        :param cause: what has happened, for the log
        """
        uuid = instance.uuid
        with _alone(uuid):
            # One whose process has ended is being removed, or will be
            # started; both see to its ports.
            box = self._sandboxes.find(uuid)
            if box is None or not self._sandboxes.in_use(uuid):
                return
            vifs = self._plugged(uuid) or instance.get_network_info()
            _tell(instance, cause, self._repair(instance, vifs, box))

    def _repair(
        self, instance: Any, network_info: Any, box: sandbox.Sandbox
    ) -> list[str]:
        there = self._network.there(network_info, box)
        with undoing.Undo(instance) as undo:
            made, named = self._connect(
                instance, network_info, box, there, undo
            )
        return [f'plugged port {one.port_id}' for one in made] + (
            ['named its network namespace'] if named else []
        )

    def in_use(self, uuid: str) -> bool:
        """Whether a server has processes, and so a use for its ports."""
        return self._sandboxes.in_use(uuid)

    def unname(self, uuid: str) -> None:
        """Take the name from the namespace of a server, if that is gone."""
        with _alone(uuid):
            if uuid in self._holders and self._sandboxes.find(uuid) is None:
                self._holders.pop(uuid, None)
                self._network.unlink(uuid)

    def owner(self, device: str) -> str | None:
        """The server whose port a device of the host is the end of."""
        return self._owners.get(device)

    def is_named(self, uuid: str) -> bool:
        """Whether a server's namespace has its name, if it shall have one."""
        pid = self._holders.get(uuid)
        return pid is None or self._network.is_linked(uuid, pid)

    def servers(self) -> set[str]:
        """Those of which ports were plugged."""
        return set(self._owners.values())

    def attach(self, instance: Any, vif: Any) -> None:
        """Give a server one port more, in whatever state it is.

        :raises: NetworkSetupFailed, VirtualInterfacePlugException
        """
        self._network.check([vif])
        with _alone(instance.uuid):
            box = self._sandboxes.find(instance.uuid)
            if box is None:
                return
            known = self._checkpoints.read(instance.uuid)
            vifs = [*self._others(instance, vif), vif]
            with undoing.Undo(instance) as undo:
                undo.callback(self._remember, instance, vifs[:-1], box, known)
                there = self._network.there(vifs, box)
                self._connect(instance, vifs, box, there, undo)

    def detach(self, instance: Any, vif: Any) -> None:
        """Take a port from a server; one that it has not is success.

        What went through it goes through the others from now on.
        """
        with _alone(instance.uuid):
            vif = self._known(instance.uuid, vif)
            # Its devices are meant to go: that is no damage to be mended.
            for device in _devices(vif):
                self._owners.pop(device, None)
            self._network.unplug(instance, [vif])
            box = self._sandboxes.find(instance.uuid)
            if box is None:
                return
            vifs = self._others(instance, vif)
            self._repair(instance, vifs, box)
            self._sandboxes.write_names(box, instance, vifs)

    def _others(self, instance: Any, vif: Any) -> list[Any]:
        """The ports that a server has, but for this one.

        Nova may be attaching and detaching others meanwhile, and what it
        knows of the server be older than that: it says how a port is, but not
        whether it is there.
        """
        told = {one['id']: one for one in instance.get_network_info()}
        known = self._checkpoints.read(instance.uuid)
        there = told.values() if known is None else network.load(known.vifs)
        return [
            told.get(one['id'], one) for one in there if one['id'] != vif['id']
        ]

    def _known(self, uuid: str, vif: Any) -> Any:
        """A port as it was when it was plugged.

        By now Neutron may have unbound it, and Nova's view does not say any
        more how it was plugged.
        """
        plugged = {one['id']: one for one in self._plugged(uuid)}
        return plugged.get(vif['id'], vif)

    def _plugged(self, uuid: str) -> list[Any]:
        known = self._checkpoints.read(uuid)
        return list(network.load(known.vifs if known else ()))

    # The end

    def unplug(self, instance: Any, network_info: Any) -> None:
        with _alone(instance.uuid):
            self._network.unplug(instance, network_info)

    def unplug_all(self, instance: Any, network_info: Any) -> None:
        """Unplug what was plugged, and what Nova believes to be."""
        with _alone(instance.uuid):
            plugged = self._plugged(instance.uuid)
            ids = {vif['id'] for vif in plugged}
            believed = [
                vif for vif in network_info or () if vif['id'] not in ids
            ]
            self._unname(instance.uuid)
            self._disown(instance.uuid)
            self._network.unplug(instance, plugged + believed)

    def leave(self, instance: Any, network_info: Any) -> None:
        """Unplug what a server has that goes to another host.

        What its NICs are called is kept, for its way back.
        """
        self.unplug_all(instance, network_info)
        with _alone(instance.uuid):
            known = self._checkpoints.read(instance.uuid)
            if known is not None:
                self._checkpoints.write(
                    instance.uuid,
                    dataclasses.replace(known, netns=_LEFT, vifs=()),
                )

    def _unname(self, uuid: str) -> None:
        """Take the name from a server's namespace, wherever that is.

        One that has left may have it by another Nova host of this machine.
        """
        known = self._checkpoints.read(uuid)
        if known is None or known.netns != _LEFT:
            self._network.unlink(uuid)

    def _disown(self, uuid: str) -> None:
        """Expect nothing any more of what a server has on the host."""
        self._holders.pop(uuid, None)
        for device, owner in list(self._owners.items()):
            if owner == uuid:
                self._owners.pop(device, None)

    def forget(self, uuid: str) -> None:
        """Forget a server whose ports are unplugged."""
        self._unname(uuid)
        self._disown(uuid)
        self._checkpoints.remove(uuid)


def _devices(vif: Any) -> tuple[str, ...]:
    """All that the host has of a port."""
    return (nic.device(vif), *nic.inner(vif))


@contextlib.contextmanager
def _alone(uuid: str) -> Iterator[None]:
    """Keep others from the ports of a server."""
    with lockutils.lock(f'novadocker-ports-{uuid}'):
        yield


def _tell(instance: Any, cause: str, done: Sequence[str]) -> None:
    """Say what has been repaired, in a line for each server."""
    if done:
        LOG.warning(
            'Repaired the network of this server, since %(cause)s: %(done)s',
            {'cause': cause, 'done': ', '.join(done)},
            instance=instance,
        )
