"""Runs on this machine, each in a process of its own."""

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mclir_basicsr.study.runs import Job, Place, Process, command, log_file


def places(jobs: int | None) -> list[Place]:
    """Each place of this machine where a run can run at a time.

    With GPUs each place has one of them, as many places as GPUs or as asked for; without, the processor's threads are
    divided.

    Args:
        jobs: How many runs at a time, >= 1; None for one per GPU, or one.
    """
    import torch

    gpus = torch.cuda.device_count()
    count = jobs or max(gpus, 1)
    if gpus:
        visible = os.environ.get('CUDA_VISIBLE_DEVICES')
        names = visible.split(',') if visible else [str(i) for i in range(gpus)]
        return [_Here({'CUDA_VISIBLE_DEVICES': names[i % len(names)]}) for i in range(count)]
    threads = max(
        1, len(os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else range(os.cpu_count() or 1)) // count
    )
    return [_Here({'OMP_NUM_THREADS': os.environ.get('OMP_NUM_THREADS', str(threads))})] * count


@dataclass(frozen=True)
class _Here:
    environment: Mapping[str, str]

    def start(self, job: Job, root: Path) -> Process:
        with log_file(job, root).open('ab') as log:
            return _Child(
                command(job, root),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(self.environment),
                start_new_session=True,  # Ctrl+C in the terminal reaches this process alone, which passes it on once
                creationflags=getattr(subprocess, 'CREATE_NEW_PROCESS_GROUP', 0),  # the same on Windows
            )


class _Child(subprocess.Popen[bytes]):
    def interrupt(self) -> str:
        # It saves, as it does for Ctrl+C in a terminal; Windows sends a process nothing but Ctrl+Break.
        self.send_signal(getattr(signal, 'CTRL_BREAK_EVENT', signal.SIGINT))
        return 'every run saves its state'
