"""What a study found: the last figures of its runs, gains with intervals, and the files that hold them."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.run import figures
from mclir_basicsr.study.definition import run_name
from mclir_basicsr.study.gains import Gain, gains
from mclir_basicsr.study.verdict import decimals, sentence

Figures = dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]
"""By arm, data set, metric, seed and image."""


def is_finished(experiment: Path, total_iter: int, datasets: Iterable[str]) -> bool:
    """Whether a run has trained to its end and has been measured there on every data set."""
    is_saved = (experiment / 'models' / 'net_g_latest.pth').is_file()
    return is_saved and set(datasets) <= set(figures.of_iteration(experiment, total_iter))


@dataclass(frozen=True)
class Results:
    """What the finished runs of a study say.

    Attributes:
        figures: The last ones of each run.
        at_start: Those before the first iteration, by data set, metric and image: the same for all runs; empty where
            training starts from nothing.
        gains: Of each arm over the first.
        width: Half of the interval's width that was asked for; None where none was.
    """

    figures: Figures
    at_start: dict[str, dict[str, dict[str, float]]]
    gains: list[Gain]
    width: float | None = None

    def lines(self) -> list[str]:
        """For a terminal: the mean figures of each arm, and the verdict on each gain."""
        text = []
        for dataset, metric in self._measured():
            start = self.at_start.get(dataset, {}).get(metric)
            means = [f'start {_mean([start]):.4f}'] if start else []
            for arm, found in self.figures.items():
                means.append(f'{arm} {_mean(found[dataset][metric].values()):.4f}')
            text.append(f'{metric} on {dataset}: {", ".join(means)}')
        baseline = next(iter(self.figures))
        text += ['', f'Gains over {baseline}, paired by seed and image:']
        text += [f'{gain.arm}: {sentence(gain, self.width)}' for gain in self.gains]
        text += [note for gain in self.gains for note in gain.left_out]
        return text

    def write(self, root: Path, compared: Mapping[str, Any]) -> None:
        """Write ``results.json``, ``results.csv`` and ``results.tex``, each whole.

        Args:
            root: The study's folder.
            compared: What tells this study from another, for ``results.json``.
        """
        for name, text in (
            ('results.json', json.dumps(self._json(compared), indent=1, sort_keys=True) + '\n'),
            ('results.csv', self._csv()),
            ('results.tex', self._latex()),
        ):
            with whole_file(root / name) as file:
                file.write(text.encode())

    def _measured(self) -> list[tuple[str, str]]:
        first = next(iter(self.figures.values()))
        return [(dataset, metric) for dataset, metrics in first.items() for metric in metrics]

    def _json(self, compared: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for gain in self.gains:
            value = gain.interval
            found.setdefault(gain.arm, {}).setdefault(gain.dataset, {})[gain.metric] = {
                'gain': value.gain,
                'low': value.low if value.seeds > 1 else None,  # infinite, which JSON has no word for
                'high': value.high if value.seeds > 1 else None,
                'seeds': value.seeds,
                'images': value.images,
                'level': 1 - gain.alpha,
                'verdict': sentence(gain, self.width),
            }
        return {'compared': compared, 'gains': found, 'figures': self.figures, 'at_start': self.at_start}

    def _csv(self) -> str:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator='\n')
        rows.writerow(['arm', 'seed', 'dataset', 'metric', 'image', 'value'])
        for arm, datasets in self.figures.items():
            for dataset, metrics in datasets.items():
                for metric, seeds in metrics.items():
                    for seed, images in seeds.items():
                        rows.writerows([arm, seed, dataset, metric, image, value] for image, value in images.items())
        return text.getvalue()

    def _latex(self) -> str:
        """A row for each arm: name, then mean and gain with its interval for each data set and metric."""
        by_place = {(gain.arm, gain.dataset, gain.metric): gain.interval for gain in self.gains}
        measured = self._measured()
        lines = ['% arm & ' + ' & '.join(f'{dataset} {metric}' for dataset, metric in measured) + r' \\']
        for arm, datasets in self.figures.items():
            cells = [arm.replace('_', r'\_')]
            for dataset, metric in measured:
                mean, value = _mean(datasets[dataset][metric].values()), by_place.get((arm, dataset, metric))
                places = decimals(value.half_width) if value and value.seeds > 1 else 4
                gain = f' ({value.gain:+.{places}f} [{value.low:.{places}f}, {value.high:.{places}f}])' if value else ''
                cells.append(f'${mean:.{places}f}${gain}')
            lines.append(' & '.join(cells) + r' \\')
        return '\n'.join(lines) + '\n'


def _mean(runs: Iterable[Mapping[str, float]]) -> float:
    values = [value for images in runs for value in images.values()]
    return sum(values) / len(values)


def collect(root: Path, ends: Mapping[str, int], seeds: Sequence[int], alpha: float, width: float | None) -> Results:
    """Compare the finished runs of a study.

    Args:
        root: The study's folder.
        ends: ``total_iter`` by arm, the baseline first.
        seeds: All of which are finished.
        alpha: How often each interval may miss.
        width: Half of the interval's width that was asked for.
    """
    found: Figures = {}
    start: dict[str, dict[str, dict[str, float]]] = {}
    for arm, end in ends.items():
        for seed in seeds:
            experiment = root / 'experiments' / run_name(arm, seed)
            start = start or figures.of_iteration(experiment, 0)
            for dataset, metrics in figures.of_iteration(experiment, end).items():
                for metric, images in metrics.items():
                    found.setdefault(arm, {}).setdefault(dataset, {}).setdefault(metric, {})[str(seed)] = images
    return Results(found, start, gains(found, alpha), width)
