"""Numbers and truth values that YAML reads as text: 1e-3 (for !!float 1e-3), and whatever stands in quotes.

BasicSR fails on such a number late, and takes "false" for true without a word.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mclir_basicsr.options.faults import is_number_in_text, shown
from mclir_basicsr.options.known import DATA_SETS
from mclir_basicsr.options.losses import LOSS_KEYS
from mclir_basicsr.options.structs import TrainOptions, ValOptions

# Their structs say what they hold, but for the arguments of losses.
_OWN = {'train': TrainOptions.model_fields.keys() - {*LOSS_KEYS}, 'val': ValOptions.model_fields.keys()}
# BasicSR's switches, in any block.
_SWITCHES = {
    'strict_load_g', 'strict_load_d', 'use_hflip', 'use_rot', 'pin_memory', 'persistent_workers', 'save_img', 'pbar',
    'use_tb_logger', 'find_unused_parameters',
}  # fmt: skip
# Keys whose values are words of the user's, which may look like a number.
_WORDS = {
    'name', 'type', 'model_type', 'suffix', 'project', 'resume_id', 'param_key_g', 'param_key_d', 'meta_info_file',
    'meta_info', 'pairs_file', 'filename_tmpl', 'resume_state', 'backend', 'root_path',
}  # fmt: skip
_REGISTRIES = {'network_g': 'ARCH_REGISTRY', 'val': 'METRIC_REGISTRY', 'train': 'LOSS_REGISTRY'}


class Text(NamedTuple):
    """A text in an option file.

    Attributes:
        path: Where it stands, with the number of its place in a list.
        key: The last key of the path.
        value: The text.
        beside: The mapping in which the key stands.
    """

    path: str
    key: str
    value: str
    beside: Mapping[Any, Any]


def text_faults(opt: Mapping[str, Any]) -> list[str]:
    """A line for each number or truth value of an option file that is text.

    Keys of ours are left to their structs, and text to a network, a loss or a metric that takes it. In a data set of an
    unknown class, which may take text, only numbers like 1e-3 are named.

    Args:
        opt: An option file, as YAML gives it or as BasicSR's parser completed it.
    """
    return [fault for text in _texts(opt) if (fault := _fault(text, opt)) is not None]


def _fault(text: Text, opt: Mapping[str, Any]) -> str | None:
    if text.key in _WORDS or text.key.startswith(('dataroot', 'pretrain')):
        return None
    default = _default(text)
    if isinstance(default, str):
        return None
    value = text.value.lower()
    if is_number_in_text(value) and ('e' in value or not _is_of_unknown_class(text, opt)):
        return f'{text.path} must be a number, but it is {shown(text.value)}.'
    if value in ('true', 'false') or text.key in _SWITCHES or isinstance(default, bool):
        right = value if value in ('true', 'false') else 'true or false'
        return (
            f'{text.path} must be true or false, but it is {text.value!r}, text to YAML: write {right} without quotes.'
        )
    return None


def _texts(opt: Mapping[str, Any]) -> Iterator[Text]:
    for block, value in opt.items():
        if isinstance(value, Mapping):
            value = {key: inner for key, inner in value.items() if key not in _OWN.get(block, ())}
        yield from _texts_in(Text(str(block), str(block), '', opt), value)


def _texts_in(place: Text, value: Any) -> Iterator[Text]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts_in(Text(f'{place.path}.{key}', str(key), '', value), inner)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _texts_in(place._replace(path=f'{place.path}.{i}'), inner)
    elif isinstance(value, str):
        yield place._replace(value=value)


def _default(text: Text) -> Any:
    """What a network, loss or metric takes where its key is not given: text, too, where it is declared as that."""
    registry, kind = _REGISTRIES.get(text.path.split('.')[0]), text.beside.get('type')
    if registry is None or not isinstance(kind, str):
        return None
    from basicsr.utils import registry as registries

    try:
        parameter = inspect.signature(getattr(registries, registry).get(kind)).parameters[text.key]
    except (
        KeyError,
        ValueError,
        TypeError,
    ):  # an unknown name, told elsewhere; an optimizer
        return None
    return '' if 'str' in str(parameter.annotation) else parameter.default


def _is_of_unknown_class(text: Text, opt: Mapping[str, Any]) -> bool:
    block, _, rest = text.path.partition('.')
    return block == 'datasets' and opt[block][rest.split('.')[0]].get('type') not in DATA_SETS
