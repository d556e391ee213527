"""The arguments of ``mclir study``."""

import argparse
from pathlib import Path
from typing import Any

from mclir_basicsr.commands import import_flag
from mclir_basicsr.errors import MclirError


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to those of argparse; returns its parser."""
    study: argparse.ArgumentParser = commands.add_parser(
        'study', help='does it help, and is that chance? arms and seeds of one option file, compared in pairs'
    )
    study.add_argument('file', type=Path, nargs='?', metavar='STUDY', help='study.yml: option_file, seeds, arms')
    study.add_argument(
        '-opt', type=Path, metavar='FILE', help='option file of a HistoryModel; beside STUDY in place of its own'
    )
    study.add_argument('-o', '--out', type=Path, default=Path('study'), metavar='DIR', help='default: study')
    study.add_argument('--seeds', type=int, metavar='N', help='seeds of each arm (default: that of STUDY, or 3)')
    study.add_argument(
        '--arm',
        nargs='+',
        action='append',
        metavar=('NAME', 'KEY=VALUE'),
        help='an arm, the baseline first, and what it changes, as block:key=value; ~ takes a key out '
        '(default: those of STUDY, or plain, plain_time and spn)',
    )
    study.add_argument(
        '--until', type=float, metavar='WIDTH', help='go on seed by seed until every interval is within ±WIDTH'
    )
    study.add_argument('--metric', metavar='M', help='metric of val.metrics that --until is about (default: the first)')
    study.add_argument('--max-seeds', type=int, metavar='N', help='with --until (default: 10)')
    study.add_argument(
        '--jobs', type=int, metavar='N', help='runs at a time (default: one per GPU, or 1; with --slurm all)'
    )
    study.add_argument(
        '--slurm',
        nargs='*',
        metavar='KEY=VALUE',
        help='each run a job of SLURM, by submitit, with these of its parameters, e.g. slurm_partition=gpu '
        'gpus_per_node=1 timeout_min=240',
    )
    study.add_argument(
        '--time-ratio', type=float, metavar='R', help='steps of plain_time for one of spn (default: measured)'
    )
    import_flag.add_to(study)
    return study


def run(options: argparse.Namespace) -> str:
    """Make the study that the arguments say; returns its report."""
    from mclir_basicsr.commands.study import Until, study
    from mclir_basicsr.options import parse_file
    from mclir_basicsr.study.definition import DEFAULT_ARMS, Arm, read_study_file

    if options.file is None and options.opt is None:
        raise MclirError('study takes STUDY (a study.yml) or -opt FILE, or both.')
    file, seeds, arms = (options.opt, None, None) if options.file is None else read_study_file(options.file)
    file = options.opt or file
    if options.arm:
        arms = tuple(Arm(name, tuple(changes)) for name, *changes in options.arm)
    until = None
    if options.until is None and (options.metric is not None or options.max_seeds is not None):
        raise MclirError('--metric and --max-seeds act with --until only.')
    if options.until is not None:
        if not options.until > 0:
            raise MclirError(f'--until must be above 0, but is {options.until}.')
        metrics = (parse_file(file).get('val') or {}).get('metrics') or {}
        if options.metric is not None and options.metric not in metrics:
            raise MclirError(f'--metric {options.metric} is none of val.metrics: {", ".join(metrics) or "empty"}.')
        until = Until(options.until, options.metric or next(iter(metrics), ''), options.max_seeds or 10)
    return study(
        file,
        options.out,
        seeds=options.seeds or seeds or 3,
        arms=arms or DEFAULT_ARMS,
        until=until,
        jobs=options.jobs,
        time_ratio=options.time_ratio,
        slurm=options.slurm,
        imports=options.imports,
    )
