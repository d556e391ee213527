"""What a gain and its interval say, in one sentence."""

import math

from mclir_basicsr.metrics.directions import Direction
from mclir_basicsr.study.gains import Gain
from mclir_basicsr.study.statistics import narrowest, seeds_needed


def settled(gain: Gain, width: float | None = None) -> bool:
    """Whether more seeds would be in vain: the interval is as narrow as asked for, or (unasked) without zero.

    Args:
        gain: What was found.
        width: Half of the width asked for, > 0, in the unit of the metric.
    """
    half = gain.interval.half_width
    return half <= width if width is not None else gain.interval.decided or half == 0


def word(gain: Gain, better: Direction | None, width: float | None = None) -> str:
    """The verdict in a word or two, e.g. "better".

    Args:
        gain: What was found.
        better: Which values of the metric are the better ones; None where that is not known.
        width: As for :func:`settled`.
    """
    found = gain.interval
    if found.seeds == 1:
        return 'one seed'
    if found.decided:
        side: Direction = 'higher' if found.gain > 0 else 'lower'
        return side if better is None else 'better' if side == better else 'worse'
    return 'no difference seen' if settled(gain, width) else 'not settled'


def sentence(gain: Gain, width: float | None = None) -> str:
    """The verdict, e.g. "+0.041 dB on Set14, 95 % 0.012 to 0.068, 5 seeds".

    Where it is not settled, the sentence says what would settle it: more seeds, or more images where the seeds are
    not what leaves it open.

    Args:
        gain: What was found.
        width: As for :func:`settled`. Without one, the seeds are counted at which the interval would reach from the
            gain to zero (but for a gain that is small beside its interval: a quarter of its present width).
    """
    found = gain.interval
    seeds = f'{found.seeds} seed{"s" if found.seeds > 1 else ""}'
    where = f'{_unit(gain.metric)} on {gain.dataset}'
    if not math.isfinite(found.half_width):
        return f'{found.gain:+.4f}{where}, {seeds}; not settled: one seed says nothing about chance.'
    places = decimals(found.half_width)
    value = f'{found.gain:+.{places}f}{where}, 95 % {found.low:.{places}f} to {found.high:.{places}f}, {seeds}'
    return f'{value}.' if settled(gain, width) else f'{value}; not settled: {_remedy(gain, width)}.'


def decimals(half: float) -> int:
    """Decimal places that show two digits of half an interval, from 2 to 6."""
    return 4 if half == 0 else min(max(1 - math.floor(math.log10(half)), 2), 6)


def _remedy(gain: Gain, width: float | None) -> str:
    goal = width if width is not None else _one_digit(max(abs(gain.interval.gain), gain.interval.half_width / 4))
    needed = seeds_needed(gain.differences, goal, gain.alpha)
    if needed is not None:
        return f'about {needed:,} seeds would be needed for ±{_plain(goal)}'
    least = narrowest(gain.differences, gain.alpha)
    open_ = f'these {gain.interval.images} leave ±{least:.{decimals(least)}f} open at any number of seeds'
    return f'for ±{_plain(goal)} it takes more images; {open_}'


def _one_digit(value: float) -> float:
    """Rounded down to one digit, e.g. 0.0136 to 0.01."""
    place = 10.0 ** math.floor(math.log10(value))
    return float(f'{math.floor(value / place) * place:.0e}')


def _plain(value: float) -> str:
    """Without an exponent and without zeros at the end."""
    return f'{value:.8f}'.rstrip('0').rstrip('.')


def _unit(metric: str) -> str:
    return ' dB' if 'psnr' in metric.lower() else f' {metric}'
