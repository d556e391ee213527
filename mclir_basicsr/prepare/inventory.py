"""What ``mclir prepare`` was to write below a folder, so that it is noticed when some of it is not there."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mclir_basicsr.files.whole_file import whole_file

PREPARED = '.prepared.json'


@dataclass(frozen=True, slots=True)
class Prepared:
    """The list; all paths are relative to its folder.

    Attributes:
        targets: Databases and folders of images.
        pairs: The pairs files, with the targets of lq and gt that each is about.
    """

    targets: list[str] = field(default_factory=list)
    pairs: dict[str, list[str]] = field(default_factory=dict)


def read_prepared(out: Path) -> Prepared:
    """The list of a folder; empty where it has none, or a damaged one."""
    try:
        prepared = Prepared(**json.loads((out / PREPARED).read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return Prepared()
    return prepared if _is_sound(prepared) else Prepared()


def _is_sound(prepared: Prepared) -> bool:
    """Whether it is of the types that it should be, and all in it may be paths."""
    if not isinstance(prepared.targets, list) or not isinstance(prepared.pairs, dict):
        return False
    sides = list(prepared.pairs.values())
    if not all(isinstance(side, list) and len(side) == 2 for side in sides):
        return False
    paths = [*prepared.targets, *prepared.pairs, *(path for side in sides for path in side)]
    return all(isinstance(path, str) and '\0' not in path for path in paths)


def note_prepared(out: Path, targets: Iterable[Path], pairs: Mapping[Path, tuple[Path, Path]]) -> None:
    """Add to the list of a folder what is about to be written; what is gone by then leaves it.

    Args:
        out: The folder.
        targets: Databases and folders of images below it.
        pairs: The pairs files, with the targets of lq and gt that each is about.

    Raises:
        OSError: It could not be written.
    """

    def name(path: Path) -> str:
        return path.relative_to(out).as_posix()

    before = read_prepared(out)
    there = {target for target in before.targets if (out / target).is_dir()}
    after = Prepared(
        sorted(there | set(map(name, targets))),
        {file: sides for file, sides in sorted(before.pairs.items()) if there.issuperset(sides)}
        | {name(file): [name(lq), name(gt)] for file, (lq, gt) in pairs.items()},
    )
    if after != before:
        out.mkdir(parents=True, exist_ok=True)
        with whole_file(out / PREPARED) as stream:
            stream.write(json.dumps(asdict(after), indent=1).encode())
