"""Work in processes of their own, which may end as they like, and what they leave behind, compared."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def fork(work: Callable[[], int], log: Path) -> int:
    """Start work in a session of its own, its output appended to log; returns the process id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        os.setsid()
        with log.open('a', encoding='utf-8') as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = (os.fdopen(number, 'w', buffering=1, closefd=False) for number in (1, 2))
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def ended(child: int) -> int | None:
    """The exit status of a child, None while it runs."""
    done, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def call(work: Callable[[], int], log: Path) -> int:
    """Let a child do the work and wait for its exit status, that of a signal below 0."""
    return os.waitstatus_to_exitcode(os.waitpid(fork(work, log), 0)[1])


def same(a: Any, b: Any) -> bool:
    """Whether two nested values are equal, bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b
