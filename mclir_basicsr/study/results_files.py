"""The files that hold a study's results: JSON, CSV and LaTeX rows."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.study.gains import Gain
from mclir_basicsr.study.results import Results, mean
from mclir_basicsr.study.verdict import decimals, sentence


def write(results: Results, root: Path, compared: Mapping[str, Any]) -> None:
    """Write ``results.json``, ``results.csv`` and ``results.tex``, each whole.

    Nothing in them depends on when or how often the study was stopped.

    Args:
        results: Of the study.
        root: The study's folder.
        compared: What tells this study from another, for ``results.json``.
    """
    for name, text in (
        ('results.json', json.dumps(_json(results, compared), indent=1, sort_keys=True) + '\n'),
        ('results.csv', _csv(results)),
        ('results.tex', _latex(results)),
    ):
        with whole_file(root / name) as file:
            file.write(text.encode())


def _json(results: Results, compared: Mapping[str, Any]) -> dict[str, Any]:
    return {
        'compared': compared,
        'gains': _by_place(results.gains, results.width),
        'gains_over_start': _by_place(results.gains_over_start, results.width),
        'figures': results.figures,
        'at_start': results.at_start,
    }


def _by_place(gains: Iterable[Gain], width: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for gain in gains:
        value = gain.interval
        found.setdefault(gain.arm, {}).setdefault(gain.dataset, {})[gain.metric] = {
            'gain': value.gain,
            'low': value.low if value.seeds > 1 else None,  # infinite, which JSON has no word for
            'high': value.high if value.seeds > 1 else None,
            'seeds': value.seeds,
            'images': value.images,
            'level': 1 - gain.alpha,
            'verdict': sentence(gain, width),
        }
    return found


def _csv(results: Results) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator='\n')
    rows.writerow(['arm', 'seed', 'dataset', 'metric', 'image', 'value'])
    for arm, datasets in results.rows.items():
        for dataset, metrics in datasets.items():
            for metric, seeds in metrics.items():
                for seed, images in seeds.items():
                    rows.writerows([arm, seed, dataset, metric, image, value] for image, value in images.items())
    return text.getvalue()


def _latex(results: Results) -> str:
    """A row for each arm: name, then mean and gain with its interval for each data set and metric."""
    by_place = {(gain.arm, gain.dataset, gain.metric): gain.interval for gain in results.gains}
    measured = results.measured()
    lines = ['% arm & ' + ' & '.join(f'{dataset} {metric}' for dataset, metric in measured) + r' \\']
    for arm, datasets in results.rows.items():
        cells = [arm.replace('_', r'\_')]
        for dataset, metric in measured:
            seeds, value = datasets.get(dataset, {}).get(metric), by_place.get((arm, dataset, metric))
            places = decimals(value.half_width) if value and value.seeds > 1 else 4
            cell = f'${mean(seeds.values()):.{places}f}$' if seeds else '--'
            if value:
                ends = f' [{value.low:.{places}f}, {value.high:.{places}f}]' if value.seeds > 1 else ''
                cell += f' ({value.gain:+.{places}f}{ends})'
            cells.append(cell)
        lines.append(' & '.join(cells) + r' \\')
    return '\n'.join(lines) + '\n'
