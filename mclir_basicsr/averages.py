"""Moving averages of networks: EMA and negative models are copies that follow a network, buffers too."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError


@torch.no_grad()
def move(target: nn.Module, source: nn.Module, keep: float, fetch: Callable[[Tensor], Tensor]) -> None:
    """Move a negative model: ``target <- keep * target + (1 - keep) * source``, floating-point buffers too.

    Other buffers are copied. What is equal stays equal to the last bit: the gradient of an L1 distance has the sign of
    the difference, be it but rounding.

    Args:
        target: The negative model.
        source: The network, bare.
        keep: Share of itself that the negative model keeps, in [0, 1].
        fetch: What to take for a buffer of source, where ranks have to agree on one.

    Raises:
        MclirError: The networks are not of one architecture.

    >>> target, source = (nn.Linear(1, 1, bias=False).requires_grad_(False) for _ in range(2))
    >>> _ = target.weight.fill_(1.0), source.weight.fill_(3.0)
    >>> move(target, source, keep=0.5, fetch=lambda buffer: buffer)
    >>> target.weight.item()
    2.0
    """
    lerp(*_parameters(target, source), 1 - keep)
    for mine, current in buffer_pairs(target, source, fetch):
        if mine.is_floating_point() or mine.is_complex():
            # Between infinities, as attention masks have, there is no mean.
            current = torch.where(mine == current, mine, mine.lerp(current, 1 - keep))
        mine.copy_(current)


@torch.no_grad()
def lerp(targets: list[Tensor], sources: list[Tensor], share: float) -> None:
    """``target <- target + share * (source - target)``, in place."""
    if targets:  # torch takes no empty list
        torch._foreach_lerp_(targets, sources, share)


@torch.no_grad()
def follow(target: nn.Module, source: nn.Module, keep: float, good: Tensor | None = None) -> None:
    """Move the parameters of an EMA network as BasicSR's ``model_ema`` does, bit for bit, and copy the buffers.

    Batch statistics are averages already, and belong to the weights of now more than to those of the start.

    Args:
        target: The EMA network.
        source: The network that is trained, bare.
        keep: The decay, in [0, 1].
        good: A truth value (0-d) without which nothing moves; it stays on its device, so that the host need not wait.

    Raises:
        MclirError: The networks are not of one architecture.
    """
    targets, sources = _parameters(target, source)
    if good is None:
        torch._foreach_mul_(targets, keep)
        torch._foreach_add_(targets, sources, alpha=1 - keep)
    else:
        moved = torch._foreach_mul(targets, keep)
        torch._foreach_add_(moved, sources, alpha=1 - keep)
        # torch.where for lists: of two finite summands one is multiplied by 0, so that the sum is the other exactly.
        torch._foreach_mul_(targets, (~good).float())
        torch._foreach_mul_(moved, good.float())
        torch._foreach_add_(targets, moved)
    copy_buffers(target, source, good)


@torch.no_grad()
def copy_buffers(target: nn.Module, source: nn.Module, good: Tensor | None = None) -> None:
    """The half of :func:`follow` that copies."""
    pairs = list(buffer_pairs(target, source))
    if good is not None:
        for mine, current in pairs:
            mine.copy_(torch.where(good, current, mine))
    elif pairs:
        mine_all, current_all = map(list, zip(*pairs, strict=True))
        torch._foreach_copy_(mine_all, current_all)


def buffer_pairs(
    target: nn.Module, source: nn.Module, fetch: Callable[[Tensor], Tensor] = lambda buffer: buffer
) -> Iterator[tuple[Tensor, Tensor]]:
    """The buffers of two networks of one architecture, those of target first.

    A buffer that target lacks, or has in another shape, becomes a copy of the one in source: networks make masks when
    they first see an image, and anew for each size. Where source lacks one, that of target is left alone.

    Raises:
        MclirError: The networks are not of one architecture.
    """
    own, others = list(target.modules()), list(source.modules())
    _check_alike('modules', own, others)
    for module, other in zip(own, others, strict=True):
        for name, buffer in other._buffers.items():
            if buffer is None:
                continue
            current, mine = fetch(buffer), module._buffers.get(name)
            if mine is None or mine.shape != current.shape:
                mine, is_kept = current.clone(), name not in other._non_persistent_buffers_set
                module.register_buffer(name, mine, persistent=is_kept)
            yield mine, current


def _parameters(target: nn.Module, source: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    own: list[Tensor] = list(target.parameters())
    others: list[Tensor] = list(source.parameters())
    _check_alike('parameters', own, others)
    return own, others


def _check_alike(what: str, own: Sequence[Any], others: Sequence[Any]) -> None:
    if len(own) != len(others):
        raise MclirError(
            f'The network has {len(others)} {what}, but the average of it has {len(own)}: one that makes or drops '
            f'{what} while it runs cannot be averaged. Make them in its constructor.'
        )
