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

"""A root file system with cloud-init and sshd, of the machine's own release.

It takes more than half a minute to make, so that it is kept below .tox, by a
name that tells all that it is made of.
"""

from collections.abc import Sequence
import io
import pathlib
import platform
import tarfile

from novadocker.tests.e2e import cloud
from novadocker.tests.fixtures import images

_KEPT = pathlib.Path(__file__).parents[3] / '.tox' / 'debian'

# The user whom cloud-init makes: debian, or ubuntu.
USER = platform.freedesktop_os_release()['ID']

# What systemd does in a virtual machine. sshd writes over its environment,
# which cloud-init wants to read of the first process.
_INIT = b"""\
#!/bin/sh
cloud-init init --local
cloud-init init
cloud-init modules --mode=config
cloud-init modules --mode=final
mkdir -p /run/sshd
/usr/sbin/sshd -D -e &
trap "kill $!" TERM
wait $!
"""

# The network, the name and the size of the root file system are there already.
# Nobody becomes root in a server, so that root logs in. One kind of keys is
# enough.
_CLOUD = b"""\
datasource_list: [ConfigDrive, OpenStack]
network: {config: disabled}
preserve_hostname: true
resize_rootfs: false
locale: C.UTF-8
disable_root: false
ssh_genkeytypes: [ed25519]
"""

_SSHD = b'PermitRootLogin yes\n'

_FILES = (
    ('usr/sbin/init', _INIT),
    ('etc/cloud/cloud.cfg.d/90-container.cfg', _CLOUD),
    ('etc/ssh/sshd_config.d/root.conf', _SSHD),
)

_WORDS = (
    'mmdebstrap',
    '--quiet',
    '--mode=root',
    '--format=tar',
    '--variant=essential',
    '--include=cloud-init,openssh-server',
    '--keyring=/usr/share/keyrings',
    '--dpkgopt=force-unsafe-io',
    *(
        f'--dpkgopt=path-exclude=/usr/share/{name}/*'
        for name in ('doc', 'i18n', 'locale', 'man')
    ),
    # Whoever shares an image must not share these.
    '--customize-hook=rm "$1"/etc/ssh/ssh_host_*',
)


def _source() -> tuple[str, str]:
    """The release of this machine, and where it has its packages from."""
    system = platform.freedesktop_os_release()
    release = system['VERSION_CODENAME']
    wanted = f'main {release} {system["ID"]}'
    sources = cloud.run(
        'apt-get',
        'indextargets',
        '--format=$(SITE) $(COMPONENT) $(CODENAME) $(ORIGIN)',
        'Created-By: Packages',
    )
    for line in sources.splitlines():
        site, _, found = line.partition(' ')
        if found.lower() == wanted:
            return release, site
    raise AssertionError(f'apt has no list of {release}: apt-get update')


class Debian:
    """The image; its archive is the tar of a root file system."""

    def archive(self) -> bytes:
        release, site = _source()
        words = (*_WORDS, release), f'deb {site} {release} main'
        name = images.digest(repr((words, _FILES)).encode())
        kept = _KEPT / f'{name}.tar'
        if not kept.exists():
            _make(kept, *words)
        return kept.read_bytes()


def _make(kept: pathlib.Path, words: Sequence[str], source: str) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    for outdated in kept.parent.iterdir():
        outdated.unlink()
    draft = kept.with_suffix('.draft')
    cloud.run(*words, str(draft), source)
    with tarfile.open(draft, 'a') as archive:
        for path, content in _FILES:
            entry = tarfile.TarInfo(path)
            entry.mode, entry.size = 0o755, len(content)
            archive.addfile(entry, io.BytesIO(content))
    draft.rename(kept)
