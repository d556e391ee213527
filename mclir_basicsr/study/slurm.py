"""Runs as jobs of SLURM, by submitit (github.com/facebookincubator/submitit), which is an extra of the package."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from mclir_basicsr.errors import MclirError
from mclir_basicsr.run.stop import REQUEUE
from mclir_basicsr.study.runs import Job, Place, Process, command, log_file

_LOOK_SECONDS = 0.2
_POLL_SECONDS = 2.0  # each look changes something in a folder that many share
_NOTICE_SECONDS = 120.0  # between the signals of a preemption
_TIMEOUTS = 1000  # of one job, each of which it survives


def places(settings: Sequence[str], jobs: int | None, runs: int, root: Path) -> list[Place]:
    """A place for each run, or for as many as may be in the queue at a time.

    Args:
        settings: Each ``KEY=VALUE``, a parameter of submitit's AutoExecutor, e.g. ``slurm_partition=gpu``,
            ``gpus_per_node=1``, ``timeout_min=240``; ``cluster=local`` makes processes on this machine in place of
            jobs, to try it out.
        jobs: How many at a time; None for all.
        runs: How many there are.
        root: The study's folder, which all nodes must see.

    Raises:
        MclirError: submitit is not installed, there is no SLURM here, or a setting is not known to submitit.
    """
    return [_Queue(_executor(settings, root))] * (jobs or runs)


def check(settings: Sequence[str]) -> None:
    """Look at the settings before anything starts; raises as :func:`places` does."""
    with TemporaryDirectory() as folder:
        _executor(settings, Path(folder))


def _executor(settings: Sequence[str], root: Path) -> Any:
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise MclirError('--slurm needs submitit: pip install "mclir-basicsr[slurm]".') from error
    given = _parsed(settings)
    cluster = given.pop('cluster', 'slurm')
    if cluster not in ('slurm', 'local'):
        raise MclirError(f'--slurm: cluster must be slurm or local, but is {cluster}.')
    try:
        executor = submitit.AutoExecutor(root / 'jobs', cluster, **{f'{cluster}_max_num_timeout': _TIMEOUTS})
        executor.update_parameters(**{'name': f'study-{root.name}', **given})
    except (AssertionError, NameError, RuntimeError, TypeError, ValueError) as error:  # as submitit checks them
        raise MclirError(f'--slurm: {error}') from error
    return executor


def _parsed(settings: Sequence[str]) -> dict[str, Any]:
    given = {}
    for setting in settings:
        key, equals, value = setting.partition('=')
        if not (key and equals):
            raise MclirError(f'--slurm takes KEY=VALUE, such as timeout_min=240, but was given {setting}.')
        given[key] = yaml.safe_load(value)
    return given


@dataclass(frozen=True)
class _Queue:
    executor: Any

    def start(self, job: Job, root: Path) -> Process:
        log, note = log_file(job, root.absolute()), root / 'logs' / f'{job.name}.job'
        in_queue = self.executor.cluster == 'slurm'
        submitted = _still_there(root / 'jobs', note) if in_queue else None
        if submitted is None:
            submitted = self.executor.submit(Run(command(job, root.absolute()), log))
            note.write_text(submitted.job_id, encoding='utf-8')
        return _Submitted(submitted, log, in_queue)


def _still_there(folder: Path, note: Path) -> Any:
    """The job of an earlier start of the study, if it waits or runs."""
    import submitit

    if not note.is_file():
        return None
    job: Any = submitit.SlurmJob(folder, note.read_text(encoding='utf-8'))
    return None if job.done(force_check=True) or job.state == 'UNKNOWN' else job


@dataclass
class _Submitted:
    job: Any
    log: Path
    in_queue: bool
    next_look: float = 0.0

    def poll(self) -> int | None:
        if time.monotonic() < self.next_look:
            return None
        self.next_look = time.monotonic() + _POLL_SECONDS
        if not self.job.done():
            return None
        if (error := self.job.exception()) is None:
            return int(self.job.result())
        with self.log.open('a', encoding='utf-8') as log:
            log.write(f'{error}\n')
        return 1

    def interrupt(self) -> str:
        if not self.in_queue:
            self.job.cancel()
            return 'every run saves its state'
        number = self.job.job_id
        return f'job {number} stays in the queue (scancel {number} ends it)'

    def wait(self) -> None:
        pass


class Run:
    """What a job does: a run in a child process, which it stops and saves where SLURM takes its time away.

    Args:
        command: Of the child.
        log: File for its output.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command, self._log, self._folder = list(command), log, Path.cwd()
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Train to the end; returns the exit status."""
        with self._log.open('ab') as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        while (status := self._process.poll()) is None:
            time.sleep(_LOOK_SECONDS)
        if status == REQUEUE:  # the signal came to the child first; submitit's follows, and calls checkpoint
            time.sleep(_NOTICE_SECONDS)
        return status

    def checkpoint(self) -> Any:
        """Called by submitit, in a signal's handler, before the job is put into the queue again."""
        from submitit.helpers import DelayedSubmission

        child, self._process = self._process, None
        if child is not None:
            child.send_signal(signal.SIGINT)
            with suppress(ChildProcessError):  # it has ended, and poll knows
                # Popen's own wait takes a lock, which may be held by the poll that the signal interrupted.
                os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(self)
