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

"""What Nova's API shall accept as extra specs of flavors.

For an API that has this package beside it, by the entry point
nova.api.extra_spec_validators. Values are checked on the host again.
"""

from nova.api.validation.extra_specs import base

from novadocker.virt.docker import spec


def register() -> list[base.ExtraSpecValidator]:
    return [
        base.ExtraSpecValidator(
            name=spec.LIFECYCLE,
            description=(
                'What a server is for whose process ends: ``service`` is '
                'started again after a restart of the engine or the host, as '
                'the cloud is set up, and ``job`` never.'
            ),
            value={
                'type': str,
                'description': 'A service by default.',
                'enum': [spec.SERVICE, spec.JOB],
            },
        ),
        base.ExtraSpecValidator(
            name=spec.CRASH_SIGNAL,
            description=(
                'The signal that a crash dump sends to the first process. '
                'Without it the request is refused.'
            ),
            value={'type': str, 'enum': list(spec.CRASH_SIGNALS)},
        ),
        base.ExtraSpecValidator(
            name=spec.NEW_PRIVILEGES,
            description=(
                'Whether ``sudo`` and ``su`` work in a server: processes may '
                'gain the capabilities that servers have.'
            ),
            value={'type': bool},
        ),
    ]
