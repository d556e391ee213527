"""Many photographs through a network, with a record by which an interrupted command goes on."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mclir_basicsr.commands.replacing import refuse_to_replace
from mclir_basicsr.commands.restore import picture
from mclir_basicsr.commands.restore.subject import Restorer, subject_of
from mclir_basicsr.commands.restore.uncertainty import Uncertainty, map_place, newest_state
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.whole_file import whole_file

_RECORD = 'restored.json'


def restore_all(
    place: Path,
    source: Path,
    out: Path,
    *,
    tile: int | None = None,
    self_ensemble: bool = False,
    suffix: str = '',
    force: bool = False,
    uncertainty: bool = False,
    gt: Path | None = None,
) -> tuple[list[str], bool]:
    """Restore an image, or all images of a folder and of those in it.

    Args:
        place: Checkpoint or experiment folder.
        source: The image or folder.
        out: Folder for the results, which keep the names and subfolders of their images.
        tile: Side of a tile in pixels of the input; None for what memory allows.
        self_ensemble: Mean over the eight flips and transposes.
        suffix: Put behind each name.
        force: Replace results that another command wrote.
        uncertainty: Write a map of the spread of the run's negatives beside each image.
        gt: Folder of ground truth, to compare the maps with the errors.

    Returns:
        What to say, and whether every image could be restored.

    Raises:
        MclirError: There is no network or no image, or a result would replace a file.
    """
    from mclir_basicsr.plugin import register

    files = _images(source)
    root = source if source.is_dir() else source.parent
    targets = {file: _target(file, root, out, suffix) for file in files}
    _refuse_doubles(targets, source, out)
    register()
    subject = subject_of(place)
    settings = {
        'weights': hashlib.sha256(subject.checkpoint.read_bytes()).hexdigest(),
        'entry': subject.entry,
        'network_g': dict(subject.network_g),
        'tile': tile,
        'self_ensemble': self_ensemble,
    }
    maps = Uncertainty(subject, newest_state(place), gt, out) if uncertainty else None
    if maps is None and gt is not None:
        raise MclirError('--gt goes with --uncertainty; figures of networks: mclir evaluate.')
    settings |= {} if maps is None else {'uncertainty': maps.settings}
    done, begun = _recorded(out, settings)
    if done and maps is not None:
        maps.go_on()
    waiting = [file for file in files if not (_name(targets[file], out) in done and targets[file].is_file())]
    _refuse_to_replace(waiting, targets, out, begun, with_maps=maps is not None, force=force)
    restorer = Restorer(subject, tile, self_ensemble) if waiting else None
    faults = []
    for file in tqdm(waiting, desc='restore', unit='image', dynamic_ncols=True, disable=None):
        target, name = targets[file], _name(targets[file], out)
        try:
            before = picture.read(file)
            after = restorer(before)  # type: ignore[misc]
            target.parent.mkdir(parents=True, exist_ok=True)
            begun.append(name)
            _record(out, settings, done, begun)  # a kill may come between the result and its record
            is_deep = target.suffix.lower() in picture.DEEP
            picture.write(after if is_deep else replace(after, bits=8), target)
            if maps is not None:
                maps.write(restorer, before, after, file.relative_to(root), target, name)  # type: ignore[arg-type]
        except MclirError as error:
            faults.append(str(error))
            continue
        done.append(name)
        _record(out, settings, done, begun)
    made = len(waiting) - len(faults)
    said = [subject.told(), *_others(source), *faults, *(maps.lines() if maps is not None else ())]
    there = f', {len(files) - len(waiting)} were there already' if len(waiting) < len(files) else ''
    return [*said, f'{made} of {len(files)} images restored into {out}{there}.'], not faults


def _refuse_to_replace(
    waiting: Sequence[Path], targets: dict[Path, Path], out: Path, begun: Sequence[str], *, with_maps: bool, force: bool
) -> None:
    """But for what this command itself began before it was interrupted."""
    results = [targets[file] for file in waiting]
    maps = [map_place(target) for target in results] if with_maps else []
    if twice := set(maps) & set(targets.values()):
        raise MclirError(f'--uncertainty: {min(twice)} would be a map and a result: rename the original, or --suffix.')
    own = [target for target in results if _name(target, out) in begun]
    own += [map_place(target) for target in own]
    refuse_to_replace([file for file in results + maps if file not in own], '-o', force=force)


def _images(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise MclirError(f'-i: there is no image or folder {source}.')
    found = sorted(file for file in source.rglob('*') if file.suffix.lower() in picture.SUFFIXES and file.is_file())
    if not found:
        raise MclirError(f'-i: {source} holds no image ({", ".join(picture.SUFFIXES)}).')
    return found


def _others(source: Path) -> list[str]:
    """A note on the files of a folder that are no images by their names."""
    names = [file for file in source.rglob('*') if file.is_file() and file.suffix.lower() not in picture.SUFFIXES]
    if not names:
        return []
    kinds = ', '.join(sorted({file.suffix.lower() or file.name for file in names}))
    return [
        f'{len(names)} other files of {source} are passed over ({kinds}); images are {", ".join(picture.SUFFIXES)}.'
    ]


def _target(file: Path, root: Path, out: Path, suffix: str) -> Path:
    kept = file.suffix if file.suffix.lower() in picture.SUFFIXES else '.png'
    return (out / file.relative_to(root)).with_name(f'{file.stem}{suffix}{kept}')


def _refuse_doubles(targets: dict[Path, Path], source: Path, out: Path) -> None:
    same = [file for file, target in targets.items() if target.resolve() == file.resolve()]
    if same:
        raise MclirError(f'-o: {out} is where the images are, and {same[0]} would be replaced: give another folder.')
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise MclirError(f'-o: {out} lies in {source}, whose images are restored: give a folder outside it.')


def _name(target: Path, out: Path) -> str:
    return target.relative_to(out).as_posix()


def _recorded(out: Path, settings: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Results that an earlier command with these settings has written, and those that it had begun."""
    file = out / _RECORD
    if not file.is_file():
        return [], []
    kept = json.loads(file.read_text(encoding='utf-8'))
    if kept['settings'] != json.loads(json.dumps(settings, default=str)):
        return [], []
    return list(kept['done']), list(kept.get('begun', ()))


def _record(out: Path, settings: dict[str, Any], done: Sequence[str], begun: Sequence[str]) -> None:
    content = {'settings': settings, 'done': list(done), 'begun': [name for name in begun if name not in done]}
    with whole_file(out / _RECORD) as file:
        file.write(json.dumps(content, indent=1, default=str).encode())
