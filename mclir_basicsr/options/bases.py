"""What model classes of BasicSR read of an option file beyond what SRModel reads."""

from collections.abc import Mapping
from typing import Any

_NET_D = {
    '': {'network_d'},
    'path': {'pretrain_network_d', 'strict_load_d', 'param_key_d'},
    'train': {'gan_opt', 'optim_d', 'net_d_iters', 'net_d_init_iters'},
}
_DEGRADATION = {
    f'{key}{order}'
    for key in (
        'resize_prob', 'resize_range', 'noise_range', 'poisson_scale_range', 'gray_noise_prob', 'gaussian_noise_prob',
        'jpeg_range',
    )
    for order in ('', '2')
} | {'second_blur_prob', 'gt_size', 'queue_size', 'high_order_degradation'}  # fmt: skip
# Keys by class and block, read in basicsr 1.4.2; a class has those of the classes that it is derived from, too.
_KEYS: dict[str, dict[str, set[str]]] = {
    'RealESRNetModel': {'': _DEGRADATION | {'gt_usm'}},
    'RealESRGANModel': {'': _DEGRADATION | {'l1_gt_usm', 'percep_gt_usm', 'gan_gt_usm'}, 'train': {'ldl_opt'}},
    'SRGANModel': _NET_D,
    'EDVRModel': {'train': {'tsa_iter', 'dcn_lr_mul'}},
    'VideoRecurrentModel': {'train': {'fix_flow', 'flow_lr_mul'}, 'val': {'flip_seq', 'center_frame_only'}},
    'VideoRecurrentGANModel': _NET_D | {'train': _NET_D['train'] | {'lr_flow'}},
    'HiFaceGANModel': _NET_D | {'train': _NET_D['train'] | {'feature_matching_opt'}},
}
# Those of a discriminator, which most bases do not have.
OF_A_GAN = _NET_D | {'train': _NET_D['train'] | {'ldl_opt', 'feature_matching_opt'}}


def base_class(name: str) -> type | None:
    """The class of a ``base_model``, as BasicSR's MODEL_REGISTRY finds it; None where it does not."""
    from basicsr.utils.registry import MODEL_REGISTRY

    found = (key for key in (name, f'{name}_basicsr') if key in MODEL_REGISTRY)  # .get() tells of the second
    return next((MODEL_REGISTRY.get(key) for key in found), None)


class BaseKeys:
    """The keys that the ``base_model`` of an option file reads beyond SRModel's.

    Args:
        opt: The option file.

    Attributes:
        is_of_basicsr: Whether all that it reads is known: no class of the user's is among it.
        has_discriminator: Whether it trains one.
    """

    def __init__(self, opt: Mapping[str, Any]) -> None:
        kind = base_class(str(opt.get('base_model') or 'SRModel'))
        kinds = () if kind is None else kind.__mro__
        self._names = [kind.__name__ for kind in kinds]
        self.is_of_basicsr = all(kind.__module__.startswith(('basicsr.', 'builtins')) for kind in kinds)
        self.has_discriminator = 'network_d' in self.of('')

    def of(self, block: str) -> set[str]:
        """Those of a block; empty for the top of the file.

        >>> sorted(BaseKeys({'base_model': 'EDVRModel'}).of('train'))
        ['dcn_lr_mul', 'tsa_iter']
        """
        return {key for name in self._names for key in _KEYS.get(name, {}).get(block, ())}
