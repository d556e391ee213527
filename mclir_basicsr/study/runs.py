"""The runs of a study, each an ordinary experiment in a process of its own that goes on where it stopped."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

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


def import_flags(imports: Iterable[str]) -> list[str]:
    """The flags of ``mclir`` that import them."""
    return [flag for name in imports for flag in ('--import', name)]


def command(job: Job, root: Path) -> list[str]:
    """What trains a run; experiments go to ``root``, where it goes on from its own latest state if there is one."""
    lock = root / 'logs' / f'{job.name}.lock'
    flags = ['--root', str(root), '-opt', str(job.options), '--auto_resume', *(['--fast'] if job.tried else [])]
    flags += import_flags(job.imports)
    return [sys.executable, '-m', 'mclir_basicsr.study.child', str(lock), 'train', *flags]


def slots(jobs: int | None) -> list[dict[str, str]]:
    """The environment of each place where a run can run at a time.

    With GPUs each place has one of them, as many places as GPUs or as asked for; without, the processor's threads are
    divided.

    Args:
        jobs: How many runs at a time; None for one per GPU, or one.

    Raises:
        MclirError: ``jobs`` is below 1.
    """
    import torch

    if jobs is not None and jobs < 1:
        raise MclirError(f'--jobs must be at least 1, but is {jobs}.')
    gpus = torch.cuda.device_count()
    count = jobs or max(gpus, 1)
    if gpus:
        visible = os.environ.get('CUDA_VISIBLE_DEVICES')
        names = visible.split(',') if visible else [str(i) for i in range(gpus)]
        return [{'CUDA_VISIBLE_DEVICES': names[i % len(names)]} for i in range(count)]
    threads = max(
        1, len(os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else range(os.cpu_count() or 1)) // count
    )
    return [{'OMP_NUM_THREADS': os.environ.get('OMP_NUM_THREADS', str(threads))}] * count


@dataclass(eq=False)
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    output: IO[str]
    slot: Mapping[str, str]
    iteration: int = 0
    last: deque[str] = field(default_factory=lambda: deque(maxlen=15))

    def read(self) -> int:
        """Take in what the run has said since; returns the iterations that it made meanwhile."""
        before = self.iteration
        for line in self.output:
            self.last.append(line)
            if found := _ITERATION.search(line):
                self.iteration = int(found[1].replace(',', ''))
        return self.iteration - before

    def succeeded(self, bar: tqdm) -> bool:
        """Conclude a process that has ended."""
        bar.update(self.read())
        self.output.close()
        if self.process.returncode == 0:
            bar.update(self.job.total_iter - self.iteration)  # those behind the last line of the log
        return self.process.returncode == 0


def run_all(jobs: Sequence[Job], root: Path, places: Sequence[Mapping[str, str]], bar: tqdm) -> None:
    """Run jobs until all are done; where one fails, those that run are let end, and no other begins.

    Args:
        jobs: In the order in which they begin.
        root: The study's folder.
        places: See :func:`slots`.
        bar: Moved on by iterations; those that a resumed run finds done count with its first line.

    Raises:
        MclirError: A run failed; the message has its last lines.
        KeyboardInterrupt: After Ctrl+C, when every run has saved its state and ended.
    """
    (root / 'logs').mkdir(parents=True, exist_ok=True)
    waiting, free, running, failed = deque(jobs), deque(places), list[_Running](), list[_Running]()
    try:
        while running or (waiting and not failed):
            while waiting and free and not failed:
                running.append(_start(waiting.popleft(), root, free.popleft()))
            time.sleep(_POLL_SECONDS)
            for run in running:
                bar.update(run.read())
            ended = [run for run in running if run.process.poll() is not None]
            running = [run for run in running if run not in ended]
            failed += [run for run in ended if not run.succeeded(bar)]
            free.extend(run.slot for run in ended)
    except KeyboardInterrupt:
        bar.write('Stopping: every run saves its state. The same command goes on.', file=sys.stderr)
        raise
    finally:
        for run in running:
            run.process.send_signal(signal.SIGINT)  # it saves, as it does for Ctrl+C in a terminal
        for run in running:
            run.process.wait()
            run.output.close()
    if failed:
        raise MclirError(_story(failed, root))


def _story(failed: Sequence[_Running], root: Path) -> str:
    first = failed[0]
    also = f' ({", ".join(run.job.name for run in failed[1:])} failed too)' if failed[1:] else ''
    return (
        f'The run {first.job.name} ended with status {first.process.returncode}{also}. Its last lines, of '
        f'{root / "logs" / first.job.name}.log:\n{"".join(first.last)}The same command goes on with the other runs.'
    )


def _start(job: Job, root: Path, slot: Mapping[str, str]) -> _Running:
    file = root / 'logs' / f'{job.name}.log'
    with file.open('ab') as log:
        begin = log.tell()
        process = subprocess.Popen(
            command(job, root),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(slot),
            start_new_session=True,  # Ctrl+C in the terminal reaches this process alone, which passes it on once
        )
    output = file.open(encoding='utf-8', errors='replace')
    output.seek(begin)
    return _Running(job, process, output, slot)
