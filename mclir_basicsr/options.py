"""The keys of an option file that are ours: names, types, defaults and bounds, checked before anything is built.

BasicSR's own keys are left to BasicSR. ``docs/options.md`` is :func:`reference_page` of what stands here.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mclir_basicsr.errors import MclirError, did_you_mean
from mclir_basicsr.losses.features import check_layers
from mclir_basicsr.losses.spn_loss import DEFAULT_LAYER_WEIGHTS

# What BasicSR 1.4.2 reads in the blocks that it shares with us.
BASICSR_KEYS = {
    'train': {
        'ema_decay', 'optim_g', 'optim_d', 'scheduler', 'total_iter', 'warmup_iter', 'pixel_opt', 'perceptual_opt',
        'gan_opt', 'ldl_opt', 'net_d_iters', 'net_d_init_iters', 'fix_flow', 'flow_lr_mul',
    },
    'val': {'val_freq', 'save_img', 'suffix', 'metrics', 'pbar'},
}  # fmt: skip


def _number(value: Any) -> Any:
    if isinstance(value, bool):  # text is taken where it is a number: YAML 1.1 reads 1e-3 as text
        raise PydanticCustomError('number', 'Input should be a valid number')
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, (bool, str)):
        raise PydanticCustomError('whole', 'Input should be a valid integer')
    return value


Number = Annotated[float, BeforeValidator(_number)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[Whole, Field(gt=0)]
_TAGS = ('number', 'list')  # the discriminator's, in the paths of faults
ShareOrShares = Annotated[
    Annotated[Share, Tag(_TAGS[0])] | Annotated[list[Share], Tag(_TAGS[1])],
    Discriminator(lambda value: _TAGS[isinstance(value, list)]),
]


_OF_FORKS = {'complie'}  # the reference's option files have it, and nothing ever read it


class _Keys(BaseModel):
    model_config = ConfigDict(extra='forbid', frozen=True, allow_inf_nan=False)


class SPNOptions(_Keys):
    """The SPN term (arguments of SPNLoss)."""

    type: Literal['SPNLoss'] = Field('SPNLoss', description='the loss')
    loss_weight: Positive = Field(1e-3, description='λ; watch `spn_ratio` in the log')
    vgg_type: str = Field('vgg16', description='any vgg of torchvision')
    layer_weights: dict[str, Positive] = Field(
        DEFAULT_LAYER_WEIGHTS, min_length=1, description='weight of each VGG layer, names as in PerceptualLoss'
    )
    criterion: Literal['l1', 'l2', 'fro'] = Field('l1', description='distance of two feature maps')
    use_input_norm: StrictBool = Field(True, description='normalise images with the ImageNet statistics')
    range_norm: StrictBool = Field(False, description='images are in [-1, 1]')
    weights: str = Field('imagenet', description='imagenet, the path of a torchvision vgg state dict, or random')
    seed: Whole = Field(0, description='seed of random weights')
    margin: Positive | None = Field(None, description='push no further from a negative beyond this distance')
    balance: Positive | None = Field(
        None, description='in place of loss_weight: λ follows, so that `spn_ratio` stays here, e.g. 0.05'
    )

    @model_validator(mode='after')
    def _known_layers(self) -> 'SPNOptions':
        check_layers(self.vgg_type, self.layer_weights)
        return self

    @model_validator(mode='after')
    def _one_weight(self) -> 'SPNOptions':
        if self.balance is not None and 'loss_weight' in self.model_fields_set:
            raise ValueError('balance takes the place of loss_weight: give one of them')
        return self


class HistoryOptions(_Keys):
    """The negative models."""

    policy: Literal['periodic', 'adaptive'] = Field('periodic', description='when negatives are refreshed')
    interval: list[Count] | None = Field(
        None, min_length=1, description='periodic: iterations between refreshes, one negative per entry; '
        'default [100, 200, 500, 1000]'
    )  # fmt: skip
    negatives: Count | None = Field(None, description='adaptive: how many negatives')
    threshold: Positive | None = Field(
        None, description='adaptive: refresh the next negative above this spread of the residual; default 0.022'
    )
    decay: ShareOrShares = Field(
        0.1, description='share of itself that a negative keeps at a refresh: a number, or one per negative; '
        'adaptive: default 0.001'
    )  # fmt: skip
    start: Share = Field(0.1, description='share of random initialisation at the start')
    start_iter: Whole = Field(0, ge=0, description='no SPN term before this iteration')
    per_step: Annotated[Count | None, BeforeValidator(lambda v: None if v == 'all' else v)] = Field(
        None, description='negatives evaluated per step, in turn: all or a number'
    )
    precision: Literal['fp32', 'bf16', 'fp16'] = Field(
        'fp32', description="of the negatives' forward pass and of their features"
    )

    @model_validator(mode='before')
    @classmethod
    def _fill(cls, data: Any) -> Any:
        """Defaults that depend on the policy."""
        if not isinstance(data, Mapping):
            return data
        given = {key: value for key, value in data.items() if value is not None}
        if given.get('policy') == 'adaptive':
            return {'threshold': 0.022, 'decay': 0.001} | given
        return {'interval': [100, 200, 500, 1000]} | given

    @model_validator(mode='after')
    def _agree(self) -> 'HistoryOptions':
        if self.policy == 'adaptive':
            if self.negatives is None or self.interval is not None:
                raise ValueError('policy adaptive takes negatives (how many) and no interval')
        elif self.interval is None or self.negatives is not None or self.threshold is not None:
            raise ValueError('policy periodic takes interval and neither negatives nor threshold')
        count = self.negatives or len(self.interval or ())
        if isinstance(self.decay, list) and len(self.decay) != count:
            raise ValueError(f'decay has {len(self.decay)} values for {count} negatives; give one number or {count}')
        if self.per_step is not None and self.per_step > count:
            raise ValueError(f'per_step is {self.per_step}, but there are {count} negatives')
        return self


class KeepOptions(_Keys):
    """Which saves stay."""

    last: Count | None = Field(None, description='keep so many saves (networks and states), the newest')
    best: str | None = Field(
        None, description='a metric of val.metrics: net_g_best.pth is the best network by it on the first val data set'
    )


class TrainOptions(_Keys):
    """Keys beside BasicSR's own."""

    spn_opt: SPNOptions | None = Field(None, description='the SPN term; needs history')
    history: HistoryOptions | None = Field(None, description='the negative models; needs spn_opt')
    grad_clip_norm: Positive | None = Field(None, description='clip the norm of the gradient to this; logs grad_norm')
    accumulate: Count = Field(1, description='batches (iterations) whose gradients, averaged, make one optimizer step')
    amp: Literal['bf16', 'fp16'] | None = Field(None, description='autocast of the network and the VGG')
    compile: StrictBool = Field(False, description='torch.compile of the network, the negatives and the VGG')

    max_bad_steps: Count = Field(
        20, description='a step without finite gradient is left out; so many in a row end the run'
    )
    keep: KeepOptions | None = Field(None, description='which saves stay; by default all')

    @model_validator(mode='after')
    def _both(self) -> 'TrainOptions':
        if (self.spn_opt is None) != (self.history is None):
            there, missing = ('history', 'spn_opt') if self.spn_opt is None else ('spn_opt', 'history')
            raise ValueError(f'{there} needs {missing} beside it ("{missing}: {{}}" takes the published settings)')
        return self


class TileOptions(_Keys):
    """Validation in tiles."""

    size: Count = Field(description='side of a tile in lq pixels')
    overlap: Whole = Field(ge=0, description='lq pixels that neighbours share')

    @model_validator(mode='after')
    def _fits(self) -> 'TileOptions':
        if self.overlap >= self.size:
            raise ValueError(f'overlap {self.overlap} must be below size {self.size}')
        return self


class ValOptions(_Keys):
    """Keys beside BasicSR's own."""

    pad_multiple: Annotated[Count | None, BeforeValidator(lambda v: None if v == 'auto' else v)] = Field(
        None, description='pad images to a multiple of this: auto (what the network needs) or a number'
    )
    tile: TileOptions | None = Field(None, description='restore in overlapping tiles, e.g. {size: 128, overlap: 32}')
    self_ensemble: StrictBool = Field(False, description='mean over the 8 flips and transpositions')
    at_start: StrictBool | None = Field(
        None, description='validate before the first iteration too; default: where there is a pretrained network'
    )


class OwnOptions(_Keys):
    """All of ours in one option file."""

    train: TrainOptions
    val: ValOptions


def parse_file(path: Path) -> dict[str, Any]:
    """Parse an option file with YAML's safe loader.

    Raises:
        MclirError: There is no such file, or it is no YAML mapping; the message has line and column.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise MclirError(f'There is no option file {path} that can be read ({error.strerror}).') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MclirError(f'{path} is no YAML: {error}') from error
    if not isinstance(content, dict):
        held = 'nothing' if content is None else type(content).__name__
        raise MclirError(f'{path} is no option file: it holds {held} instead of "key: value" lines.')
    return content


def force(opt: dict[str, Any], entries: Sequence[str]) -> dict[str, Any]:
    """Change values as BasicSR's ``--force_yml train:ema_decay=0.99`` does.

    Raises:
        MclirError: An entry is not of this form, names a block that is not there, or has a value that is no YAML.
    """
    for entry in entries:
        path, is_given, value = entry.partition('=')
        *blocks, key = path.strip().split(':')
        block: Any = opt
        for name in blocks:
            block = block.get(name) if isinstance(block, dict) else None
        if not is_given or not isinstance(block, dict):
            raise MclirError(f'--force_yml {entry}: write block:key=value, with blocks that the option file has.')
        try:
            block[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise MclirError(f'--force_yml {entry}: the value is no YAML: {error}') from error
    return opt


def read_options(opt: Mapping[str, Any]) -> tuple[OwnOptions, list[str]]:
    """Check our keys of a parsed option file.

    Args:
        opt: The whole option file as BasicSR parsed it.

    Returns:
        The typed options, and a warning for each key of ``train`` and ``val`` that neither BasicSR nor we read.

    Raises:
        MclirError: One message with every fault: unknown keys with the nearest valid ones, wrong types, impossible
            values, and keys of ``train`` or ``val`` that look like a misspelling of ours.
    """
    faults, warnings, own = [], [], {}
    for block, struct in (('train', TrainOptions), ('val', ValOptions)):
        given = opt.get(block) or {}
        own[block] = {key: value for key, value in given.items() if key in struct.model_fields}
        for key in sorted(map(str, given.keys() - struct.model_fields.keys() - BASICSR_KEYS[block])):
            question = did_you_mean(key, struct.model_fields, most=1, cutoff=0.7)
            if question and key not in _OF_FORKS:
                faults.append(f'{block}.{key}: unknown key; {question}')
            else:
                warnings.append(f'{block}.{key} is read by neither BasicSR nor mclir_basicsr: it has no effect.')
    try:
        options = OwnOptions.model_validate(own)
    except ValidationError as error:
        faults += _explain(error)
    else:
        best, metrics = options.train.keep and options.train.keep.best, (opt.get('val') or {}).get('metrics') or {}
        every, save = options.train.accumulate, (opt.get('logger') or {}).get('save_checkpoint_freq')
        if isinstance(save, (int, float)) and save % every:
            faults.append(
                f'train.accumulate: logger.save_checkpoint_freq must be a multiple of {every}, but is {save}.'
            )
        if best is not None and best not in metrics:
            faults.append(f'train.keep.best: {best} is none of val.metrics, which are {", ".join(metrics) or "empty"}.')
    if faults:
        raise MclirError('\n  '.join(['The option file cannot be used:', *faults]))
    return options, warnings


def _explain(error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        path, message = (
            '.'.join(str(key) for key in fault['loc'] if key not in _TAGS),
            fault['msg'].removeprefix('Value error, '),
        )
        if fault['type'] == 'extra_forbidden':
            valid = _struct_at(fault['loc'][:-1]).model_fields
            question = did_you_mean(str(fault['loc'][-1]), valid, most=1, cutoff=0.5)
            yield f'{path}: unknown key; ' + (question or f'valid keys are {", ".join(valid)}.')
        elif fault['type'] in ('value_error', 'missing'):
            yield f'{path}: {message}'
        else:
            yield f'{path}: {message}, but it is {shown(fault["input"])}'


def is_number_in_text(value: Any) -> bool:
    """Whether YAML 1.1 read a number as text: 1e-3 (for !!float 1e-3), or one in quotes."""
    try:
        return isinstance(value, str) and isfinite(float(value))
    except ValueError:
        return False


def shown(value: Any) -> str:
    """A value that is not what it should be, for a message; a number in text says how it is written."""
    if not is_number_in_text(value):
        return repr(value)
    return f'{value!r}, text to YAML: write {f"!!float {value}" if "e" in value.lower() else value} without quotes'


def _struct_at(path: tuple[Any, ...]) -> type[BaseModel]:
    struct: type[BaseModel] = OwnOptions
    for key in path:
        struct = _struct_of(struct, key) or struct
    return struct


def _struct_of(struct: type[BaseModel], key: str) -> type[BaseModel] | None:
    annotation = struct.model_fields[key].annotation
    for kind in (annotation, *getattr(annotation, '__args__', ())):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def reference_page() -> str:
    """The reference of our option keys, in Markdown."""
    lines = [
        '# Option file: the keys of mclir_basicsr',
        '',
        "Everything else is BasicSR's own. Made from `options.py`.",
    ]
    blocks: list[tuple[str, type[BaseModel]]] = [('train', TrainOptions), ('val', ValOptions)]
    for path, struct in blocks:
        lines += ['', f'## {path}', '', struct.__doc__ or '', '', '| key | default | what |', '|---|---|---|']
        for key, field in struct.model_fields.items():
            inner = _struct_of(struct, key)
            if inner is not None:
                blocks.append((f'{path}.{key}', inner))
            default = '(required)' if field.is_required() else f'`{_yaml(key, field.default)}`'
            lines.append(f'| `{key}` | {default} | {field.description} |')
    return '\n'.join(lines) + '\n'


def _yaml(key: str, value: Any) -> str:
    if value is None:
        return {'per_step': 'all', 'pad_multiple': 'auto'}.get(key, '~')
    if isinstance(value, dict):
        return '{' + ', '.join(f'{k}: {v}' for k, v in value.items()) + '}'
    return str(value).lower() if isinstance(value, bool) else str(value)
