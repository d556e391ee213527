"""What a validation restores at a time: an image, or the frames of a sequence."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor


class Frame(NamedTuple):
    """A restored image.

    Attributes:
        images: ``img``, what was restored, and ``img2``, gt, where there is one: (1, C, H, W) each.
        folder: Of its sequence; empty for a single image.
        path: Of the lq image it was made of, or its number in the sequence.
    """

    images: dict[str, Tensor]
    folder: str
    path: str

    @property
    def name(self) -> str:
        """By which its figures are told apart: the file's without ending, behind the folder of its sequence."""
        return f'{self.folder}/{Path(self.path).stem}'.lstrip('/')


def frames(data: Mapping[str, Any], visuals: Mapping[str, Tensor]) -> Iterator[Frame]:
    """The images that were made of a batch of one.

    Args:
        data: The batch: ``lq_path``, and of video ``folder``.
        visuals: ``result`` and, where there is one, ``gt``: (1, C, H, W) or (1, T, C, H, W).

    >>> import torch
    >>> made = frames({'folder': ['000']}, {'result': torch.zeros(1, 2, 3, 8, 8)})
    >>> [(frame.name, tuple(frame.images['img'].shape)) for frame in made]
    [('000/00000000', (1, 3, 8, 8)), ('000/00000001', (1, 3, 8, 8))]
    """
    folder = data['folder'][0] if 'folder' in data else ''
    pairs = [('img', visuals['result'])] + ([('img2', visuals['gt'])] if 'gt' in visuals else [])
    stacks = {key: image.flatten(0, -4) for key, image in pairs}  # (T, C, H, W)
    for i in range(len(stacks['img'])):
        path = data['lq_path'][0] if 'lq_path' in data else f'{i:08d}'
        yield Frame({key: stack[i : i + 1] for key, stack in stacks.items()}, folder, path)
