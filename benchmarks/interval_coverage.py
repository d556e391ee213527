"""How often the intervals of a study cover the true gain, over simulated studies: ``python interval_coverage.py``.

Effects are of the sizes seen in short trainings: standard deviation of the gain between seeds 0.01 to 0.03 dB, between
images 0.02 to 0.1 dB, of the rest 0.01 to 0.03 dB. The gain that an interval should cover is that over all seeds and
all images. Prints three tables: one look at the end, beside the bootstrap of seeds and images; looks after each seed
with different rules for stopping; and effects that are absent or not normal. About a minute and a half on one core.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np

from mclir_basicsr.study import Looks
from mclir_basicsr.study.statistics import half_width

SEEDS, IMAGES = (3, 5, 10), (5, 14, 100)
EFFECTS = list(itertools.product((0.01, 0.02, 0.03), (0.02, 0.05, 0.1), (0.01, 0.03)))  # of seeds, images, the rest
ODD = {'no seed effect': (0.0, 0.05, 0.02), 'no image effect': (0.02, 0.0, 0.02), 'rest alone': (0.0, 0.0, 0.02)}

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
DRAWS: dict[str, Draw] = {
    'skewed image effects (exponential)': lambda rng, shape: rng.exponential(size=shape) - 1,
    'heavy tails (t, 4)': lambda rng, shape: rng.standard_t(4, shape) / 2**0.5,
}


def studies(
    rng: np.random.Generator,
    count: int,
    seeds: int,
    images: int,
    effects: tuple[float, float, float],
    draw: Draw = np.random.Generator.standard_normal,
) -> np.ndarray:
    """Differences (count, seeds, images) of studies whose true gain is 0."""
    of_seeds, of_images, rest = effects
    return (
        of_seeds * rng.standard_normal((count, seeds, 1))
        + of_images * draw(rng, (count, 1, images))
        + rest * rng.standard_normal((count, seeds, images))
    )


def batches(count: int, seeds: int, images: int) -> Iterator[int]:
    """Numbers of studies that fit a few tens of megabytes and add up to count."""
    most = max(1, 2_000_000 // (seeds * images))
    while count:
        yield min(most, count)
        count -= min(most, count)


def coverage(rng: np.random.Generator, count: int, seeds: int, images: int, *what: object) -> float:
    """Share of the studies whose interval, looked at once, holds 0."""
    hit = 0
    for size in batches(count, seeds, images):
        found = studies(rng, size, seeds, images, *what)  # type: ignore[arg-type]
        hit += int((np.abs(found.mean((1, 2))) <= half_width(found)).sum())
    return hit / count


def bootstrap(rng: np.random.Generator, count: int, seeds: int, images: int, effects: tuple[float, ...]) -> float:
    """The same of the percentile bootstrap that draws seeds and images together (Owen 2007), 400 resamples."""
    hit = 0
    for _ in range(count):
        found = studies(rng, 1, seeds, images, effects)[0]  # type: ignore[arg-type]
        rows = rng.multinomial(seeds, [1 / seeds] * seeds, 400) / seeds
        columns = rng.multinomial(images, [1 / images] * images, 400) / images
        low, high = np.percentile(((rows @ found) * columns).sum(1), (2.5, 97.5))
        hit += int(low <= 0 <= high)
    return hit / count


def looked(
    rng: np.random.Generator, count: int, plan: Looks, images: int, effects: tuple[float, float, float]
) -> dict[str, float]:
    """Coverage where the study stops at the first interval without zero, or at one that is narrow enough.

    The first is the coverage of all intervals together, so no rule for stopping has a lower one.
    """
    misses, widths, naive = [], [], []
    for size in batches(count, plan.last, images):
        found = studies(rng, size, plan.last, images, effects)
        looks = range(plan.first, plan.last + 1)
        gains = np.array([np.abs(found[:, :n].mean((1, 2))) for n in looks])
        widths.append(np.array([half_width(found[:, :n], plan.alpha(n)) for n in looks]))
        misses.append(gains > widths[-1])
        naive.append((gains > np.array([half_width(found[:, :n]) for n in looks])).any(0))
    missed, half = (np.concatenate(parts, axis=1) for parts in (misses, widths))
    result = {'sign': 1 - stopped(missed, missed)}  # zero is the true gain: without zero is a miss
    for quantile in (0.2, 0.5, 0.8):  # of the widths that occur, as the width asked for
        result[f'width q{quantile:g}'] = 1 - stopped(half <= np.quantile(half, quantile), missed)
    result['sign, 5 % at each look'] = 1 - np.concatenate(naive).mean()
    return result


def stopped(stop: np.ndarray, missed: np.ndarray) -> float:
    """Share of studies that miss at the first look where they stop, or at the last."""
    at = np.where(stop.any(0), stop.argmax(0), len(stop) - 1)
    return float(missed[at, np.arange(missed.shape[1])].mean())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--count', type=int, default=15000, help='studies for each row')
    count, began = parser.parse_args().count, time.monotonic()
    rng = np.random.default_rng(20240229)
    print(
        f'{count} studies a setting; the standard error of a coverage of 95 % is {100 * (0.0475 / count) ** 0.5:.2f} %'
    )

    print('\nOne look: lowest, mean and highest coverage in % over 18 sizes of effects; bootstrap at one of them')
    for seeds, images in itertools.product(SEEDS, IMAGES):
        shares = 100 * np.array([coverage(rng, count, seeds, images, effects) for effects in EFFECTS])
        boot = 100 * bootstrap(rng, count // 8, seeds, images, (0.03, 0.02, 0.01))
        print(
            f'{seeds:3} seeds {images:4} images: {shares.min():6.2f} {shares.mean():6.2f} {shares.max():6.2f}'
            f'   bootstrap {boot:5.1f}'
        )

    print('\nLooks after each seed, 3 to 10: coverage in % where the study stops by a rule')
    for images, effects in itertools.product(IMAGES, itertools.product((0.01, 0.03), (0.02, 0.1), (0.01, 0.03))):
        found = looked(rng, count // 2, Looks(3, 10), images, effects)
        print(f'{images:4} images {effects}:', '  '.join(f'{name} {100 * value:.1f}' for name, value in found.items()))

    print('\nOutside the model, one look: coverage in %')
    for seeds, images in itertools.product(SEEDS, IMAGES):
        cells = [f'{name} {100 * coverage(rng, count, seeds, images, odd):.1f}' for name, odd in ODD.items()]
        skewed = coverage(rng, count, seeds, images, (0.02, 0.05, 0.02), lambda r, shape: r.exponential(size=shape) - 1)
        heavy = coverage(
            rng, count, seeds, images, (0.02, 0.05, 0.02), lambda r, shape: r.standard_t(4, shape) / 2**0.5
        )
        cells += [f'skewed image effects {100 * skewed:.1f}', f'heavy tails {100 * heavy:.1f}']
        print(f'{seeds:3} seeds {images:4} images:', '  '.join(cells))
    print(f'\n{time.monotonic() - began:.0f} s')


if __name__ == '__main__':
    main()
