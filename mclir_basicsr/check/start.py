"""What a HistoryModel's run is examined for at its start, however it was started, before anything is written.

BasicSR puts a former experiment of the same name aside as soon as it knows that the run is a new one, and builds the
network later. What is cheap and certain is therefore looked at first. ``mclir train`` has done all of it and more.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mclir_basicsr.check import network, parts
from mclir_basicsr.check.lists import lists_are_there
from mclir_basicsr.check.untouched import untouched
from mclir_basicsr.errors import FaultsError, MclirError
from mclir_basicsr.options import read_options
from mclir_basicsr.stand_in import stand_in

# Variables that a starter sets in each of its processes: one that is always there with it, the number of processes,
# its name and what to do. A batch script of SLURM's has SLURM_NTASKS and SLURM_PROCID too, but is no step of srun.
_STARTERS = (
    ('RANK', 'WORLD_SIZE', 'torchrun', 'add --launcher pytorch'),
    ('SLURM_STEP_ID', 'SLURM_STEP_NUM_TASKS', 'srun', 'add --launcher slurm'),
    ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'mpirun', 'start by torchrun and add --launcher pytorch'),
    ('PMI_RANK', 'PMI_SIZE', 'mpirun', 'start by torchrun and add --launcher pytorch'),
)
_examined: set[str] = set()


def note_examined(opt: Mapping[str, Any]) -> None:
    """Note that the next run of this name has been examined already, by more than :func:`examine` looks at."""
    _examined.add(opt['name'])


def examine(opt: dict[str, Any]) -> None:
    """Examine a run that BasicSR has parsed the options of and not begun.

    Args:
        opt: The options of the run, complete with paths; they are left as they are.

    Raises:
        MclirError: The run would fail after a former experiment was put aside, or is one of several that do not know
            of each other.
    """
    if not opt.get('dist'):
        refuse_lone_processes(os.environ)
    if opt['name'] in _examined:
        _examined.discard(opt['name'])
    elif opt.get('rank', 0) == 0 and _is_new(opt):
        _examine_new(opt)


def refuse_lone_processes(environment: Mapping[str, str]) -> None:
    """Refuse several processes without ``--launcher``: each would be the whole run, in the same folder.

    Args:
        environment: The variables of this process.

    Raises:
        MclirError: A starter of several processes has started this one.
    """
    for sign, size, starter, remedy in _STARTERS:
        count = environment.get(size, '1')
        if sign in environment and count.isdecimal() and int(count) > 1:
            raise MclirError(
                f'{starter} started {count} processes ({size}={count}), but --launcher is none, so that each would '
                f'train alone and all would write to one folder: {remedy}, or start one process. If they are runs of '
                f'their own, unset {size} in each.'
            )


def _is_new(opt: dict[str, Any]) -> bool:
    """Whether BasicSR will make the experiment's folder; a resumed run keeps it and reads another network."""
    states = Path(opt['path']['training_states'])
    return not any(states.glob('*.state')) if opt['auto_resume'] else not opt['path'].get('resume_state')


def _examine_new(opt: dict[str, Any]) -> None:
    import basicsr.utils.logger

    faults: list[str] = []
    # BasicSR sets its logger up at the first use, and to the run's log file only then: it must not see this one.
    with stand_in(basicsr.utils.logger, 'initialized_logger', {'basicsr': True}), untouched(with_gpu=False):
        for part in (
            lambda: read_options(opt),
            lambda: parts.device(opt, here=True),
            lambda: parts.loggers(opt),
            lambda: lists_are_there(opt['datasets']),
            lambda: network.network(opt),
        ):
            try:
                part()
            except FaultsError as error:
                faults += error.lines
            except MclirError as error:
                faults.append(str(error))
    if faults:
        raise MclirError('\n  '.join(['The run cannot start, and nothing was changed:', *faults]))
