"""Every reader and writer of ours says its encoding: what a file holds must not depend on the locale."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = ('read_text', 'write_text')


def unstated(file):
    """Lines of a module that read or write text in the encoding of the locale."""
    for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
        stated = {keyword.arg for keyword in node.keywords} & {'encoding', 'errors', None}
        modes = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        is_text = name in TEXT and not (name == 'read_text' and node.args)
        is_open = isinstance(node.func, ast.Name) and name == 'open' and 'b' not in ''.join(modes)
        if (is_text or is_open) and not stated:
            yield f'{file.relative_to(ROOT)}:{node.lineno}'


def test_every_reader_and_writer_states_its_encoding():
    found = [line for file in sorted((ROOT / 'mclir_basicsr').rglob('*.py')) for line in unstated(file)]
    # but for the option file of another model that is no UTF-8, which BasicSR reads so
    assert [line.split(':')[0] for line in found] == ['mclir_basicsr/options/yaml_file.py']
