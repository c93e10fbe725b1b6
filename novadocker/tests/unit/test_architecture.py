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
"""The rules that keep the parts apart, read from the source.

Each test names the places that break its rule. The reasons are in the
contributor documentation.
"""

import ast
from collections.abc import Iterator
import dataclasses
import functools
import graphlib
from importlib import metadata
import pathlib
import re
import sys

from oslotest import base

_PACKAGE = pathlib.Path(__file__).resolve().parents[2]
_UNIT = _PACKAGE / 'tests' / 'unit'
#: Levels that operators look at, by the method of a logger.
_LEVELS = {
    'warning': 'WARNING',
    'error': 'ERROR',
    'exception': 'ERROR',
    'critical': 'CRITICAL',
}
_LOG_PAGE = _PACKAGE.parent / 'doc' / 'source' / 'admin' / 'log-messages.rst'

#: The unit tests of the tree itself, which are of no module.
_OF_NONE = {
    pathlib.Path('test_architecture.py'),
    pathlib.Path('test_support_matrix.py'),
}

_OPS = 'novadocker.virt.docker'

#: Who may import a library, by the library's module.
_IMPORTERS = {
    'docker': ['novadocker.virt.docker.connection'],
    'pyroute2': ['novadocker.privsep'],
    'oslo_concurrency.processutils': ['novadocker.privsep'],
    'subprocess': [],
    'os_vif': [
        'novadocker.cmd.status',
        'novadocker.os_vif_plugin',
        'novadocker.virt.docker.plugging',
        'novadocker.virt.docker.binding',
        'novadocker.virt.docker.network',
    ],
    'nova.image.glance': ['novadocker.virt.docker.images'],
    'nova.network.neutron': ['novadocker.virt.docker.domains'],
    'eventlet': [],
    'nova.conf': [
        'novadocker.cmd.status',
        'novadocker.conf',
        'novadocker.virt.docker.driver',
        'novadocker.virt.docker.settings',
        'novadocker.virt.docker.wiring',
    ],
}

#: Modules that decide and compute, and reach nothing outside themselves.
_PURE = [
    f'{_OPS}.{name}'
    for name in (
        'archive',
        'audit',
        'below',
        'compression',
        'contents',
        'findings',
        'guest',
        'image_config',
        'leftovers',
        'making',
        'model',
        'naming',
        'nic',
        'oci',
        'pause',
        'quotas',
        'recognition',
        'resolver',
        'spec',
        'tar_stream',
        'traces',
    )
]

#: Where settings are read and handed to those that need them.
_WIRING = [
    'novadocker.cmd.status',
    'novadocker.conf',
    'novadocker.virt.docker.driver',
    'novadocker.virt.docker.settings',
    'novadocker.virt.docker.wiring',
]

#: Where signatures are Nova's.
_SIGNATURES = [f'{_OPS}.driver', f'{_OPS}.driver_moves']

_FUNCTION_LINES = 60
_MODULE_LINES = 400
_PARAMETERS = 5


@dataclasses.dataclass(frozen=True)
class Module:
    """A source file of the package, tests apart."""

    path: pathlib.Path

    @property
    def name(self) -> str:
        parts = self.path.relative_to(_PACKAGE.parent).with_suffix('').parts
        return '.'.join(part for part in parts if part != '__init__')

    @functools.cached_property
    def text(self) -> str:
        return self.path.read_text()

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @functools.cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        return [
            node for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]

    @functools.cached_property
    def imports(self) -> list[str]:
        """Modules imported anywhere in the file, by their full names.

        ``from a import b`` is both a and a.b: which of them is a module is
        of no interest to the rules.
        """
        found: list[str] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base_name = node.module or ''
                found.append(base_name)
                found += [f'{base_name}.{alias.name}' for alias in node.names]
        return found


def _modules(root: pathlib.Path = _PACKAGE) -> list[Module]:
    return [
        Module(path) for path in sorted(root.rglob('*.py'))
        if not path.is_relative_to(_PACKAGE / 'tests')
    ]


_MODULES = _modules()


def _is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f'{package}.')


def _is_one_of(name: str, packages: list[str]) -> bool:
    return any(_is_within(name, package) for package in packages)


class ImportsTestCase(base.BaseTestCase):
    """Each outside world has one door."""

    def test_a_library_is_imported_by_its_owner_alone(self) -> None:
        found = [
            f'{module.name} imports {imported}'
            for module in _MODULES
            for imported in module.imports
            for library, owners in _IMPORTERS.items()
            if _is_within(imported, library)
            and not _is_one_of(module.name, owners)
        ]
        self.assertEqual([], found)

    def test_pure_modules_import_no_effects(self) -> None:
        allowed = [*_PURE, 'novadocker.exception']
        found = [
            f'{module.name} imports {imported}'
            for module in _MODULES if module.name in _PURE
            for imported in module.imports
            if _is_within(imported, 'novadocker')
            and imported not in ('novadocker', _OPS)
            and not _is_one_of(imported, allowed)
        ]
        self.assertEqual([], found)

    def test_nobody_imports_the_driver(self) -> None:
        found = [
            module.name for module in _MODULES
            if f'{_OPS}.driver' in module.imports and module.name != _OPS
        ]
        self.assertEqual([], found)

    def test_client_and_privsep_know_nothing_above_them(self) -> None:
        for name, allowed in (
            ('novadocker.privsep', ['novadocker.privsep']),
            ('novadocker.exception', []),
            (
                f'{_OPS}.client',
                [
                    *_PURE,
                    f'{_OPS}.connection',
                    f'{_OPS}.engine_json',
                    f'{_OPS}.terminal',
                ],
            ),
        ):
            found = [
                f'{module.name} imports {imported}'
                for module in _MODULES if _is_within(module.name, name)
                for imported in module.imports
                if _is_within(imported, 'novadocker')
                and imported not in ('novadocker', _OPS)
                and not _is_one_of(
                    imported, [*allowed, 'novadocker.exception']
                )
            ]
            self.assertEqual([], found)

    def test_no_cycles(self) -> None:
        names = {module.name for module in _MODULES}
        graph = {
            module.name: {
                imported for imported in module.imports
                # "from package import module" also names the package.
                if imported in names
                and not _is_within(module.name, imported)
            }
            for module in _MODULES
        }
        graphlib.TopologicalSorter(graph).prepare()

    def test_what_is_imported_is_required(self) -> None:
        requirements = (_PACKAGE.parent / 'requirements.txt').read_text()
        required = {
            _normal(name)
            for name in re.findall(r'^[\w.-]+', requirements, re.MULTILINE)
        }
        owners = metadata.packages_distributions()
        found = set()
        for module in _MODULES:
            for imported in module.imports:
                top = imported.partition('.')[0]
                if top in sys.stdlib_module_names or top == 'novadocker':
                    continue
                names = owners.get(top, [])
                if not required & {_normal(name) for name in names}:
                    found.add(f'{module.name} imports {top}')
        self.assertEqual(set(), found)


def _normal(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


class SettingsTestCase(base.BaseTestCase):

    def test_settings_are_read_where_objects_are_wired(self) -> None:
        found = [
            f'{module.name}:{node.lineno}'
            for module in _MODULES if module.name not in _WIRING
            for node in ast.walk(module.tree)
            if (isinstance(node, ast.Name) and node.id == 'CONF')
            or (isinstance(node, ast.Attribute) and node.attr == 'CONF')
        ]
        self.assertEqual([], found)


class ErrorsTestCase(base.BaseTestCase):
    """An error is handled by its class, or it goes on."""

    def test_nothing_swallows_all_errors(self) -> None:
        found = [
            f'{module.name}:{handler.lineno}'
            for module in _MODULES
            for function, handler in _broad_handlers(module)
            if not _reraises(handler)
            and not _is_top_of_thread(function, module)
        ]
        self.assertEqual([], found)


def _broad_handlers(
    module: Module,
) -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Find handlers of everything, each with its innermost function."""

    def walk(
        node: ast.AST, function: str
    ) -> Iterator[tuple[str, ast.ExceptHandler]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ExceptHandler) and _is_broad(child.type):
                yield function, child
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from walk(child, child.name)
            else:
                yield from walk(child, function)

    return walk(module.tree, '')


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    names = {
        node.id for node in ast.walk(caught) if isinstance(node, ast.Name)
    }
    return bool(names & {'Exception', 'BaseException'})


def _reraises(handler: ast.ExceptHandler) -> bool:
    """Whether every way through the handler ends in a raise."""
    last = handler.body[-1]
    if isinstance(last, ast.With):
        return any(
            isinstance(node, ast.Attribute)
            and node.attr == 'save_and_reraise_exception'
            for item in last.items
            for node in ast.walk(item.context_expr)
        )
    return isinstance(last, ast.Raise)


def _is_top_of_thread(function: str, module: Module) -> bool:
    """Whether the function is what some thread of the module runs.

    Such a function is named so, that a reader sees why it may catch all.
    """
    return function.endswith('_thread') and any(
        keyword.arg == 'target'
        and isinstance(keyword.value, ast.Name | ast.Attribute)
        and ast.unparse(keyword.value).rpartition('.')[2] == function
        for keyword in ast.walk(module.tree)
        if isinstance(keyword, ast.keyword)
    )


class SizeTestCase(base.BaseTestCase):
    """One can hold a module in the head."""

    def test_modules(self) -> None:
        found = [
            f'{module.name} has {lines} lines'
            for module in _MODULES
            if (lines := len(module.text.splitlines())) > _MODULE_LINES
        ]
        self.assertEqual([], found)

    def test_functions(self) -> None:
        found = [
            f'{module.name}.{function.name} has {lines} lines'
            for module in _MODULES
            for function in module.functions
            if (lines := function.end_lineno - function.lineno + 1)
            > _FUNCTION_LINES
        ]
        self.assertEqual([], found)

    def test_parameters(self) -> None:
        found = [
            f'{module.name}.{function.name} has {count} parameters'
            for module in _MODULES
            if module.name not in _SIGNATURES
            for function in module.functions
            if (count := _parameters(function)) > _PARAMETERS
        ]
        self.assertEqual([], found)


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = function.args
    names = [
        argument.arg for argument in
        (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    ]
    return len([name for name in names if name not in ('self', 'cls')])


class TreeTestCase(base.BaseTestCase):

    def test_every_module_has_its_unit_twin(self) -> None:
        missing = [
            str(twin.relative_to(_PACKAGE))
            for module in _MODULES if module.path.stem != '__init__'
            if not (twin := _twin(module)).exists()
        ]
        self.assertEqual([], missing)

    def test_every_unit_test_has_its_module(self) -> None:
        twins = {_twin(module) for module in _MODULES}
        strays = [
            str(path.relative_to(_PACKAGE))
            for path in sorted(_UNIT.rglob('test_*.py'))
            if path not in twins and path.relative_to(_UNIT) not in _OF_NONE
        ]
        self.assertEqual([], strays)

    def test_every_file_carries_the_licence(self) -> None:
        found = [
            str(path.relative_to(_PACKAGE))
            for path in sorted(_PACKAGE.rglob('*.py'))
            if path.stat().st_size and not _has_licence(path)
        ]
        self.assertEqual([], found)

    def test_there_are_modules_to_look_at(self) -> None:
        names = {module.name for module in _MODULES}
        self.assertLessEqual({*_PURE, *_WIRING, f'{_OPS}.client'}, names)


class LogMessagesTestCase(base.BaseTestCase):
    """Operators find each message in the documentation, as it is logged."""

    def test_each_is_explained_and_nothing_else(self) -> None:
        logged = {
            (_message(module, call), level)
            for module in _MODULES
            for level, call in _log_calls(module)
        }
        self.assertLess(20, len(logged))
        self.assertEqual(
            logged,
            # A term of the page, and an explanation that follows.
            set(re.findall(
                r'^``(.+)`` \((\w+)\)\n    \S', _LOG_PAGE.read_text(), re.M
            )),
        )

    def test_no_other_way_of_logging(self) -> None:
        # Those would escape the test above.
        strays = [
            module.name
            for module in _MODULES
            for call in ast.walk(module.tree)
            if isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr in ('log', 'warn', 'fatal')
            and ast.unparse(call.func.value) == 'LOG'
        ]
        self.assertEqual([], strays)


def _log_calls(module: Module) -> Iterator[tuple[str, ast.Call]]:
    """What is logged as a warning or as something worse, and as what."""
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == 'LOG'
            and node.func.attr in _LEVELS
        ):
            yield _LEVELS[node.func.attr], node


def _message(module: Module, call: ast.Call) -> str:
    """What a call logs, with an ellipsis for each value."""
    given = call.args[0]
    if isinstance(given, ast.Name):
        # A constant of the module.
        [given] = [
            node.value
            for node in module.tree.body
            if isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == given.id
        ]
    return re.sub(r'%(\(\w+\))?[a-z]', '\u2026', ast.literal_eval(given))


def _twin(module: Module) -> pathlib.Path:
    inside = module.path.relative_to(_PACKAGE)
    return _UNIT / inside.with_name(f'test_{inside.name}')


def _has_licence(path: pathlib.Path) -> bool:
    with path.open() as file:
        head = [next(file, '').strip('# \n') for _ in range(12)]
    return any(
        line.startswith(
            'Licensed under the Apache License, Version 2.0 (the "License")'
        )
        for line in head
    ) and 'limitations' in ' '.join(head)
