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

"""The blocks of a page of the documentation: what a reader is to type."""

from collections.abc import Iterator
import configparser
import dataclasses
import pathlib
from typing import Any

from docutils import core
from docutils import nodes
from docutils.parsers import rst
from docutils.parsers.rst import directives
from docutils.parsers.rst import roles

SOURCE = pathlib.Path(__file__).parents[3] / 'doc' / 'source'

# Anything that the parser does not know, such as a directive that may have a
# block in it, ends the reading.
_WARNING = 2

Ini = dict[str, dict[str, str]]


@dataclasses.dataclass(frozen=True)
class Block:
    """Lines that stand for themselves.

    :ivar section: the title of the section that it is in
    :ivar language: empty where nothing is said, which are commands
    """

    section: str
    language: str
    text: str

    def commands(self) -> Iterator[str]:
        """Each command; one that goes on in another line is one."""
        begun: list[str] = []
        for line in self.text.splitlines():
            begun.append(line)
            if not line.endswith('\\'):
                yield '\n'.join(begun)
                begun = []
        if begun:
            raise ValueError(f'it does not end: {begun}')

    def options(self) -> Ini:
        """The options of a part of a configuration file."""
        return options(self.text)


def options(text: str) -> Ini:
    """The options of a configuration file, as oslo.config reads it."""
    parser = configparser.RawConfigParser(
        strict=False, default_section='no default', delimiters=['=']
    )
    parser.optionxform = str
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


class _LiteralInclude(rst.Directive):
    """Sphinx's directive, with what the guide uses of it."""

    required_arguments = 1
    option_spec = {'language': directives.unchanged}

    def run(self) -> list[nodes.Node]:
        page = pathlib.Path(self.state.document.current_source)
        text = (page.parent / self.arguments[0]).read_text()
        block = nodes.literal_block(text, text)
        block['classes'] = ['code', self.options['language']]
        return [block]


class _TableOfContents(rst.Directive):
    """Sphinx's directive: other pages."""

    has_content = True
    option_spec = {'maxdepth': directives.unchanged}

    def run(self) -> list[nodes.Node]:
        return []


def blocks(name: str) -> list[Block]:
    """All blocks of a page, in the order of reading.

    :raises docutils.utils.SystemMessage: something is not understood
    """
    directives.register_directive('literalinclude', _LiteralInclude)
    directives.register_directive('toctree', _TableOfContents)
    roles.register_generic_role('doc', nodes.literal)
    path = SOURCE / name
    document = core.publish_doctree(
        path.read_text(),
        source_path=str(path),
        settings_overrides={'halt_level': _WARNING, 'report_level': 5},
    )
    return [
        _block(node)
        for node in document.findall(nodes.FixedTextElement)
        if not isinstance(node, nodes.comment)
    ]


def _block(node: Any) -> Block:
    section = node.parent
    while not isinstance(section, nodes.section | nodes.document):
        section = section.parent
    classes = [name for name in node['classes'] if name != 'code']
    return Block(section[0].astext(), ' '.join(classes), node.astext())
