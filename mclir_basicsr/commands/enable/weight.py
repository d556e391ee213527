"""The weight λ that the option file gets: measured where that is possible, else the published one or a balance."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mclir_basicsr.commands.enable.blocks import COMMENTS
from mclir_basicsr.commands.enable.option_text import OptionText
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.paths import expand
from mclir_basicsr.losses.spn_weight import PUBLISHED_LOSSES, PUBLISHED_WEIGHT, RATIO, weight_for
from mclir_basicsr.options import parse_file
from mclir_basicsr.options.losses import LOSS_KEYS

_WEIGHTS = ('imagenet', 'oxford', 'random')


def check_arguments(loss_weight: float | None, ratio: float | None, vgg_weights: str | None) -> None:
    """Refuse what cannot be.

    Raises:
        MclirError: Ratio and weight are both given, the ratio is not between 0 and 1, or there is no such file.
    """
    if ratio is not None and loss_weight is not None:
        raise MclirError('--ratio chooses the weight that --loss-weight gives: take one of them.')
    if ratio is not None and not 0 < ratio <= 1:
        raise MclirError(f'--ratio is {ratio}; it must be above 0 and at most 1, e.g. {RATIO}.')
    if vgg_weights is not None and vgg_weights not in _WEIGHTS and not expand('--vgg-weights', vgg_weights).is_file():
        raise MclirError(f'--vgg-weights: there is no file {vgg_weights}; it may also be {", ".join(_WEIGHTS)}.')


def fit_weight(text: OptionText, given: bool, ratio: float | None, notes: list[str]) -> OptionText:
    """Choose λ for a ``spn_ratio``.

    Args:
        text: The option file with its ``spn_opt`` and ``history``.
        given: Its λ was given and stays; otherwise it is the published one.
        ratio: The ratio asked for; None for RATIO.
        notes: Gets a sentence on what was chosen.

    Returns:
        The option file with λ, or with a balance in its place.

    Raises:
        MclirError: Its ``weights`` are oxford, which do not have the layers that it names.
    """
    with TemporaryDirectory() as folder:
        draft = Path(folder) / text.path.name
        text.write(draft)
        text, opt = OptionText(draft), parse_file(draft)
    _check_oxford(opt['train']['spn_opt'])
    if given:
        return text
    spn = text.block('spn_opt', text.block('train'))
    wanted, reason = ratio or RATIO, next(_hindrances(opt), '')
    if not reason:
        began = time.monotonic()
        try:
            per_weight = _measure(opt)
        except (MclirError, ImportError) as error:
            reason = str(error).rstrip('.')
        else:
            weight = weight_for(wanted, per_weight)
            text.put(spn, 'loss_weight', weight)
            notes.append(
                f'train.spn_opt.loss_weight: {weight:g}, measured in {time.monotonic() - began:.0f} s for a spn_ratio '
                f'of {wanted:g}; the published {PUBLISHED_WEIGHT:g} would give {PUBLISHED_WEIGHT * per_weight:.2g}.'
            )
            return text
    if ratio is None and _is_as_published(opt['train']):
        notes.append(f'train.spn_opt.loss_weight: {PUBLISHED_WEIGHT:g}, the published one; not measured ({reason}).')
        return text
    text.remove(spn, 'loss_weight')
    text.insert(spn, 'type', {'balance': wanted}, COMMENTS)
    notes.append(
        f'train.spn_opt.balance: {wanted:g}, with which the weight follows the spn_ratio; not measured ({reason}).'
    )
    return text


def _check_oxford(spn: Mapping[str, Any]) -> None:
    if spn['weights'] == 'oxford':
        from mclir_basicsr.losses.features import check_layers

        check_layers(spn['vgg_type'], spn['layer_weights'], 'oxford')


def _measure(opt: Mapping[str, Any]) -> float:
    from mclir_basicsr.check.spn_ratio import ratio_per_weight  # torch and BasicSR take seconds to start
    from mclir_basicsr.plugin import register

    register()
    return ratio_per_weight(opt)


def _hindrances(opt: Mapping[str, Any]) -> Iterator[str]:
    """What a measurement lacks."""
    network = opt['path'].get('pretrain_network_g')
    if network is None:
        yield 'path.pretrain_network_g is empty'
    elif not expand('path.pretrain_network_g', network).is_file():
        yield f'there is no {network}'
    train = (opt.get('datasets') or {}).get('train')
    if not isinstance(train, Mapping):
        yield 'there is no datasets.train'
        return
    for key, value in train.items():
        if key.startswith('dataroot') and isinstance(value, str) and not expand(key, value).exists():
            yield f'datasets.train.{key}: there is no {value}'
    spn = opt['train']['spn_opt']
    if spn['weights'] == 'imagenet':
        from mclir_basicsr.losses.features import imagenet_file

        if not imagenet_file(spn['vgg_type']).is_file():
            yield (
                f'the ImageNet weights of {spn["vgg_type"]} are not in the cache; --vgg-weights oxford takes those '
                'that ship with this package'
            )


def _is_as_published(train: Mapping[str, Any]) -> bool:
    """Whether the reconstruction loss is of the kind and weight that the published λ belongs to."""
    loss = train.get('pixel_opt')
    return (
        isinstance(loss, Mapping)
        and loss.get('type') in PUBLISHED_LOSSES
        and float(loss.get('loss_weight') or 1) == 1
        and loss.get('reduction', 'mean') == 'mean'
        and not any(train.get(key) for key in ('perceptual_opt', *LOSS_KEYS))
    )
