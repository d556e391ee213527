"""Which runs repeat one another, what differs between groups of them, and the gains where nothing forbids the word."""

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mclir_basicsr.report.runs import Run
from mclir_basicsr.report.settings import differing, is_obstacle, settings
from mclir_basicsr.study.gains import Arm, Gain, gains

_SEED_ENDING = re.compile(r'[-_. ]*(s|seed)?[-_. ]*\d*$', re.IGNORECASE)


@dataclass(frozen=True)
class Comparison:
    """Two groups of runs beside each other.

    Attributes:
        label: Of the group.
        baseline: Label of the group that it is compared with.
        obstacles: Why the difference of their figures is no gain, one phrase each; empty where it is one.
        differences: Other options that differ, one phrase each.
        gains: For each data set and metric; empty where there are obstacles.
        unpaired: Data set and metric that both have, but without one gain.
    """

    label: str
    baseline: str
    obstacles: tuple[str, ...]
    differences: tuple[str, ...]
    gains: tuple[Gain, ...]
    unpaired: tuple[str, ...] = ()

    def gain(self, dataset: str, metric: str) -> Gain | None:
        """The gain in one metric; None where there is none."""
        return next((one for one in self.gains if (one.dataset, one.metric) == (dataset, metric)), None)


def group(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by label, in the order given."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.label, []).append(run)
    return groups


def with_repetitions(runs: Sequence[Run]) -> list[Run]:
    """The same runs, with one label for those that have the same options but for their names and seeds.

    The label is what their names begin with, but for a number and the word seed: ``spn`` for spn_s1 and spn_s2. Runs
    without known options, or with the seed of another of the same options, keep their own.
    """
    groups: list[list[Run]] = []
    for run in runs:
        fits = (
            members
            for members in groups
            if run.options
            and settings(members[0].options) == settings(run.options)
            and run.seed not in {member.seed for member in members}
        )
        if (found := next(fits, None)) is None:
            groups.append([run])
        else:
            found.append(run)
    labels = [_common(members) for members in groups]
    clear = len(set(labels)) == len(labels)
    of_run = {
        run.label: label if clear else f'{label} ({", ".join(run.label for run in members)})'
        for members, label in zip(groups, labels, strict=True)
        for run in members
    }
    return [replace(run, label=of_run[run.label]) for run in runs]


def comparisons(runs: Sequence[Run]) -> list[Comparison]:
    """Each group of runs beside the first one."""
    groups = group(runs)
    baseline = next(iter(groups), '')
    return [_compared(label, groups[label], baseline, groups[baseline]) for label in groups if label != baseline]


def _compared(label: str, runs: list[Run], baseline: str, others: list[Run]) -> Comparison:
    different = differing(runs[0].options, others[0].options)
    phrases = {key: _phrase(key, *values) for key, values in different.items()}
    obstacles = [phrase for key, phrase in phrases.items() if is_obstacle(key)]
    if (mine := _ends(runs)) != (theirs := _ends(others)) and mine and theirs:
        obstacles.append(f'iteration of the figures {_numbers(mine)} vs. {_numbers(theirs)}')
    keys = _keys(runs, others)
    if not set(keys[0]) & set(keys[1]):
        obstacles.append(f'seeds (manual_seed) {_seeds(runs)} vs. {_seeds(others)}, none in common to pair by')
    arms = _arms({baseline: dict(zip(keys[1], others, strict=False)), label: dict(zip(keys[0], runs, strict=False))})
    found = () if obstacles else tuple(gains(arms))
    names = ({(dataset, metric) for dataset, metrics in arm.items() for metric in metrics} for arm in arms.values())
    unpaired = set.intersection(*names) - {(gain.dataset, gain.metric) for gain in found}
    return Comparison(
        label,
        baseline,
        tuple(obstacles),
        tuple(phrase for key, phrase in phrases.items() if not is_obstacle(key)),
        found,
        () if obstacles else tuple(f'{dataset} {metric}' for dataset, metric in sorted(unpaired)),
    )


def _phrase(key: str, mine: str | None, theirs: str | None) -> str:
    name = 'start (path.pretrain_network_g)' if key == 'path.pretrain_network_g' else key
    return f'{name} {mine or "none"} vs. {theirs or "none"}'


def _common(runs: list[Run]) -> str:
    if len(runs) == 1:
        return runs[0].label
    prefix = os.path.commonprefix([run.label for run in runs])  # noqa: RUF071 - letter by letter is meant
    return _SEED_ENDING.sub('', prefix) or runs[0].label


def _keys(runs: list[Run], others: list[Run]) -> tuple[list[str], list[str]]:
    """What each run of both groups is paired by: its seed; its place where seeds are not known or not distinct."""
    seeds = [run.seed for run in runs], [run.seed for run in others]
    if all(None not in one and len(set(one)) == len(one) for one in seeds):
        return [str(seed) for seed in seeds[0]], [str(seed) for seed in seeds[1]]
    if len(runs) == len(others):
        return [str(i) for i in range(len(runs))], [str(i) for i in range(len(others))]
    return [], []


def _arms(runs: dict[str, dict[str, Run]]) -> Mapping[str, Arm]:
    """Figures for the statistics, by label and seed: per image where all runs have them, else means of a data set."""
    every = [run for members in runs.values() for run in members.values()]
    names = {(dataset, metric): None for run in every for dataset, found in run.validation.items() for metric in found}
    arms: dict[str, dict[str, dict[str, dict[str, Mapping[str, float]]]]] = {
        label: defaultdict(lambda: defaultdict(dict)) for label in runs
    }
    for dataset, metric in names:
        by_image = all(metric in run.figures.get(dataset, {}) for run in every)
        for label, members in runs.items():
            for seed, run in members.items():
                if by_image:
                    arms[label][dataset][metric][seed] = run.figures[dataset][metric]
                elif series := run.validation.get(dataset, {}).get(metric):
                    arms[label][dataset][metric][seed] = {'mean': series[-1][1]}
    return arms


def _ends(runs: list[Run]) -> list[int]:
    return sorted({series[-1][0] for run in runs for metrics in run.validation.values() for series in metrics.values()})


def _numbers(values: list[int]) -> str:
    return ' to '.join(f'{value:,}' for value in dict.fromkeys((values[0], values[-1])))


def _seeds(runs: list[Run]) -> str:
    return ', '.join(run.seed or 'unknown' for run in runs)
