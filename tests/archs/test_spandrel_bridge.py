"""Networks of spandrel in option files."""

import ast
import sys
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

import pytest
import spandrel.architectures
import torch
from basicsr.archs import build_network
from basicsr.models import build_model
from basicsr.utils.registry import ARCH_REGISTRY
from conftest import run

from mclir_basicsr.archs.spandrel_bridge import _networks, architecture_names, find_architecture
from mclir_basicsr.compat import registries
from mclir_basicsr.inference import restore

NAMES = [module.name for module in iter_modules(spandrel.architectures.__path__) if not module.name.startswith('_')]


@pytest.mark.parametrize('name', NAMES)
def test_every_architecture_of_spandrel_has_its_network(name):
    assert issubclass(find_architecture(name), torch.nn.Module)


@pytest.mark.parametrize('name', ['KBNet_l', 'RealPLKSR', 'UpCunet4x', 'spandrel.RCAN', 'spandrel.KBNet_s'])
def test_other_networks_of_a_package_have_names_too(name):
    assert find_architecture(name).__name__ == name.removeprefix('spandrel.')


@pytest.mark.skipif(find_spec('spandrel_extra_arches') is not None, reason='spandrel_extra_arches is installed')
def test_names_are_known_without_importing_spandrel():
    assert sorted(architecture_names()) == sorted(NAMES)


# Networks that pad themselves, or are not called with an image alone.
OTHERS = {'AuraSR', 'ESRGAN', 'GFPGAN', 'IPT', 'LaMa', 'MMRealSR', 'MoESR', 'RestoreFormer'}
SAYS = {'minimum': 'min_side', 'multiple_of': 'pad_multiple', 'square': 'square'}


@pytest.mark.parametrize('name', sorted({*NAMES} - OTHERS))
def test_needs_are_those_of_spandrels_descriptors(name):
    """Read off the source of what loads the weights: building every network would take minutes."""
    source = (Path(spandrel.architectures.__path__[0]) / name / '__init__.py').read_text()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    stated = [
        {SAYS[key.arg]: key.value.value for key in call.keywords if isinstance(key.value, ast.Constant)}
        for call in calls
        if getattr(call.func, 'id', '') == 'SizeRequirements'
    ]
    if name == 'DITN':
        stated = [{'pad_multiple': 8}]  # the source has its patch_size there, a constant
    kinds = [find_architecture(f'spandrel.{key}') for key in _networks(name)]
    found = [{key: getattr(kind, key) for key in SAYS.values() if hasattr(kind, key)} for kind in kinds]
    assert all(needs in [*stated, {}] for needs in found)
    assert all(needs in found for needs in stated)


TINY = [
    (
        {'type': 'HAT', 'img_size': 16, 'window_size': 16, 'embed_dim': 12, 'depths': [1], 'num_heads': [2],
         'squeeze_factor': 4, 'upscale': 2, 'upsampler': 'pixelshuffle'}, 2,
    ),
    ({'type': 'Uformer', 'img_size': 128, 'embed_dim': 8, 'depths': [1] * 9}, 1),
    ({'type': 'FFTformer', 'dim': 8, 'num_blocks': [1, 1, 1], 'num_refinement_blocks': 1}, 1),
    (
        {'type': 'DAT', 'img_size': 16, 'split_size': [8, 8], 'embed_dim': 16, 'depth': [1], 'num_heads': [2],
         'upscale': 2, 'upsampler': 'pixelshuffle'}, 2,
    ),
    ({'type': 'NAFNet', 'width': 4, 'middle_blk_num': 1, 'enc_blk_nums': [1], 'dec_blk_nums': [1]}, 1),
    ({'type': 'RetinexFormer', 'n_feat': 8, 'stage': 1, 'num_blocks': [1, 1, 1]}, 1),
    ({'type': 'SCUNet', 'config': [1] * 7, 'dim': 64}, 1),
]  # fmt: skip


@pytest.mark.parametrize(('block', 'scale'), TINY, ids=[block['type'] for block, _ in TINY])
def test_images_of_any_size_are_restored(block, scale):
    net = build_network(dict(block)).eval()
    for height, width in ((37, 53), (5, 9)):
        out = restore(net, torch.rand(1, 3, height, width))
        assert out.shape == (1, 3, height * scale, width * scale)
        assert out.isfinite().all()


def test_a_network_that_says_its_needs_is_spandrels_otherwise():
    kind = find_architecture('FFTformer')
    assert kind is find_architecture('FFTformer')
    assert kind.__mro__[1].__module__ == kind.__module__
    net = kind(dim=8, num_blocks=[1, 1, 1], num_refinement_blocks=1)
    assert list(net.state_dict()) == list(kind.__mro__[1](**net.hyperparameters).state_dict())
    assert deepcopy(net).pad_multiple == 32


@pytest.mark.parametrize('name', ['NoSuchNet', '__arch_helpers', 'a.b', '', 'Architecture'])
def test_other_names_have_none(name):
    assert find_architecture(name) is None


EXTRA = """\
from torch import nn


class OwnNet(nn.Conv2d):
    def __init__(self, *, dim=3):
        super().__init__(3, dim, 1)


class MPRNet(OwnNet):
    pass


__all__ = ['OwnNet', 'MPRNet']
"""


@pytest.fixture
def extra_arches(tmp_path, monkeypatch):
    """Install a spandrel_extra_arches with two networks, whose likes have licences of their own."""
    for package in ('', 'architectures', 'architectures/Own', 'architectures/HAT'):
        folder = tmp_path / 'spandrel_extra_arches' / package
        folder.mkdir()
        (folder / '__init__.py').write_text(EXTRA if package.endswith('Own') else '')
    monkeypatch.syspath_prepend(tmp_path)
    find_architecture.cache_clear()
    yield
    find_architecture.cache_clear()
    for name in [name for name in sys.modules if name.startswith('spandrel_extra_arches')]:
        del sys.modules[name]


@pytest.mark.skipif(find_spec('spandrel_extra_arches') is not None, reason='spandrel_extra_arches is installed')
def test_networks_of_spandrel_extra_arches_are_found_where_it_is_installed(extra_arches):
    assert sorted(architecture_names()) == sorted([*NAMES, 'Own'])
    assert ARCH_REGISTRY.get('Own').__module__ == 'spandrel_extra_arches.architectures.Own'
    net = build_network({'type': 'MPRNet', 'dim': 5})
    assert (net.out_channels, net.pad_multiple) == (5, 8)
    assert find_architecture('HAT').__module__.startswith('spandrel.')


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


def test_the_log_of_a_run_says_once_that_a_network_is_spandrels(caplog, monkeypatch):
    monkeypatch.setattr(registries, '_told', set())
    ARCH_REGISTRY.get('SAFMN')
    with caplog.at_level('INFO', logger='basicsr'):  # as BasicSR sets it for a run; before that nothing is told
        ARCH_REGISTRY.get('SAFMN')
        ARCH_REGISTRY.get('SAFMN')
        ARCH_REGISTRY.get('EDSR')
    assert [record.message.split(';')[0] for record in caplog.records] == ["network SAFMN: spandrel's"]
