"""The keys of ``train.contrast_opt``."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StrictBool, Tag, model_validator

from mclir_basicsr.losses.features import check_layers
from mclir_basicsr.losses.ratio import RATIO_LAYER_WEIGHTS
from mclir_basicsr.options.values import TAGS, Keys, Number, Positive, Whole

Negatives = Annotated[
    Annotated[list[str], Field(min_length=1), Tag(TAGS[1])] | Annotated[Literal['lq', 'history'], Tag(TAGS[2])],
    Discriminator(lambda value: TAGS[1] if isinstance(value, list) else TAGS[2]),
]


class ContrastOptions(Keys):
    """Another member of the contrastive family, CRLoss or CCRLoss, beside or in place of the SPN term."""

    type: Literal['CRLoss', 'CCRLoss'] = Field('CRLoss', description='the loss')
    negatives: Negatives = Field(
        'lq', description='what the output is to differ from: lq (brought to its size), history (the negative models), '
        'or a list of checkpoints whose networks are detected; CCRLoss takes checkpoints'
    )  # fmt: skip
    loss_weight: Positive | None = Field(None, description='λ; default 0.1 of CRLoss, 0.2 of CCRLoss')
    gamma: Annotated[Number, Field(ge=0, lt=1)] | None = Field(
        None, description='CCRLoss: by how much easy negatives count more, and hard ones less; default 0.25'
    )
    features: str = Field('vgg', description='vgg, torchvision/NAME, timm/NAME, or lpips/alex, vgg or squeeze')
    vgg_type: str = Field('vgg19', description='any vgg of torchvision')
    layer_weights: dict[str, Positive] = Field(
        RATIO_LAYER_WEIGHTS,
        min_length=1,
        description='weight of each layer, names of a VGG as in PerceptualLoss; the default is of vgg',
    )
    criterion: Literal['l1', 'l2', 'fro'] = Field('l1', description='distance of two feature maps')
    use_input_norm: StrictBool = Field(False, description='normalise images with the ImageNet statistics')
    range_norm: StrictBool = Field(False, description='images are in [-1, 1]')
    weights: str = Field(
        'imagenet', description='imagenet, oxford (vgg16 up to relu3_3, ships with the package), the path of a '
        'torchvision vgg state dict, or random'
    )  # fmt: skip
    seed: Whole = Field(0, description='seed of random weights')

    @model_validator(mode='after')
    def _known_layers(self) -> 'ContrastOptions':
        if self.features == 'vgg':
            check_layers(self.vgg_type, self.layer_weights, self.weights)
        elif 'vgg_type' in self.model_fields_set:
            raise ValueError(f'vgg_type has no effect on features {self.features}: take it out')
        return self

    @model_validator(mode='after')
    def _curriculum(self) -> 'ContrastOptions':
        if self.type == 'CCRLoss' and not isinstance(self.negatives, list):
            raise ValueError(
                'CCRLoss weighs each negative by the PSNR of its network, and has lq beside them in any case: give '
                'negatives a list of checkpoints, or take type CRLoss'
            )
        if self.type == 'CRLoss' and self.gamma is not None:
            raise ValueError('gamma is of CCRLoss and has no effect on CRLoss: take it out')
        return self

    @property
    def checkpoints(self) -> list[str]:
        """Those of the negative networks."""
        return self.negatives if isinstance(self.negatives, list) else []

    def arguments(self) -> dict[str, Any]:
        """Of the loss, but for ``difficulties``; the layers are left to it where none are given."""
        given = self.model_dump(exclude={'negatives'} | ({'layer_weights'} - self.model_fields_set))
        return {key: value for key, value in given.items() if value is not None}
