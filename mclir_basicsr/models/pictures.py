"""Where validation saves the images that it restored."""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from basicsr.utils import get_root_logger

_Place = tuple[str, str]  # folder, name of the picture
_Owner = tuple[str, str]  # data set, path of the lq image


class Pictures:
    """BasicSR's places for restored images, and others for those whose place another image has.

    In training BasicSR tells images apart by their file name alone, whatever the data set.

    Attributes:
        owners: The image that has each place, by folder and name.

    >>> pictures = Pictures()
    >>> for lq_path, dataset in (('Set5/a.png', 'Set5'), ('Set14/a.png', 'Set14')):
    ...     print(pictures.in_training(Path('visualization'), lq_path, dataset, 100).as_posix())
    visualization/a/a_100.png
    visualization/Set14_a/Set14_a_100.png
    """

    def __init__(self) -> None:
        self.owners: dict[_Place, _Owner] = {}
        self._told: set[str] = set()

    def in_training(self, folder: Path, lq_path: str, dataset: str, iteration: int | str, sequence: str = '') -> Path:
        """``<folder>/<image>/<image>_<iteration>.png``; of video below its sequence's folder."""
        image = self._name(sequence, lq_path, dataset)
        return folder / sequence / image / f'{image}_{iteration}.png'

    def in_testing(self, folder: Path, lq_path: str, dataset: str, suffix: str, sequence: str = '') -> Path:
        """``<folder>/<data set>/<image>_<suffix>.png``; of video the sequence's folder in between."""
        place = Path(dataset, sequence)
        return folder / place / f'{self._name(str(place), lq_path, dataset)}_{suffix}.png'

    def agree(self, shares: Sequence[dict[_Place, _Owner]]) -> None:
        """Take over the places that all ranks, in their order, have given away."""
        self.owners = {}
        for share in shares:
            self.owners = share | self.owners

    def _name(self, folder: str, lq_path: str, dataset: str) -> str:
        owner: _Owner = (dataset, lq_path)
        image = Path(lq_path).stem
        name = next(n for n in _names(image, dataset) if self.owners.setdefault((folder, n), owner) == owner)
        if name != image and dataset not in self._told:
            self._told.add(dataset)
            get_root_logger().warning(
                f'datasets: {dataset} has images of the same names as others: those pictures are saved under the name '
                f'of the data set too, {image} as {name}.'
            )
        return name


def _names(image: str, dataset: str) -> Iterator[str]:
    yield image
    longer = f'{dataset}_{image}'.replace('/', '_')
    yield longer
    yield from (f'{longer}_{i}' for i in count(2))
