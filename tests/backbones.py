"""Backbones of LPIPS and DISTS with seeded weights in the place of torchvision's downloads: fixtures of two rooms."""

import pytest
import torch
import torchvision
from torchmetrics.functional.image import dists as of_dists

from mclir_basicsr.losses.features import imagenet_file
from mclir_basicsr.metrics import perceptual


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of torch.hub, and no networks of earlier tests."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    for made in (perceptual._lpips, perceptual._dists):
        made.cache_clear()
    yield tmp_path
    for made in (perceptual._lpips, perceptual._dists):
        made.cache_clear()


@pytest.fixture
def squeeze(cache):
    """SqueezeNet, the smallest backbone, where torchvision's download would lie."""
    torch.manual_seed(3)
    file = imagenet_file('squeezenet1_1')
    file.parent.mkdir(parents=True)
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), file)


@pytest.fixture
def vgg16(cache, monkeypatch):
    """The convolutions of VGG16, a few of 528 MB; how often it was made."""
    made = []
    real = torchvision.models.vgg16

    class Backbone:
        def __init__(self, **weights):
            made.append(weights)
            torch.manual_seed(3)
            with torch.device('meta'):
                self.features = real(weights=None).features
            self.features.to_empty(device='cpu')
            for parameter in self.features.parameters():
                torch.nn.init.normal_(parameter, std=0.05)

    monkeypatch.setattr(of_dists, 'vgg16', Backbone, raising=False)
    monkeypatch.setattr(torchvision.models, 'vgg16', Backbone)  # what torchmetrics 1.7.0 calls
    return made
