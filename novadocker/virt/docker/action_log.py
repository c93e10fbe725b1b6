#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.
"""What a user reads in the list of a server's actions.

Nova shows a fault with a server in ERROR alone. What has happened to a server
that is none the worse for it stands among its actions, where
``openstack server event list --long`` shows it.
"""

from nova import context as nova_context
from nova import objects
from oslo_utils import timeutils

# Nova keeps no more of a message.
_LENGTH = 255

PROCESS_ENDED = 'process_ended'
COLD_START = 'cold_start'


def tell(uuid: str, action: str, message: str) -> None:
    """Add to a server's actions something that nobody has asked for.

    :param action: one of the words above
    """
    context = nova_context.get_admin_context()
    now = timeutils.utcnow()
    objects.InstanceAction(
        context,
        action=action,
        instance_uuid=uuid,
        request_id=context.request_id,
        start_time=now,
        updated_at=now,
        finish_time=now,
        message=message[:_LENGTH],
    ).create()
