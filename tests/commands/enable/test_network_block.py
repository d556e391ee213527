"""The network that `enable` writes where an option file has none."""

from functools import partial
from pathlib import Path

import pytest
import torch
from basicsr.archs import build_network
from option_texts import PLAIN, enabled

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.weights import read_weights


@pytest.fixture
def convert(tmp_path):
    return partial(enabled, tmp_path)


NETWORK = PLAIN[PLAIN.index('network_g:') : PLAIN.index('path:')]


FORMS = {
    'absent': '',
    'empty': 'network_g: ~\n\n',
    'auto': 'network_g:\n  type: auto  # found out\n\n',
    'auto in a line': 'network_g: {type: auto}  # found out\n\n',
}


NETWORKS = {
    'EDSR': {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'upscale': 2},
    'SwinIR': {'type': 'SwinIR', 'embed_dim': 8, 'depths': [2], 'num_heads': [2], 'window_size': 8, 'img_size': 16,
               'mlp_ratio': 2, 'upscale': 2, 'upsampler': 'pixelshuffledirect'},
    'NAFNet': {'type': 'NAFNet', 'width': 8, 'middle_blk_num': 1, 'enc_blk_nums': [1, 2], 'dec_blk_nums': [1, 1]},
    'FFANet': {'type': 'FFANet', 'blocks': 1, 'normalize': True},
}  # fmt: skip


@pytest.fixture
def save(tmp_path):
    """Save the weights of a new network; the file and the network."""

    def make(block, entry='params'):
        net = build_network(block).eval()
        torch.save(net.state_dict() if entry is None else {entry: net.state_dict()}, tmp_path / 'net.pth')
        return str(tmp_path / 'net.pth'), net

    return make


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize(
    ('kind', 'entry'), [('EDSR', 'params'), ('SwinIR', 'params_ema'), ('NAFNet', None), ('FFANet', 'model')]
)
def test_the_network_of_the_checkpoint_is_written(convert, save, kind, entry, form):
    pretrain, net = save(NETWORKS[kind], entry)
    scale = NETWORKS[kind].get('upscale', 1)
    source = PLAIN.replace(NETWORK, FORMS[form]).replace('scale: 2', f'scale: {scale}')
    text, values, notes = convert(source, pretrain=pretrain)
    again = build_network(values['network_g']).eval()
    again.load_state_dict(read_weights(Path(pretrain), 'it', (values['path'].get('param_key_g', 'params'),)).state_dict)
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(again(image), net(image))
    assert values['path'].get('param_key_g', 'params') == entry
    assert values['path']['pretrain_network_g'] == pretrain
    assert f'network_g: {kind}, detected from the checkpoint' in notes
    assert ('param_key_g' in notes) == (entry != 'params')
    assert (values['scale'], values['train']['history']['start']) == (scale, 0.1)
    plain = convert(PLAIN)[1]
    assert [key for key in values if key != 'network_g'] == [key for key in plain if key != 'network_g']
    assert list(values).index('network_g') == list(plain).index('network_g')
    assert '  use_rot: True\n' in text


@pytest.mark.parametrize('line', ['', 'scale: ~\n'])
def test_the_scale_is_written_where_there_is_none(convert, save, line):
    _, values, notes = convert(
        PLAIN.replace(NETWORK, '').replace('scale: 2\n', line), pretrain=save(NETWORKS['EDSR'])[0]
    )
    assert values['scale'] == 2
    assert list(values)[:3] == ['name', 'model_type', 'scale']
    assert 'scale: 2' in notes


def test_a_file_without_data_sets_gets_its_network_too(convert, save):
    source = PLAIN.replace(NETWORK, '')
    source = source[: source.index('datasets:')] + source[source.index('path:') :]
    values = convert(source, pretrain=save(NETWORKS['EDSR'])[0])[1]
    assert values['network_g']['type'] == 'EDSR'


def test_the_entry_that_the_file_names_is_kept(convert, tmp_path):
    nets = {
        key: build_network(NETWORKS['EDSR'] | {'num_feat': width}) for key, width in {'params': 8, 'big': 16}.items()
    }
    torch.save({key: net.state_dict() for key, net in nets.items()}, tmp_path / 'net.pth')
    source = PLAIN.replace(NETWORK, '').replace('path:\n', 'path:\n  param_key_g: big  # this\n')
    text, values, _ = convert(source, pretrain=str(tmp_path / 'net.pth'))
    assert values['network_g']['num_feat'] == 16
    assert '  param_key_g: big  # this\n' in text


@pytest.mark.parametrize(
    ('line', 'chosen', 'said'),
    [
        ('', 'params_ema', 'path.param_key_g: params_ema, the averaged weights (EMA)'),
        ('  param_key_g: params_ema\n', 'params_ema', ''),
        ('  param_key_g: params\n', 'params', 'path.param_key_g is left at params; the checkpoint also has averaged'),
        ('  param_key_g: gone\n', 'params', 'path.param_key_g: params, where the weights stand in the checkpoint'),
    ],
)
def test_the_averaged_weights_are_retrained_unless_the_file_names_others(convert, tmp_path, line, chosen, said):
    weights = build_network(dict(NETWORKS['EDSR'])).state_dict()
    torch.save({'params': weights, 'params_ema': weights}, tmp_path / 'net.pth')
    _, values, notes = convert(PLAIN.replace('path:\n', f'path:\n{line}'), pretrain=str(tmp_path / 'net.pth'))
    assert values['path']['param_key_g'] == chosen
    assert said in notes
    assert bool(said) == ('param_key_g' in notes)


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('scale: 2', 'scale: 4', r'in\.yml: scale is 4, but --pretrain .*net\.pth is a network of scale 2\. Use'),
        ('scale: 2', 'scale: two', r'line 4: scale must be a number'),
        (NETWORK, 'network_g: {type: auto, num_feat: 8}\n', r'line 16: network_g: type: auto stands alone'),
    ],
)
def test_what_keeps_the_network_from_being_written(convert, save, old, new, message):
    source = PLAIN.replace(NETWORK, 'network_g: {type: auto}\n') if old != NETWORK else PLAIN
    with pytest.raises(MclirError, match=message):
        convert(source.replace(old, new), pretrain=save(NETWORKS['EDSR'])[0])


@pytest.mark.parametrize('form', FORMS)
def test_without_a_checkpoint_there_is_nothing_to_detect(convert, form):
    with pytest.raises(MclirError, match=r'it has no network_g\. Give it, or a checkpoint to detect it from'):
        convert(PLAIN.replace(NETWORK, FORMS[form]))


def test_a_checkpoint_of_no_known_network_writes_nothing(convert, tmp_path):
    torch.save({'params': {'a.weight': torch.zeros(1)}}, tmp_path / 'net.pth')
    with pytest.raises(MclirError, match=r'--pretrain: .*net\.pth: spandrel cannot .* like a\.weight\. Give network_g'):
        convert(PLAIN.replace(NETWORK, ''), pretrain=str(tmp_path / 'net.pth'))
    assert not (tmp_path / 'out.yml').exists()
