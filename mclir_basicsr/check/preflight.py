"""What can be known of an option file before training starts: every fault, in one message."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mclir_basicsr.check import metrics, network, option_file, parts, schedule
from mclir_basicsr.check.pairs import check_data_set
from mclir_basicsr.check.trial import try_out
from mclir_basicsr.check.untouched import untouched
from mclir_basicsr.errors import FaultsError, MclirError
from mclir_basicsr.stand_in import stand_in

Check = Callable[[], Sequence[str]]


def check(
    opt: dict[str, Any], root: Path, *, auto_resume: bool = False, here: bool = False, fast: bool = False
) -> list[str]:
    """Examine a training option file: keys, registered names, network, checkpoint, data sets, folders; then try it out.

    Sizes are read from the images' headers, or from ``meta_info.txt`` of an LMDB; of each data set one pair is decoded.

    Args:
        opt: The option file as parsed.
        root: Folder in which BasicSR makes ``experiments``.
        auto_resume: The run goes on from its own latest state, where it has one, and needs no other network.
        here: The run will be on this machine, whose GPUs count.
        fast: Leave out the trial of one batch and one image of each val set.

    Returns:
        What was found, a sentence each.

    Raises:
        MclirError: There are faults; the message lists all of them.
    """
    opt = deepcopy(opt)
    option_file.require(opt, option_file.ALWAYS | option_file.FOR_TRAINING)
    experiment = root / 'experiments' / opt['name']
    opt['auto_resume'] = auto_resume
    opt['path'] |= {folder: str(experiment / folder) for folder in ('models', 'training_states')}
    if auto_resume and any((experiment / 'training_states').glob('*.state')):
        opt['path'] |= {'pretrain_network_g': None, 'resume_state': None}
    resumed: dict[str, Any] = {}

    def resume() -> list[str]:
        resumed.update(network.state(opt) or {})
        return []

    checks: dict[str, Check] = {
        'keys': partial(option_file.keys, opt),
        'numbers': partial(option_file.numbers, opt),
        'path.resume_state': resume,
        'train': partial(schedule.optimisation, opt, resumed),
        'losses': partial(parts.losses, opt),
        'logger': partial(parts.loggers, opt),
    }
    return _examine(
        opt, experiment, checks, here=here, last=None if fast else partial(try_out, opt, experiment, here=here)
    )


def check_test(opt: dict[str, Any], root: Path) -> list[str]:
    """:func:`check` for ``mclir test``, on this machine.

    Args:
        opt: The option file as parsed.
        root: Folder in which BasicSR makes ``results``.

    Returns:
        What was found, a sentence each.

    Raises:
        MclirError: There are faults; the message lists all of them.
    """
    opt = deepcopy(opt)
    option_file.require(opt, option_file.ALWAYS | option_file.FOR_TESTING)
    keys = partial(option_file.keys, opt, training=False)
    return _examine(opt, root / 'results' / opt['name'], {'keys': keys}, here=True)


def _examine(
    opt: dict[str, Any], folder: Path, checks: Mapping[str, Check], *, here: bool, last: Check | None = None
) -> list[str]:
    """Notes of all checks, and of the last one, which needs a file without faults."""
    import basicsr.utils.logger

    faults: list[str] = []
    notes: list[str] = []
    examinations: dict[str, Check] = {
        **checks,
        'names': partial(parts.names, opt),
        'num_gpu': partial(parts.device, opt, here),
        'network_g': partial(network.network, opt),
        'loading': partial(parts.loading, opt, here),
        'val': partial(metrics.validation, opt),
        'path': partial(parts.places, opt['path'], opt['name']),
        'experiments': partial(parts.folder, folder),
        **{f'datasets.{phase}': partial(check_data_set, opt, phase) for phase in opt['datasets']},
    }

    def look(name: str, part: Check) -> None:
        try:
            notes.extend(part())
        except FaultsError as error:
            faults.extend(error.lines)
        except MclirError as error:
            faults.append(str(error))
        except Exception as error:  # whatever BasicSR or a class of the user's raises on what it is given
            faults.append(f'{name} cannot be used: {type(error).__name__}: {error}')

    on_gpu = opt['num_gpu'] != 0 and torch.cuda.is_available()
    # BasicSR sets its logger up at the first use, and to the run's log file only then: it must not see this one.
    with untouched(on_gpu), stand_in(basicsr.utils.logger, 'initialized_logger', {'basicsr': True}):
        for name, part in examinations.items():
            look(name, part)
        if last is not None and not faults:
            look('The option file', last)
    if faults:
        raise MclirError('\n  '.join(['The option file cannot be used:', *faults]))
    return notes
