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
"""Files, keys and passwords on their way into a server.

They go through the engine, which finds their places within the server's root
file system whatever links lead where. Nothing is run for it, so that neither
an image needs a program nor a password stands on a command line.
"""

import datetime
from typing import Any

from nova import exception as nova_exception
from oslo_log import log as logging
from passlib import hash as crypt

from novadocker import exception
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import guest
from novadocker.virt.docker import model
from novadocker.virt.docker import naming

LOG = logging.getLogger(__name__)

# Nobody can be asked to wait for more: they are as random as their user
# wants, and hashed again where they are typed.
_ROUNDS = 5000

_EPOCH = datetime.date(1970, 1, 1)


class Guests:
    """The inside of the servers of this host."""

    def __init__(self, client: engine.Client, inject_password: bool) -> None:
        """:param inject_password: whether new servers get one"""
        self._client = client
        self._inject_password = inject_password

    def prepare(
        self, instance: Any, container: str, order: guest.Order
    ) -> None:
        """Give a container that has never run what its request has ordered.

        :raises: NoSuchUser, FileRefused
        """
        files = [_file(path, content) for path, content in order.files]
        password = order.admin_password if self._inject_password else None
        if instance.key_data or password:
            user = self._user(instance, order.image_meta, container)
            if user is not None and instance.key_data:
                files += self._key(container, user, instance.key_data)
            if user is not None and password:
                files += self._password(container, user.name, password)
        if files:
            self._client.write_files(container, guest.archive(files))

    def _user(
        self, instance: Any, image_meta: Any, container: str
    ) -> guest.User | None:
        """The user whom a key and a password are for.

        :raises: NoSuchUser if the image has not the one that it names
        """
        wanted = image_meta.properties.get('os_admin_user')
        passwd = self._client.read_file(container, guest.USERS)
        name = wanted or 'root'
        found = passwd and guest.find_user(passwd.content or b'', name)
        if found is None and wanted:
            raise exception.NoSuchUser(user=wanted)
        if not found:
            # An image of one program has nobody to log in.
            LOG.debug('The image has no user %s', name, instance=instance)
            return None
        return found

    def _key(
        self, container: str, user: guest.User, key: str
    ) -> list[model.ContainerFile]:
        if self._client.read_file(container, guest.CLOUD_INIT) is not None:
            return []
        present = self._client.read_file(container, guest.keys_path(user))
        return guest.with_key(user, present, key)

    def _password(
        self, container: str, user: str, password: str
    ) -> list[model.ContainerFile]:
        shadow = self._client.read_file(container, guest.SHADOW)
        if shadow is None:
            return []
        hashed = crypt.sha512_crypt.using(rounds=_ROUNDS).hash(password)
        today = (datetime.datetime.now(datetime.UTC).date() - _EPOCH).days
        return [guest.with_password(shadow, user, hashed, today)]

    def set_password(self, instance: Any, password: str) -> None:
        """Give the administrator of a server another password.

        :raises: SetAdminPasswdNotSupported if the image knows none
        """
        name = naming.instance_name(instance.uuid)
        try:
            user = self._user(instance, instance.image_meta, name)
        except exception.NoSuchUser:
            user = None
        files = self._password(name, user.name, password) if user else []
        if not files:
            raise nova_exception.SetAdminPasswdNotSupported
        self._client.write_files(name, guest.archive(files))


def _file(path: str, content: bytes) -> model.ContainerFile:
    if not guest.inside(path) or path.endswith('/'):
        raise exception.FileRefused(path=path)
    return model.ContainerFile(path, content, 0o644, 0, 0)
