"""The runs of a study, each an ordinary experiment in a process of its own that goes on where it stopped."""

import os
import re
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from tqdm import tqdm

from mclir_basicsr.errors import MclirError

_ITERATION = re.compile(r'iter: *([\d,]+), lr')
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Job:
    """One run that is not finished.

    Attributes:
        name: Of the experiment.
        options: Its option file.
        total_iter: Iterations in all.
        imports: What it imports first, as ``--import`` takes it.
        tried: Another seed of its arm has tried a batch before its run; the same batch need not be tried again.
    """

    name: str
    options: Path
    total_iter: int
    imports: tuple[str, ...] = ()
    tried: bool = False


class Process(Protocol):
    """A run that goes on elsewhere."""

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""

    def interrupt(self) -> str:
        """The study stops before its end; returns what becomes of the run."""

    def wait(self) -> object:
        """Wait for what was told by :meth:`interrupt` to be done."""


class Place(Protocol):
    """Where one run can run at a time."""

    def start(self, job: Job, root: Path) -> Process:
        """Start a run whose output goes to :func:`log_file`, behind what is there."""


def log_file(job: Job, root: Path) -> Path:
    """What a run says."""
    return root / 'logs' / f'{job.name}.log'


def import_flags(imports: Iterable[str]) -> list[str]:
    """The flags of ``mclir`` that import them."""
    return [flag for name in imports for flag in ('--import', name)]


def command(job: Job, root: Path) -> list[str]:
    """What trains a run; experiments go to ``root``, where it goes on from its own latest state if there is one."""
    lock = root / 'logs' / f'{job.name}.lock'
    flags = ['--root', str(root), '-opt', str(job.options), '--auto_resume', *(['--fast'] if job.tried else [])]
    flags += import_flags(job.imports)
    return [sys.executable, '-m', 'mclir_basicsr.study.child', str(lock), 'train', *flags]


@dataclass(eq=False)
class _Running:
    job: Job
    process: Process
    output: IO[str]
    place: Place
    iteration: int = 0
    status: int | None = None
    last: deque[str] = field(default_factory=lambda: deque(maxlen=15))

    def read(self) -> int:
        """Take in what the run has said since; returns the iterations that it made meanwhile."""
        before = self.iteration
        for line in self.output:
            self.last.append(line)
            if found := _ITERATION.search(line):
                self.iteration = int(found[1].replace(',', ''))
        return self.iteration - before

    def has_ended(self, bar: tqdm) -> bool:
        """Whether it has, and what it said until then is read."""
        if self.status is None:
            self.status = self.process.poll()
        bar.update(self.read())
        if self.status is None:
            return False
        self.output.close()
        if self.status == 0:
            bar.update(self.job.total_iter - self.iteration)  # those behind the last line of the log
        return True


def run_all(jobs: Sequence[Job], root: Path, places: Sequence[Place], bar: tqdm) -> None:
    """Run jobs until all are done; where one fails, those that run are let end, and no other begins.

    Args:
        jobs: In the order in which they begin.
        root: The study's folder.
        places: As many as runs can run at a time.
        bar: Moved on by iterations; those that a resumed run finds done count with its first line.

    Raises:
        MclirError: A run failed; the message has its last lines.
        KeyboardInterrupt: After Ctrl+C, when every run was interrupted.
    """
    (root / 'logs').mkdir(parents=True, exist_ok=True)
    waiting, free, running, failed = deque(jobs), deque(places), list[_Running](), list[_Running]()
    try:
        while running or (waiting and not failed):
            while waiting and free and not failed:
                running.append(_start(waiting.popleft(), root, free.popleft()))
            time.sleep(_POLL_SECONDS)
            ended = [run for run in running if run.has_ended(bar)]
            running = [run for run in running if run not in ended]
            failed += [run for run in ended if run.status]
            free.extend(run.place for run in ended)
    finally:
        if told := dict.fromkeys(run.process.interrupt() for run in running):
            bar.write(f'Stopping: {"; ".join(told)}. The same command goes on.', file=sys.stderr)
        for run in running:
            run.process.wait()
            run.output.close()
    if failed:
        raise MclirError(_story(failed, root))


def _story(failed: Sequence[_Running], root: Path) -> str:
    first = failed[0]
    also = f' ({", ".join(run.job.name for run in failed[1:])} failed too)' if failed[1:] else ''
    return (
        f'The run {first.job.name} ended with status {first.status}{also}. Its last lines, of '
        f'{log_file(first.job, root)}:\n{"".join(first.last)}The same command goes on with the other runs.'
    )


def _start(job: Job, root: Path, place: Place) -> _Running:
    file = log_file(job, root)
    file.touch()
    output = file.open(encoding='utf-8', errors='replace')
    output.seek(0, os.SEEK_END)
    return _Running(job, place.start(job, root), output, place)
