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
"""What a server's request puts into its root file system: pure functions."""

import dataclasses
import io
import posixpath
import tarfile
from typing import Any

from novadocker.virt.docker import model

USERS = '/etc/passwd'
SHADOW = '/etc/shadow'
# An image that has this takes keys from the metadata service by itself.
CLOUD_INIT = '/etc/cloud/cloud.cfg'


@dataclasses.dataclass(frozen=True)
class Order:
    """What a root file system is to be made of.

    :ivar files: path and content of each file that the user sends along
    """

    image_meta: Any
    files: tuple[tuple[str, bytes], ...] = ()
    admin_password: str | None = dataclasses.field(default=None, repr=False)
    power_on: bool = True


@dataclasses.dataclass(frozen=True)
class User:
    """A line of /etc/passwd."""

    name: str
    uid: int
    gid: int
    home: str


def find_user(passwd: bytes, name: str) -> User | None:
    for line in passwd.decode(errors='surrogateescape').splitlines():
        match line.split(':'):
            case [found, _, uid, gid, _, home, *_] if found == name:
                if uid.isdecimal() and gid.isdecimal():
                    return User(name, int(uid), int(gid), home or '/')
    return None


def with_password(
    shadow: model.ContainerFile, user: str, hashed: str, today: int
) -> model.ContainerFile:
    """A file /etc/shadow in which a user has another password.

    :param today: days since the epoch
    """
    old = shadow.content or b''
    lines = old.decode(errors='surrogateescape').splitlines()
    changed = [_changed(line, user, hashed, today) for line in lines]
    if changed == lines:
        changed.append(f'{user}:{hashed}:{today}:0:99999:7:::')
    content = '\n'.join(changed) + '\n'
    return dataclasses.replace(
        shadow, content=content.encode(errors='surrogateescape')
    )


def _changed(line: str, user: str, hashed: str, today: int) -> str:
    fields = line.split(':')
    if fields[0] != user or len(fields) < 3:
        return line
    return ':'.join([user, hashed, str(today), *fields[3:]])


def with_key(
    user: User, present: model.ContainerFile | None, key: str
) -> list[model.ContainerFile]:
    """What lets the owner of a key in: the directory, and the file in it.

    :param present: the user's file of keys, if there is one
    """
    directory = posixpath.join(user.home, '.ssh')
    keys = (present and present.content) or b''
    if keys and not keys.endswith(b'\n'):
        keys += b'\n'
    line = key.strip().encode() + b'\n'
    if line not in keys:
        keys += line
    return [
        model.ContainerFile(directory, None, 0o700, user.uid, user.gid),
        model.ContainerFile(keys_path(user), keys, 0o600, user.uid, user.gid),
    ]


def keys_path(user: User) -> str:
    return posixpath.join(user.home, '.ssh', 'authorized_keys')


def archive(files: list[model.ContainerFile]) -> bytes:
    """A tar that puts files and directories in their places below /."""
    output = io.BytesIO()
    with tarfile.open(
        fileobj=output, mode='w', format=tarfile.PAX_FORMAT
    ) as tar:
        for file in files:
            entry = tarfile.TarInfo(inside(file.path))
            entry.mode, entry.uid, entry.gid = file.mode, file.uid, file.gid
            if file.content is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                entry.size = len(file.content)
                tar.addfile(entry, io.BytesIO(file.content))
    return output.getvalue()


def inside(path: str) -> str:
    """A path as the name of a member of an archive; leads nowhere else."""
    return posixpath.normpath(f'/{path}').lstrip('/')
