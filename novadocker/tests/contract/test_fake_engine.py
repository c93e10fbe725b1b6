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

"""The contract, kept by the fake engine."""

from typing import Any

from novadocker.tests.contract import base
from novadocker.tests.contract import containers
from novadocker.tests.contract import events
from novadocker.tests.contract import images
from novadocker.tests.fixtures import fake_engine


class FakeEngine(base.ContractTestCase):
    def connect(self) -> Any:
        return fake_engine.FakeEngine()


class ContainersTestCase(FakeEngine, containers.ContainersContract):
    pass


class FilesTestCase(FakeEngine, containers.FilesContract):
    pass


class TerminalsTestCase(FakeEngine, containers.TerminalsContract):
    pass


class SandboxTestCase(FakeEngine, containers.SandboxContract):
    pass


class ImagesTestCase(FakeEngine, images.ImagesContract):
    pass


class EventsTestCase(FakeEngine, events.EventsContract):
    pass


class EngineTestCase(FakeEngine, events.EngineContract):
    pass
