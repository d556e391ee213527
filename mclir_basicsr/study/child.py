"""The process of one run: ``mclir`` that ends with the study that started it, and never runs twice in one folder."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_SECONDS = 0.5


def main(lock: str, *arguments: str) -> int:
    """Run ``mclir ARGUMENTS`` while the parent process lives.

    Args:
        lock: A file; where another process of an earlier study still holds it, its end is waited for.
        arguments: Of ``mclir train``. With what it trains is noted beside the lock.
    """
    from mclir_basicsr.commands.cli import main as mclir
    from mclir_basicsr.options import parse_file
    from mclir_basicsr.study import environment

    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    with _alone(Path(lock)):
        opt = parse_file(Path(arguments[arguments.index('-opt') + 1]))
        environment.note(Path(lock).with_suffix('.environment.json'), environment.describe(opt))
        return mclir(arguments)


def _follow(parent: int) -> None:
    """Ask this process to stop when its parent is gone: a study that was killed could not ask for it.

    On Windows the number of the parent stays, and a run goes on to its end.
    """
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    if sys.platform == 'win32':  # no fcntl
        yield
        return
    import fcntl

    with lock.open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
