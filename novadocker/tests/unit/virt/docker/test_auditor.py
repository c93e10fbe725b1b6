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

import dataclasses
from unittest import mock

from oslotest import base

from novadocker import exception
from novadocker.tests.fixtures import status
from novadocker.virt.docker import auditor
from novadocker.virt.docker import findings
from novadocker.virt.docker import nova_records
from novadocker.virt.docker import survey
from novadocker.virt.docker import traces


class AuditorTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.vif = status.port()
        self.server = status.a_server(self.vif)
        self.good = status.seen(status.all_of(self.vif), self.vif)
        self.bad = status.seen(status.all_of(self.vif, link=0), self.vif)
        self.survey = mock.create_autospec(survey.Survey, instance=True)
        self.records = mock.create_autospec(
            nova_records.Records, instance=True
        )
        self.records.here.side_effect = lambda: {status.UUID: self.server}
        self.records.of.return_value = {}
        self.sleep = mock.Mock()
        self.auditor = auditor.Auditor(
            self.survey, self.records, status.HOST, self.sleep
        )

    def audit(self, *seen):
        self.survey.look.side_effect = seen
        return self.auditor.audit()

    def test_nothing_is_off(self):
        self.assertEqual(auditor.Audit([], 1, True), self.audit(self.good))
        self.sleep.assert_not_called()

    def test_what_is_off_is_off_for_a_while(self):
        found = self.audit(self.bad, self.bad).findings
        self.assertEqual(1, len(found))
        self.sleep.assert_called_once_with(auditor.PAUSE)

    def test_what_heals_meanwhile_was_not_off(self):
        self.assertEqual([], self.audit(self.bad, self.good).findings)

    def test_what_has_just_begun_is_not_off_yet(self):
        worse = status.seen(status.all_of(self.vif, link=0, known=None))
        both = self.audit(self.bad, worse).findings
        self.assertEqual(1, len(both))

    def test_server_that_changes_while_one_looks(self):
        other = dataclasses.replace(self.server, vm_state='stopped')
        self.records.here.side_effect = [
            {status.UUID: self.server},
            {status.UUID: other},
        ]
        [found] = self.audit(self.bad).findings
        self.assertIs(findings.Level.SUCCESS, found.level)

    def test_nova_is_asked_about_what_is_not_here(self):
        self.records.here.side_effect = dict
        gone = status.a_server(fate=traces.Fate.DELETED)
        self.records.of.return_value = {status.UUID: gone}
        [found] = self.audit(self.good, self.good).findings
        self.assertIn('was deleted', found.text)
        self.assertEqual({status.UUID}, self.records.of.call_args.args[0])

    def test_without_nova(self):
        self.records.here.side_effect = exception.NovaUnavailable(
            reason='it sleeps'
        )
        audit = self.audit(self.bad, self.bad)
        self.assertEqual((1, False), (audit.servers, audit.asked))
        said, found = audit.findings
        self.assertIn('it sleeps', said.text)
        self.assertIn('does not find it', found.text)
        self.records.here.assert_called_once_with()

    def test_nova_falls_silent(self):
        self.records.here.side_effect = [
            {status.UUID: self.server},
            {status.UUID: self.server},
            exception.NovaUnavailable(reason='it sleeps'),
        ]
        audit = self.audit(self.bad, self.good)
        self.assertFalse(audit.asked)
        self.assertEqual(['nova'], [one.subject for one in audit.findings])
