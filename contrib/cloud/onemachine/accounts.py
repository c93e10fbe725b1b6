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

"""Users, groups and the right of nova-compute to call rootwrap."""

import grp
import json
import pathlib
import pwd

from onemachine import settings as settings_mod
from onemachine import steps


def create(settings: settings_mod.Settings) -> None:
    """Make the users and groups that are absent, and remember which."""
    log = settings.log / 'bootstrap.log'
    if not _group_exists(settings.engine_group):
        steps.run(['groupadd', '--system', settings.engine_group], log)
        _remember(settings, 'groups', settings.engine_group)
    for user in (settings.nova_user, settings.control_user):
        if not _user_exists(user):
            steps.run(
                [
                    'useradd',
                    '--system',
                    '--user-group',
                    '--no-create-home',
                    '--home-dir',
                    settings.state,
                    '--shell',
                    '/usr/sbin/nologin',
                    user,
                ],
                log,
            )
            _remember(settings, 'users', user)
    _join(settings, settings.nova_user, settings.engine_group)
    # The control plane reads nova.conf.
    _join(settings, settings.control_user, primary_group(settings.nova_user))
    _allow_rootwrap(settings)


def sudoers(settings: settings_mod.Settings) -> pathlib.Path:
    """What lets nova-compute become root: of this cloud and no other."""
    # Below sudoers.d a name with a dot is not read.
    name = settings.etc.name.replace('.', '_')
    return pathlib.Path('/etc/sudoers.d') / name


def primary_group(user: str) -> str:
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def remove(settings: settings_mod.Settings) -> None:
    """Take away what create made."""
    log = settings.log / 'bootstrap.log'
    sudoers(settings).unlink(missing_ok=True)
    made = _made(settings)
    for user, group in made.get('memberships', []):
        if user not in made.get('users', []) and _user_exists(user):
            steps.run(['gpasswd', '--delete', user, group], log)
    # A user's own group goes with the user once nobody else is in it.
    for user in reversed(made.get('users', [])):
        if _user_exists(user):
            steps.run(['userdel', user], log)
    for group in made.get('groups', []):
        if _group_exists(group):
            steps.run(['groupdel', group], log)


def _join(settings: settings_mod.Settings, user: str, group: str) -> None:
    if user in grp.getgrnam(group).gr_mem:
        return
    steps.run(
        ['usermod', '--append', '--groups', group, user],
        settings.log / 'bootstrap.log',
    )
    _remember(settings, 'memberships', [user, group])


def _allow_rootwrap(settings: settings_mod.Settings) -> None:
    # The environment of Nova is not in sudo's usual path.
    user = settings.nova_user
    text = (
        f'Defaults:{user} !requiretty\n'
        f'Defaults:{user} secure_path={settings.bin}:/usr/sbin:/usr/bin:'
        '/sbin:/bin\n'
        f'{user} ALL=(root) NOPASSWD: {settings.bin}/nova-rootwrap '
        f'{settings.etc}/nova/rootwrap.conf *\n'
    )
    path = sudoers(settings)
    if path.exists() and path.read_text() == text:
        return
    draft = settings.run / 'sudoers'
    draft.write_text(text)
    draft.chmod(0o440)
    steps.run(
        ['visudo', '--check', '--file', draft],
        settings.log / 'bootstrap.log',
    )
    # A name with a dot again: never half a file.
    hidden = path.with_name(f'.{path.name}.new')
    hidden.write_text(text)
    hidden.chmod(0o440)
    hidden.rename(path)
    draft.unlink()


def _record(settings: settings_mod.Settings) -> pathlib.Path:
    return settings.state / 'accounts.json'


def _made(settings: settings_mod.Settings) -> dict[str, list]:
    path = _record(settings)
    return json.loads(path.read_text()) if path.exists() else {}


def _remember(settings: settings_mod.Settings, kind: str, name) -> None:
    made = _made(settings)
    made.setdefault(kind, [])
    if name not in made[kind]:
        made[kind].append(name)
    _record(settings).write_text(json.dumps(made, indent=2))


def _user_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True
