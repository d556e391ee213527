"""Features of torchvision's and timm's networks, of LPIPS and of a module of one's own, in the losses."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchmetrics.functional.image.lpips import _LPIPS

from mclir_basicsr import SPNLoss
from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses import CRLoss
from mclir_basicsr.losses.networks import LPIPSFeatures, NetworkFeatures


def images(side=32):
    generator = torch.Generator().manual_seed(0)
    output, gt = (torch.rand(2, 3, side, side, generator=generator) for _ in range(2))
    return output.requires_grad_(), gt, torch.rand(2, 2, 3, side, side, generator=generator)


def gradients(*values, of):
    return [torch.autograd.grad(value, of)[0] for value in values]


def test_nodes_of_a_torchvision_network(tmp_path):
    torch.manual_seed(0)
    net = torchvision.models.resnet18(weights=None).eval()
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    layers = {'layer1': 0.5, 'relu': 2.0}
    loss = CRLoss(1.0, layers, features='torchvision/resnet18', weights=str(tmp_path / 'net.pth'))
    output, gt, negatives = images()

    def maps(x):
        first = net.relu(net.bn1(net.conv1(x)))
        return {'relu': first, 'layer1': net.layer1(net.maxpool(first))}

    mine, wanted, others = maps(output), maps(gt), [maps(n) for n in negatives]
    expected = sum(
        w * F.l1_loss(mine[k], wanted[k]) / (sum(F.l1_loss(mine[k], other[k]) for other in others) / 2 + 1e-7)
        for k, w in layers.items()
    )
    found = loss(output, gt, negatives)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    ours, theirs = gradients(found, expected, of=output)
    assert (ours - theirs).norm() < 1e-4 * theirs.norm()
    loss.train()
    assert not any(module.training for module in loss.features.modules())


def test_what_they_do_not_have_is_named():
    with pytest.raises(
        MclirError, match=r'torchvision/resnet18 has no layer layer9; its layers are x, conv1, bn1, relu'
    ):
        NetworkFeatures('torchvision/resnet18', ['layer9'], weights='random')
    with pytest.raises(MclirError, match=r"torchvision has no network 'resnet19'; did you mean resnet1"):
        NetworkFeatures('torchvision/resnet19', ['relu'], weights='random')
    with pytest.raises(MclirError, match="SOURCE/NAME with SOURCE of torchvision, timm, lpips, but is 'keras'"):
        SPNLoss(features='keras/resnet', layer_weights={'relu': 1.0}, weights='random')
    with pytest.raises(MclirError, match=r'(layer_weights is empty|empty layer_weights)'):
        SPNLoss(features='torchvision/resnet18', weights='random')
    with pytest.raises(MclirError, match='lpips has layers and a distance of its own'):
        SPNLoss(features='lpips/squeeze', weights='random', criterion='l2')


def test_random_weights_depend_on_the_seed_alone():
    state = torch.random.get_rng_state()
    first, again, other = (
        NetworkFeatures('torchvision/resnet18', ['relu'], weights='random', seed=seed).state_dict()
        for seed in (3, 3, 4)
    )
    assert torch.equal(first['net.conv1.weight'], again['net.conv1.weight'])
    assert not torch.equal(first['net.conv1.weight'], other['net.conv1.weight'])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_nodes_of_a_timm_network():
    timm = pytest.importorskip('timm')
    features = NetworkFeatures('timm/resnet10t', ['layer1', 'layer2'], use_input_norm=False, weights='random', seed=1)
    torch.manual_seed(1)
    net = timm.create_model('resnet10t', features_only=True, out_indices=(1, 2), pretrained=False).eval()
    net.load_state_dict(features.net.state_dict(), strict=False)
    image = torch.rand(1, 3, 32, 32)
    for ours, theirs in zip(features(image).values(), net(image), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('net', ['squeeze', 'alex'])
def test_lpips_is_that_of_torchmetrics(net):
    output, gt, negatives = images(64)
    loss = SPNLoss(1.0, features=f'lpips/{net}', weights='random', seed=2)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        reference = _LPIPS(net=net, pnet_rand=True)

    def lpips(other):
        return reference(output, other, normalize=True).mean()

    found, expected = loss(output, negatives), -(lpips(negatives[0]) + lpips(negatives[1])) / 2
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)
    ours, theirs = gradients(found, expected, of=output)
    assert (ours - theirs).norm() < 1e-3 * theirs.norm()
    ratio = CRLoss(1.0, features=f'lpips/{net}', weights='random', seed=2)(output, gt, negatives[:1])
    torch.testing.assert_close(ratio, lpips(gt) / (lpips(negatives[0]) + 1e-7), rtol=1e-4, atol=0)
    with pytest.raises(MclirError, match='LPIPS has the nets alex, vgg, squeeze'):
        LPIPSFeatures('resnet')


class Edges(nn.Module):
    """Differences of neighbours, with a weight that would be trained."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, image):
        return {'x': self.scale * image.diff(dim=-1), 'y': self.scale * image.diff(dim=-2)}


def test_a_module_of_ones_own_in_a_plain_loop():
    loss, (output, gt, negatives) = CRLoss(1.0, {'y': 1.0}, features=Edges()), images(8)
    expected = F.l1_loss(output.diff(dim=-2), gt.diff(dim=-2)) / sum(
        F.l1_loss(output.diff(dim=-2), n.diff(dim=-2)) / 2 for n in negatives
    )
    found = loss(output, gt, negatives)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(*gradients(found, expected, of=output), rtol=1e-3, atol=1e-6)
    assert not any(p.requires_grad for p in loss.parameters())
    with pytest.raises(MclirError, match='The features have no z, but x, y'):
        SPNLoss(layer_weights={'z': 1.0}, features=Edges())(output, negatives)
