"""Networks that make several images: which one is restored, and what the pixel loss is over."""

import pytest
import torch
from base_cases import SPN
from basicsr.losses import build_loss
from basicsr.models import build_model
from basicsr.utils.registry import ARCH_REGISTRY
from recipe import example_input
from test_history_model import equal, step
from torch import nn
from torch.nn import functional as F

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files import checkpoint


class Stages(nn.Module):
    """Makes a list of images as its last two stages, or a mapping of them."""

    def __init__(self, form='list', scale=2):
        super().__init__()
        self.form = form
        self.first = nn.Conv2d(3, 3 * scale**2, 3, padding=1)
        self.last = nn.Conv2d(3, 3, 3, padding=1)
        self.scale = scale

    def forward(self, x):
        first = F.pixel_shuffle(self.first(x), self.scale)
        last = self.last(first)
        small = F.avg_pool2d(first, 2)
        return {
            'list': [first, last],
            'tuple': (small, last),
            'dict': {'features': first.mean(1), 'image': last},
            'beside': [first.mean(1), last],
            'image': last,
        }[self.form]


if 'Stages' not in ARCH_REGISTRY:
    ARCH_REGISTRY.register(Stages)


@pytest.fixture
def build(options):
    def make(form, output=None, train=None, **blocks):
        blocks |= {} if output is None else {'output': output}
        torch.manual_seed(0)
        return build_model(options(network_g={'type': 'Stages', 'form': form}, train=train, **blocks))

    return make


@pytest.mark.parametrize(
    ('form', 'said'),
    [
        ('list', r'makes a list of 2x3x24x24 and 2x3x24x24: say .* e\.g\. output: -1 for the last'),
        ('dict', r'makes a dict of features: .* e\.g\. output: features'),
    ],
)
def test_without_output_a_list_is_named(build, form, said):
    with pytest.raises(MclirError, match=said):
        step(build(form), 1)


@pytest.mark.parametrize(
    ('form', 'output', 'said'),
    [
        ('list', 7, r'output: 7 names no image of what network_g makes, a list of'),
        ('dict', 'img', r"output: 'img' names no image"),
        ('image', -1, r'output is -1, but Stages returns one image: take output out'),
        ('beside', -1, r'a list of 2x24x24 beside the restored image, which pixel_opt cannot compare'),
    ],
)
def test_an_output_that_cannot_be_is_named(build, form, output, said):
    with pytest.raises(MclirError, match=said):
        step(build(form, output), 1)


@pytest.mark.parametrize(('form', 'output'), [('list', -1), ('tuple', 1), ('dict', 'image')])
def test_the_pixel_loss_is_the_sum_over_a_list(build, form, output):
    model, twin = build(form, output), build('image')
    lq, gt = example_input([2, 3, 12, 12], 1), example_input([2, 3, 24, 24], 2)
    log = step(model, 1, lq, gt)
    loss = build_loss({'type': 'L1Loss'})
    with torch.no_grad():
        first = F.pixel_shuffle(twin.net_g.first(lq), 2)
        of_last = loss(twin.net_g(lq), gt)
        expected = {
            'list': of_last + loss(first, gt),
            'tuple': of_last + loss(F.avg_pool2d(first, 2), F.interpolate(gt, size=(12, 12), mode='bilinear')),
            'dict': of_last,
        }[form]
    assert log['l_pix'] == pytest.approx(expected.item(), rel=1e-6)


def test_it_trains_with_spn_validates_saves_and_resumes(build, tmp_path):
    model, twin = build('list', -1, SPN), build('image', None, SPN)
    logs = [step(model, t) for t in range(1, 5)]
    assert logs[0]['l_spn'] == pytest.approx(step(twin, 1)['l_spn'], rel=1e-5)  # of the restored image alone
    model.feed_data({'lq': example_input([1, 3, 9, 11], 5)})
    model.test()
    assert model.output.shape == (1, 3, 18, 22)

    broken = build('list', -1, SPN)
    for t in (1, 2):
        step(broken, t)
    broken.save(0, 2)
    path = {name: str(tmp_path / name) for name in ('models', 'training_states')}
    resumed = build('list', -1, SPN, path=path | {'pretrain_network_g': str(tmp_path / 'models' / 'net_g_2.pth')})
    resumed.resume_training(checkpoint.load(tmp_path / 'training_states' / '2.state', 'state'))
    assert [step(resumed, t) for t in (3, 4)] == logs[2:]
    assert equal(dict(resumed.net_g.state_dict()), dict(model.net_g.state_dict()))


def test_a_step_of_a_base_sees_the_image_too(build):
    gan = {
        'optim_d': {'type': 'Adam', 'lr': 1e-3},
        'gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.1},
    }
    net_d = {'type': 'UNetDiscriminatorSN', 'num_in_ch': 3, 'num_feat': 4}
    model = build('list', -1, SPN | gan, base_model='ESRGANModel', network_d=net_d)
    assert step(model, 1)['spn_ratio'] > 0
