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

"""Files of the engine that an instance sees below /etc."""

from collections.abc import Iterator
import contextlib
import errno
import os
import pathlib
import re
import stat

from novadocker import privsep

_NAMES = ('hosts', 'resolv.conf')
_CONTAINER_ID = re.compile('[0-9a-f]{64}')


@privsep.sys_admin_pctxt.entrypoint
def write_sandbox_file(path: str, content: str) -> None:
    """Give a container's hosts or resolv.conf a new content.

    The file stays the same one, since it is mounted into the containers.

    :raises: OSError if it is neither of these two files in the directory of
        a container, or is reached through a symbolic or a hard link
    """
    file = pathlib.PurePath(path)
    directory = file.parent
    if (
        file.name not in _NAMES
        or not _CONTAINER_ID.fullmatch(directory.name)
        or directory.parent.name != 'containers'
    ):
        raise PermissionError(errno.EPERM, f'{path} is not to be written')
    with (
        opened(str(directory.parent), os.O_DIRECTORY) as containers,
        opened(directory.name, os.O_DIRECTORY, containers) as container,
        opened(file.name, os.O_WRONLY, container) as target,
    ):
        found = os.fstat(target)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise PermissionError(errno.EPERM, f'{path} is not a plain file')
        os.truncate(target, 0)
        rest = content.encode()
        while rest:
            rest = rest[os.write(target, rest) :]


@contextlib.contextmanager
def opened(
    name: str, flags: int, directory: int | None = None
) -> Iterator[int]:
    """Open what a name in a directory stands for, unless it is a link."""
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    handle = os.open(name, flags, dir_fd=directory)
    try:
        yield handle
    finally:
        os.close(handle)
