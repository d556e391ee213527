"""The option file itself: blocks, keys, numbers."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from mclir_basicsr.errors import FaultsError, MclirError
from mclir_basicsr.losses.features import VGGFeatures
from mclir_basicsr.options import read_options
from mclir_basicsr.options.bases import base_class
from mclir_basicsr.options.faults import is_number_in_text, shown
from mclir_basicsr.options.known import unread_keys
from mclir_basicsr.options.texts import text_faults

# What BasicSR takes for granted in the blocks that are there.
ALWAYS = {
    '': ('name', 'model_type', 'num_gpu', 'datasets', 'network_g', 'path'),
    'datasets': (),
    'network_g': ('type',),
    'path': (),
    'val.metrics': (),
}
FOR_TRAINING = {
    '': (*ALWAYS[''], 'train', 'logger'),
    'datasets': ('train',),
    'datasets.train': ('batch_size_per_gpu', 'num_worker_per_gpu'),
    'train': ('total_iter', 'optim_g', 'scheduler'),
    'train.optim_g': ('type', 'lr'),
    'train.scheduler': ('type',),
    'logger': ('print_freq', 'save_checkpoint_freq', 'use_tb_logger'),
    'val': ('val_freq', 'save_img'),
}
FOR_TESTING = {'': (*ALWAYS[''], 'val'), 'val': ('save_img',)}
_TEXT = ('name', 'model_type', 'network_g.type')
_Number, _Whole = Annotated[float, Field(strict=True)], Annotated[int, Field(strict=True)]  # no text, no truth values
_NUMBERS: dict[str, Any] = {
    'scale': Annotated[_Whole, Field(ge=1)],
    'manual_seed': Annotated[_Whole, Field(ge=0, lt=2**31)],  # NumPy takes 2**32, and each rank adds its number
    'train.total_iter': Annotated[_Number, Field(ge=1)],
    'train.warmup_iter': _Number,
    'train.ema_decay': Annotated[_Number, Field(ge=0, le=1)],
    'logger.print_freq': Annotated[_Number, Field(ge=1)],
    'logger.save_checkpoint_freq': Annotated[_Number, Field(ge=1)],
    'val.val_freq': Annotated[_Number, Field(ge=1)],
    'datasets.train.gt_size': Annotated[_Whole, Field(ge=1)],
    'datasets.train.batch_size_per_gpu': Annotated[_Whole, Field(ge=1)],
    'datasets.train.num_worker_per_gpu': Annotated[_Whole, Field(ge=0)],
    'datasets.train.dataset_enlarge_ratio': Annotated[_Number, Field(gt=0)],
}


def require(opt: dict[str, Any], required: Mapping[str, Sequence[str]]) -> None:
    """Make sure of the blocks and keys that all else goes by."""
    missing, faults = [], []
    blocks = {path: block for path in required if (block := at(opt, path)) is not None}
    for path in ('datasets', 'val.metrics'):
        if isinstance(blocks.get(path), Mapping):
            blocks |= {f'{path}.{key}': block for key, block in blocks[path].items()}
    for path, block in blocks.items():
        if isinstance(block, Mapping):
            missing += [f'{path}.{key}'.lstrip('.') for key in required.get(path, ()) if block.get(key) is None]
            faults += [
                f'{path or "the file"} has the key {key!r}, which is no text.' for key in block if not _is_text(key)
            ]
        else:
            faults.append(f'{path} must be a block of keys, but it is {block!r}.')
    for path in _TEXT:
        value = at(opt, path)
        if not (value is None or _is_text(value)):
            faults.append(f"{path} must be text, but it is {value!r}: write '{value}' in quotes if you mean that.")
    if missing:
        faults.insert(0, f'it has no {", ".join(missing)}.')
    elif _is_text(opt['name']) and (Path(opt['name']).name != opt['name'] or opt['name'] in ('', '..')):
        faults.append(f'name must be the name of a folder in experiments, but it is {opt["name"]!r}.')
    if faults:
        raise MclirError('The option file cannot be used: ' + '\n  '.join(faults))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def at(opt: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for key in filter(None, path.split('.')):
        opt = opt.get(key) if isinstance(opt, Mapping) else None
    return opt


def keys(opt: dict[str, Any], *, training: bool = True) -> list[str]:
    """Every key, the values of ours, and, for a training, the VGG of the SPN term where a file holds it."""
    from mclir_basicsr.models import bases

    if opt['model_type'] != 'HistoryModel':
        faults, notes = unread_keys(opt, ours=False)
        if faults := [*faults, *text_faults(opt)]:
            raise FaultsError(faults)
        return notes
    try:
        own, warnings = read_options(opt)
    except MclirError as error:
        raise FaultsError(str(error).split('\n  ')[1:]) from error
    if base_class(own.base_model) is not None and (faults := list(bases.faults(bases.find(own.base_model), own))):
        raise FaultsError(faults)
    spn = own.train.spn_opt
    if training and spn is not None and spn.weights not in ('imagenet', 'random'):
        try:
            VGGFeatures(spn.layer_weights, spn.vgg_type, weights=spn.weights)
        except MclirError as error:
            raise MclirError(f'train.spn_opt: {error}') from error
    return warnings


def numbers(opt: dict[str, Any]) -> list[str]:
    """Numbers and names on which BasicSR's loop would fail late, or without a message."""
    faults = []
    for path, kind in _NUMBERS.items():
        value = at(opt, path)
        if is_number_in_text(value):  # keys tells
            continue
        try:
            TypeAdapter(kind | None).validate_python(value)
        except ValidationError as error:
            faults.append(f'{path}: {error.errors()[0]["msg"]}, but it is {shown(value)}.')
    for phase in opt['datasets']:
        if phase != 'train' and phase.split('_')[0] != 'val':
            faults.append(f'datasets.{phase}: a training has the data sets train, and val or val_1, val_2, ...')
    data = opt['datasets']['train']
    mode = data.get('prefetch_mode')
    if mode not in (None, 'cpu', 'cuda'):
        faults.append(f'datasets.train.prefetch_mode must be ~, cpu or cuda, but it is {mode!r}.')
    if mode == 'cuda' and data.get('pin_memory') is not True:
        faults.append('datasets.train.prefetch_mode: cuda needs pin_memory: true beside it.')
    if faults:
        raise FaultsError(faults)
    return []


def numbers_in_text(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Path and value of each number in a block that YAML read as text: BasicSR would fail on it late, if at all."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from numbers_in_text(f'{path}.{key}', inner)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from numbers_in_text(f'{path}.{i}', inner)
    elif is_number_in_text(value):
        yield path, value
