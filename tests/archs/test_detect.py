"""Networks told from their weights alone."""

from itertools import cycle

import pytest
import torch
from basicsr.archs import build_network
from recipe import example_input
from safetensors.torch import save_file

from mclir_basicsr.archs.detect import _name_in_spandrel, detect
from mclir_basicsr.errors import MclirError

SWINIR = {'type': 'SwinIR', 'embed_dim': 8, 'mlp_ratio': 2.0, 'img_size': 16, 'window_size': 8}
EDSR = {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 2, 'upscale': 3}
RRDB = {'type': 'RRDBNet', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 2, 'num_grow_ch': 4}
HAT = {'type': 'HAT', 'embed_dim': 12, 'window_size': 8, 'squeeze_factor': 4}
NETWORKS = {
    'edsr': (EDSR | {'res_scale': 1}, 3),
    'edsr x4': (EDSR | {'upscale': 4, 'res_scale': 1}, 4),
    'msrresnet x4': (EDSR | {'type': 'MSRResNet', 'upscale': 4}, 4),
    'msrresnet x3': (EDSR | {'type': 'MSRResNet'}, 3),
    'rcan': (
        {'type': 'RCAN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_group': 3, 'num_block': 2,
         'squeeze_factor': 4, 'upscale': 2}, 2,
    ),
    'rrdb x4': (RRDB | {'scale': 4}, 4),
    'rrdb x2': (RRDB | {'scale': 2}, 2),
    'rrdb x1': (RRDB | {'scale': 1}, 1),
    'ffanet': ({'type': 'FFANet', 'blocks': 2, 'normalize': True}, 1),
    'dehazeformer t': ({'type': 'DehazeFormer', 'variant': 't', 'normalize': True}, 1),
    'dehazeformer m': ({'type': 'DehazeFormer', 'variant': 'm', 'normalize': True}, 1),
    'idt': ({'type': 'IDT', 'img_size': 128}, 1),
    'swinir': (
        SWINIR | {'depths': [2, 4], 'num_heads': [2, 4], 'upscale': 3, 'upsampler': 'pixelshuffle'}, 3,
    ),
    'swinir light': (
        SWINIR | {'depths': [2], 'num_heads': [2], 'upscale': 2, 'upsampler': 'pixelshuffledirect'}, 2,
    ),
    'swinir jpeg': (
        SWINIR | {'depths': [2], 'num_heads': [2], 'upscale': 1, 'window_size': 7, 'img_size': 21, 'img_range': 255.0,
                  'resi_connection': '3conv'}, 1,
    ),
    'compact': ({'type': 'SRVGGNetCompact', 'num_feat': 8, 'num_conv': 3, 'upscale': 2}, 2),
    'nafnet': ({'type': 'NAFNet', 'width': 8, 'middle_blk_num': 2, 'enc_blk_nums': [1, 2], 'dec_blk_nums': [1, 1]}, 1),
    'hat': (HAT | {'depths': [2], 'num_heads': [2], 'upscale': 4}, 4),
    'old esrgan': ({'type': 'ESRGAN', 'num_filters': 8, 'num_blocks': 2, 'scale': 4}, 4),
}  # fmt: skip
WRAPS = ['params', 'state_dict', None, 'safetensors', 'params_ema', 'model']


def make(block, seed=0):
    torch.manual_seed(seed)
    return build_network(block).eval()


@pytest.fixture
def save(tmp_path):
    """Save a state dict in one of the forms that are published; the file."""

    def write(state, wrap='params'):
        if wrap == 'safetensors':
            save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / 'net.safetensors')
            return tmp_path / 'net.safetensors'
        state = {f'module.{key}': value for key, value in state.items()}
        torch.save(state if wrap is None else {wrap: state, 'epoch': 3}, tmp_path / 'net.pth')
        return tmp_path / 'net.pth'

    return write


@pytest.mark.parametrize(('name', 'wrap'), list(zip(NETWORKS, cycle(WRAPS))))
def test_what_is_detected_builds_the_same_network(save, name, wrap):
    block, scale = NETWORKS[name]
    net = make(block)
    found = detect(save(net.state_dict(), wrap), 'it')
    assert found.network_g == block
    assert (found.scale, found.entry) == (scale, None if wrap == 'safetensors' else wrap)
    again = make(found.network_g, seed=1)
    again.load_state_dict(net.state_dict())
    side = {'idt': 128, 'swinir jpeg': 28}.get(name, 32)
    image = example_input([1, 3, side, side], 5)
    with torch.no_grad():
        out = again(image)
        assert torch.equal(out, net(image))
    assert out.shape == (1, 3, side * scale, side * scale)


def test_published_edsr_l_is_told_by_its_width(save):
    block = EDSR | {'num_feat': 256, 'num_block': 1}
    assert detect(save(make(block).state_dict()), 'it').network_g == block | {'res_scale': 0.1}


def test_the_preferred_entry_is_read(tmp_path):
    for_x3, for_x2 = (make(EDSR | {'upscale': scale}).state_dict() for scale in (3, 2))
    torch.save({'params': for_x3, 'x2': for_x2}, tmp_path / 'net.pth')
    found = detect(tmp_path / 'net.pth', 'it', ('x2', 'params'))
    assert (found.scale, found.entry) == (2, 'x2')


@pytest.mark.parametrize(
    ('block', 'message'),
    [
        ({'type': 'DRUNet', 'nc': [8, 8, 8, 8]}, 'this DRUNet does not make RGB images out of RGB images'),
        (
            {'type': 'SRVGGNetCompact', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 8, 'num_conv': 1},
            'this Compact does',
        ),
        ({'type': 'MixDehazeNet'}, r'MixDehazeNet alone does not restore images in \[0, 1\]'),
        (EDSR | {'num_in_ch': 1, 'num_out_ch': 1}, 'this EDSR is not for RGB images'),
        (RRDB | {'num_in_ch': 1}, 'this RRDBNet is not for RGB images'),
        ({'type': 'DehazeFormer', 'variant': 't', 'depths': [1, 1, 1, 1, 1]}, 'a DehazeFormer of no published variant'),
        ({'type': 'IDT', 'embed_dim': 16}, r"it looks like .*'IDT'.*, but does not fit: of another shape: input_proj"),
        ({'type': 'EDVR', 'num_feat': 8}, 'spandrel cannot tell its network from keys like '),
    ],
)
def test_other_networks_are_refused(save, block, message):
    with pytest.raises(MclirError, match=rf'^it: .*net\.pth: {message}') as error:
        detect(save(make(block).state_dict()), 'it')
    assert str(error.value).endswith('Give network_g in the option file, or use another file.')


def test_the_other_networks_of_an_architecture_go_by_their_own_names(save):
    """spandrel's RealPLKSR is of the architecture PLKSR, which names its other class."""
    from spandrel.architectures.PLKSR import RealPLKSR

    state = RealPLKSR(dim=8, n_blocks=2).state_dict()
    found = detect(save(state), 'it').network_g
    assert found['type'] == 'RealPLKSR'
    make(found).load_state_dict(state)


def test_a_network_whose_names_basicsr_has_is_named_as_spandrels():
    from spandrel.architectures.RCAN import RCAN

    assert _name_in_spandrel('RCAN', RCAN) == 'spandrel.RCAN'
    assert isinstance(make({'type': 'spandrel.RCAN', 'n_resgroups': 1, 'n_resblocks': 1, 'n_feats': 16}), RCAN)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(MclirError, match=r'^it: there is no file .*net\.pth'):
        detect(tmp_path / 'net.pth', 'it')
