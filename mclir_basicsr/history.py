"""The negative models: copies of a network as it was, refreshed from it now and then."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mclir_basicsr import copies, ranks
from mclir_basicsr.averages import move
from mclir_basicsr.errors import MclirError

logger = logging.getLogger('basicsr')

_START = 2  # first word of the keys of random starts; those of steps and samples have 0 and 1

PRECISIONS = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


class ModelHistory(nn.Module):
    """K negative models of a network: ``history(lq)`` is what they make of the same input.

    Each starts as ``start * random + (1 - start) * net`` with a random initialisation of its own, and is refreshed
    by ``negative <- decay * negative + (1 - decay) * net``: the periodic policy does so after every ``interval``
    iterations (:meth:`refresh`), the adaptive one for the next negative in turn whenever the residual spreads wide
    (:meth:`refresh_adaptive`). Floating-point buffers move along, others are copied.

    Source: Wu et al., AAAI 2024, arXiv 2309.06023 (latency models); the adaptive policy and its figures are those of
    the reference implementation. Works in any PyTorch loop; under torch.distributed every rank holds the same
    negatives, whatever its seed. ``state_dict`` carries everything that a resumed run needs.

    Args:
        net: The network, bare (not wrapped for data parallelism), already with the weights to start from.
        interval: Iterations between refreshes, one negative each (periodic policy); None for the adaptive policy.
        negatives: How many negatives the adaptive policy keeps; None for the periodic policy.
        threshold: Adaptive policy: refresh when :func:`residual_spread` is above this.
        decay: Share of itself that a negative keeps at a refresh, in [0, 1]; a number or one per negative.
        start: Share of random initialisation at the start, in [0, 1].
        fresh: Makes a newly initialised network like net, on the CPU; needed when start is above 0.
        seed: Seed of the random initialisations; drawing them leaves the global generators as they were.
        per_step: How many negatives a call evaluates, in turn; None for all.
        precision: Of the negatives' forward pass. ``bf16`` and ``fp16``: autocast, on copies whose convolutions and
            linear layers are stored so; ``negatives`` and ``state_dict`` stay as precise as net, so that small
            refreshes are not rounded away.

    Raises:
        MclirError: Values outside these ranges, or lists whose length is not the number of negatives.

    >>> net = nn.Conv2d(3, 3, 3, padding=1)
    >>> history = ModelHistory(net, interval=[2, 3], start=0)
    >>> history(torch.rand(1, 3, 8, 8)).shape
    torch.Size([2, 1, 3, 8, 8])
    >>> for iteration in range(1, 7):  # each behind its optimizer step
    ...     history.refresh(net, iteration)
    >>> history.refreshes
    [3, 2]
    """

    def __init__(
        self,
        net: nn.Module,
        interval: Sequence[int] | None = (100, 200, 500, 1000),
        *,
        negatives: int | None = None,
        threshold: float = 0.022,
        decay: float | Sequence[float] = 0.1,
        start: float = 0.1,
        fresh: Callable[[], nn.Module] | None = None,
        seed: int = 0,
        per_step: int | None = None,
        precision: str = 'fp32',
    ) -> None:
        super().__init__()
        if (interval is None) == (negatives is None):
            raise MclirError(
                'Give interval (periodic policy) or negatives with interval=None (adaptive policy), '
                f'but interval is {interval} and negatives is {negatives}.'
            )
        count = len(interval) if interval is not None else negatives
        if not count or count < 1 or any(i < 1 for i in interval or ()):
            raise MclirError(
                f'There must be at least one negative and intervals of 1 or more, but got {interval or count}.'
            )
        if per_step is not None and not 1 <= per_step <= count:
            raise MclirError(f'per_step must be in [1, {count}], the number of negatives, but is {per_step}.')
        if precision not in PRECISIONS:
            raise MclirError(f'precision must be one of {", ".join(PRECISIONS)}, but is {precision!r}.')
        if not 0 <= start <= 1:
            raise MclirError(f'start must be in [0, 1], but is {start}.')
        if start > 0 and fresh is None:
            raise MclirError(f'start is {start}: give fresh, a function that makes a newly initialised network.')
        self.interval = None if interval is None else tuple(interval)
        self.decay = per_negative('decay', decay, count)
        self.threshold = threshold
        self.per_step = per_step
        self.precision = precision
        self.refreshes = [0] * count  # so far, by negative
        self._next_forward = 0  # the negative that comes first in the next call (per_step)
        self._next_refresh = 0  # the negative that the adaptive policy refreshes next
        self._refreshed_at = 0  # the last iteration at which the periodic policy refreshed
        self.negatives = nn.ModuleList(_start(net, start, fresh, (_START, seed, k)) for k in range(count))
        self.requires_grad_(False).eval()
        self._evaluated = [copies.stored_in(PRECISIONS[precision], negative) for negative in self.negatives]
        self.register_load_state_dict_post_hook(_update_all)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> 'ModelHistory':
        """What ``to``, ``cuda`` and the like call: take the copies of lower precision along."""
        super()._apply(fn, recurse)
        for negative, copy in zip(self.negatives, self._evaluated, strict=True):
            if copy is not negative:
                copy._apply(fn, recurse)
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the negatives' forward passes, with the arguments of ``torch.compile``; keys stay as they are."""
        for copy in self._evaluated:
            copy.compile(*args, **kwargs)

    def train(self, mode: bool = True) -> 'ModelHistory':
        """Stay in eval mode: negatives restore, they do not learn."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, lq: Tensor) -> Tensor:
        """Restore lq (N, C, h, w) with the negatives: (K, N, C', H, W) without a graph, in ``precision``.

        With ``per_step`` n it is (n, N, C', H, W), and the next call goes on with the negatives that follow.
        """
        chosen = self._evaluated
        if self.per_step is not None:
            chosen = [chosen[(self._next_forward + i) % len(chosen)] for i in range(self.per_step)]
            self._next_forward = (self._next_forward + self.per_step) % len(self.negatives)
        dtype = PRECISIONS[self.precision]
        with torch.autocast(lq.device.type, dtype, enabled=dtype is not None):
            return torch.stack([negative(lq).to(dtype or lq.dtype) for negative in chosen])  # (n, N, C', H, W)

    def is_due(self, iteration: int) -> bool:
        """Whether :meth:`refresh` at this iteration, counted from 1, refreshes anything."""
        return iteration > 0 and any(iteration % interval == 0 for interval in self.interval or ())

    def refresh(self, net: nn.Module, iteration: int) -> None:
        """Periodic policy: refresh the negatives that are due; call it after the optimizer step of every iteration.

        A second call at the same iteration changes nothing, with a warning: it would halve the interval.

        Args:
            net: The bare network as it is now.
            iteration: Iterations done, counted from 1.

        Raises:
            MclirError: The iteration is below 1, or net is no longer of the architecture of the negatives.
        """
        if iteration < 1:
            raise MclirError(
                f'refresh was called at iteration {iteration}, but iterations are counted from 1, when the first '
                'optimizer step is done: every negative would be refreshed at 0. Pass iteration + 1.'
            )
        if not self.is_due(iteration):
            return
        if iteration == self._refreshed_at:
            logger.warning('refresh was called again at iteration %d: nothing is refreshed twice.', iteration)
            return
        self._refreshed_at = iteration
        for k, interval in enumerate(self.interval or ()):
            if iteration % interval == 0:
                self._refresh_one(k, net)

    def refresh_adaptive(self, net: nn.Module, output: Tensor, gt: Tensor) -> None:
        """Adaptive policy: refresh the next negative if the residual spreads wide; call it before the optimizer step.

        The mean over ranks decides, so that all decide alike. It is read on the host: one synchronisation a step.

        Args:
            net: The bare network that made output.
            output: (N, C, H, W) of this step.
            gt: The same shape.
        """
        if self.interval is not None:
            return
        if ranks.mean(residual_spread(output, gt)) > self.threshold:
            self._refresh_one(self._next_refresh, net)
            self._next_refresh = (self._next_refresh + 1) % len(self.negatives)

    def _refresh_one(self, k: int, net: nn.Module) -> None:
        negative = self.negatives[k]
        move(negative, net, self.decay[k], ranks.of_first)  # each rank's batch statistics come from batches of its own
        self._update_evaluated(k)
        self.refreshes[k] += 1

    def _update_evaluated(self, k: int) -> None:
        if self._evaluated[k] is not self.negatives[k]:
            copies.update(self._evaluated[k], self.negatives[k])

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As every module does, with buffers that a forward pass made or resized before the state was saved."""
        return super().load_state_dict(copies.fitted(self, state_dict, 'the history'), strict, assign)

    def get_extra_state(self) -> dict[str, Any]:
        """Counters that travel in ``state_dict``, as plain types."""
        return {
            'refreshes': list(self.refreshes),
            'next_forward': self._next_forward,
            'next_refresh': self._next_refresh,
            'refreshed_at': self._refreshed_at,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the counters of a loaded ``state_dict``."""
        self.refreshes = list(state['refreshes'])
        self._next_forward, self._next_refresh = state['next_forward'], state['next_refresh']
        self._refreshed_at = state.get('refreshed_at', 0)  # older states lack it


def per_negative(name: str, value: float | Sequence[float], count: int) -> tuple[float, ...]:
    """One share in [0, 1] per negative, from a number or a list of that length.

    Raises:
        MclirError: Another length, or a value outside [0, 1].
    """
    shares = tuple(value) if isinstance(value, Sequence) else (value,) * count
    if len(shares) != count:
        raise MclirError(f'{name} has {len(shares)} values for {count} negatives; give one number or {count}.')
    if not all(0 <= share <= 1 for share in shares):
        raise MclirError(f'{name} must be in [0, 1], but is {value}.')
    return shares


def residual_spread(output: Tensor, gt: Tensor) -> Tensor:
    """Mean over the batch of the (unbiased) standard deviation over (C, H, W) of ``2 * (output - gt)``; 0-d."""
    return (2 * (output.detach().float() - gt)).flatten(1).std(1).mean()


def _start(net: nn.Module, share: float, fresh: Callable[[], nn.Module] | None, seed: Sequence[int]) -> nn.Module:
    """A negative model as it starts, the same on every rank."""
    negative = copies.mixed(net, share, fresh, seed)
    for tensor in (*negative.parameters(), *negative.buffers()):
        tensor.data.copy_(ranks.of_first(tensor.data))
    return negative


def _update_all(history: ModelHistory, _: Any) -> None:
    for k in range(len(history.negatives)):
        history._update_evaluated(k)
