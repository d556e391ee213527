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
    """The list of a folder; empty where it has none."""
    try:
        return Prepared(**json.loads((out / PREPARED).read_bytes()))
    except (OSError, ValueError, TypeError):
        return Prepared()


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
