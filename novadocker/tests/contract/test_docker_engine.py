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

"""The contract, kept by a real engine; DOCKER_HOST says which."""

import os

from novadocker.tests.contract import base
from novadocker.tests.contract import containers
from novadocker.tests.contract import events
from novadocker.tests.contract import images
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import model


class RealEngine(base.ContractTestCase):
    def connect(self):
        return engine.Client(
            model.EngineSettings(url=os.environ['DOCKER_HOST'], timeout=60)
        )


class ContainersTestCase(RealEngine, containers.ContainersContract):
    pass


class FilesTestCase(RealEngine, containers.FilesContract):
    pass


class TerminalsTestCase(RealEngine, containers.TerminalsContract):
    pass


class SandboxTestCase(RealEngine, containers.SandboxContract):
    pass


class ImagesTestCase(RealEngine, images.ImagesContract):
    pass


class EventsTestCase(RealEngine, events.EventsContract):
    pass


class EngineTestCase(RealEngine, events.EngineContract):
    pass
