"""Files that a command would replace."""

from collections.abc import Iterable
from pathlib import Path

from mclir_basicsr.errors import MclirError


def refuse_to_replace(files: Iterable[Path], flag: str, *, force: bool, ours: bool = False) -> None:
    """Refuse to replace what stands there, unless the user asked for it.

    Args:
        files: What the command writes.
        flag: Where its place was given, for the message.
        force: Whether ``--force`` was given.
        ours: Whether an earlier run of the same command wrote them, which may be replaced by the next.

    Raises:
        MclirError: A file exists.
    """
    there = [str(file) for file in files if file.exists()]
    if there and not (force or ours):
        raise MclirError(f'{flag}: {", ".join(there)} exists already. Give another name, or --force to replace it.')
