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

"""The container formats that Glance takes.

Glance tells them to everybody who has a token. Nova has credentials of its
own for other services than Glance, and for Placement in any case.
"""

from keystoneauth1 import exceptions as ksa_exceptions
from nova import utils

from novadocker import exception

# Seconds to wait for each answer; Nova's own settings have no limit.
_PATIENCE = 10


def container_formats() -> list[str]:
    """:raises: GlanceUnavailable"""
    try:
        placement = utils.get_ksa_adapter('placement')
        if placement.auth is None:
            raise exception.GlanceUnavailable(
                reason='[placement] in nova.conf has no credentials'
            )
        glance = utils.get_ksa_adapter(
            'image', ksa_auth=placement.auth, ksa_session=placement.session
        )
        placement.session.timeout = _PATIENCE
        # An endpoint of Glance may end with a version.
        endpoint = str(glance.get_endpoint()).rstrip('/').removesuffix('/v2')
        answer = glance.session.get(
            f'{endpoint}/v2/schemas/image', auth=placement.auth
        )
        schema = answer.json()['properties']['container_format']
        return [one for one in schema['enum'] if one is not None]
    except (
        ksa_exceptions.ClientException,
        ValueError,
        KeyError,
    ) as exc:
        raise exception.GlanceUnavailable(reason=exc) from exc
