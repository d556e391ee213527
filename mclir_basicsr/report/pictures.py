"""Pictures of a comparison: what the runs made of the same image, and which part of it is worth showing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mclir_basicsr.errors import MclirError
from mclir_basicsr.report.comparison import group
from mclir_basicsr.report.runs import Run
from mclir_basicsr.report.sources import Sources, find_sources


@dataclass(frozen=True)
class Picture:
    """One image as several runs restored it. Arrays are (H, W, 3), uint8, RGB.

    Attributes:
        name: What it is called.
        results: Restored images by label, all of one size; the baseline first.
        lq: The degraded image, smaller by the scale or of the same size; None where unknown.
        gt: The ground truth; None where unknown. What exceeds the results on the right and below is not used, as
            BasicSR's validation does.

    Raises:
        ValueError: The results differ in size, or the gt is smaller.
    """

    name: str
    results: dict[str, np.ndarray]
    lq: np.ndarray | None = None
    gt: np.ndarray | None = None

    def __post_init__(self) -> None:
        sizes = {label: image.shape[:2] for label, image in self.results.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f'Picture {self.name}: results must be of one size but are {sizes}.')
        if self.gt is not None and (np.array(self.gt.shape[:2]) < self.size).any():
            raise ValueError(f'Picture {self.name}: gt {self.gt.shape[:2]} is smaller than the results {self.size}.')

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the results."""
        height, width = next(iter(self.results.values())).shape[:2]
        return height, width

    def difference(self) -> np.ndarray:
        """Absolute difference of the last result and the first, mean of the channels: (H, W), 0 to 255."""
        results = list(self.results.values())
        return np.abs(results[-1].astype(np.float32) - results[0].astype(np.float32)).mean(axis=2)

    def patch(self, top: int, left: int, side: int) -> 'Picture':
        """The square of the results, gt and lq whose upper left corner is (top, left), in pixels of the results."""

        def cut(image: np.ndarray, scale: float = 1.0) -> np.ndarray:
            upper, lower, start, end = (round(edge / scale) for edge in (top, top + side, left, left + side))
            return image[upper:lower, start:end]

        return Picture(
            self.name,
            {label: cut(image) for label, image in self.results.items()},
            None if self.lq is None else cut(self.lq, self.size[0] / self.lq.shape[0]),
            None if self.gt is None else cut(self.gt),
        )


def load_pictures(runs: Sequence[Run], lq: Path | None = None, gt: Path | None = None, limit: int = 6) -> list[Picture]:
    """The last validation images of the runs, of each label's first run, with lq and gt where they are at hand.

    Args:
        runs: The runs, the baseline first.
        lq: Folder of the degraded images, whose names without suffix are those of the validation images. Default: as
            the options of the first run say.
        gt: Folder of the ground truth, named alike. Default: likewise.
        limit: How many pictures at most, >= 1; the first in order of name. Images that not every run has (of those
            that have any), or has in another size, are passed over.

    Raises:
        MclirError: An image cannot be read.
    """
    saved = _saved(runs)
    names = sorted(set.intersection(*(set(images) for images in saved.values()))) if saved else []
    known = find_sources(runs[0].options) if runs else Sources()
    inputs, truths = (
        {file.stem: file for file in folder.iterdir()} if folder else files
        for folder, files in ((lq, known.lq), (gt, known.gt))
    )
    pictures: list[Picture] = []
    for name in names:
        results = {label: _read(images[name]) for label, images in saved.items()}
        if len({image.shape for image in results.values()}) == 1:
            size = next(iter(results.values())).shape[:2]
            truth = _read(truths[name]) if name in truths else None
            fits = truth is not None and (np.array(truth.shape[:2]) >= size).all()
            pictures.append(
                Picture(name, results, _read(inputs[name]) if name in inputs else None, truth if fits else None)
            )
        if len(pictures) == limit:
            break
    return pictures


def explain_pictures(runs: Sequence[Run], pictures: Sequence[Picture]) -> list[str]:
    """Why there are no pictures, or why they lack lq or gt; nothing where nothing lacks.

    Args:
        runs: The runs, the baseline first.
        pictures: What :func:`load_pictures` made of them.
    """
    saved = _saved(runs)
    without = [label for label in group(runs) if label not in saved]
    notes = []
    if without:
        notes.append(f'No pictures of {", ".join(without)}: no validation image was saved (val.save_img: true does).')
    elif not pictures:
        notes.append('No pictures: of no name and size did all runs save an image.')
    lacks = [kind for kind in ('lq', 'gt') if any(getattr(picture, kind) is None for picture in pictures)]
    if lacks:
        missing = find_sources(runs[0].options).missing or ['no file of that name and size']
        psnr_too = ' and PSNR' if 'gt' in lacks else ''
        notes.append(f'Pictures without {" and ".join(lacks)}{psnr_too}: {"; ".join(missing)}.')
    return notes


def _saved(runs: Sequence[Run]) -> dict[str, dict[str, Path]]:
    """Validation images of each label's first run, of those that saved any."""
    return {label: members[0].images for label, members in group(runs).items() if members[0].images}


def _read(file: Path) -> np.ndarray:
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert('RGB'))
    except OSError as error:
        raise MclirError(
            f'{file} cannot be read as an image: {error}. Try again when the run has ended, or remove the file.'
        ) from error


def telling_patch(picture: Picture, side: int = 128) -> Picture:
    """The square (of at most ``side`` pixels) where the last result differs most from the first.

    With one result, or none that differs, it is the square of most detail (largest gradient).
    """
    weight = picture.difference()
    if not weight.any():
        rows, columns = np.gradient(next(iter(picture.results.values())).mean(axis=2))
        weight = np.hypot(rows, columns)
    side = min(side, *picture.size)
    total = np.pad(weight.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    # A grid of 8 pixels, so that the patch of an lq reduced by 2, 4 or 8 starts at the same place.
    top, left = np.unravel_index(np.argmax(sums[::8, ::8]), sums[::8, ::8].shape)
    return picture.patch(int(top) * 8, int(left) * 8, side)


def psnr(image: np.ndarray, gt: np.ndarray) -> float:
    """PSNR in dB of RGB images (H, W, 3), uint8, as BasicSR computes it with crop_border 0."""
    from mclir_basicsr.plugin import register  # BasicSR imports torch, which a comparison without gt can do without

    register()
    from basicsr.metrics.psnr_ssim import calculate_psnr

    return float(calculate_psnr(image, gt, crop_border=0))
