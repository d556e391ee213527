"""The arms examined as ``mclir check`` does it, all of them before the first run, in a process of its own."""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mclir_basicsr.errors import MclirError
from mclir_basicsr.study.definition import as_yaml
from mclir_basicsr.study.runs import import_flags


def examine(options: Mapping[str, Mapping[str, Any]], root: Path, imports: Sequence[str] = (), *, here: bool) -> None:
    """Look for faults, and try a batch and an image of each arm.

    Args:
        options: Of a run, by arm.
        root: The study's folder, which need not be there.
        imports: What every run imports first, as ``--import`` takes it.
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
        command += [*map(str, files), *import_flags(imports)]
        done = subprocess.run(command, capture_output=True, text=True, errors='replace')
    if done.returncode == _FAULTS:
        raise MclirError(f'Nothing was started.\n{done.stdout.rpartition(_MARK)[2].strip()}')
    if done.returncode:
        last = '\n'.join(done.stderr.strip().splitlines()[-5:])
        raise MclirError(f'The arms {", ".join(options)} could not be examined:\n{last}')


_FAULTS = 3  # argparse has 2
_MARK = '\n---- faults ----\n'  # whatever else is said comes before it


def main() -> int:
    """For a process of its own: an option file for each arm, named after it, and flags ``--import NAME``."""
    from mclir_basicsr.imports import import_all
    from mclir_basicsr.options import parse_file
    from mclir_basicsr.plugin import register

    parser = argparse.ArgumentParser()
    parser.add_argument('root', type=Path)
    parser.add_argument('where', choices=('here', 'elsewhere'))
    parser.add_argument('files', type=Path, nargs='+')
    parser.add_argument('--import', dest='imports', action='append', default=[])
    given = parser.parse_args()
    register()
    from mclir_basicsr.check.preflight import check

    faults = []
    try:
        import_all(given.imports)
    except MclirError as error:
        faults.append(str(error))
    for file in given.files if not faults else ():
        try:
            check(parse_file(file), given.root.absolute(), auto_resume=True, here=given.where == 'here')
        except MclirError as error:
            faults.append(f'Arm {file.stem}: {error}')
    if faults:
        sys.stdout.write(_MARK + '\n'.join(faults) + '\n')
    return _FAULTS if faults else 0


if __name__ == '__main__':
    sys.exit(main())
