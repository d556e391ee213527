"""The arms examined as ``mclir check`` does it, all of them before the first run, in a process of its own."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mclir_basicsr.errors import MclirError
from mclir_basicsr.study.definition import as_yaml


def examine(options: Mapping[str, Mapping[str, Any]], root: Path, *, here: bool) -> None:
    """Look for faults, and try a batch and an image of each arm.

    Args:
        options: Of a run, by arm.
        root: The study's folder, which need not be there.
        here: The runs will be on this machine, whose GPUs count.

    Raises:
        MclirError: There are faults; the message lists those of all arms.
    """
    if not options:
        return
    with TemporaryDirectory() as folder:
        files = []
        for arm, opt in options.items():
            files.append(Path(folder) / f'{arm}.yml')
            files[-1].write_text(as_yaml(opt), encoding='utf-8')
        command = [sys.executable, '-m', 'mclir_basicsr.study.examining', str(root), 'here' if here else 'elsewhere']
        done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, errors='replace')
    if done.returncode == _FAULTS:
        raise MclirError(f'Nothing was started.\n{done.stdout.rpartition(_MARK)[2].strip()}')
    if done.returncode:
        last = '\n'.join(done.stderr.strip().splitlines()[-5:])
        raise MclirError(f'The arms {", ".join(options)} could not be examined:\n{last}')


_FAULTS = 2
_MARK = '\n---- faults ----\n'  # whatever else is said comes before it


def main(root: str, where: str, files: Sequence[str]) -> int:
    """For a process of its own: an option file for each arm, named after it."""
    from mclir_basicsr.options import parse_file
    from mclir_basicsr.plugin import register

    register()
    from mclir_basicsr.check.preflight import check

    faults = []
    for file in map(Path, files):
        try:
            check(parse_file(file), Path(root).absolute(), auto_resume=True, here=where == 'here')
        except MclirError as error:
            faults.append(f'Arm {file.stem}: {error}')
    if faults:
        sys.stdout.write(_MARK + '\n'.join(faults) + '\n')
    return _FAULTS if faults else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
