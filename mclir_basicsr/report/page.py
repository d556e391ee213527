"""The report on runs: one PNG and one self-contained HTML page."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.report import html
from mclir_basicsr.report.comparison import comparisons, with_repetitions
from mclir_basicsr.report.curves import curve_sections
from mclir_basicsr.report.grid import picture_section
from mclir_basicsr.report.layout import compose, text_section
from mclir_basicsr.report.pictures import Picture, explain_pictures, load_pictures
from mclir_basicsr.report.runs import Run, read_run
from mclir_basicsr.report.table import blocks, legend, table


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
    parts = [
        *map(html.table, blocks(runs)),
        html.fine_print(legend(runs)),
        html.items(notes),
        html.image(png, 'Curves and pictures of the runs'),
    ]
    return html.document(title, parts)
