"""Steps that are not finite: left out, counted, named, and the end of a run that makes only such."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Adam, AdamW, Optimizer

from mclir_basicsr import ranks
from mclir_basicsr.errors import MclirError

logger = logging.getLogger('basicsr')

# Fused, these leave a step out where found_inf says so. SGD does not quite: where the very first step is bad, its
# momentum stays memory that nothing was written to (torch 2.15).
HEEDING = (Adam, AdamW)


class Guard:
    """Judges steps by their loss terms and the norm of their gradient, alike on every rank.

    The terms count too: the gradient of an L1 loss is finite where the loss is not. Batch statistics, which a forward
    pass moves, go back to what they were before a bad step.

    With fused Adam or AdamW on a GPU the host is not asked: the optimizer itself leaves a bad step out, as it does for
    torch.amp, and the counts stay on the device until :meth:`report`. Otherwise the host knows at once.

    Args:
        net: The network that is trained.
        optimizer: Whose steps are judged.
        limit: So many bad steps in a row end the run.
        scaled: The optimizer's step is torch.amp.GradScaler's, which heeds its own judgement only: the host is asked.

    >>> net = nn.Conv2d(3, 3, 3)
    >>> guard = Guard(net, torch.optim.SGD(net.parameters(), lr=0.1), limit=20)
    >>> for loss in (0.1, float('nan')):
    ...     guard.begin()
    ...     guard.note({'l_pix': torch.tensor(loss)})
    ...     bool(guard.judge(norm=torch.tensor(1.0)))
    True
    False
    >>> guard.state_dict()
    {'in_a_row': 1, 'in_all': 1}
    """

    def __init__(self, net: nn.Module, optimizer: Optimizer, limit: int, *, scaled: bool = False) -> None:
        device = optimizer.param_groups[0]['params'][0].device
        self.limit = limit
        self._optimizer = optimizer
        self._scaled = scaled
        self._counts = torch.zeros(2, dtype=torch.long, device=device)  # in a row, and in all
        self._finite: dict[str, Tensor] = {}  # terms of this step
        self._finite_then: dict[str, Tensor] = {}  # terms of the last bad step
        self._told = 0
        norms = [module for module in net.modules() if isinstance(module, _NormBase)]
        self._statistics = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
        self._statistics_before: list[Tensor] = []

    @property
    def on_device(self) -> bool:
        """Whether the optimizer leaves bad steps out itself; a loaded state may change what it is."""
        heeds = isinstance(self._optimizer, HEEDING) and self._optimizer.param_groups[0]['fused']
        return bool(heeds) and self._counts.is_cuda and not self._scaled

    def begin(self) -> None:
        """A step begins: of its batches, none has passed through the network yet."""
        self._statistics_before = [buffer.clone() for buffer in self._statistics]

    @torch.no_grad()
    def note(self, terms: Mapping[str, Tensor]) -> None:
        """Take the loss terms of a batch down; of several, where they make one step."""
        for name, value in terms.items():
            self._finite[name] = value.isfinite().all() & self._finite.get(name, True)

    @torch.no_grad()
    def judge(self, norm: Tensor) -> Tensor:
        """Whether the step is to be made (0-d, bool), by what was noted and the norm of the gradient."""
        # No `if` on a tensor here: it would wait for the GPU. Truth values enter the arithmetic as 0 and 1 instead.
        good = ranks.all_true(torch.stack([norm.isfinite(), *self._finite.values()]).all())
        row, total = self._counts.unbind()
        self._counts = torch.stack([(row + 1) * ~good, total + ~good])
        before = self._finite_then
        self._finite_then = {n: torch.where(good, before.get(n, value), value) for n, value in self._finite.items()}
        self._finite = {}
        # The forward pass of a bad batch has moved the batch statistics already.
        for now, then in zip(self._statistics, self._statistics_before, strict=True):
            now.copy_(torch.where(good, now, then))
        # A fused optimizer reads this flag of torch.amp's on the device, and leaves parameters and averages alone.
        if self.on_device:
            self._optimizer.found_inf = (~good).float()  # type: ignore[attr-defined]
        return good

    def report(self, iteration: int, hints: Callable[[], str]) -> int:
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
            names = [name for name, finite in self._finite_then.items() if not finite]
            what = f'{", ".join(names)} not finite' if names else 'not finite: the gradient, or another rank'
            new = total - self._told
            logger.warning(
                'Iteration %d: %d step(s) left out (%s); %d in a row, %d in all.', iteration, new, what, row, total
            )
            self._told = total
        if row >= self.limit:
            raise MclirError(
                f'Iteration {iteration}: {row} steps in a row had no finite gradient (train.max_bad_steps). {hints()}'
            )
        return total

    def state_dict(self) -> dict[str, Any]:
        """The counts, as plain types."""
        row, total = self._counts.tolist()
        return {'in_a_row': row, 'in_all': total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self._counts = torch.tensor([state['in_a_row'], state['in_all']]).to(self._counts)
        self._told = state['in_all']
