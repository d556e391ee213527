"""FFANet against the published network's outputs and key list, closed forms and its contract."""

import json

import pytest
import torch
from basicsr.models.base_model import BaseModel
from conftest import DATA
from recipe import compare, example_input, fill_

from mclir_basicsr.archs.ffanet_arch import FFANet
from mclir_basicsr.errors import MclirError

VARIANTS = {'ffanet_b2': 606382, 'ffanet_b19': 4455913}
MEAN, STD = (0.64, 0.60, 0.58), (0.14, 0.15, 0.152)


def published(variant):
    return json.loads((DATA / f'{variant}.json').read_text())


def image(height=17, width=22, seed=3):
    """Hazy images as the network without ``normalize`` takes them."""
    return example_input((2, 3, height, width), seed, MEAN, STD)


@pytest.fixture(scope='module')
def net():
    return fill_(FFANet(blocks=2)).eval()


@pytest.mark.parametrize('variant', VARIANTS)
def test_matches_the_published_network(variant):
    ok, errors = compare(FFANet(**published(variant)['kwargs']), DATA / f'{variant}.npz')
    assert ok, errors


@pytest.mark.parametrize('variant', VARIANTS)
def test_has_the_published_state(variant):
    spec = published(variant)
    with torch.device('meta'):
        net = FFANet(**spec['kwargs'])
    assert [[key, list(entry.shape)] for key, entry in net.state_dict().items()] == spec['state_dict']
    assert sum(p.numel() for p in net.parameters()) == spec['params'] == VARIANTS[variant]
    assert not list(net.buffers())


def test_default_is_the_size_of_the_published_checkpoints():
    with torch.device('meta'):
        net = FFANet()
    assert sum(p.numel() for p in net.parameters()) == VARIANTS['ffanet_b19']


def test_loads_a_checkpoint_of_the_published_form(tmp_path, net):
    state = {f'module.{key}': entry for key, entry in net.state_dict().items()}
    torch.save({'step': 3, 'max_psnr': 36.0, 'losses': [0.1], 'model': state}, tmp_path / 'its_train_ffa_3_19.pk')
    loaded = FFANet(blocks=2)
    model = BaseModel({'num_gpu': 0, 'is_train': False})
    model.load_network(loaded, str(tmp_path / 'its_train_ffa_3_19.pk'), strict=True, param_key='model')
    assert torch.equal(loaded(image()), net(image()))


def test_adds_its_input():
    net = FFANet(blocks=1)
    with torch.no_grad():
        net.post[1].weight.zero_()
        net.post[1].bias.copy_(torch.tensor([0.5, -1.0, 2.0]))
    x = image()
    torch.testing.assert_close(net(x), x + torch.tensor([0.5, -1.0, 2.0]).view(3, 1, 1))


def test_group_weights_add_up_the_three_outputs():
    # at gates of one half each, what is handed to the last pixel attention is half the sum
    net = fill_(FFANet(blocks=1)).eval()
    with torch.no_grad():
        net.ca[3].weight.zero_()
        net.ca[3].bias.zero_()
    seen = {}
    for name in ('g1', 'g2', 'g3'):
        net.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    net.palayer.register_forward_hook(lambda _, inputs, __: seen.update(fused=inputs[0]))
    net(image())
    torch.testing.assert_close(seen['fused'], (seen['g1'] + seen['g2'] + seen['g3']) / 2)


def test_normalize_is_the_authors_normalisation_of_the_input_alone(net):
    inside = FFANet(blocks=2, normalize=True).eval()
    assert list(inside.state_dict()) == list(net.state_dict())
    inside.load_state_dict(net.state_dict())
    x = example_input((2, 3, 9, 10), 5)
    outside = torch.stack([(x[:, c] - MEAN[c]) / STD[c] for c in range(3)], 1)
    torch.testing.assert_close(inside(x), net(outside))
    assert (net(x) - net(outside)).abs().max() > 0.1  # the two differ by more than the tolerance


def test_train_and_eval_agree():
    net = fill_(FFANet(blocks=1))
    assert torch.equal(net.train()(image()), net.eval()(image()))


@pytest.mark.parametrize('size', [(1, 1), (1, 7), (5, 2)])
def test_takes_any_size(net, size):
    x = image(*size)
    out = net(x)
    assert out.shape == x.shape
    assert out.isfinite().all()


def test_gradients_reach_every_parameter():
    net = fill_(FFANet(blocks=2))
    (net(image()) * example_input((2, 3, 17, 22), 8)).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_bfloat16_is_within_two_percent(net):
    x = image(40, 56)
    with torch.no_grad():
        change = net(x) - x
        with torch.autocast('cpu', torch.bfloat16):
            out = net(x)
    assert out.dtype == torch.float32  # the skip keeps the image's own precision
    assert (out - x - change).square().mean() < 0.02**2 * change.square().mean()


def test_refuses_what_does_not_exist():
    with pytest.raises(MclirError, match=r'gps must be 3 .* but is 4'):
        FFANet(gps=4)
    with pytest.raises(MclirError, match='blocks must be at least 1, but is 0'):
        FFANet(blocks=0)
    with pytest.raises(TypeError, match='block'):
        FFANet(block=19)
