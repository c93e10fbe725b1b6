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
"""Run the real ``nova-compute`` up to the point where it would serve.

Started by test_loading in an environment of its own, as a file, so that the
source tree is not on the path. Prints one line of JSON on standard output.
"""

# nova.cmd.compute has to be the first import: it patches, or poisons,
# eventlet.
from nova.cmd import compute  # isort: skip

import json
import sys
from unittest import mock

import nova
from nova.conductor import api as conductor_api
from nova.scheduler.client import report
from nova import service
from nova import utils


def main() -> None:
    with (
        # Neither conductor nor Placement answers here, and the service is
        # not to begin its work.
        mock.patch.object(
            conductor_api.API, 'wait_until_ready', autospec=True
        ),
        mock.patch.object(report, 'SchedulerReportClient', autospec=True),
        mock.patch.object(utils, 'raise_if_old_compute', autospec=True),
        mock.patch.object(service, 'serve', autospec=True) as serve,
        mock.patch.object(service, 'wait', autospec=True),
    ):
        compute.main()
    driver = serve.call_args.args[0].manager.driver
    eventlet = sys.modules.get('eventlet.patcher')
    print(json.dumps({
        'nova': nova.__file__,
        'driver': f'{type(driver).__module__}.{type(driver).__qualname__}',
        'file': sys.modules[type(driver).__module__].__file__,
        'eventlet': bool(eventlet and eventlet.is_monkey_patched('thread')),
    }))


if __name__ == '__main__':
    main()
