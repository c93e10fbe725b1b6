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

import json
from unittest import mock

import fixtures
import nova.conf
from nova.db.main import api as db_api
from nova.objects import base as objects_base
import os_vif
from oslotest import base

from novadocker.cmd import status
from novadocker.virt.docker import auditor
from novadocker.virt.docker import findings
from novadocker.virt.docker import mending

CONF = nova.conf.CONF

OFF = findings.failure(
    'server x',
    'port y: there is no eth0',
    'Run it.',
    findings.Repair(findings.Remedy.PLUG, 'x'),
)
NOTE = findings.note('engine', 'is old')


class StatusTestCase(base.BaseTestCase):
    """A host, with doubles of those who look and mend."""

    def setUp(self):
        super().setUp()
        CONF([], project='nova', default_config_files=[])
        self.addCleanup(CONF.reset)
        os_vif.initialize()
        CONF.set_override('host', 'compute-1')
        self.addCleanup(CONF.clear_override, 'host')
        ours = 'novadocker.virt.docker'
        self.stand_in(ours, 'client.Client')
        self.stand_in(ours, 'switch.Switch')
        self.checks = self.stand_in(ours, 'host_checks.Checks').return_value
        self.checks.run.return_value = [NOTE]
        self.checks.can_look = self.checks.can_repair = True
        self.audit = self.stand_in(ours, 'auditor.Auditor').return_value.audit
        self.audit.side_effect = [self.audited(OFF), self.audited()]
        self.mend = self.stand_in(ours, 'mending.Mender').return_value.mend
        self.mend.return_value = [mending.Outcome(OFF.repair)]

    def stand_in(self, owner, name, new=None):
        double = mock.Mock() if new is None else new
        self.useFixture(fixtures.MonkeyPatch(f'{owner}.{name}', double))
        return double

    def audited(self, *found, asked=True):
        return auditor.Audit(list(found), 3, asked)

    def status(self, repair=False):
        return status.Host().status(repair)


class HostTestCase(StatusTestCase):
    def test_look(self):
        found = self.status()
        self.assertEqual([NOTE, OFF], found.findings)
        self.assertEqual((2, 3), (found.code, found.servers))
        self.mend.assert_not_called()

    def test_repair(self):
        """What is left counts, and not what was."""
        found = self.status(repair=True)
        self.mend.assert_called_once_with([OFF])
        self.assertEqual([NOTE], found.findings)
        self.assertEqual(self.mend.return_value, found.repairs)
        self.assertEqual(0, found.code)

    def test_nothing_to_repair(self):
        self.mend.return_value = []
        self.status(repair=True)
        self.assertEqual(1, self.audit.call_count)

    def test_nothing_is_repaired_without_nova_or_by_another_user(self):
        self.audit.side_effect = [self.audited(OFF, asked=False)]
        self.assertEqual([], self.status(repair=True).repairs)
        self.audit.side_effect = [self.audited(OFF)]
        self.checks.can_repair = False
        self.assertEqual([], self.status(repair=True).repairs)
        self.mend.assert_not_called()

    def test_host_that_is_not_fit(self):
        self.checks.can_look = False
        found = self.status(repair=True)
        self.assertIsNone(found.servers)
        self.assertIn('could not be looked at', found.findings[-1].text)
        self.audit.assert_not_called()


class OutputTestCase(base.BaseTestCase):
    def test_text(self):
        refused = mending.Outcome(OFF.repair, 'it is in work (rebooting)')
        found = status.Status('compute-1', 3, [NOTE, OFF], [refused])
        self.assertEqual(
            [
                'Repair  plug: server x was not done: it is in work '
                '(rebooting)',
                'Failure server x: port y: there is no eth0',
                '        -> Run it.',
                'Note    engine: is old',
                'Failure 3 servers on host compute-1',
            ],
            status.as_text(found).splitlines(),
        )

    def test_text_of_a_good_host(self):
        found = status.Status('compute-1', 3, [], [])
        self.assertEqual(
            'Success 3 servers on host compute-1', status.as_text(found)
        )

    def test_json(self):
        detach = findings.Repair(findings.Remedy.DETACH, 'x', 'a-port')
        found = status.Status(
            'compute-1', None, [NOTE, OFF], [mending.Outcome(detach)]
        )
        self.assertEqual(
            {
                'host': 'compute-1',
                'code': 2,
                'servers': None,
                'findings': [OFF.as_json(), NOTE.as_json()],
                'repairs': [
                    {
                        'remedy': 'detach',
                        'server': 'x',
                        'detail': 'a-port',
                        'refused': '',
                    }
                ],
            },
            json.loads(status.as_json(found)),
        )


class MainTestCase(StatusTestCase):
    def setUp(self):
        super().setUp()
        CONF.reset()
        for option in status.OPTIONS:
            self.addCleanup(CONF.unregister_opt, option)
        self.addCleanup(CONF.reset)
        self.print = mock.Mock()
        self.useFixture(
            fixtures.MockPatchObject(status, 'print', self.print, create=True)
        )
        self.root_helper = self.stand_in('oslo_privsep.priv_context', 'init')
        self.stand_in('nova.objects.base', 'NovaObject.indirection_api')
        self.stand_in('nova.db.main.api', 'DISABLE_DB_ACCESS', False)
        self.conductor = self.stand_in('nova.conductor.rpcapi', 'ConductorAPI')
        self.stand_in('os_vif', 'initialize')
        self.stand_in('nova.objects', 'register_all')
        self.stand_in('nova.rpc', 'init')

    def main(self, *arguments):
        self.stand_in('sys', 'argv', ['nova-docker-status', *arguments])
        code = status.main()
        return code, self.print.call_args.args[0]

    def test_text(self):
        code, output = self.main()
        self.assertEqual(2, code)
        self.assertIn('Failure server x', output)

    def test_json(self):
        code, output = self.main('--format', 'json', '--repair')
        self.assertEqual(0, code)
        self.assertEqual(1, len(json.loads(output)['repairs']))

    def test_failure_of_its_own(self):
        self.checks.run.side_effect = RuntimeError('why')
        error = self.assertRaises(SystemExit, self.main)
        self.assertEqual(255, error.code)

    def test_nova_is_asked_as_nova_compute_asks(self):
        self.main()
        self.assertIs(
            self.conductor.return_value,
            objects_base.NovaObject.indirection_api,
        )
        self.assertTrue(db_api.DISABLE_DB_ACCESS)

    def test_sudo_does_not_ask_for_a_password(self):
        self.main()
        self.assertEqual(
            ['sudo', '-n', 'nova-rootwrap'],
            self.root_helper.call_args.kwargs['root_helper'][:3],
        )
