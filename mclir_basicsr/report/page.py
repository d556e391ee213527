"""The report on runs: one PNG and one self-contained HTML page."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from textwrap import fill

import numpy as np

from mclir_basicsr import __version__
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.report.comparison import comparisons, with_repetitions
from mclir_basicsr.report.curves import curve_sections
from mclir_basicsr.report.grid import picture_section
from mclir_basicsr.report.layout import compose, text_section
from mclir_basicsr.report.pictures import Picture, explain_pictures, load_pictures
from mclir_basicsr.report.runs import Run, read_run
from mclir_basicsr.report.table import Block, blocks, legend, table

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9375rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; vertical-align: top; border-bottom: 1px solid #8886; }
th:first-child { text-align: left; overflow-wrap: anywhere; min-width: 6rem; }
.part { display: inline-block; white-space: nowrap; }
li, .how { overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid #888; }
tbody th { font-weight: 600; }
img { max-width: 100%; background: #fff; border-radius: 8px; }
footer, .how { font-size: .875rem; opacity: .75; }
"""


def compare(folders: Sequence[Path], out: Path) -> str:
    """Write the report on BasicSR experiment folders into ``out``.

    Args:
        folders: ``experiments/<name>``, the baseline first.
        out: Folder for ``report.html`` and ``report.png``; made where needed.

    Returns:
        The table and the path of the page, for the terminal.

    Raises:
        MclirError: A folder cannot be used, or is given twice; or ``out`` cannot be written.
    """
    paths = [Path(folder).resolve() for folder in folders]
    if twice := {str(path) for path in paths if paths.count(path) > 1}:
        raise MclirError(f'{", ".join(sorted(twice))}: given twice; a run cannot be compared with itself.')
    names = [path.name for path in paths]
    labels = names if len(set(names)) == len(names) else [str(folder) for folder in folders]
    runs = with_repetitions([read_run(folder, label) for folder, label in zip(folders, labels, strict=True)])
    pictures = load_pictures(runs)
    page = write_report(runs, out, pictures, [*explain_pictures(runs, pictures), *_other_options(runs)])
    return f'{table(runs)}\n\nCurves and pictures: {page}'


def write_report(
    runs: Sequence[Run],
    out: Path,
    pictures: Sequence[Picture] = (),
    notes: Sequence[str] = (),
    *,
    title: str = 'Comparison of training runs',
) -> Path:
    """Write ``report.png`` (table, curves, pictures) and ``report.html`` (the same on a page that needs no other file).

    Args:
        runs: At least one, the baseline first; runs with the same label are repetitions, shown as one.
        out: Folder to write to; made where needed.
        pictures: See :func:`~mclir_basicsr.report.pictures.load_pictures`; all with results of the same labels.
        notes: Sentences for the page, e.g. how the runs were made.
        title: Of the page.

    Returns:
        The path of ``report.html``.

    Raises:
        MclirError: ``out`` cannot be written.
    """
    figures = [*curve_sections(runs), *([picture_section(pictures)] if pictures else [])]
    page = _page(title, runs, [*notes, *_warnings(runs)], compose(figures) if figures else b'')
    try:
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        contents = {
            'report.png': compose([text_section(_wrapped(table(runs))), *figures]),
            'report.html': page.encode(),
        }
        for name, content in contents.items():
            with whole_file(out / name) as file:
                file.write(content)
    except OSError as error:
        raise MclirError(f'Cannot write the report to {out}: {error}. Give another folder.') from error
    return out / 'report.html'


def _wrapped(text: str) -> str:
    """A table whose last paragraph, the legend, has lines that do not make the whole small."""
    tables, gap, notes = text.rpartition('\n\n')
    return f'{tables}{gap}' + '\n'.join(fill(line, 120) for line in notes.splitlines())


def _other_options(runs: Sequence[Run]) -> list[str]:
    """In what else the runs differ, for those that are comparable."""
    return [
        f'{one.label} and {one.baseline} differ in: {"; ".join(one.differences)}.'
        for one in comparisons(runs)
        if one.differences and not one.obstacles
    ]


def _warnings(runs: Sequence[Run]) -> list[str]:
    """A note for each run with values that are nan or infinite, which the curves leave out."""
    notes = []
    for run in runs:
        bad = [name for name, series in run.training.items() if not np.isfinite([value for _, value in series]).all()]
        if bad:
            notes.append(f'{run.label}: logged values of {", ".join(bad)} are not finite; the curves leave them out.')
    return notes


def _page(title: str, runs: Sequence[Run], notes: Sequence[str], png: bytes) -> str:
    image = f'<img alt="Curves and pictures of the runs" src="data:image/png;base64,{b64encode(png).decode()}">'
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>',
        *map(_table, blocks(runs)),
        f'<p class="how">{"<br>".join(map(escape, legend(runs)))}</p>',
        *(['<ul>', *(f'<li>{escape(note)}</li>' for note in notes), '</ul>'] if notes else []),
        image if png else '',
        f'<footer>mclir_basicsr {escape(__version__)}</footer>\n</body>\n</html>\n',
    ]
    return '\n'.join(parts)


def _table(block: Block) -> str:
    head = ''.join(f'<th scope="col">{escape(cell)}</th>' for cell in block.head)
    rows = ''.join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{_parts(cell)}</td>" for cell in row[1:])}</tr>\n'
        for row in block.rows
    )
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>'


def _parts(cell: str) -> str:
    """A cell whose figures stay whole where it needs a second line: "27.1 ± 0.2", "+0.01 (0.00 to 0.02)"."""
    first, space, rest = cell.partition(' ')
    if not space:
        return escape(cell)
    return f'<span class="part">{escape(first)}</span> <span class="part">{escape(rest)}</span>'
