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

import pathlib
import subprocess
import sys

import fixtures
from oslo_privsep import priv_context
from oslo_rootwrap import wrapper
import testtools

from novadocker import privsep
from novadocker.tests.packaging import base

_FILTERS = base.ROOT / 'etc' / 'nova' / 'rootwrap.d' / 'docker.filters'
_ROOTWRAP = pathlib.Path(sys.executable).with_name('nova-rootwrap')
_UNAUTHORIZED = 99

_CONFIGURATION = """
[DEFAULT]
filters_path = {filters}
exec_dirs = {programs}
use_syslog = False
"""


class RootwrapTestCase(testtools.TestCase):
    """The real nova-rootwrap with our filters and nobody else's.

    The programs that it would run as root are replaced by one that tells
    how it was called.
    """

    def setUp(self) -> None:
        super().setUp()
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        programs = directory / 'bin'
        programs.mkdir()
        for name in ('ln', 'privsep-helper', 'cat', 'sh'):
            program = programs / name
            program.write_text('#!/bin/sh\nprintf "%s " "${0##*/}" "$@"\n')
            program.chmod(0o755)
        self.configuration = directory / 'rootwrap.conf'
        self.configuration.write_text(
            _CONFIGURATION.format(filters=_FILTERS.parent, programs=programs)
        )

    def _rootwrap(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_ROOTWRAP, self.configuration, *command],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False,
        )

    def _assert_runs(self, *command: str) -> None:
        result = self._rootwrap(*command)
        self.assertEqual(0, result.returncode, result.stderr)
        self.assertEqual(list(command), result.stdout.split())

    def _assert_refused(self, *command: str) -> None:
        result = self._rootwrap(*command)
        self.assertEqual(_UNAUTHORIZED, result.returncode, command)
        self.assertEqual('', result.stdout)

    def test_link_of_a_namespace(self) -> None:
        for name in (
            'nova-6ea1b0c0-3a46-4b5c-a1b5-0a0d62a5a1b1', 'a', 'a.b_c-D9',
        ):
            self._assert_runs(
                'ln', '-sf', '/proc/4711/ns/net', f'/var/run/netns/{name}'
            )

    def test_any_other_link(self) -> None:
        source = '/proc/4711/ns/net'
        target = '/var/run/netns/name'
        for command in (
            ('ln',),
            ('ln', source, target),
            ('ln', '-s', source, target),
            ('ln', '-f', source, target),
            ('ln', '-fs', source, target),
            ('ln', '-sfn', source, target),
            ('ln', '-sf', source),
            ('ln', '-sf', source, target, '/etc'),
            ('ln', '-sf', '-T', source, target),
            ('ln', '-sf', '--', source, target),
            ('ln', '-sf', '--target-directory=/etc', target),
            ('/bin/ln', '-sf', source, target),
            ('ln', '-sf', '/proc/self/ns/net', target),
            ('ln', '-sf', '/proc/0/ns/net', target),
            ('ln', '-sf', '/proc/4711/ns/mnt', target),
            ('ln', '-sf', '/proc/4711/ns/net/', target),
            ('ln', '-sf', '/proc/4711/ns/net\n', target),
            ('ln', '-sf', '/proc/4711/../1/ns/net', target),
            ('ln', '-sf', '/proc/4711/root/ns/net', target),
            ('ln', '-sf', '/proc/\u0664/ns/net', target),
            ('ln', '-sf', '/proc//ns/net', target),
            ('ln', '-sf', 'proc/4711/ns/net', target),
            ('ln', '-sf', '/etc/shadow', target),
            ('ln', '-sf', source, '/var/run/netns'),
            ('ln', '-sf', source, '/var/run/netns/'),
            ('ln', '-sf', source, '/var/run/netns/.'),
            ('ln', '-sf', source, '/var/run/netns/..'),
            ('ln', '-sf', source, '/var/run/netns/.name'),
            ('ln', '-sf', source, '/var/run/netns/../name'),
            ('ln', '-sf', source, '/var/run/netns/name/..'),
            ('ln', '-sf', source, '/var/run/netns/a/b'),
            ('ln', '-sf', source, '/var/run/netns/a b'),
            ('ln', '-sf', source, '/var/run/netns/name\n'),
            ('ln', '-sf', source, '/var/run/netns/\u00e9'),
            ('ln', '-sf', source, '/run/netns/name'),
            ('ln', '-sf', source, '/etc/cron.d/name'),
        ):
            self._assert_refused(*command)

    def test_no_other_program(self) -> None:
        self._assert_refused('cat', '/etc/shadow')
        self._assert_refused('sh', '-c', 'true')

    def _helper_command(self, context: priv_context.PrivContext) -> list[str]:
        self.useFixture(fixtures.MonkeyPatch(
            'oslo_privsep.priv_context._HELPER_COMMAND_PREFIX', []
        ))
        command = context.helper_command('/tmp/tmp0a1b2c/privsep.sock')
        return [
            command[0], '--config-file', '/etc/nova/nova.conf', *command[1:]
        ]

    def test_privsep_helper(self) -> None:
        self._assert_runs(*self._helper_command(privsep.sys_admin_pctxt))

    def test_privsep_filter_is_for_our_context_alone(self) -> None:
        # oslo.rootwrap itself adds a filter that lets any privsep-helper
        # pass. What our line says is therefore looked at alone: it is what
        # tools read that list or audit the filters of a host.
        [ours] = [
            found for found in wrapper.load_filters([str(_FILTERS.parent)])
            if found.name == 'privsep-rootwrap-novadocker'
        ]
        command = self._helper_command(privsep.sys_admin_pctxt)
        self.assertTrue(ours.match(command))

        position = command.index(privsep.sys_admin_pctxt.pypath)
        for other in (
            'nova.privsep.sys_admin_pctxt',
            'novadocker.privsep.other',
            'novadockerxprivsep.sys_admin_pctxt',
        ):
            changed = [*command]
            changed[position] = other
            self.assertFalse(ours.match(changed))
        self.assertFalse(ours.match([*command, '--config-file', '/etc/a']))
        changed = [*command]
        changed[command.index('/etc/nova/nova.conf')] = '/tmp/nova.conf'
        self.assertFalse(ours.match(changed))
