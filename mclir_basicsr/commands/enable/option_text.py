"""Edit an option file in place, so that a diff shows the edit and nothing else.

The file is edited at the places that ruamel.yaml's parser names, not loaded and dumped again: a dump rewrites what
carries no value (``~``, ``False``, ``!!float``, indentation, the width of long lists) and puts a new key behind the
comment that belongs to the next one. So every line that needs no change stays as it is, to the byte.
"""

import re
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.options.yaml_file import refuse_doubled_keys


class OptionText:
    """The lines of an option file and the YAML nodes that say where its keys stand.

    An edit keeps the number of entries in ``lines`` (a removed line becomes empty, an inserted one is joined to the
    line before), so the positions in the nodes stay true.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_bytes().decode('utf-8-sig')
        except (OSError, UnicodeDecodeError) as error:
            raise MclirError(f'{path} cannot be read as UTF-8 text: {error}.') from error
        self.newline = '\r\n' if '\r\n' in text else '\n'
        self.lines = text.splitlines(keepends=True)
        if self.lines and self.lines[-1] == self.lines[-1].rstrip('\r\n'):
            self.lines[-1] += self.newline
        root = _compose(''.join(self.lines), str(path))
        refuse_doubled_keys(str(path), root)
        if not isinstance(root, MappingNode):
            raise MclirError(f'{path} is no option file of BasicSR: it has no keys.')
        self.root = self._plain_block(root)

    def fail(self, node: Node, reason: str) -> NoReturn:
        """Refuse the file for what stands at a node."""
        raise MclirError(f'{self.path}, line {node.start_mark.line + 1}: {reason}')

    def block(self, key: str, parent: MappingNode | None = None) -> MappingNode:
        """The mapping under a key that is there."""
        return self._plain_block(entries(parent or self.root)[key][1])

    def _plain_block(self, node: Node) -> MappingNode:
        if not isinstance(node, MappingNode) or node.flow_style or node.anchor:
            self.fail(node, 'this must be a block of keys, one per line, without {}, anchor or alias; write it so.')
        return node

    def put(self, block: MappingNode, key: str, value: Any, name: str | None = None) -> None:
        """Set a key, under another name where asked; a new one goes to the end of its block."""
        if key not in entries(block):
            self.insert(block, list(entries(block))[-1], {key: value})
            return
        node, old = entries(block)[key]
        if not isinstance(old, ScalarNode) or old.anchor or old.style in ('|', '>'):
            self.fail(node, f'{key} must have a plain value, without anchor or alias; write it so.')
        first, (last, column) = node.start_mark, self._end_of_value(node, old)
        head, tail = self.lines[first.line][: first.column], self.lines[last][column:]
        self.lines[first.line : last + 1] = [''] * (last + 1 - first.line)
        self.lines[first.line] = f'{head}{name or key}: {written(value)}{tail}'

    def rename(self, block: MappingNode, key: str, name: str) -> None:
        """Give a key another name and leave its value."""
        node = entries(block)[key][0]
        line = self.lines[node.start_mark.line]
        self.lines[node.start_mark.line] = line[: node.start_mark.column] + name + line[node.end_mark.column :]

    def remove(self, block: MappingNode, key: str) -> None:
        """Take out a key and its value."""
        first, end = self._span(self._plain_block(block), key)
        self.lines[first:end] = [''] * (end - first)

    def insert(
        self, block: MappingNode, after: str, values: dict[str, Any], comments: dict[str, str] | None = None
    ) -> None:
        """Add keys behind another one, in the indentation of the file."""
        column = block.value[0][0].start_mark.column
        step = self.block('train').value[0][0].start_mark.column  # what the file indents by
        added = _rendered(values, comments or {}, step)
        end = self._span(block, after)[1]
        self.lines[end - 1] += ''.join(f'{" " * column}{line}{self.newline}' for line in added)

    def comment(self, block: MappingNode, key: str) -> str:
        """The comment behind a value on its line, if any."""
        line, column = self._end_of_value(*entries(block)[key])
        tail = self.lines[line][column:].strip()
        return tail[1:].strip() if tail.startswith('#') else ''

    def write(self, target: Path) -> None:
        """Write the edited text, whole or not at all."""
        text = ''.join(self.lines)
        _compose(text, f'{self.path} after the edit')  # an alias may have lost its anchor with a key taken out
        try:
            with whole_file(target) as file:
                file.write(text.encode())
        except OSError as error:
            raise MclirError(f'Cannot write {target}: {error}.') from error

    def _end_of_value(self, key: Node, value: Node) -> tuple[int, int]:
        if value.start_mark.index < value.end_mark.index:
            return value.end_mark.line, value.end_mark.column
        line = key.end_mark.line  # the parser puts an empty value where the next one begins
        return line, self.lines[line].index(':', key.end_mark.column) + 1

    def _span(self, block: MappingNode, key: str) -> tuple[int, int]:
        """Lines of an entry; comments behind it that are not indented deeper belong to what follows."""
        start = entries(block)[key][0].start_mark
        following = [name.start_mark.line for name, _ in block.value if name.start_mark.line > start.line]
        end = min(following, default=min(block.end_mark.line, len(self.lines)))
        while end > start.line + 1 and _is_gap(self.lines[end - 1], start.column):
            end -= 1
        return start.line, end


def _compose(text: str, name: str) -> Node:
    yaml = YAML(typ='safe', pure=True)
    yaml.version = (1, 1)  # what BasicSR's loader reads
    try:
        return yaml.compose(text)
    except YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        where = f', line {mark.line + 1}, column {mark.column + 1}' if mark else ''
        raise MclirError(f'{name}{where}: not valid YAML: {getattr(error, "problem", None) or error}.') from error


def _is_gap(line: str, column: int) -> bool:
    content = line.lstrip()
    return not content or (content[0] == '#' and len(line) - len(content) <= column)


def entries(block: MappingNode) -> dict[str, tuple[Node, Node]]:
    """Key and value nodes of a block by key."""
    return {key.value: (key, value) for key, value in block.value if isinstance(key, ScalarNode)}


def get(block: MappingNode, key: str) -> Node | None:
    """The value node of a key, if it is there."""
    return entries(block).get(key, (None, None))[1]


def all_keys(node: Node) -> set[str]:
    """Every key below a node."""
    if not isinstance(node, MappingNode):
        return set()
    return entries(node).keys() | {key for _, value in node.value for key in all_keys(value)}


def is_null(node: Node | None) -> bool:
    """Whether a value is absent or empty (``~``)."""
    return node is None or str(node.tag) == 'tag:yaml.org,2002:null'


def numbers(text: OptionText, key: str, node: Node | None) -> list[float]:
    """The number or numbers of a key; none where it is absent or empty."""
    if node is None or is_null(node):
        return []
    try:
        return [float(item.value) for item in (node.value if isinstance(node, SequenceNode) else [node])]
    except (TypeError, ValueError):
        text.fail(node, f'{key} must be a number or a list of numbers.')


def _rendered(values: dict[str, Any], comments: dict[str, str], step: int) -> list[str]:
    lines = []
    for key, value in values.items():
        is_block = isinstance(value, dict) and not all(isinstance(item, float) for item in value.values())
        comment = f'  # {comments[key]}' if comments.get(key) else ''
        lines.append(f'{key}:{"" if is_block else " " + written(value)}{comment}')
        if is_block:
            lines += [' ' * step + line for line in _rendered(value, comments, step)]
    return lines


def written(value: Any) -> str:
    """A value as BasicSR's YAML 1.1 loader reads it back."""
    if isinstance(value, dict):
        return '{' + ', '.join(f'{key}: {written(item)}' for key, item in value.items()) + '}'
    if isinstance(value, list):
        return '[' + ', '.join(map(written, value)) + ']'
    if isinstance(value, str):
        is_plain = re.fullmatch(r'[\w/][\w./-]*', value) and str(_compose(value, value).tag).endswith(':str')
        return value if is_plain else "'" + value.replace("'", "''") + "'"
    if value is None:
        return '~'
    return f'!!float {value}' if isinstance(value, float) and 'e' in repr(value) else repr(value)
