"""``restore --uncertainty``: how far the network and the negatives of its run are apart, beside each image."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mclir_basicsr.commands.evaluate.subjects import Subject
from mclir_basicsr.commands.restore import picture
from mclir_basicsr.commands.restore.picture import Picture
from mclir_basicsr.commands.restore.subject import Restorer
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files import checkpoint
from mclir_basicsr.files.weights import check_fit
from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.inference.spread import WHITE, spread
from mclir_basicsr.metrics.calibration import calibration

FIGURES = 'uncertainty.json'


def newest_state(place: Path) -> Path:
    """The training state of an experiment whose negatives are taken.

    Raises:
        MclirError: There is none.
    """
    folder = place / 'training_states'
    states = [file for file in folder.glob('*.state') if file.stem.isdecimal()]
    if not states:
        raise MclirError(
            f'--uncertainty needs the negatives of a training state, but there is none in {folder}: give the '
            'experiment folder of a run with train.history, and keep its states (logger.save_checkpoint_freq).'
        )
    return max(states, key=lambda file: int(file.stem))


def map_place(target: Path) -> Path:
    """Where the map of a restored image lies.

    >>> map_place(Path('out/a.jpg')).as_posix()
    'out/a.jpg_spread.png'
    """
    return target.with_name(f'{target.name}_spread.png')


class Uncertainty:
    """The spread of a network and its negatives, as maps, and against gt as figures.

    Args:
        subject: The network.
        state: The training state with the negatives.
        gt: Folder of ground truth by the names of the images; None without.
        out: Folder of the results.

    Raises:
        MclirError: The state has no history, or one of another network.
    """

    def __init__(self, subject: Subject, state: Path, gt: Path | None, out: Path) -> None:
        if gt is not None and not gt.is_dir():
            raise MclirError(f'--gt: there is no folder {gt}.')
        self._negatives, self._gt, self._file = negatives_of(subject, state), gt, out / FIGURES
        self.settings = {'state': hashlib.sha256(state.read_bytes()).hexdigest(), 'gt': None if gt is None else str(gt)}
        self._told = {'state': state.name, 'negatives': len(self._negatives), 'map': f'16 bits, white is {WHITE}'}
        self._images: dict[str, Any] = {}
        self._restorers: list[Restorer] = []

    def go_on(self) -> None:
        """Take over the figures of the command that is gone on with."""
        if self._file.is_file():
            self._images = json.loads(self._file.read_text(encoding='utf-8'))['images']

    def write(self, restorer: Restorer, before: Picture, after: Picture, file: Path, target: Path, name: str) -> None:
        """Write the map of an image, and its figures.

        Args:
            restorer: That restored it.
            before: The image.
            after: What was made of it, not rounded.
            file: Its place below the folder of images.
            target: The file of the result.
            name: By which the figures are kept.

        Raises:
            MclirError: There is no gt for it, or one of another size.
        """
        if not self._restorers:
            self._restorers = [restorer.with_network(net) for net in self._negatives]
        plain = replace(before, alpha=None)
        members = [after.pixels, *(each(plain).pixels for each in self._restorers)]
        apart = spread(torch.stack([torch.from_numpy(pixels).permute(2, 0, 1)[None] for pixels in members]))[0].numpy()
        picture.write(Picture((apart / WHITE)[..., None], bits=16), map_place(target))
        if self._gt is not None:
            self._images[name] = _compared(apart, after, _of_name(self._gt, file))
            with whole_file(self._file) as stream:
                stream.write(
                    json.dumps(self._told | {'mean': self._means(), 'images': self._images}, indent=1).encode()
                )

    def lines(self) -> list[str]:
        """What to say at the end."""
        said = [
            f'Maps of the spread over the network and {len(self._negatives)} negatives of {self._told["state"]}: '
            f'*_spread.png; white is a standard deviation of {WHITE} of the range of values.'
        ]
        if self._images:
            means = self._means()
            said.append(
                f'Against gt: rank correlation {means["spearman"]:.3f}, AUSE {means["ause"]:.3f} (a map that knows '
                f'nothing: {means["ause_random"]:.3f}), means over {len(self._images)} images, in {self._file}.'
            )
        return said

    def _means(self) -> dict[str, float]:
        names: Mapping[str, Any] = next(iter(self._images.values()), {})
        values = {name: [image[name] for image in self._images.values() if image[name] is not None] for name in names}
        return {name: sum(found) / len(found) for name, found in values.items() if found}


def negatives_of(subject: Subject, state: Path) -> list[nn.Module]:
    """The negative models of a training state.

    Raises:
        MclirError: It holds none, or those of another network.
    """
    from basicsr.archs import build_network

    held: Mapping[str, Any] = checkpoint.load(state, '--uncertainty').get('history') or {}
    numbers = sorted({int(key.split('.')[1]) for key in held if key.startswith('negatives.')})
    if not numbers:
        raise MclirError(f'--uncertainty: {state} holds no negatives: its run was one without train.history.')
    found = []
    for number in numbers:
        prefix = f'negatives.{number}.'
        weights = {key.removeprefix(prefix): value for key, value in held.items() if key.startswith(prefix)}
        net: nn.Module = build_network(dict(subject.network_g))
        check_fit(net, weights, f'{state}: negative {number}', strict=True)
        net.load_state_dict(weights)
        found.append(net)
    return found


def _of_name(folder: Path, file: Path) -> Path:
    """The gt of an image: the same place and name, whatever its ending."""
    same = sorted((folder / file.parent).glob(f'{_escaped(file.stem)}.*'))
    same = [each for each in same if each.suffix.lower() in picture.SUFFIXES]
    if not same:
        raise MclirError(f'--gt: {folder} has no image {file.with_suffix("")}, so that its map has no figures.')
    return same[0]


def _escaped(name: str) -> str:
    return ''.join(f'[{letter}]' if letter in '*?[' else letter for letter in name)


def _compared(apart: np.ndarray, after: Picture, gt_file: Path) -> dict[str, float | None]:
    gt = picture.read(gt_file).pixels
    if gt.shape[:2] != after.pixels.shape[:2]:
        raise MclirError(f'--gt: {gt_file} is {gt.shape[1]}x{gt.shape[0]}, but the result {after.pixels.shape[1]}x'
                         f'{after.pixels.shape[0]} pixels.')  # fmt: skip
    error = np.abs(after.pixels.clip(0, 1) - gt).mean(2)
    found = calibration(apart, error)
    values = found._asdict() | {'mean_error': float(error.mean()), 'mean_spread': float(apart.mean())}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
