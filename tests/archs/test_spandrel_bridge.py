"""Networks of spandrel in option files."""

import sys
from pkgutil import iter_modules

import pytest
import spandrel.architectures
import torch
from basicsr.archs import build_network
from basicsr.models import build_model
from basicsr.utils.registry import ARCH_REGISTRY
from conftest import run

from mclir_basicsr.archs.spandrel_bridge import find_architecture

NAMES = [module.name for module in iter_modules(spandrel.architectures.__path__) if not module.name.startswith('_')]


@pytest.mark.parametrize('name', NAMES)
def test_every_architecture_of_spandrel_has_its_network(name):
    assert issubclass(find_architecture(name), torch.nn.Module)


@pytest.mark.parametrize('name', ['NoSuchNet', '__arch_helpers', 'a.b', ''])
def test_other_names_have_none(name):
    assert find_architecture(name) is None


def test_names_of_basicsr_stay_its_own():
    assert ARCH_REGISTRY.get('SwinIR').__module__ == 'basicsr.archs.swinir_arch'
    with pytest.raises(KeyError, match=r'no arch named .NoSuchNet'):
        ARCH_REGISTRY.get('NoSuchNet')


NAFNET = {'type': 'NAFNet', 'width': 8, 'middle_blk_num': 1, 'enc_blk_nums': [1, 1], 'dec_blk_nums': [1, 1]}


def test_nafnet_is_retrained_with_spn(options):
    spn = {'spn_opt': {'weights': 'random', 'layer_weights': {'relu1_1': 1.0}}, 'history': {'interval': [1, 2]}}
    model = build_model(options(network_g=NAFNET, scale=1, train=spn))
    image = torch.rand(1, 3, 20, 12)
    for iteration in (1, 2):
        model.feed_data({'lq': image, 'gt': image.flip(3)})
        model.optimize_parameters(iteration)
    assert model.get_current_log()['l_spn'] < 0
    assert model.history.refreshes == [2, 1]
    model.save(0, 2)
    torch.manual_seed(5)
    again = build_network(NAFNET)
    again.load_state_dict(torch.load(model.opt['path']['models'] + '/net_g_2.pth', weights_only=True)['params'])
    model.net_g.eval()
    assert torch.equal(again.eval()(image), model.net_g(image))


def test_spandrel_is_imported_only_when_asked_for(tmp_path):
    code = (
        'import sys, basicsr; from basicsr.utils.registry import ARCH_REGISTRY as r; '
        "print('spandrel' in sys.modules); r.get('NAFNet'); print('spandrel' in sys.modules)"
    )
    result = run(sys.executable, '-W', 'ignore', '-c', code, cwd=tmp_path)
    assert result.stdout.split() == ['False', 'True'], result.stderr
