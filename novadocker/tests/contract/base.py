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

"""What the fake engine and the real one have in common.

Each mixin has tests of client.Client's verbs, which run against both. A test
class that uses one provides :meth:`connect`.
"""

import dataclasses
from typing import Any

from oslo_utils import uuidutils
from oslotest import base

from novadocker.tests.fixtures import images
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model

ROLE = 'org.example.role'
RUN = 'org.example.run'

LOG = model.LogLimits(size=65536, files=2)


class ContractTestCase(base.BaseTestCase):
    """Gives each test an engine and containers of its own."""

    client: engine.Client

    def setUp(self) -> None:
        super().setUp()
        self.client = self.connect()
        self.run_id = uuidutils.generate_uuid()
        self.labels = {RUN: self.run_id}
        self.addCleanup(self.remove_containers)

    def connect(self) -> engine.Client:
        raise NotImplementedError

    def remove_containers(self) -> None:
        for row in self.client.list_containers(self.labels):
            self.client.remove(row.id)

    def name(self, suffix: str = 'a') -> str:
        return f'contract-{self.run_id}-{suffix}'

    def image(self, image: images.Image = images.SHELL) -> images.Image:
        """Load an image that no other test has."""
        own = dataclasses.replace(image, labels=self.labels)
        self.client.load([own.archive()])
        self.addCleanup(self._remove_image, own)
        return own

    def tag(self, image: images.Image, reference: str) -> None:
        named = dataclasses.replace(image, tags=(reference,))
        self.assertEqual((reference,), self.client.load([named.archive()]))

    def _remove_image(self, image: images.Image) -> None:
        self.remove_containers()
        self.client.remove_image(image.id)

    def spec(
        self, image: str, suffix: str = 'a', **changes: Any
    ) -> model.ContainerSpec:
        return dataclasses.replace(
            model.ContainerSpec(
                name=self.name(suffix),
                image=image,
                labels=self.labels,
                network='none',
                limits=model.Limits(memory=32 << 20, cpus=0.5, pids=64),
                log=LOG,
                tty=True,
            ),
            **changes,
        )

    def created(
        self,
        image: images.Image = images.SHELL,
        suffix: str = 'a',
        **changes: Any,
    ) -> str:
        """Create a container of an image of its own."""
        own = self.image(image)
        return self.client.create(self.spec(own.id, suffix, **changes))

    def running(
        self,
        image: images.Image = images.SHELL,
        suffix: str = 'a',
        **changes: Any,
    ) -> str:
        container = self.created(image, suffix, **changes)
        self.client.start(container)
        return container

    def ended(self, image: images.Image = images.ENDS, **changes: Any) -> str:
        """Run a container to its end."""
        with self.client.events(self.labels) as stream:
            container = self.running(image, **changes)
            for event in stream:
                if event.action is model.EventAction.DIE:
                    break
        return container

    def state(self, container: str) -> model.ContainerState:
        return self.client.inspect(container).state
