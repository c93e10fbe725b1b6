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
import contextlib
from typing import Any

from novadocker.virt.docker import checkpoint
from novadocker.virt.docker import network
from novadocker.virt.docker import nic
from novadocker.virt.docker import sandbox
from novadocker.virt.docker import undo as undoing


class Ports:
    """Keeps sandboxes, the network, and what is remembered of it together."""

    def __init__(
        self,
        net: network.Network,
        sandboxes: sandbox.Sandboxes,
        checkpoints: checkpoint.Checkpoints,
    ) -> None:
        self._network = net
        self._sandboxes = sandboxes
        self._checkpoints = checkpoints

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

        :param wait: for that; without it only this host's part is done
        :raises: NetworkSetupFailed, VirtualInterfacePlugException
        """
        self._network.check(network_info)
        # Neutron has nothing to say of a port that was there before.
        missing = self._network.missing(network_info, box)
        with self._network.waiting(instance, missing if wait else []):
            self._connect(instance, network_info, box, undo)
            yield
        self._network.announce(missing, box)

    def _connect(
        self,
        instance: Any,
        network_info: Any,
        box: sandbox.Sandbox,
        undo: undoing.Undo,
    ) -> None:
        """Give the sandbox its ports; ones that are right are left alone."""
        known = self._checkpoints.read(instance.uuid)
        names = self._remember(instance, network_info, box, known)
        plugged = self._network.plug(instance, network_info, box, names)
        undo.callback(self._network.unplug, instance, plugged)
        if plugged or known is None or known.netns != box.netns:
            # Otherwise left alone: the files are the server's to change.
            self._sandboxes.write_names(box, instance, network_info)
        self._network.link(instance.uuid, box)

    def _remember(
        self,
        instance: Any,
        network_info: Any,
        box: sandbox.Sandbox,
        known: checkpoint.Checkpoint | None,
    ) -> dict[str, str]:
        """Write down what is to be plugged; returns the names of the NICs.

        A NIC keeps its name when one before it goes, and over every start.

        :param known: what was written down before
        """
        vifs = list(network_info)
        named = nic.names(vifs, known.names if known else {})
        names = {nic.device(vif): named[vif['id']] for vif in vifs}
        self._checkpoints.write(
            instance.uuid,
            checkpoint.Checkpoint(
                box.id, box.netns, tuple(network.dump(vifs)), names
            ),
        )
        return names

    # A server that runs, or could

    def repair(self, instance: Any, network_info: Any) -> None:
        """Plug what is missing of a server's ports.

        Without a sandbox there is nothing to plug into: starting the server
        will do it.
        """
        self._network.check(network_info)
        box = self._sandboxes.find(instance.uuid)
        if box is None:
            return
        with undoing.Undo(instance) as undo:
            self._connect(instance, network_info, box, undo)

    def attach(self, instance: Any, vif: Any) -> None:
        """Give a server one port more, in whatever state it is.

        :raises: NetworkSetupFailed, VirtualInterfacePlugException
        """
        vifs = [*_others(instance, vif), vif]
        self._network.check([vif])
        box = self._sandboxes.find(instance.uuid)
        if box is None:
            return
        known = self._checkpoints.read(instance.uuid)
        with undoing.Undo(instance) as undo:
            undo.callback(self._remember, instance, vifs[:-1], box, known)
            self._connect(instance, vifs, box, undo)

    def detach(self, instance: Any, vif: Any) -> None:
        """Take a port from a server; one that it has not is success.

        What went through it goes through the others from now on.
        """
        self._network.unplug(instance, self._known(instance.uuid, [vif]))
        box = self._sandboxes.find(instance.uuid)
        if box is None:
            return
        vifs = _others(instance, vif)
        with undoing.Undo(instance) as undo:
            self._connect(instance, vifs, box, undo)
        self._sandboxes.write_names(box, instance, vifs)

    def _known(self, uuid: str, vifs: Any) -> list[Any]:
        """These ports as they were when they were plugged.

        By now Neutron may have unbound them, and Nova's view does not say any
        more how they were plugged.
        """
        plugged = {vif['id']: vif for vif in self._plugged(uuid)}
        return [plugged.get(vif['id'], vif) for vif in vifs]

    def _plugged(self, uuid: str) -> list[Any]:
        known = self._checkpoints.read(uuid)
        return list(network.load(known.vifs if known else ()))

    # The end

    def unplug(self, instance: Any, network_info: Any) -> None:
        self._network.unplug(instance, network_info)

    def unplug_all(self, instance: Any, network_info: Any) -> None:
        """Unplug what was plugged, and what Nova believes to be."""
        plugged = self._plugged(instance.uuid)
        ids = {vif['id'] for vif in plugged}
        self._network.unlink(instance.uuid)
        self._network.unplug(
            instance,
            plugged
            + [vif for vif in network_info or () if vif['id'] not in ids],
        )

    def forget(self, uuid: str) -> None:
        """Forget a server whose ports are unplugged."""
        self._network.unlink(uuid)
        self._checkpoints.remove(uuid)


def _others(instance: Any, vif: Any) -> list[Any]:
    """The ports that Nova knows of a server, but for this one."""
    return [
        one for one in instance.get_network_info() if one['id'] != vif['id']
    ]
