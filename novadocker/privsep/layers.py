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

"""What a layer of the engine has that an archive of it has not.

The engine's archives know of one extended attribute, and of no holes.
"""

from collections.abc import Iterator
import contextlib
import errno
import os
import re
import stat

from oslo_concurrency import processutils

from novadocker import privsep
from novadocker.privsep import files

# A file or directory by its path in the layer, its attributes, and whether
# there are holes in it.
Extra = tuple[str, dict[str, bytes], bool]

# What a server can set, and the engine leaves behind.
_ATTRIBUTE = re.compile('user[.].+|system[.]posix_acl_(access|default)', re.S)
# Its own of a layer: a name of 64 digits, and the layer is below it.
_LAYER = re.compile('/.*/overlay2/[0-9a-f]{64}/diff')
# Bytes of all paths and attributes, and what each costs besides.
_MAX_SIZE = 2 << 20
_EACH = 32

# Bytes of a block, in which the kernel counts what a file takes.
_BLOCK = 512
# Bytes of holes for which it is worth while to look for them.
_HOLES = 1 << 16


@privsep.sys_admin_pctxt.entrypoint
def read_extras(layer: str) -> list[Extra]:
    """Find what is lost, in a layer that nobody writes to.

    Where there is very much, some files with holes are not named.

    :raises: OSError for a directory that is no layer, and for more
        attributes than can be handled
    """
    _check(layer)
    found = []
    size = 0
    directories = ['']
    while directories:
        directory = directories.pop()
        with os.scandir(os.path.join(layer, directory)) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                path = os.path.join(directory, entry.name)
                if stat.S_ISDIR(status.st_mode):
                    directories.append(path)
                elif not stat.S_ISREG(status.st_mode):
                    continue
                attributes = _attributes(entry.path)
                if attributes and size > _MAX_SIZE:
                    raise OSError(
                        errno.E2BIG, 'too many extended attributes', layer
                    )
                sparse = size <= _MAX_SIZE and _is_sparse(status)
                if attributes or sparse:
                    found.append((path, attributes, sparse))
                    size += _EACH + len(path)
                    for name, value in attributes.items():
                        size += _EACH + len(name) + len(value)
    return found


def _check(layer: str) -> None:
    if not _LAYER.fullmatch(layer) or '/../' in layer:
        raise PermissionError(errno.EPERM, f'{layer} is no layer')


def _attributes(path: str) -> dict[str, bytes]:
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
        if _ATTRIBUTE.fullmatch(name)
    }


def _is_sparse(status: os.stat_result) -> bool:
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_size - status.st_blocks * _BLOCK >= _HOLES
    )


@privsep.sys_admin_pctxt.entrypoint
def add_extras(layer: str, extras: list[Extra]) -> None:
    """Give a layer what another has, of which it was made.

    :raises: OSError for what is no layer, or is not a file or directory in
        it, reached by no link
    """
    _check(layer)
    with files.opened(layer, os.O_DIRECTORY) as root:
        for path, attributes, sparse in extras:
            with _opened(path, root) as target:
                for name, value in attributes.items():
                    if not _ATTRIBUTE.fullmatch(name):
                        raise PermissionError(errno.EPERM, name)
                    os.setxattr(target, name, value)
            if sparse:
                with _opened(path, root, os.O_RDWR) as target:
                    _dig_holes(target)


@contextlib.contextmanager
def _opened(
    path: str, root: int, flags: int = os.O_RDONLY
) -> Iterator[int]:
    """Open a file or directory of a layer."""
    *parents, name = parts = path.split('/')
    if '..' in parts:
        raise PermissionError(errno.EPERM, f'{path} is not in the layer')
    with contextlib.ExitStack() as stack:
        directory = root
        for parent in parents:
            directory = stack.enter_context(
                files.opened(parent, os.O_DIRECTORY, directory)
            )
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise PermissionError(errno.EPERM, f'{path} is not a plain file')
        yield stack.enter_context(files.opened(name, flags, directory))


def _dig_holes(file: int) -> None:
    """Have zeros take no room, and the file be otherwise as it was."""
    status = os.fstat(file)
    if status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        # The kernel takes these from who writes.
        return
    path = f'/proc/{os.getpid()}/fd/{file}'
    processutils.execute('fallocate', '--dig-holes', path)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
