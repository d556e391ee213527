"""The model class of BasicSR that a HistoryModel stands on: ``base_model`` of the option file."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY
from torch import nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import OwnOptions
from mclir_basicsr.options.bases import base_class
from mclir_basicsr.stand_in import stand_in


def find(name: str) -> type:
    """Look a base up in BasicSR's MODEL_REGISTRY, and see whether it can be one.

    Args:
        name: ``base_model``.

    Raises:
        UnknownNameError: Nothing is registered under that name.
        MclirError: It restores no images, so that there is nothing to compare with negatives.

    >>> find('EDVRModel').__mro__[1].__name__
    'VideoBaseModel'
    """
    base = base_class(name) or MODEL_REGISTRY.get(name)
    if getattr(base, 'resumes_exactly', False):
        raise MclirError(f'base_model: {name} is a HistoryModel itself: set model_type to it, and take base_model out.')
    if not issubclass(base, SRModel):
        raise MclirError(
            f'base_model: {name} is not derived from SRModel. HistoryModel stands on model classes that restore lq to '
            'the likeness of gt: SRModel, SwinIRModel, RealESRNetModel, EDVRModel, VideoRecurrentModel, SRGANModel, '
            'ESRGANModel, RealESRGANModel, VideoRecurrentGANModel and the like.'
        )
    return base


def steps_itself(base: type) -> bool:
    """Whether a base has a training step of its own, as those with a discriminator have.

    Others leave it to SRModel, be it behind something of theirs: they call ``super().optimize_parameters``.

    >>> steps_itself(find('VideoRecurrentModel')), steps_itself(find('VideoRecurrentGANModel'))
    (False, True)
    """
    for kind in base.__mro__[: base.__mro__.index(SRModel)]:
        step = vars(kind).get('optimize_parameters')
        if step is not None and not {'super', 'optimize_parameters'} <= set(step.__code__.co_names):
            return True
    return False


def tests_itself(base: type) -> bool:
    """Whether a base of the user's has a way of its own to restore an image."""
    home = next(kind for kind in base.__mro__ if 'test' in vars(kind))
    return not home.__module__.startswith(('basicsr.', 'mclir_basicsr.'))


def faults(base: type, own: OwnOptions) -> Iterator[str]:
    """What an option file asks for that a HistoryModel cannot have on this base, a sentence each."""
    train, val = own.train, own.val
    asked: dict[str, Any]
    if steps_itself(base):
        asked = {'amp': train.amp, 'accumulate': train.accumulate > 1, 'compile': train.compile}
        asked |= {'contrast_opt': train.contrast_opt}
        if names := [f'train.{key}' for key, value in asked.items() if value]:
            yield (
                f'{", ".join(names)}: {base.__name__} has a training step of its own, in which nothing of that is '
                'known. Take it out.'
            )
    tests = f'{base.__name__} has a test() of its own' if tests_itself(base) else ''
    if 'VideoBaseModel' in (kind.__name__ for kind in base.__mro__):
        tests = f'{base.__name__} restores sequences'
        if train.contrast_opt and not steps_itself(base):
            yield f'train.contrast_opt: {tests}, whose lq is no negative of one image. Take it out.'
    asked = {'tile': val.tile, 'self_ensemble': val.self_ensemble, 'pad_multiple': val.pad_multiple}
    if tests and (names := [f'val.{key}' for key, value in asked.items() if value]):
        yield f'{", ".join(names)}: {tests}, which does without. Take it out.'


def remarks(base: type) -> Iterator[str]:
    """What is other on this base than a user of it may expect, a sentence each."""
    of_basicsr = ('basicsr.', 'mclir_basicsr.')
    for name in ('validation', 'nondist_validation', 'dist_validation'):
        home = next((kind for kind in base.__mro__ if name in vars(kind)), SRModel)
        if not home.__module__.startswith(of_basicsr):
            yield f'base_model: {home.__name__}.{name} is not used: HistoryModel validates as docs/networks.md says.'
    if hasattr(base, '_dequeue_and_enqueue'):
        yield (
            f'base_model: the queue of pairs of {base.__name__} (queue_size) is not saved: a resumed run fills a new '
            'one, so that its batches are others than those of a run that was not interrupted.'
        )


@contextmanager
def staying_on(device: torch.device) -> Iterator[None]:
    """Let ``.cuda()`` do nothing where a model trains elsewhere: RealESRNetModel calls it whatever ``num_gpu`` is."""
    with ExitStack() as stack:
        if device.type != 'cuda':
            for owner in (nn.Module, torch.Tensor):
                stack.enter_context(stand_in(owner, 'cuda', _as_it_is))
        yield


def _as_it_is(self: Any, *_: Any, **__: Any) -> Any:
    return self
