"""What a study compares: arms and seeds of one option file."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import force, parse_file

WITHOUT_SPN = ('train:spn_opt=~', 'train:history=~')
# Entries of train.scheduler that count iterations.
_ITERATIONS_OF_SCHEDULES = (
    'milestones',
    'restarts',
    'periods',
    'T_max',
    'T_0',
    'step_size',
    'total_steps',
    'total_iters',
)


@dataclass(frozen=True)
class Arm:
    """One way of training that a study compares.

    Attributes:
        name: A word that can be part of a file name.
        changes: What it changes in the option file, each ``block:key=value`` as ``--force_yml`` takes it; the value
            ``~`` takes a key out.
        as_long_as: Train for as much time as this other arm takes: iterations and schedule are stretched.
    """

    name: str
    changes: tuple[str, ...] = ()
    as_long_as: str | None = None


DEFAULT_ARMS = (Arm('plain', WITHOUT_SPN), Arm('plain_time', WITHOUT_SPN, as_long_as='spn'), Arm('spn'))


@dataclass(frozen=True)
class Definition:
    """Arms and seeds.

    Attributes:
        options: The option file as parsed, a HistoryModel's.
        arms: The first is the baseline of all gains.
        imports: What every run imports first, as ``--import`` takes it.
    """

    options: Mapping[str, Any]
    arms: tuple[Arm, ...]
    imports: tuple[str, ...] = ()

    def run_options(self, arm: Arm, seed: int, time_ratios: Mapping[str, float]) -> dict[str, Any]:
        """The option file of one run.

        Args:
            arm: One of ``arms``.
            seed: Becomes ``manual_seed``: with it all arms start alike and see the same batches in the same order.
            time_ratios: By arm with ``as_long_as``: time of a step of that other arm over one of its own.

        Raises:
            MclirError: A change of the arm cannot be made.
        """
        opt = deepcopy(dict(self.options))
        for change in arm.changes:
            _apply(opt, arm.name, change)
        if arm.as_long_as is not None:
            stretch(opt['train'], time_ratios[arm.name])
        return opt | {'name': run_name(arm.name, seed), 'manual_seed': seed}


def as_yaml(opt: Mapping[str, Any]) -> str:
    """The text of an option file."""
    return yaml.safe_dump(dict(opt), sort_keys=False, allow_unicode=False)


def run_name(arm: str, seed: int) -> str:
    """Name of the experiment of one run.

    >>> run_name('spn', 3)
    'spn_s3'
    """
    return f'{arm}_s{seed}'


class _ArmEntry(BaseModel):
    model_config = ConfigDict(extra='forbid')
    changes: list[str] = []
    as_long_as: str | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra='forbid')
    option_file: Path
    seeds: Annotated[int, Field(ge=1)] | None = None
    arms: dict[str, list[str] | _ArmEntry] | None = None


def read_study_file(file: Path) -> tuple[Path, int | None, tuple[Arm, ...] | None]:
    """Read a ``study.yml``: ``option_file``, and optionally ``seeds`` and ``arms``.

    ``arms`` has for each name a list of changes, or ``{changes: [...], as_long_as: NAME}``.

    Returns:
        The option file (relative paths are those of the current folder, as everywhere), the number of seeds and the
        arms, None where they are not given.

    Raises:
        MclirError: It cannot be read, or has other keys or values.
    """
    try:
        given = _File.model_validate(parse_file(file))
    except ValidationError as error:
        fault = error.errors()[0]
        where = '.'.join(map(str, fault['loc'])) or 'the file'
        raise MclirError(f'{file}: {where}: {fault["msg"]}. A study has option_file, seeds and arms.') from error
    arms = None
    if given.arms is not None:
        entries = {n: e if isinstance(e, _ArmEntry) else _ArmEntry(changes=e) for n, e in given.arms.items()}
        arms = tuple(Arm(name, tuple(entry.changes), entry.as_long_as) for name, entry in entries.items())
    return given.option_file, given.seeds, arms


def define(option_file: Path, arms: Iterable[Arm] = DEFAULT_ARMS, imports: Iterable[str] = ()) -> Definition:
    """A study of an option file.

    Args:
        option_file: Of a HistoryModel with ``val`` and metrics, e.g. one that ``mclir enable`` wrote.
        arms: At least two, the baseline first.
        imports: Files and modules of the user's own, as ``--import`` takes them.

    Raises:
        MclirError: The file cannot be read or cannot be studied, or the arms cannot be compared.
    """
    opt, arms = parse_file(option_file), tuple(arms)
    if opt.get('model_type') != 'HistoryModel':
        raise MclirError(
            f'{option_file}: model_type is {opt.get("model_type")}, but a study needs HistoryModel, under which all '
            f'arms see the same batches. Make such a file first: mclir enable {option_file} -o spn.yml'
        )
    if not isinstance(opt.get('train'), dict) or 'total_iter' not in opt['train']:
        raise MclirError(f'{option_file}: it has no train.total_iter.')
    if not (isinstance(opt.get('val'), dict) and opt['val'].get('metrics')):
        raise MclirError(f'{option_file}: it has no val.metrics, so there is nothing to compare. Give val and metrics.')
    if not any(phase.startswith('val') for phase in opt.get('datasets') or ()):
        raise MclirError(f'{option_file}: it has no datasets.val, so there is nothing to compare.')
    _check_arms(arms)
    definition = Definition(opt, arms, tuple(imports))
    for arm in arms:
        definition.run_options(arm, 0, dict.fromkeys([each.name for each in arms], 1.0))
    return definition


def _check_arms(arms: Sequence[Arm]) -> None:
    names = [arm.name for arm in arms]
    if len(arms) < 2:
        raise MclirError(f'A study compares at least two arms, but there is {", ".join(names) or "none"}.')
    if twice := {name for name in names if names.count(name) > 1}:
        raise MclirError(f'Two arms are called {", ".join(sorted(twice))}: give each a name of its own.')
    for arm in arms:
        if not arm.name.replace('_', '').replace('-', '').isalnum():
            raise MclirError(f'The arm {arm.name!r} must have a name of letters, digits, - and _.')
        if arm.name == 'start':
            raise MclirError('The arm start needs another name: so tables call the network before its training.')
        if arm.as_long_as is not None and (arm.as_long_as not in names or arm.as_long_as == arm.name):
            raise MclirError(f'The arm {arm.name} is to take as long as {arm.as_long_as}, which is no other arm.')


def _apply(opt: dict[str, Any], arm: str, change: str) -> None:
    try:
        force(opt, [change])
    except MclirError as error:
        raise MclirError(str(error).replace('--force_yml', f'Arm {arm}:', 1)) from error
    *blocks, key = change.partition('=')[0].strip().split(':')
    block = opt
    for name in blocks:
        block = block[name]
    if block[key] is None:  # ~
        del block[key]


def stretch(train: dict[str, Any], ratio: float) -> None:
    """Make a training longer: ``total_iter`` and every count of iterations of its schedule, times ratio, in place.

    >>> train = {'total_iter': 100, 'scheduler': {'type': 'MultiStepLR', 'milestones': [50, 80], 'gamma': 0.5}}
    >>> stretch(train, 2.5)
    >>> train['total_iter'], train['scheduler']['milestones']
    (250, [125, 200])
    """

    def longer(count: Any) -> Any:
        if isinstance(count, list):
            return [longer(each) for each in count]
        return round(count * ratio) if isinstance(count, (int, float)) and not isinstance(count, bool) else count

    train['total_iter'] = longer(train['total_iter'])
    if (train.get('warmup_iter') or -1) > 0:
        train['warmup_iter'] = longer(train['warmup_iter'])
    scheduler = train.get('scheduler') or {}
    for key in _ITERATIONS_OF_SCHEDULES:
        if key in scheduler:
            scheduler[key] = longer(scheduler[key])
