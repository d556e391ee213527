"""One term of ``train.losses``: the class made, how its forward is called, and what it gives."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from basicsr.losses.basic_loss import PerceptualLoss
from basicsr.utils import get_root_logger
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError, UnknownNameError, did_you_mean
from mclir_basicsr.losses.features import imagenet_file
from mclir_basicsr.options.losses import LossOptions

# Second arguments of forward that are no image, and what to do with such a class.
_OTHER_INPUTS = {
    'negatives': 'compares the output with negatives: it has a block of its own, train.spn_opt or train.contrast_opt',
    'target_is_real': 'judges a discriminator, which HistoryModel does not have: take it out',
}
_WEIGHTS = {'weight', 'weights', 'mask'}  # what losses of one image take as a second argument, and need not


class LossTerm(NamedTuple):
    """A term beside BasicSR's.

    Attributes:
        path: Where it stands in the option file.
        name: In the log, behind ``l_`` and ``g_``.
        loss: What makes it.
        takes_gt: Whether it compares the output with gt; else it is of the output alone.
    """

    path: str
    name: str
    loss: nn.Module
    takes_gt: bool

    def values(self, output: Tensor, gt: Tensor) -> dict[str, Tensor]:
        """Its value by its name in the log, a scalar; of a perceptual loss with a style term, both.

        Args:
            output: (N, C, H, W), in [0, 1].
            gt: The same shape.

        Raises:
            MclirError: It gives something else, or a number that the output has no part in.
        """
        value = self.loss(output, gt) if self.takes_gt else self.loss(output)
        parts = value if isinstance(self.loss, PerceptualLoss) else (value,)
        named = zip((f'l_{self.name}', f'l_{self.name}_style'), parts, strict=False)
        return {name: self._number(part) for name, part in named if part is not None}

    def _number(self, value: Any) -> Tensor:
        if not (isinstance(value, Tensor) and value.numel() == 1):
            what = f'a tensor of shape {tuple(value.shape)}' if isinstance(value, Tensor) else f'a {_kind(value)}'
            raise MclirError(
                f'{self.path}: {_kind(self.loss)} gives {what}, but a term is one number: let it return its mean '
                '(reduction: mean, where it has that).'
            )
        if torch.is_grad_enabled() and not value.requires_grad:
            raise MclirError(
                f'{self.path}: {_kind(self.loss)} has no gradient by the output, and so no effect: take it out.'
            )
        return value.reshape(())


def loss_class(path: str, kind: str) -> Any:
    """The registered class of a loss.

    Args:
        path: Where it stands in the option file.
        kind: Its ``type``.

    Raises:
        MclirError: There is none; the message asks for the one that was meant.
    """
    try:
        return LOSS_REGISTRY.get(kind)
    except UnknownNameError as error:
        raise MclirError(f'{path}: {error}') from error


def check_arguments(path: str, kind: Any, arguments: Mapping[str, Any]) -> None:
    """Make sure that a class can be called with the keys of its block.

    Args:
        path: Where that stands in the option file.
        kind: The class.
        arguments: The keys but ``type``.

    Raises:
        MclirError: It takes others; the message has all of them.
    """
    parameters = inspect.signature(kind).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    plain = [p for p in parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    names = [p.name for p in plain]
    unknown = [] if takes_any else [key for key in arguments if key not in names]
    missing = [p.name for p in plain if p.default is p.empty and p.name not in arguments]
    if not (unknown or missing):
        return
    what = f'takes no {", ".join(unknown)}' if unknown else f'needs {", ".join(missing)}'
    question = ' '.join(filter(None, (did_you_mean(key, names, most=1, cutoff=0.6) for key in unknown)))
    raise MclirError(
        f'{path}: {kind.__name__} {what}{f" ({question})" if question else ""}. Its arguments are '
        f'{", ".join(names) or "none"}.'
    )


def takes_gt(path: str, kind: Any) -> bool:
    """Whether the forward of a class compares two images; False for a loss of one.

    Args:
        path: Where it stands in the option file.
        kind: The class.

    Raises:
        MclirError: It takes something else.
    """
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise MclirError(f'{path}: {kind.__name__} is no class with forward(output, gt), as a term of training is.')
    given = list(inspect.signature(kind.forward).parameters.values())[1:]  # behind self
    places = [p for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for parameter in given:
        if parameter.name in _OTHER_INPUTS:
            raise MclirError(f'{path}: {kind.__name__} {_OTHER_INPUTS[parameter.name]}.')
    takes_more = any(p.kind is p.VAR_POSITIONAL for p in given)
    needed = [p for p in given if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(needed) > 2 or any(p.kind is p.KEYWORD_ONLY for p in needed) or not (places or takes_more):
        names = ', '.join(p.name for p in needed) or 'nothing'
        raise MclirError(f'{path}: {kind.__name__} compares {names}, but a term of training is given output and gt.')
    return takes_more or (len(places) > 1 and not (len(needed) == 1 and places[1].name in _WEIGHTS))


def make_term(path: str, name: str, options: LossOptions) -> LossTerm:
    """Make a term.

    Args:
        path: Where it stands in the option file.
        name: In the log.
        options: Its class and arguments.

    Raises:
        MclirError: It cannot be made, or training cannot use it; the message says why.
    """
    kind = loss_class(path, options.type)
    compares = takes_gt(path, kind)
    check_arguments(path, kind, options.arguments())
    try:
        loss = kind(**options.arguments())
    except MclirError as error:
        raise MclirError(f'{path}: {error}') from error
    except Exception as error:  # whatever a loss raises on its arguments
        if isinstance(error, OSError) and issubclass(kind, PerceptualLoss):  # urllib's
            raise missing_vgg(path, options.arguments().get('vgg_type', 'vgg19'), error) from error
        raise MclirError(f'{path}: {options.type} cannot be used so: {error}') from error
    if getattr(loss, 'reduction', 'mean') == 'none':
        raise MclirError(f'{path}: {options.type} with reduction none gives no number to train by: set mean or sum.')
    _freeze(path, loss)
    said = 'is given output and gt' if compares else 'takes one image and is given the output alone'
    get_root_logger().info(f'{path}: {options.type} {said}; l_{name} in the log.')
    return LossTerm(path, name, loss, compares)


def missing_vgg(path: str, vgg_type: str, error: OSError) -> MclirError:
    """What is said where BasicSR's PerceptualLoss cannot download its VGG."""
    return MclirError(
        f'{path}: the weights of {vgg_type} are not at {imagenet_file(vgg_type)} and could not be downloaded '
        f'({error}). Fetch them on a machine with a network and put them there.'
    )


def _freeze(path: str, loss: nn.Module) -> None:
    learnt = list(_learnt(loss))
    if learnt:
        loss.requires_grad_(False)
        get_root_logger().warning(
            f'{path}: {_kind(loss)} has parameters ({", ".join(learnt[:3])}{", ..." if len(learnt) > 3 else ""}); they '
            'stay as they are, since only net_g is trained.'
        )


def _learnt(loss: nn.Module) -> Iterator[str]:
    return (name for name, parameter in loss.named_parameters() if parameter.requires_grad)


def _kind(value: Any) -> str:
    return type(value).__name__
