"""What a study found: the last figures of its runs, those of its start, and gains with intervals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mclir_basicsr.run import figures
from mclir_basicsr.study.definition import run_name
from mclir_basicsr.study.gains import Gain, gains
from mclir_basicsr.study.verdict import sentence

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
        at_start: Those before the first iteration, in the same form; without the arms that begin from nothing.
        gains: Of each arm over the first.
        gains_over_start: Of each arm over what it began with.
        width: Half of the interval's width that was asked for; None where none was.
    """

    figures: Figures
    at_start: Figures
    gains: list[Gain]
    gains_over_start: list[Gain]
    width: float | None = None

    @property
    def rows(self) -> Figures:
        """The figures of the start, where there is one, and of the arms."""
        starts = list(self.at_start.values())
        if starts and len(starts) == len(self.figures) and all(start == starts[0] for start in starts):
            return {'start': starts[0], **self.figures}
        return {f'start of {arm}': start for arm, start in self.at_start.items()} | self.figures

    def measured(self) -> list[tuple[str, str]]:
        """Data set and metric of each figure."""
        first = next(iter(self.figures.values()))
        return [(dataset, metric) for dataset, metrics in first.items() for metric in metrics]

    def lines(self) -> list[str]:
        """For a terminal: the mean figures of each arm, and the verdict on each gain."""
        text = []
        for dataset, metric in self.measured():
            found = {label: datasets.get(dataset, {}).get(metric) for label, datasets in self.rows.items()}
            means = [f'{label} {mean(seeds.values()):.4f}' for label, seeds in found.items() if seeds]
            text.append(f'{metric} on {dataset}: {", ".join(means)}')
        baseline = next(iter(self.figures))
        text += ['', f'Gains over {baseline}, paired by seed and image:', *self.verdicts(self.gains)]
        if self.gains_over_start:
            text += ['', 'Gains over the start, before the first iteration:', *self.verdicts(self.gains_over_start)]
        return text

    def verdicts(self, gains: Iterable[Gain]) -> list[str]:
        """A sentence for each gain, and for each figure that was left out."""
        gains = list(gains)
        said = [f'{gain.arm}: {sentence(gain, self.width)}' for gain in gains]
        return said + list(dict.fromkeys(note for gain in gains for note in gain.left_out))


def mean(runs: Iterable[Mapping[str, float]]) -> float:
    """Of all images of all runs."""
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
    start: Figures = {}
    for arm, end in ends.items():
        for seed in seeds:
            experiment = root / 'experiments' / run_name(arm, seed)
            for iteration, kept in ((0, start), (end, found)):
                for dataset, metrics in figures.of_iteration(experiment, iteration).items():
                    for metric, images in metrics.items():
                        kept.setdefault(arm, {}).setdefault(dataset, {}).setdefault(metric, {})[str(seed)] = images
    over_start = [gain for arm in start for gain in gains({'start': start[arm], arm: found[arm]}, alpha)]
    return Results(found, start, gains(found, alpha), over_start, width)
