"""The page of a study: gains, figures, curves, pictures, and what was compared."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.metrics.directions import direction
from mclir_basicsr.report import html
from mclir_basicsr.report.curves import curve_sections, palette
from mclir_basicsr.report.forest import forest_section
from mclir_basicsr.report.grid import picture_section
from mclir_basicsr.report.layout import compose
from mclir_basicsr.report.pictures import Picture
from mclir_basicsr.report.runs import Run
from mclir_basicsr.report.table import Block
from mclir_basicsr.study.gains import Gain
from mclir_basicsr.study.results import Results, mean
from mclir_basicsr.study.verdict import word


def write_study_page(
    out: Path,
    results: Results,
    compared: Mapping[str, Any],
    runs: Sequence[Run],
    pictures: Sequence[Picture] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Write ``index.html``, which needs no other file.

    Args:
        out: The study's folder.
        results: Of the study.
        compared: As :meth:`~mclir_basicsr.study.folder.Folder.compared` gives it.
        runs: All runs, each with its arm as label, for the curves.
        pictures: With results by arm.
        notes: Sentences on what is not there, and why.

    Returns:
        The path of the page.

    Raises:
        OSError: It cannot be written.
    """
    arms = list(results.figures)
    metrics = compared['option file']['val']['metrics']

    def verdict(gain: Gain) -> str:
        return word(gain, direction(metrics.get(gain.metric) or {}), results.width)

    columns = {arms[0]: results.gains, 'the start': results.gains_over_start}
    columns = {over: gains for over, gains in columns.items() if gains}
    forest = compose([forest_section(columns, verdict, palette(arms))]) if columns else b''
    curves = curve_sections([replace(run, validation=_moving(run)) for run in runs])
    parts = [
        html.fine_print([_what(arms, compared)]),
        html.items(results.verdicts(results.gains)),
        html.image(forest, 'Gains of the arms with their intervals'),
        *(html.table(block) for block in _tables(results, verdict)),
        html.fine_print(_how_to_read(results, compared)),
        html.heading('Curves') if curves else '',
        html.image(compose(curves), 'Curves of the arms') if curves else '',
        html.heading('Pictures') if pictures else '',
        html.image(compose([picture_section(pictures)]), 'Pictures of each arm') if pictures else '',
        html.items(notes),
        html.heading('What was compared'),
        *map(html.text_table, _compared(arms, compared)),
    ]
    page = out / 'index.html'
    with whole_file(page) as file:
        file.write(html.document(f'Study of {compared["option file"].get("name", "an option file")}', parts).encode())
    return page


def _what(arms: Sequence[str], compared: Mapping[str, Any]) -> str:
    count = compared['seeds']
    return (
        f'{len(arms)} ways of training ({", ".join(arms)}), each with {count} seed{"s" if count > 1 else ""}; all runs '
        f'of a seed start alike and see the same batches. Gains are over {arms[0]}, paired by seed and image.'
    )


def _how_to_read(results: Results, compared: Mapping[str, Any]) -> list[str]:
    lines = ['Mean over seeds and images, and in brackets the 95 % interval for new seeds and new images of the kind.']
    metrics = compared['option file']['val']['metrics']
    lower = [name for name, options in metrics.items() if direction(options or {}) == 'lower']
    lines += [f'Lower is better: {", ".join(lower)}.'] if lower else []
    lines += [
        f'{arm} trains {ratio:g} times the iterations of the option file.'
        for arm, ratio in compared['time_ratios'].items()
    ]
    if 'start' in results.rows:
        lines.append('start: the network before its training, measured like the others.')
    return lines


def _moving(run: Run) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Validation figures of more than one iteration; one alone is no curve."""
    found = {
        dataset: {metric: series for metric, series in metrics.items() if len(series) > 1}
        for dataset, metrics in run.validation.items()
    }
    return {dataset: metrics for dataset, metrics in found.items() if metrics}


def _tables(results: Results, verdict: Any) -> list[Block]:
    """One for each data set and metric, a row for each arm, narrow enough for any window."""
    baseline, over_start = next(iter(results.figures)), bool(results.gains_over_start)
    blocks = []
    for dataset, metric in results.measured():
        head = [f'{dataset}: {metric}', 'mean', f'gain over {baseline}', 'verdict']
        blocks.append(Block([*head, *(['gain over the start', 'verdict'] if over_start else [])], []))
        for label, datasets in results.rows.items():
            if seeds := datasets.get(dataset, {}).get(metric):
                cells = [label, f'{mean(seeds.values()):.4f}']
                for gains in (results.gains, results.gains_over_start)[: 1 + over_start]:
                    place = (label, dataset, metric)
                    found = [one for one in gains if (one.arm, one.dataset, one.metric) == place]
                    cells += [_figures(found[0]), verdict(found[0])] if found else ['', '']
                blocks[-1].rows.append(cells)
    return blocks


def _figures(gain: Gain) -> str:
    found = gain.interval
    return f'{found.gain:+.4f}' + (f' ({found.low:.4f} to {found.high:.4f})' if found.seeds > 1 else '')


def _compared(arms: Sequence[str], compared: Mapping[str, Any]) -> list[Block]:
    options = [
        [name, *(_text(values[arm]) if arm in values else '-' for arm in arms)]
        for name, values in compared['differing'].items()
    ]
    files = [[name, one['sha256'], one['of']] for name, one in compared['files'].items()]
    blocks = [
        Block(['options that differ', *arms], options),
        Block(['made with', ''], [[name, value] for name, value in compared['made_with'].items()]),
        Block(['weights and data', 'SHA-256', 'of'], files),
    ]
    return [block for block in blocks if block.rows]


def _text(value: Any) -> str:
    return 'none' if value is None else str(value)
