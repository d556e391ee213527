"""Whether a change helps, by how much, and whether that is chance: gains over seeds and images, with intervals."""

from mclir_basicsr.study.gains import Gain, gains, pair
from mclir_basicsr.study.looks import Looks
from mclir_basicsr.study.statistics import Interval, interval, seeds_needed
from mclir_basicsr.study.verdict import sentence, settled

__all__ = ['Gain', 'Interval', 'Looks', 'gains', 'interval', 'pair', 'seeds_needed', 'sentence', 'settled']
