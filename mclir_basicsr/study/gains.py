"""Figures of two arms paired by seed and image."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mclir_basicsr.study.statistics import LEVEL, Interval, interval

Figures = Mapping[str, Mapping[str, float]]
"""One metric on one data set: for each seed, the value of each image (or one value, the mean, under any name)."""

Arm = Mapping[str, Mapping[str, Figures]]
"""What the runs of one arm brought: for each data set and metric, its figures."""


@dataclass(frozen=True)
class Gain:
    """What an arm has over the baseline, in one metric on one data set.

    Attributes:
        arm: Name of the arm.
        dataset: Name of the data set.
        metric: Name of the metric; the gain is in its unit, and below zero where the arm's figure is the smaller one.
        interval: The mean gain and where it lies.
        differences: (S, I): figure of the arm minus figure of the baseline, for each seed and image.
        alpha: How often the interval may miss.
        left_out: What has no partner, or a figure that is not finite, one sentence each.
    """

    arm: str
    dataset: str
    metric: str
    interval: Interval
    differences: np.ndarray
    alpha: float
    left_out: tuple[str, ...] = ()


def gains(arms: Mapping[str, Arm], alpha: float = 1 - LEVEL) -> list[Gain]:
    """The gain of each arm over the first one, in each metric on each data set that both have.

    Args:
        arms: The arms by name, the baseline first. Its order of seeds and images does not matter.
        alpha: How often each interval may miss, in (0, 1); :meth:`~mclir_basicsr.study.looks.Looks.alpha` where the
            study may stop after this look.
    """
    names = list(arms)
    baseline = arms[names[0]] if names else {}
    found = []
    for name in names[1:]:
        for dataset, metrics in baseline.items():
            for metric, figures in metrics.items():
                others = arms[name].get(dataset, {}).get(metric, {})
                differences, left_out = pair(figures, others)
                if differences.size:
                    value = interval(differences, alpha)
                    found.append(Gain(name, dataset, metric, value, differences, alpha, tuple(left_out)))
    return found


def pair(baseline: Figures, others: Figures) -> tuple[np.ndarray, list[str]]:
    """Differences over the seeds that both have and the images that all of their runs have.

    Args:
        baseline: Figures that are subtracted.
        others: Figures from which they are subtracted.

    Returns:
        (S, I), empty where nothing is paired; and what was left out, one sentence each.
    """
    seeds = [seed for seed in baseline if seed in others]
    left_out = [f'Seed {seed}: only one of the two has it.' for seed in sorted(set(baseline) ^ set(others))]
    images: dict[str, list[float]] = {}
    for image in sorted({image for seed in seeds for side in (baseline, others) for image in side[seed]}):
        pairs = [(baseline[seed].get(image), others[seed].get(image)) for seed in seeds]
        whole = [b - a for a, b in pairs if a is not None and b is not None]
        if len(whole) < len(seeds):
            left_out.append(f'Image {image}: {len(seeds) - len(whole)} of {len(seeds)} pairs of runs lack it.')
        elif not all(map(math.isfinite, whole)):
            left_out.append(f'Image {image}: a figure is not finite.')
        else:
            images[image] = whole
    return np.array(list(images.values()), dtype=np.float64).reshape(len(images), len(seeds)).T, left_out
