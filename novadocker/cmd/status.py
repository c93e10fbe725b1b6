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

"""nova-docker-status: whether a host is what Nova believes it to be.

The codes that it ends with are those of nova-status.
"""

import dataclasses
import json
import logging
import shlex
import sys

from nova.conductor import rpcapi as conductor_rpcapi
import nova.conf
from nova import config
import nova.db.main.api
from nova import objects
from nova.objects import base as objects_base
from nova import utils
import os_vif
from oslo_config import cfg
from oslo_privsep import priv_context
from oslo_upgradecheck import upgradecheck

from novadocker.virt.docker import auditor
from novadocker.virt.docker import checkpoint
from novadocker.virt.docker import client as engine
from novadocker.virt.docker import domains
from novadocker.virt.docker import findings
from novadocker.virt.docker import glance_formats
from novadocker.virt.docker import host_checks
from novadocker.virt.docker import mending
from novadocker.virt.docker import network
from novadocker.virt.docker import nova_records
from novadocker.virt.docker import ports
from novadocker.virt.docker import sandbox
from novadocker.virt.docker import settings
from novadocker.virt.docker import survey
from novadocker.virt.docker import switch as switch_mod

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

# Seconds for Nova's conductor to answer. It answers in some hundredths.
PATIENCE = 10

# As nova-status ends where it fails itself.
_BROKEN = 255

_NAMES = {
    upgradecheck.Code.SUCCESS: 'Note',
    upgradecheck.Code.WARNING: 'Warning',
    upgradecheck.Code.FAILURE: 'Failure',
}

OPTIONS = [
    cfg.BoolOpt(
        'repair',
        default=False,
        help='Put right what can be put right. Asks nothing, and removes no '
        'data of a server that Nova has.',
    ),
    cfg.StrOpt(
        'format',
        default='text',
        choices=[
            ('text', 'for people'),
            ('json', 'for programs: one object'),
        ],
        help='How to print what was found.',
    ),
]


@dataclasses.dataclass(frozen=True)
class Status:
    """What there is to print.

    :ivar servers: how many there are to be; None where nobody could look
    """

    host: str
    servers: int | None
    findings: list[findings.Finding]
    repairs: list[mending.Outcome]

    @property
    def code(self) -> upgradecheck.Code:
        return findings.worst(self.findings)


class Host:
    """This host, wired as nova-compute wires it, but without its threads."""

    def __init__(self) -> None:
        self._client = engine.Client(settings.engine())
        self._checkpoints = checkpoint.Checkpoints(CONF.instances_path)
        self._switch = switch_mod.Switch(CONF.os_vif_ovs)
        self._network = network.Network(None, self._switch, settings.network())
        self._records = nova_records.Records(CONF.host, PATIENCE)
        self._checks = host_checks.Checks(
            _host_settings(),
            host_checks.Probes(
                self._client, self._switch, glance_formats.container_formats
            ),
        )
        self._auditor = auditor.Auditor(
            survey.Survey(
                survey.Sources(
                    self._client,
                    self._network,
                    self._checkpoints,
                    self._switch,
                ),
                CONF.host,
            ),
            self._records,
            CONF.host,
        )

    def status(self, repair: bool) -> Status:
        """Look at everything, and at the servers again after repairs."""
        found = self._checks.run()
        if not self._checks.can_look:
            found.append(findings.note('servers', 'could not be looked at'))
            return Status(CONF.host, None, found, [])
        audit = self._auditor.audit()
        repairs = []
        if repair and audit.asked and self._checks.can_repair:
            repairs = self._mender().mend(audit.findings)
        if repairs:
            audit = self._auditor.audit()
        return Status(
            CONF.host, audit.servers, found + audit.findings, repairs
        )

    def _mender(self) -> mending.Mender:
        sandboxes = sandbox.Sandboxes(
            self._client,
            CONF.host,
            self._client.info().architecture,
            settings.server(),
            domains.Domains(self._checkpoints, CONF.api.dhcp_domain),
        )
        return mending.Mender(
            mending.Tools(
                client=self._client,
                network=self._network,
                ports=ports.Ports(self._network, sandboxes, self._checkpoints),
                switch=self._switch,
                records=self._records,
            ),
            CONF.host,
        )


def _host_settings() -> host_checks.HostSettings:
    return host_checks.HostSettings(
        host=CONF.host,
        engine_url=CONF.docker.host_url,
        compute_driver=CONF.compute_driver or '',
        state_path=CONF.state_path,
        instances_path=CONF.instances_path,
        rootwrap_config=''
        if CONF.workarounds.disable_rootwrap
        else CONF.rootwrap_config,
        plug_timeout=CONF.vif_plugging_timeout,
        plug_is_fatal=CONF.vif_plugging_is_fatal,
    )


def as_json(status: Status) -> str:
    return json.dumps(
        {
            'host': status.host,
            'code': status.code,
            'servers': status.servers,
            'findings': [
                one.as_json() for one in findings.ordered(status.findings)
            ],
            'repairs': [
                {
                    'remedy': one.repair.remedy.value,
                    'server': one.repair.server,
                    'detail': one.repair.detail,
                    'refused': one.refused,
                }
                for one in status.repairs
            ],
        },
        indent=2,
    )


def as_text(status: Status) -> str:
    """Repairs, then each finding in a line, with what to do in another."""
    lines = [
        f'Repair  {one.repair.remedy}: server {one.repair.server} '
        f'{one.repair.detail}'.rstrip()
        + (f' was not done: {one.refused}' if one.refused else '')
        for one in status.repairs
    ]
    for one in findings.ordered(status.findings):
        lines.append(f'{_NAMES[one.level]:8}{one.subject}: {one.text}')
        if one.advice:
            lines.append(f'{"":8}-> {one.advice}')
    counted = 'no' if status.servers is None else status.servers
    worst = upgradecheck.UPGRADE_CHECK_MSG_MAP[status.code]
    lines.append(f'{worst:8}{counted} servers on host {status.host}')
    return '\n'.join(lines)


def main() -> int:
    """:returns: what the command ends with"""
    try:
        return _run()
    except Exception:
        LOG.critical('Nobody knows what is off', exc_info=True)
        # Not to be confused with what was found.
        raise SystemExit(_BROKEN) from None


def _run() -> int:
    CONF.register_cli_opts(OPTIONS)
    config.parse_args(sys.argv, configure_db=False)
    _become_like_nova_compute()
    status = Host().status(CONF.repair)
    print(as_json(status) if CONF.format == 'json' else as_text(status))
    return status.code


def _become_like_nova_compute() -> None:
    # Nova's log files are for its services, and output is for findings.
    logging.basicConfig(level=logging.CRITICAL, force=True)
    priv_context.init(root_helper=_not_asking(utils.get_root_helper()))
    objects.register_all()
    os_vif.initialize()
    # A compute host has no access to the database.
    nova.db.main.api.DISABLE_DB_ACCESS = True
    objects_base.NovaObject.indirection_api = conductor_rpcapi.ConductorAPI()


def _not_asking(root_helper: str) -> list[str]:
    """Have sudo fail where it would ask for a password."""
    words = shlex.split(root_helper)
    return ['sudo', '-n', *words[1:]] if words[:1] == ['sudo'] else words
