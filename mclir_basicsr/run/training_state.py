"""What a training state must hold, compared before anything of it is loaded.

PyTorch loads nearly any dict into an optimizer or a schedule. A state that is damaged, or of another run, then fails
somewhere in a later step, or trains on with an optimizer or a schedule that is half of the one and half of the other.
So each state is compared twice: its form by itself, then its content with the optimizers, schedules and negatives of
the run that is to go on with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.optim import Optimizer

from mclir_basicsr.run.optimizer_state import as_many, of_optimizer, of_schedule, shown

Count = Annotated[int, Field(ge=0, lt=2**53)]
Positive = Annotated[float, Field(gt=0, lt=1e300, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _OptimizerForm(_Part):
    state: dict[int, dict[str, Any]]
    param_groups: Annotated[list[dict[str, Any]], Field(min_length=1)]


class _GuardForm(_Part):
    in_a_row: Count
    in_all: Count


class _BalanceForm(_Part):
    mean: Positive | None
    weight: Positive


class _CurriculumForm(_Part):
    psnr_sums: list[float]
    batches: Count
    best_psnr: Annotated[float, Field(allow_inf_nan=False)]
    window_sum: float
    window: Count


class _CountersForm(_Part):
    refreshes: list[Count]
    next_forward: Count
    next_refresh: Count
    refreshed_at: Count = 0


class _StateForm(_Part):
    """What HistoryModel saves; plain BasicSR's states end with schedulers."""

    iter: Annotated[int, Field(ge=1, lt=2**53)]
    epoch: Count
    optimizers: list[_OptimizerForm]
    schedulers: list[dict[str, Any]]
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    scaler: dict[str, Positive | Count] = {}
    guard: _GuardForm | None = None
    guard_d: _GuardForm | None = None
    frozen: list[str] = []
    balance: _BalanceForm | None = None
    curriculum: _CurriculumForm | None = None
    history: dict[str, Any] = {}


@dataclass(frozen=True)
class Expected:
    """What the run that is to go on is made of, as its option file makes it.

    Attributes:
        optimizers: Its optimizers.
        schedulers: Its schedules; None where those of the state will not be loaded.
        net: The network of which the negatives are copies, bare.
        negatives: How many; 0 without a history.
    """

    optimizers: Sequence[Optimizer]
    schedulers: Sequence[Any] | None
    net: nn.Module
    negatives: int


def faults(state: Any, expected: Expected | None = None) -> Iterator[str]:
    """Name every entry of a state that cannot be used.

    Args:
        state: What the file holds.
        expected: What the run is made of; None where that is not known, so that only the form is compared.

    Yields:
        The path of an entry, e.g. ``optimizers.0.state.3.exp_avg``, and what is wrong with it.
    """
    if not isinstance(state, dict):
        yield f'it is {type(state).__name__}, no training state'
        return
    misformed = list(_misformed(_StateForm, state))
    yield from misformed
    if misformed or expected is None:
        return
    yield from as_many('optimizers', state['optimizers'], expected.optimizers)
    for i, (held, optimizer) in enumerate(zip(state['optimizers'], expected.optimizers, strict=False)):
        yield from of_optimizer(f'optimizers.{i}', held, optimizer, expected.schedulers is None)
    if expected.schedulers is not None:
        yield from as_many('schedulers', state['schedulers'], expected.schedulers)
        for i, (held, schedule) in enumerate(zip(state['schedulers'], expected.schedulers, strict=False)):
            yield from of_schedule(f'schedulers.{i}', held, schedule.state_dict())
    if expected.negatives and 'history' in state:
        yield from _of_history(state['history'], expected.net, expected.negatives)


def _misformed(form: type[BaseModel], value: Any, path: str = '') -> Iterator[str]:
    try:
        form.model_validate(value)
    except ValidationError as error:
        for fault in error.errors():
            where = '.'.join(map(str, fault['loc']))
            seen = '' if fault['type'] == 'missing' else f', but it is {shown(fault["input"])}'
            yield f'{path}{where}: {fault["msg"]}{seen}'


def _of_history(held: dict[str, Any], net: nn.Module, negatives: int) -> Iterator[str]:
    numbers = {key.split('.')[1] for key in held if key.startswith('negatives.')}
    if len(numbers) != negatives:
        yield f'history: it holds {len(numbers)} negatives, but this run has {negatives} (train.history)'
        return
    parameters = dict(net.named_parameters())
    for name, value in net.state_dict().items():
        for k in range(negatives if isinstance(value, Tensor) else 0):
            key = f'negatives.{k}.{name}'
            if not isinstance(held.get(key), Tensor):
                yield f'history.{key}: it must be a tensor, but it is {shown(held.get(key))}'
            elif name in parameters and held[key].shape != value.shape:  # buffers may follow the size of an image
                yield f'history.{key}: it must be a tensor of {list(value.shape)}, but it is {shown(held[key])}'
    counters = held.get('_extra_state')
    misformed = list(_misformed(_CountersForm, counters, 'history._extra_state.'))
    yield from misformed
    if not misformed:
        yield from _of_counters(counters, negatives)  # type: ignore[arg-type]


def _of_counters(counters: dict[str, Any], negatives: int) -> Iterator[str]:
    if len(counters['refreshes']) != negatives:
        yield f'history._extra_state.refreshes: there are {len(counters["refreshes"])} for {negatives} negatives'
    for name in ('next_forward', 'next_refresh'):
        if counters[name] >= negatives:
            yield f'history._extra_state.{name}: it must be below {negatives}, but it is {counters[name]}'
