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
"""Environments with a Nova in them, and a copy of this tree to install."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import testtools

ROOT = pathlib.Path(__file__).resolve().parents[3]

_NOT_SOURCE = shutil.ignore_patterns(
    '.tox', '.venv', '.stestr', '.mypy_cache', '.ruff_cache', '__pycache__',
    'build', 'dist', '*.egg-info', 'AUTHORS', 'ChangeLog',
)


def run(*command: str | os.PathLike[str], **kwargs) -> str:
    """Run a command away from this tree and return its standard output."""
    environment = {
        name: value for name, value in os.environ.items()
        # What a test run sets for itself is not for the environment inside.
        if not name.startswith(('PYTHON', 'TOX_', 'OS_', 'VIRTUAL_ENV'))
    }
    environment.update(kwargs.pop('env', {}))
    result = subprocess.run(
        command, env=environment, cwd=kwargs.pop('cwd', tempfile.gettempdir()),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        **kwargs,
    )
    if result.returncode:
        raise AssertionError(
            f'{command} ended with {result.returncode}\n'
            f'{result.stdout}\n{result.stderr}'
        )
    return result.stdout


def environment(requirement: str, name: str) -> pathlib.Path:
    """Return a virtual environment with one requirement installed in it.

    It is kept between runs below NOVADOCKER_ENVIRONMENTS: Nova and what it
    needs take half a minute to install.
    """
    parent = pathlib.Path(
        os.environ.get('NOVADOCKER_ENVIRONMENTS') or ROOT / '.tox' / 'nova'
    )
    path = parent / name
    complete = path / '.complete'
    if not complete.exists():
        shutil.rmtree(path, ignore_errors=True)
        run(sys.executable, '-m', 'venv', path)
        # Most of it is never imported here, and need not be compiled.
        run(
            *(path / 'bin' / 'pip', 'install', '--quiet', '--no-compile'),
            requirement,
        )
        complete.touch()
    return path


def copy_source(path: pathlib.Path) -> None:
    """Copy this tree, without what is made of it.

    Building and an editable install write into the tree they work on.
    """
    shutil.copytree(ROOT, path, ignore=_NOT_SOURCE)


class SourceTestCase(testtools.TestCase):
    """Tests on a wheel and an sdist made of a copy of this tree."""

    source: pathlib.Path
    wheel: pathlib.Path
    sdist: pathlib.Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        directory = tempfile.TemporaryDirectory(prefix='nova-docker-')
        cls.addClassCleanup(directory.cleanup)
        cls.source = pathlib.Path(directory.name) / 'source'
        copy_source(cls.source)
        cls.wheel, cls.sdist = cls._build(
            pathlib.Path(directory.name) / 'dist'
        )

    @classmethod
    def _build(
        cls, target: pathlib.Path
    ) -> tuple[pathlib.Path, pathlib.Path]:
        # The wheel is built of the sdist, which thereby is proven complete.
        run(sys.executable, '-m', 'build', '--outdir', target, cls.source)
        [wheel] = target.glob('*.whl')
        [sdist] = target.glob('*.tar.gz')
        return wheel, sdist
