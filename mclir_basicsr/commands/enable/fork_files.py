"""Option files of forks: the table of forks.py applied to one."""

import inspect
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode

from mclir_basicsr.commands.enable.fork_edits import Edit
from mclir_basicsr.commands.enable.forks import ADVERSARIAL, CLIP_NORM, ENTRIES, IN_EXTRA, MODELS, OF_BASICSR
from mclir_basicsr.commands.enable.option_text import OptionText, entries, get
from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import parse_file
from mclir_basicsr.options.bases import OF_A_GAN


def base_of(model: str, file: str) -> str:
    """The ``base_model`` that trains as a model type does.

    Args:
        model: Of BasicSR, of a fork in the table, or of the user's, registered before (``--import``).
        file: The option file, for the message.

    Raises:
        MclirError: It is none of those.
    """
    if model in MODELS:
        return MODELS[model].base
    if model in OF_BASICSR:
        return OF_BASICSR[model]
    if model == 'StyleGAN2Model':
        raise MclirError(f'{file}: model_type {model} generates images: there is nothing that it restores.')
    from mclir_basicsr.plugin import register

    register()
    from basicsr.utils.registry import MODEL_REGISTRY

    if model in MODEL_REGISTRY:
        return model
    known = ', '.join([*OF_BASICSR, *MODELS])
    raise MclirError(
        f'{file}: model_type {model} cannot become HistoryModel: it is not known here. If it is a class of your own or '
        f'of a fork, register it: --import FILE. Where it trains as one of these does, write that one: {known}, and '
        'SRNegModel*, ImageRestorationModel_FFANet_Neg_* of MCLIR.'
    )


def turn(text: OptionText, model: str, notes: list[str]) -> None:
    """Edit the keys that a fork has in place of BasicSR's, and say what is lost.

    Args:
        text: The option file.
        model: Its ``model_type`` as it was.
        notes: Gets a sentence for each.
    """
    for path, block in _blocks(text):
        for entry in ENTRIES:
            is_meant = not entry.models or model in entry.models
            if path.split('.')[0] == entry.block and entry.key in entries(block) and is_meant:
                said = entry.edit(Edit(text, block, entry.key, f'{path}.{entry.key}'))
                notes += [f'{said}.'] if said else []
    _leave_out_discriminator(text, MODELS[model].base if model in MODELS else OF_BASICSR.get(model, ''), notes)
    clips = MODELS[model].clips if model in MODELS else None
    if clips is not None:
        _turn_clipping(text, clips, notes)


def _blocks(text: OptionText) -> Iterator[tuple[str, MappingNode]]:
    for path in ('network_g', 'path', 'train', 'val'):
        block, keys = get(text.root, path), {entry.key for entry in ENTRIES if entry.block == path}
        if isinstance(block, MappingNode) and keys & entries(block).keys():
            yield path, text.block(path)
    datasets = get(text.root, 'datasets')
    if isinstance(datasets, MappingNode):
        for phase, (_, node) in entries(datasets).items():
            if isinstance(node, MappingNode):
                yield f'datasets.{phase}', text.block(phase, datasets)


def _leave_out_discriminator(text: OptionText, base: str, notes: list[str]) -> None:
    """Take out what a base of BasicSR without a discriminator would not read, and what ``mclir check`` refuses."""
    if base not in ADVERSARIAL:
        return
    blocks = {path: text.block(path) if path else text.root for path in OF_A_GAN if not path or get(text.root, path)}
    found = [(path, key) for path, block in blocks.items() for key in entries(block) if key in OF_A_GAN[path]]
    for path, key in found:
        text.remove(blocks[path], key)
    if found:
        names = [f'{path}.{key}'.lstrip('.') for path, key in found]
        advice = f' To train with one, write model_type: {ADVERSARIAL[base]} first.' if 'network_d' in names else ''
        were = 'were' if len(names) > 1 else 'was'
        notes.append(f'{", ".join(names)} {were} left out: {base} trains without a discriminator.{advice}')


def _turn_clipping(text: OptionText, by_default: bool, notes: list[str]) -> None:
    train, key = text.block('train'), 'use_grad_clip'
    is_given = key in entries(train)
    if Edit(text, train, key, '').is_on if is_given else by_default:
        text.put(train, key if is_given else 'grad_clip_norm', CLIP_NORM, 'grad_clip_norm')
        notes.append(f'train.grad_clip_norm: {CLIP_NORM}, to which that model clips the gradient.')
    elif is_given:
        text.remove(train, key)


def _is_at_hand(network: str) -> bool:
    """Whether BasicSR or this package defines a network of this name, without importing them, which takes seconds."""
    homes = [find_spec(package) for package in ('basicsr', 'mclir_basicsr')]
    folders = [Path(place) / 'archs' for spec in homes if spec for place in spec.submodule_search_locations or ()]
    files = (file for folder in folders for file in folder.glob('*_arch.py'))
    return any(f'\nclass {network}(' in file.read_text(encoding='utf-8') for file in files)


def network_notes(text: OptionText) -> list[str]:
    """What to say of a network that BasicSR has not: whose it is, or what to do."""
    turned = {entry.key for entry in ENTRIES if entry.block == 'network_g'}
    given: dict[str, Any] = parse_file(text.path).get('network_g') or {}
    block = {key: value for key, value in given.items() if key not in turned}
    name = str(block.pop('type', None))
    if _is_at_hand(name):
        return []
    from mclir_basicsr.plugin import register

    register()
    from basicsr.utils.registry import ARCH_REGISTRY

    try:
        kind = ARCH_REGISTRY.get(name)
        inspect.signature(kind).bind(**block)
    except KeyError:
        install = 'Install spandrel_extra_arches, which has it under its own licence, or give'
        give = install if name in IN_EXTRA else 'Give'
        return [
            f'network_g.type: neither BasicSR nor spandrel has {name}. {give} the file that defines it, with '
            '@ARCH_REGISTRY.register() above the class (of basicsr.utils.registry), as --import FILE.'
        ]
    except TypeError as error:
        return [f'network_g: {name} of {kind.__module__} does not take these arguments: {error}.']
    from mclir_basicsr.archs.spandrel_bridge import HOMES

    home = kind.__module__.split('.')[0]
    return [f"network_g: {name} is {home}'s."] if home in HOMES else []
