"""The keys of an option file that are ours: names, types, defaults and bounds, checked before anything is built.

What BasicSR reads stands in known.py. ``docs/options.md`` is page.py's reference of what stands here.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, StrictBool, model_validator

from mclir_basicsr.losses.features import check_layers
from mclir_basicsr.losses.spn_loss import DEFAULT_LAYER_WEIGHTS
from mclir_basicsr.options.contrast import ContrastOptions
from mclir_basicsr.options.losses import LossOptions, loss_terms
from mclir_basicsr.options.values import Count, Keys, Positive, Share, ShareOrShares, Whole


class SPNOptions(Keys):
    """The SPN term (arguments of SPNLoss)."""

    type: Literal['SPNLoss'] = Field('SPNLoss', description='the loss')
    loss_weight: Positive = Field(1e-3, description='λ; watch `spn_ratio` in the log')
    features: str = Field('vgg', description='vgg, torchvision/NAME, timm/NAME, or lpips/alex, vgg or squeeze')
    vgg_type: str = Field('vgg16', description='any vgg of torchvision')
    layer_weights: dict[str, Positive] = Field(
        DEFAULT_LAYER_WEIGHTS,
        min_length=1,
        description='weight of each layer, names of a VGG as in PerceptualLoss; the default is of vgg',
    )
    criterion: Literal['l1', 'l2', 'fro'] = Field('l1', description='distance of two feature maps')
    use_input_norm: StrictBool = Field(True, description='normalise images with the ImageNet statistics')
    range_norm: StrictBool = Field(False, description='images are in [-1, 1]')
    weights: str = Field(
        'imagenet', description='imagenet, oxford (vgg16 up to relu3_3, ships with the package), the path of a '
        'torchvision vgg state dict, or random'
    )  # fmt: skip
    seed: Whole = Field(0, description='seed of random weights')
    margin: Positive | None = Field(None, description='push no further from a negative beyond this distance')
    every: Count = Field(
        1,
        description='the term, and the negatives behind it, at every n-th optimizer step only, with n times the weight',
    )
    balance: Positive | None = Field(
        None, description='in place of loss_weight: λ follows, so that `spn_ratio` stays here, e.g. 0.02'
    )

    @model_validator(mode='after')
    def _known_layers(self) -> 'SPNOptions':
        if self.features == 'vgg':
            check_layers(self.vgg_type, self.layer_weights, self.weights)
        elif 'vgg_type' in self.model_fields_set:
            raise ValueError(f'vgg_type has no effect on features {self.features}: take it out')
        return self

    @model_validator(mode='after')
    def _one_weight(self) -> 'SPNOptions':
        if self.balance is not None and 'loss_weight' in self.model_fields_set:
            raise ValueError('balance takes the place of loss_weight: give one of them')
        return self

    def arguments(self) -> dict[str, Any]:
        """Of the loss; the layers are left to it where none are given, since they depend on the features."""
        return self.model_dump(exclude={'balance', 'every'} | ({'layer_weights'} - self.model_fields_set))


class HistoryOptions(Keys):
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


class KeepOptions(Keys):
    """Which saves stay."""

    last: Count | None = Field(None, description='keep so many saves (networks and states), the newest')
    best: str | None = Field(
        None, description='a metric of val.metrics: net_g_best.pth is the best network by it on the first val data set'
    )


class TrainOptions(Keys):
    """Keys beside BasicSR's own."""

    spn_opt: SPNOptions | None = Field(None, description='the SPN term; needs history')
    contrast_opt: ContrastOptions | None = Field(None, description='a ratio in place of the SPN term, or beside it')
    history: HistoryOptions | None = Field(
        None, description='the negative models; needs spn_opt, or contrast_opt with negatives: history'
    )
    losses: list[LossOptions] | None = Field(
        None, description='terms beside pixel_opt and perceptual_opt, e.g. [{type: FFTLoss, loss_weight: 0.1}]'
    )
    fft_opt: LossOptions | None = Field(None, description='one more, as option files of SAFMN and others give it')
    fft_loss_opt: LossOptions | None = Field(None, description='the same, as FFTformer gives it')
    grad_clip_norm: Positive | None = Field(None, description='clip the norm of the gradient to this; logs grad_norm')
    accumulate: Count = Field(1, description='batches (iterations) whose gradients, averaged, make one optimizer step')
    amp: Literal['bf16', 'fp16'] | None = Field(None, description='autocast of the network and the VGG')
    compile: StrictBool = Field(False, description='torch.compile of the network, the negatives and the VGG')

    max_bad_steps: Count = Field(
        20, description='a step without finite gradient is left out; so many in a row end the run'
    )
    keep: KeepOptions | None = Field(None, description='which saves stay; by default all')

    @model_validator(mode='after')
    def _names_differ(self) -> 'TrainOptions':
        loss_terms(self)
        return self

    @model_validator(mode='after')
    def _both(self) -> 'TrainOptions':
        contrasts = self.contrast_opt is not None and self.contrast_opt.negatives == 'history'
        users = ['spn_opt'] * (self.spn_opt is not None) + ['contrast_opt with negatives: history'] * contrasts
        if users and self.history is None:
            raise ValueError(f'{users[0]} needs history beside it ("history: {{}}" takes the published settings)')
        if self.history is not None and not users:
            raise ValueError(
                'history needs spn_opt beside it ("spn_opt: {}" takes the published settings), or contrast_opt with '
                'negatives: history'
            )
        return self


class TileOptions(Keys):
    """Validation in tiles."""

    size: Count = Field(description='side of a tile in lq pixels')
    overlap: Whole = Field(ge=0, description='lq pixels that neighbours share')

    @model_validator(mode='after')
    def _fits(self) -> 'TileOptions':
        if self.overlap >= self.size:
            raise ValueError(f'overlap {self.overlap} must be below size {self.size}')
        return self


class ValOptions(Keys):
    """Keys beside BasicSR's own."""

    pad_multiple: Annotated[Count | None, BeforeValidator(lambda v: None if v == 'auto' else v)] = Field(
        None, description='pad images to a multiple of this: auto (what the network needs) or a number'
    )
    tile: TileOptions | None = Field(None, description='restore in overlapping tiles, e.g. {size: 128, overlap: 32}')
    self_ensemble: StrictBool = Field(False, description='mean over the 8 flips and transpositions')
    at_start: StrictBool | None = Field(
        None, description='validate before the first iteration too; default: where there is a pretrained network'
    )


class PathOptions(Keys):
    """Keys beside BasicSR's own."""

    # BasicSR makes a folder of each key of path that it does not know, unless its name holds "resume" or the like.
    resume_settings: Literal['state', 'file'] = Field(
        'state', description='a resumed run takes optim_g and scheduler from the state, or from this option file'
    )


class OwnOptions(Keys):
    """Keys at the top of the file."""

    base_model: str = Field(
        'SRModel', description="a model class of BasicSR's, or one of yours that is derived from one: SwinIRModel, "
        'RealESRNetModel, EDVRModel, VideoRecurrentModel, SRGANModel, ESRGANModel, RealESRGANModel, ...'
    )  # fmt: skip
    output: Whole | str | None = Field(
        None, description='of a network that makes a list or a mapping: place or key of the restored image, e.g. -1'
    )
    train: TrainOptions
    val: ValOptions
    path: PathOptions


TOP_KEYS = ('base_model', 'output')  # of OwnOptions, beside its blocks


def struct_of(struct: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The struct under a key of a struct; None where it holds a plain value."""
    return _struct_in(struct.model_fields[key].annotation)


def _struct_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_struct_in(kind) for kind in getattr(annotation, '__args__', ()))  # of X | None, and of list[X]
    return next((struct for struct in inner if struct is not None), None)
