"""The images that a run was validated with: lq and gt by the name of the restored image."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mclir_basicsr.report.log import validation_sets

_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.ppm', '.pgm', '.webp')


@dataclass
class Sources:
    """Where validation images lie.

    Attributes:
        lq: Files of the degraded images by their names without suffix, which are those of the restored images.
        gt: Files of the ground truth by the same names.
        missing: Which are not at hand, and why, one phrase each.
    """

    lq: dict[str, Path] = field(default_factory=dict)
    gt: dict[str, Path] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def find_sources(options: dict[str, Any]) -> Sources:
    """Look where the options say that the validation images lie.

    Args:
        options: See :class:`~mclir_basicsr.report.runs.Run`. Folders are looked for where the run had its root, then
            below the current folder. An image whose name an earlier data set has goes by ``<data set>_<image>``, as
            HistoryModel saves it.
    """
    found = Sources()
    for key, dataset in validation_sets(options).items():
        template = dataset.get('filename_tmpl', '{}')  # of lq names, as BasicSR's PairedImageDataset has it
        for kind, known in (('lq', found.lq), ('gt', found.gt)):
            option = f'datasets.{key}.dataroot_{kind}'
            given = dataset.get(f'dataroot_{kind}')
            if given in (None, 'None'):
                found.missing.append(f'{option} is not set')
                continue
            folder = next((one for one in _places(options, given) if one.is_dir()), None)
            if folder is None:
                found.missing.append(f'{option}: {given} is not there')
            elif folder.suffix == '.lmdb':
                found.missing.append(f'{option}: {given} is an LMDB, of which no picture is read')
            else:
                files = {file.stem: file for file in sorted(folder.iterdir()) if file.suffix.lower() in _SUFFIXES}
                names = files if kind == 'lq' else {template.replace('{}', stem): file for stem, file in files.items()}
                taken = set(known)
                known |= {f'{dataset.get("name")}_{name}' if name in taken else name: names[name] for name in names}
    return found


def _places(options: dict[str, Any], given: str) -> Iterator[Path]:
    path = Path(given).expanduser()
    yield from ((Path(options['root_path']) / path, path) if 'root_path' in options else (path,))
