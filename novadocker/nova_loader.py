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
"""Answer for ``nova.virt.novadocker``, where Nova looks for its drivers.

Nova imports only modules below ``nova.virt``. Files of ours below ``nova/``
would hide an editable Nova and survive an uninstall, so that nothing is
installed there: an import finder points the name at a package of re-exports
in our own tree.
"""

from collections.abc import Sequence
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types

SHIM = 'nova.virt.novadocker'
_SHIM_DIR = os.path.join(os.path.dirname(__file__), '_nova_virt')


class _Finder(importlib.abc.MetaPathFinder):
    """Knows one package; what is below it is found by the usual finders."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != SHIM:
            return None
        return importlib.util.spec_from_file_location(
            fullname,
            os.path.join(_SHIM_DIR, '__init__.py'),
            submodule_search_locations=[_SHIM_DIR],
        )


def install() -> None:
    """Make ``nova.virt.novadocker`` importable in this process.

    The finder goes to the end of the list: it is asked only for what nobody
    else has. A second call does nothing.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
