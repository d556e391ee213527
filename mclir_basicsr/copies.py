"""Copies of a network: exact, mixed with a random start, in lower precision, and with room for a saved state."""

import logging
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._pytree import tree_leaves

from mclir_basicsr.averages import buffer_pairs, lerp
from mclir_basicsr.errors import MclirError
from mclir_basicsr.random_states import put_back, seed_generators

logger = logging.getLogger('basicsr')


def copied(net: nn.Module) -> nn.Module:
    """A deep copy, also of a network that holds tensors with a graph, which ``deepcopy`` refuses.

    ``weight_norm`` keeps the weight that it computes, some networks their last activations. Such tensors are made
    anew at the next forward pass: the copy has their values.

    Raises:
        MclirError: The network cannot be copied even so.

    >>> net = nn.Linear(2, 2)
    >>> net.last = net(torch.ones(1, 2))
    >>> torch.equal(copied(net).last, net.last)
    True
    """
    held = [leaf for module in net.modules() for leaf in tree_leaves(list(vars(module).values()))]
    made = [tensor for tensor in held if isinstance(tensor, Tensor) and not tensor.is_leaf]
    try:
        # deepcopy looks an object up by its id before it copies it
        return deepcopy(net, {id(tensor): tensor.detach().clone() for tensor in made})
    except (RuntimeError, TypeError) as error:
        raise MclirError(
            f'{type(net).__name__} cannot be copied, which negative models need: {error} Keep what it computes out of '
            'its attributes.'
        ) from error


def mixed(net: nn.Module, share: float, fresh: Callable[[], nn.Module] | None, seed: Sequence[int]) -> nn.Module:
    """A copy of net, mixed with a share of random initialisation.

    Buffers stay those of net: batch statistics of a random network fit no image.

    Args:
        net: The network, bare.
        share: Of random initialisation, in [0, 1].
        fresh: Makes a newly initialised network; needed where share is above 0.
        seed: What Python's, NumPy's and torch's generators are seeded from while it does; their states are put back.

    Raises:
        MclirError: The network cannot be copied, or fresh makes one with other parameters.
    """
    copy = copied(net)
    if share > 0 and fresh is not None:
        with put_back():
            # By a key, since the seed of the run alone is what net itself may have been drawn from.
            seed_generators([part % 2**64 for part in seed])
            initial = [p.data for p in fresh().parameters()]
        parameters = [p.data for p in copy.parameters()]
        if [p.shape for p in parameters] != [p.shape for p in initial]:
            raise MclirError(
                'fresh must make a network with the parameters of net, but theirs differ in number or shape.'
            )
        lerp(parameters, [i.to(p) for i, p in zip(initial, parameters, strict=True)], share)
    return copy


def stored_in(dtype: torch.dtype | None, net: nn.Module) -> nn.Module:
    """A copy whose convolutions and linear layers are stored as autocast would cast them; None: net itself."""
    if dtype is None:
        return net
    copy = copied(net)
    for module in copy.modules():
        if isinstance(module, (nn.Linear, _ConvNd)):
            module.to(dtype)
    return copy


@torch.no_grad()
def update(copy: nn.Module, net: nn.Module) -> None:
    """Give a copy, of whatever precision, the values of the network that it is of."""
    for mine, current in chain(zip(copy.parameters(), net.parameters(), strict=True), buffer_pairs(copy, net)):
        mine.copy_(current)


def fitted(net: nn.Module, state: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Make a network and a state of the same run fit each other where a forward pass has made or resized buffers.

    A buffer that the network does not have yet is registered, so that the state's can be loaded. One of another shape
    keeps the value of net, since the network makes it anew for each size. All else is left to ``load_state_dict``.

    Args:
        net: The network as it was built.
        state: Its ``state_dict`` after some forward passes.
        what: What the state is, for the log.

    Returns:
        The state to load.
    """
    modules = dict(net.named_modules())
    device = next((tensor.device for tensor in net.parameters()), None)
    kept: dict[str, Tensor] = {}
    for key, value in state.items():
        prefix, _, name = key.rpartition('.')
        module = modules.get(prefix)
        if module is None or not isinstance(value, Tensor):
            continue
        own = module._buffers.get(name)
        if own is not None and own.shape != value.shape:
            kept[key] = own.clone()
        elif own is None and (name in module._buffers or not hasattr(module, name)):
            module.register_buffer(name, torch.empty_like(value, device=device))
    if kept:
        logger.warning('Buffers of another shape in %s are left out: %s.', what, ', '.join(kept))
    return {**state, **kept}
