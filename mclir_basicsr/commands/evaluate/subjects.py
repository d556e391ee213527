"""What is evaluated: the networks that checkpoints and experiment folders hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.exported import read_metadata
from mclir_basicsr.files.weights import EMA_FIRST, entries_asked, read_weights
from mclir_basicsr.options import parse_file
from mclir_basicsr.run.resume import is_ours


@dataclass(frozen=True)
class Subject:
    """One network with its weights.

    Attributes:
        label: What tables call it.
        checkpoint: The file of its weights.
        entry: Where in the file they stand; None where it is the state dict itself.
        network_g: The block of the option file that builds it.
        scale: Sides of its output over those of its input.
        options: The option file of its training; None for a checkpoint alone.
    """

    label: str
    checkpoint: Path
    entry: str | None
    network_g: dict[str, Any]
    scale: int
    options: dict[str, Any] | None = None

    def told(self) -> str:
        """A sentence on what was taken."""
        return f'{self.label}: {self.network_g["type"]} from {self.checkpoint}, entry {self.entry or "~"}.'


def find(place: Path, network: dict[str, Any] | None, scale: int | None) -> list[Subject]:
    """The networks of an experiment folder or of a checkpoint.

    Of an experiment it is the final network, the best one where ``keep.best`` kept one, and, first, the one that its
    training began with. EMA weights are preferred.

    Args:
        place: The folder or file.
        network: ``network_g`` of the option file that was given; None to detect it from a checkpoint.
        scale: Likewise.

    Raises:
        MclirError: There is no such thing, or it holds no network that can be built.
    """
    if place.is_dir():
        return _of_experiment(place)
    if not place.is_file():
        raise MclirError(f'There is no checkpoint or experiment folder {place}.')
    if network is None or scale is None:
        if kept := read_metadata(place):
            return [Subject(place.stem, place, None, kept['network_g'], kept['scale'], kept)]
        from mclir_basicsr.archs.detect import detect

        found = detect(place, 'evaluate', EMA_FIRST)
        return [Subject(place.stem, place, found.entry, found.network_g, found.scale)]
    return [Subject(place.stem, place, read_weights(place, 'evaluate', EMA_FIRST).entry, network, scale)]


def _of_experiment(folder: Path) -> list[Subject]:
    files = sorted(folder.glob('*.yml'))
    if not files:
        raise MclirError(f'{folder} is no experiment folder of BasicSR: it holds no copy of an option file.')
    opt = parse_file(files[0])
    for key in ('network_g', 'datasets'):
        if not isinstance(opt.get(key), dict):
            raise MclirError(f'{files[0]}: it has no {key}.')
    final = folder / 'models' / 'net_g_latest.pth'
    if not final.is_file():
        saved = [file for file in (folder / 'models').glob('net_g_*.pth') if file.stem[6:].isdecimal()]
        if not saved:
            raise MclirError(f'{folder} holds no network (models/net_g_*.pth) yet.')
        final = max(saved, key=lambda file: int(file.stem[6:]))
    found = {folder.name: final}
    start = (opt.get('path') or {}).get('pretrain_network_g')
    if start and Path(start).expanduser().is_file():
        found = {f'{folder.name} start': Path(start).expanduser(), **found}
    best = folder / 'models' / 'net_g_best.pth'
    if best.is_file():
        found[f'{folder.name} best'] = best
    subjects = []
    for label, file in found.items():
        # Training started from what param_key_g names, whatever else its file holds.
        asked = entries_asked(({} if is_ours(opt) else {'param_key_g': 'params'}) | (opt.get('path') or {}))
        prefer = (*asked, *EMA_FIRST) if label.endswith(' start') else EMA_FIRST
        entry = read_weights(file, label, prefer).entry
        subjects.append(Subject(label, file, entry, opt['network_g'], int(opt.get('scale', 1)), opt))
    return subjects
