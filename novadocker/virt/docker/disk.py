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

"""The disk that an engine keeps its containers on."""

import os
import pathlib
import re
import stat

from novadocker.virt.docker import model

_SYS = pathlib.Path('/sys/dev/block')
_DEV = pathlib.Path('/dev')

# How an engine says that a kernel cannot limit a disk's use, with the first
# and the second version of cgroups. It would ignore what it is asked for.
_INCAPABLE = re.compile(r'No (blkio throttle\.|io\.max)')


def limitable(info: model.EngineInfo) -> str:
    """The device whose use by a container can be limited.

    Empty where there is none: some file systems are on several, and some
    engines and kernels cannot do it.
    """
    if any(map(_INCAPABLE.search, info.warnings)):
        return ''
    try:
        return _below(info.root_dir)
    except OSError:
        # Whoever needs to see it tells that it cannot be seen.
        return ''


def _below(path: str) -> str:
    number = os.stat(path).st_dev
    entry = _SYS / f'{os.major(number)}:{os.minor(number)}'
    entry = entry.resolve(strict=True)
    if (entry / 'partition').exists():
        # The kernel limits whole disks.
        entry = entry.parent
    device = _DEV / entry.name.replace('!', '/')
    return str(device) if stat.S_ISBLK(device.stat().st_mode) else ''
