"""Entries of ``train.losses``: their keys, and their names in the log."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from mclir_basicsr.options.structs import TrainOptions

LOSS_KEYS = ('losses', 'fft_opt', 'fft_loss_opt')
_TAKEN = {'pix', 'percep', 'style', 'spn', 'contrast'}  # l_pix and the like are in the log already
# Where a name ends one word and begins the next: FocalFrequency, MyFFT, VGGPerceptual.
_BOUNDARY = re.compile('(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])')


class LossOptions(BaseModel):
    """A term beside pixel_opt and perceptual_opt; further keys are the arguments of its class."""

    model_config = ConfigDict(extra='allow', frozen=True)

    type: str = Field(description="any class of BasicSR's loss registry with forward(output, gt)")
    name: Annotated[str, Field(pattern=r'^\w+$')] | None = Field(
        None, description='its name in the log, l_NAME and g_NAME; by default made of the type: focal_frequency'
    )

    def arguments(self) -> dict[str, Any]:
        """What its class is made with."""
        return dict(self.model_extra or {})


def loss_terms(train: 'TrainOptions') -> dict[str, tuple[str, LossOptions]]:
    """The terms beside ``pixel_opt`` and ``perceptual_opt``: name in the log and options, by their path in the file.

    Args:
        train: The block ``train``.

    Raises:
        ValueError: A name is given twice, or is that of a term of the log's own.

    >>> from mclir_basicsr.options.structs import TrainOptions
    >>> blocks = [{'type': 'FFTLoss'}, {'type': 'MyFFTLoss'}, {'type': 'FFTLoss', 'loss_weight': 2}]
    >>> [name for name, _ in loss_terms(TrainOptions.model_validate({'losses': blocks})).values()]
    ['fft', 'my_fft', 'fft_2']
    """
    found = list(_blocks(train))
    given = [options.name for _, _, options in found if options.name is not None]
    for name in given:
        if name in _TAKEN or given.count(name) > 1:
            raise ValueError(f'losses: the name {name} is taken: give another one')
    taken, terms = _TAKEN | set(given), {}
    for path, name, options in found:
        terms[path] = options.name or _free(name, taken), options
        taken.add(terms[path][0])
    return terms


def _blocks(train: 'TrainOptions') -> Iterator[tuple[str, str, LossOptions]]:
    """Path, default name and options of each."""
    for key in ('fft_opt', 'fft_loss_opt'):
        options: LossOptions | None = getattr(train, key)
        if options is not None:
            yield f'train.{key}', 'fft', options
    for i, options in enumerate(train.losses or ()):
        yield f'train.losses.{i}', _BOUNDARY.sub('_', options.type.removesuffix('Loss')).lower() or 'loss', options


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number where it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f'{name}_{number}'
    return free
