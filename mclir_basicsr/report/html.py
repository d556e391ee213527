"""Pages that need no other file."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from html import escape

from mclir_basicsr import __version__
from mclir_basicsr.report.table import Block

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.125rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9375rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; vertical-align: top; border-bottom: 1px solid #8886; }
th:first-child { text-align: left; overflow-wrap: anywhere; min-width: 6rem; }
.part { display: inline-block; white-space: nowrap; }
.text td { text-align: left; overflow-wrap: anywhere; }
.text th { text-align: left; }
li, .how { overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid #888; }
tbody th { font-weight: 600; }
img { max-width: 100%; background: #fff; border-radius: 8px; }
footer, .how { font-size: .875rem; opacity: .75; }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """A whole page.

    Args:
        title: Text.
        parts: HTML, e.g. of the functions below.
    """
    lines = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>',
        *filter(None, parts),
        f'<footer>mclir_basicsr {escape(__version__)}</footer>\n</body>\n</html>\n',
    ]
    return '\n'.join(lines)


def table(block: Block) -> str:
    """Figures; a cell breaks behind its first word alone."""
    return _table(block, _parts, '')


def text_table(block: Block) -> str:
    """Texts, which break wherever they must."""
    return _table(block, escape, ' class="text"')


def heading(text: str) -> str:
    """The heading of a part of the page."""
    return f'<h2>{escape(text)}</h2>'


def items(notes: Sequence[str]) -> str:
    """A list of sentences; nothing where there are none."""
    return ''.join(['<ul>\n', *(f'<li>{escape(note)}</li>\n' for note in notes), '</ul>']) if notes else ''


def fine_print(lines: Sequence[str]) -> str:
    """Lines on how to read what stands above; nothing where there are none."""
    return f'<p class="how">{"<br>".join(map(escape, lines))}</p>' if lines else ''


def image(png: bytes, what: str) -> str:
    """A picture, within the page; nothing where it is empty.

    Args:
        png: Its file.
        what: It shows.
    """
    data = b64encode(png).decode()
    return f'<img alt="{escape(what)}" src="data:image/png;base64,{data}">' if png else ''


def _table(block: Block, cell_text: Callable[[str], str], kind: str) -> str:
    head = ''.join(f'<th scope="col">{escape(cell)}</th>' for cell in block.head)
    rows = ''.join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{cell_text(cell)}</td>" for cell in row[1:])}</tr>\n'
        for row in block.rows
    )
    return f'<div class="wide"><table{kind}>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>'


def _parts(cell: str) -> str:
    """A cell whose figures stay whole where it needs a second line: "27.1 ± 0.2", "+0.01 (0.00 to 0.02)"."""
    first, space, rest = cell.partition(' ')
    if not space:
        return escape(cell)
    return f'<span class="part">{escape(first)}</span> <span class="part">{escape(rest)}</span>'
