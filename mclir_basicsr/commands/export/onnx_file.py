"""A network as ONNX, and the comparison of what ONNX Runtime makes with it."""

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from mclir_basicsr.commands.evaluate.subjects import Subject
from mclir_basicsr.inference.needs import Needs, needs_of
from mclir_basicsr.inference.normalisation import Normalisation
from mclir_basicsr.inference.tiles import FixedTile

BOUND = 1e-4  # largest difference of ONNX Runtime's image from torch's; a step of 8 bits is 0.004
_PACKAGES = ('onnx', 'onnxscript', 'onnxruntime')
_SIDE = 48  # pixels of the image that goes through it, before it is made to fit the network


class _InRange(nn.Module):
    """A network between images in [0, 1], whatever range it was trained in."""

    def __init__(self, net: nn.Module, data: Normalisation) -> None:
        super().__init__()
        self.net, self._data = net, data

    def forward(self, lq: Tensor) -> Tensor:
        return self._data.undone(self.net(self._data.done(lq)))


def write(net: nn.Module, subject: Subject, file: Path) -> tuple[str | None, str | None]:
    """Write a network by torch's exporter, if ONNX Runtime then makes the same images of two sizes.

    Sizes are free where the exporter finds them so, else fixed.

    Args:
        net: In eval mode, on the CPU.
        subject: What it is.
        file: To be written; whatever fails, nothing of it is left.

    Returns:
        What was made, or None; and why not, or None.
    """
    if lacking := [name for name in _PACKAGES if find_spec(name) is None]:
        return None, f"{', '.join(lacking)} is missing: pip install 'mclir-basicsr[onnx]'."
    blocks = (subject.options or {}).get('datasets') or {}
    module = _InRange(net, Normalisation(blocks.get('train') or {}, 'datasets.train')).eval()
    needs, temporary = needs_of(net), file.with_name(f'{file.stem}.tmp.onnx')
    reason = ''
    try:
        for free in (True, False) if not isinstance(needs.tiling, FixedTile) else (False,):
            images = [torch.rand(1, 3, *side) for side in _sizes(needs, free)]
            try:
                _export(module, images[0], temporary, free)
                difference = max(_difference(module, image, temporary) for image in images)
            except Exception as error:  # of the exporter, which has many, or of ONNX Runtime
                reason = f'{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ""}'
                continue
            if difference > BOUND:
                reason = f"ONNX Runtime's image differs from torch's by {difference:.2g}, more than {BOUND:g}"
                continue
            temporary.replace(file)
            size = 'images of any size' if free else f'images of {images[0].shape[-2]}x{images[0].shape[-1]} alone'
            needed = f', sides multiples of {needs.pad_multiple}' if free and needs.pad_multiple > 1 else ''
            return f'{size}{needed}; ONNX Runtime differs from torch by at most {difference:.1e}.', None
    finally:
        for left in file.parent.glob(f'{temporary.name}*'):
            left.unlink()
    return None, reason


def _sizes(needs: Needs, free: bool) -> list[tuple[int, int]]:
    """Of the images that are compared; the network takes them as they are."""
    if isinstance(needs.tiling, FixedTile):
        return [(needs.tiling.size, needs.tiling.size)]
    multiple = needs.pad_multiple
    side = max(_SIDE, needs.min_side)
    side += -side % multiple
    other = (side + multiple, side + (multiple if needs.square else 3 * multiple))
    return [(side, side), other] if free else [(side, side)]


def _export(module: nn.Module, image: Tensor, file: Path, free: bool) -> None:
    sides = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        level = logging.getLogger('torch.onnx').level
        logging.getLogger('torch.onnx').setLevel(logging.ERROR)
        try:
            torch.onnx.export(
                module, (image,), str(file), input_names=['lq'], output_names=['output'], dynamo=True,
                dynamic_shapes=({**sides},) if free else None, external_data=False, verbose=False,
            )  # fmt: skip
        finally:
            logging.getLogger('torch.onnx').setLevel(level)


@torch.no_grad()
def _difference(module: nn.Module, image: Tensor, file: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=['CPUExecutionProvider'])
    (made,) = session.run(None, {'lq': image.numpy()})
    return (torch.from_numpy(made) - module(image)).abs().max().item()
