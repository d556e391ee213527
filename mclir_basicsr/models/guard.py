"""Steps whose gradient is not finite: left out, counted, named, and the end of a run that makes only such."""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from mclir_basicsr.errors import MclirError

logger = logging.getLogger('basicsr')


class Guard:
    """Judges steps by the norm of their gradient, which after the reduction over ranks is the same on every one.

    With a fused optimizer on a GPU the host is not asked: the optimizer itself leaves a bad step out, as it does for
    torch.amp, and the counts stay on the device until :meth:`report`. Otherwise the host knows at once.

    Args:
        optimizer: Whose steps are judged.
        limit: So many bad steps in a row end the run.
    """

    def __init__(self, optimizer: Optimizer, limit: int) -> None:
        group = optimizer.param_groups[0]
        device = group['params'][0].device
        self.limit = limit
        self.on_device = bool(group.get('fused')) and device.type == 'cuda'
        self._optimizer = optimizer
        self._counts = torch.zeros(2, dtype=torch.long, device=device)  # in a row, and in all
        self._names: tuple[str, ...] = ()
        self._not_finite = torch.zeros(0, dtype=torch.bool, device=device)  # of the terms of the last bad step
        self._told = 0

    @torch.no_grad()
    def judge(self, norm: Tensor, terms: Mapping[str, Tensor]) -> Tensor:
        """Take a step's gradient norm and loss terms down; returns whether the step is to be made (0-d, bool)."""
        good = norm.isfinite()
        row, total = self._counts.unbind()
        self._counts = torch.stack([(row + 1) * ~good, total + ~good])
        not_finite = torch.stack([~term.isfinite().all() for term in terms.values()])
        if tuple(terms) != self._names:
            self._names, self._not_finite = tuple(terms), torch.zeros_like(not_finite)
        self._not_finite = torch.where(good, self._not_finite, not_finite)
        if self.on_device:
            self._optimizer.found_inf = (~good).float()  # type: ignore[attr-defined]
        return good

    def report(self, iteration: int, hints: str) -> int:
        """Warn of bad steps since the last report; reads from the device.

        Args:
            iteration: Of the last step.
            hints: What to tell where the run ends.

        Returns:
            Bad steps in all.

        Raises:
            MclirError: The last ``limit`` steps were bad.
        """
        row, total = self._counts.tolist()
        if total > self._told:
            names = [name for name, bad in zip(self._names, self._not_finite.tolist(), strict=True) if bad]
            what = f'{", ".join(names)} not finite' if names else 'terms finite, but not the gradient'
            new = total - self._told
            logger.warning(
                'Iteration %d: %d step(s) left out (%s); %d in a row, %d in all.', iteration, new, what, row, total
            )
            self._told = total
        if row >= self.limit:
            raise MclirError(
                f'Iteration {iteration}: {row} steps in a row had no finite gradient (train.max_bad_steps). {hints}'
            )
        return total
