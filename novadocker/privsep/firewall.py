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

"""What the host's packet filter does with packets that pass through."""

from oslo_concurrency import processutils

from novadocker import privsep

_PROGRAMS = {4: 'iptables', 6: 'ip6tables'}


@privsep.sys_admin_pctxt.entrypoint
def forward_policy(family: int) -> str:
    """The policy of the chain FORWARD, such as ``DROP``.

    :param family: 4 or 6
    :returns: an empty string where the program that knows is not there
    :raises: OSError if it cannot tell
    """
    program = _PROGRAMS[family]
    try:
        output, _ = processutils.execute(program, '-w', '5', '-S', 'FORWARD')
    except FileNotFoundError:
        return ''
    except processutils.ProcessExecutionError as exc:
        raise OSError(exc.exit_code, f'{program}: {exc.stderr}') from exc
    words = output.split()
    return words[2] if words[:2] == ['-P', 'FORWARD'] else ''
