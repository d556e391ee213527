"""λ that keeps the SPN gradient at a wanted share of the reconstruction's."""

import math

from mclir_basicsr.models.lazy import Lazy

_SHARE = 0.2  # of a new measurement in the mean
_STEP = 2.0  # a measurement counts as this factor of change at most
_EVERY = 50  # iterations between measurements, each of which waits for the GPU


class Balance:
    """λ from a mean over measurements of ``spn_ratio / λ``, which varies with the features, the task and the training.

    The mean is geometric. The first measurement counts whole.

    Args:
        ratio: The wanted ``spn_ratio``.
        weight: λ until the first measurement.

    Attributes:
        weight: λ.

    >>> balance = Balance(ratio=0.05, weight=1e-3)
    >>> balance.measured(0.01)  # five times λ is needed
    >>> round(balance.weight, 6)
    0.005
    """

    def __init__(self, ratio: float, weight: float) -> None:
        self.ratio, self.weight = ratio, weight
        self._mean: float | None = None

    def is_due(self, iteration: int, lazy: Lazy) -> bool:
        """Whether this iteration, at which the term acts, is to measure."""
        return self._mean is None or lazy.has_multiple(iteration, _EVERY)

    def measured(self, ratio: float) -> None:
        """Change λ after a measurement of ``spn_ratio``, the mean over ranks.

        One that tells nothing (negatives that equal the network, a loss of 0) changes nothing.
        """
        per_weight = ratio / self.weight
        if not (math.isfinite(per_weight) and per_weight > 0):
            return
        if self._mean is None:
            self._mean = per_weight
        else:
            change = min(max(per_weight / self._mean, 1 / _STEP), _STEP)
            self._mean *= change**_SHARE
        self.weight = self.ratio / self._mean

    def state_dict(self) -> dict[str, float | None]:
        """What a resumed run needs."""
        return {'mean': self._mean, 'weight': self.weight}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from there."""
        # Python's whole numbers may be larger than torch takes.
        self._mean, self.weight = None if state['mean'] is None else float(state['mean']), float(state['weight'])
