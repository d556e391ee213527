"""Which weight λ of the SPN term fits: by ``spn_ratio``, the norm of its gradient over that of the reconstruction.

λ enters the ratio linearly. The published 1e-3 belongs to L1 and ImageNet features, where it gives about 0.02.
"""

RATIO = 0.02  # what λ is chosen for
WEAK = 0.002  # below it the term hardly acts
STRONG = 1.0  # above it the term pushes harder than the reconstruction loss pulls
PUBLISHED_WEIGHT = 1e-3
PUBLISHED_LOSSES = ('L1Loss', 'CharbonnierLoss')  # those that the published weight fits


def weight_for(ratio: float, per_weight: float) -> float:
    """λ, to two digits, that gives a ratio.

    Args:
        ratio: The wanted ``spn_ratio``.
        per_weight: The ratio that λ = 1 would give.

    >>> weight_for(0.02, 23.4)
    0.00085
    """
    return float(f'{ratio / per_weight:.1e}')


def judge(ratio: float, weight: float) -> str:
    """What to do about a ``spn_ratio``; empty where it is neither too low nor too high, or tells nothing.

    Args:
        ratio: As measured. 0 is what negatives give that equal the network, and tells nothing.
        weight: λ at which it was measured.

    >>> judge(0.02, 1e-3)
    ''
    >>> judge(6e-5, 1e-3).partition('. ')[0]
    'spn_ratio is 6e-05: the SPN term hardly acts beside the reconstruction loss'
    """
    if 0 < ratio < WEAK:
        return (
            f'spn_ratio is {ratio:.2g}: the SPN term hardly acts beside the reconstruction loss. Raise '
            f'spn_opt.loss_weight ({weight:.2g}; {weight_for(RATIO, ratio / weight):.2g} would give {RATIO}), or set '
            f'spn_opt.balance: {RATIO} in its place.'
        )
    if STRONG < ratio < float('inf'):
        return (
            f'spn_ratio is {ratio:.3g}: the SPN term pushes harder than the reconstruction loss pulls, and has no '
            'bound. Lower spn_opt.loss_weight, or set spn_opt.balance or spn_opt.margin.'
        )
    return ''
