"""Option files before and after `enable`, read by BasicSR's own loader."""

import difflib
from pathlib import Path

import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.utils.options import ordered_yaml
from hypothesis import given
from hypothesis import strategies as st

from mclir_basicsr.commands.enable.enable import enable
from mclir_basicsr.commands.enable.option_text import written
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.weights import read_weights
from mclir_basicsr.options import HistoryOptions, SPNOptions, read_options

PLAIN = """\
# a run of ours
name: 007_tiny_x2  # unquoted
model_type: SRModel
scale: 2
num_gpu: 0

datasets:
  train:
    name: tiny
    type: PairedImageDataset
    filename_tmpl: '{}'
    use_rot: True
    mean: [0.4488, 0.4371, 0.4040, 0.4488, 0.4371, 0.4040, 0.4488, 0.4371, 0.4040, 0.4488, 0.4371, 0.4040, 0.4488]
    prefetch_mode: ~

network_g:
  type: EDSR
  num_feat: 8
  img_range: 255.
  note: 2e-4     # a string to BasicSR's YAML 1.1

path:
  pretrain_network_g: ~  # none yet
  strict_load_g: true
  resume_state: ~

train:
  ema_decay: 0.999
  optim_g: {type: Adam, lr: !!float 2e-4, betas: [0.9, 0.99]}
  scheduler:
    type: MultiStepLR
    milestones:
    - 100
    - 200
    gamma: 0.5
  total_iter: 500000

  # losses
  pixel_opt:
    type: L1Loss
    reduction: mean  # of all pixels
    # loss_weight: 2

# validation
val:
  val_freq: !!float 5e3
"""

# The vocabulary of the MCLIR fork.
REFERENCE = """\
name: dehaze
model_type: ImageRestorationModel_FFANet_Neg_Multi
complie: false
network_g:
    type: FFANet
path:
    pretrain_network_g:
    resume_state:
train:
    use_grad_norm: true
    neg_iter: [50, 75, 80]  # when
    neg_decay: !!float 2e-1
    pixel_opt:
        type: L1Loss
    # what to stay away from
    perceptual_opt:
        type: PerceptualLoss  # of BasicSR
        layer_weights:
            'relu1_2': 0.25  # early
            'relu3_3': 0.75
        perceptual_weight: !!float -3e-3  # lambda
        style_weight: 0
        use_input_norm: true
        criterion: l2
    neg_start: 0.3
val:
    val_freq: 100
"""


@pytest.fixture
def convert(tmp_path):
    """Convert an option file given as text; returns the new text, its values and the notes."""

    def run(text, **arguments):
        source, target = tmp_path / 'in.yml', tmp_path / 'out.yml'
        source.write_bytes(text.encode())
        notes = enable(source, target, force=True, **arguments)
        assert source.read_bytes() == text.encode()
        result = target.read_bytes().decode()
        return result, load(result), ' '.join(notes)

    return run


def load(text):
    return yaml.load(text, Loader=ordered_yaml()[0])


def changed(before, after):
    """Lines taken out and lines put in."""
    lines = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in '+-']
    return [line[2:] for line in lines if line[0] == '-'], [line[2:] for line in lines if line[0] == '+']


def test_every_other_line_stays_to_the_byte(convert):
    gone, new = changed(PLAIN, convert(PLAIN)[0])
    assert gone == ['name: 007_tiny_x2  # unquoted', 'model_type: SRModel']
    assert new[:2] == ['name: 007_tiny_x2_spn  # unquoted', 'model_type: HistoryModel']
    assert all(line.startswith(('  spn_opt:', '  history:', '    ')) for line in new[2:])


def test_untouched_keys_load_to_the_same_values_in_the_same_order(convert):
    before, after = load(PLAIN), convert(PLAIN)[1]
    assert list(after['train']) == [*before['train'], 'spn_opt', 'history']
    del after['train']['spn_opt'], after['train']['history']
    assert list(after) == list(before)
    assert after == before | {'name': '007_tiny_x2_spn', 'model_type': 'HistoryModel'}


def test_the_new_blocks_are_the_published_settings_behind_the_pixel_loss(convert):
    text, values, _ = convert(PLAIN.replace("  note: 2e-4     # a string to BasicSR's YAML 1.1\n", ''))
    options, warnings = read_options(values)
    assert options.train.spn_opt == SPNOptions()
    assert options.train.history == HistoryOptions(interval=[100, 200, 500, 1000], decay=0.1, start=0.1)
    assert not warnings
    lines = text.splitlines()
    at = lines.index('    # loss_weight: 2')  # a comment of pixel_opt stays with it
    assert lines[at + 1].startswith('  spn_opt:')
    assert lines.index('# validation') > next(i for i, line in enumerate(lines) if line.startswith('  history:'))


@pytest.mark.parametrize('indent', [2, 4])
@pytest.mark.parametrize('newline', ['\n', '\r\n'])
def test_indentation_and_line_ends_are_those_of_the_file(convert, indent, newline):
    source = PLAIN.replace('  ', ' ' * indent).replace('\n', newline)
    text, values, _ = convert(source)
    assert f'{newline}{" " * indent}history:' in text
    assert text.count('\n') == text.count(newline)
    assert values['train']['history']['interval'] == [100, 200, 500, 1000]


def test_a_last_line_without_an_end_and_a_byte_order_mark(convert):
    values = convert('\ufeff' + PLAIN.split('  # of all')[0])[1]
    assert values['train']['pixel_opt'] == {'type': 'L1Loss', 'reduction': 'mean'}
    assert values['train']['history']['start'] == 0.1


def test_without_a_pixel_loss_the_blocks_follow_the_last_loss(convert):
    source = PLAIN.replace('pixel_opt:', 'perceptual_opt:').replace('# validation', '  other: 1')
    assert list(convert(source)[1]['train'])[-4:] == ['perceptual_opt', 'spn_opt', 'history', 'other']


@pytest.mark.parametrize(
    ('count', 'interval'),
    [(1, [100]), (2, [100, 200]), (4, [100, 200, 500, 1000]), (7, [100, 200, 500, 1000, 2000, 5000, 10000])],
)
def test_negatives_cuts_the_series(convert, count, interval):
    assert convert(PLAIN, negatives=count)[1]['train']['history']['interval'] == interval


@pytest.mark.parametrize('weight', [1, 0.25, 1e-5, 3e-12])
def test_loss_weight_reads_back_as_a_number(convert, weight):
    assert convert(PLAIN, loss_weight=weight)[1]['train']['spn_opt']['loss_weight'] == weight


@pytest.mark.parametrize('name', ['net_g.pth', 'on', '1e5', "it's.pth", 'a: b #c.pth', '~x', '00', '[a', 'ü.pth'])
def test_pretrain_is_written_so_that_it_reads_back(convert, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    text, values, notes = convert(PLAIN, pretrain=name)
    assert values['path']['pretrain_network_g'] == name
    assert '  # none yet' in text
    assert name in notes


def test_a_path_that_is_absent_or_empty_is_filled(convert, tmp_path):
    checkpoint = tmp_path / 'net.pth'
    checkpoint.touch()
    for line in (
        '',
        '  pretrain_network_g:\n',
        '  pretrain_network_g:   # ?\n',
        '  pretrain_network_g:\n    old.pth\n',
    ):
        source = PLAIN.replace('  pretrain_network_g: ~  # none yet\n', line)
        values = convert(source, pretrain=str(checkpoint))[1]
        assert dict(values['path']) == load(PLAIN)['path'] | {'pretrain_network_g': str(checkpoint)}


def test_notes_on_the_network_to_start_from(convert):
    assert 'pretrain_network_g is empty' in convert(PLAIN)[2]
    left = PLAIN.replace('pretrain_network_g: ~', 'pretrain_network_g: old/net.pth').replace('g: true', 'g: false')
    _, values, notes = convert(left)
    assert values['path']['pretrain_network_g'] == 'old/net.pth'
    assert 'old/net.pth' in notes
    assert 'strict_load_g' in notes


@pytest.mark.parametrize('line', ['', '  resume_state: runs/5.state  # go on\n'])
def test_resume_state_is_emptied(convert, line):
    _, values, notes = convert(PLAIN.replace('  resume_state: ~\n', line))
    assert values['path']['resume_state'] is None
    assert 'path.resume_state' in notes


@given(
    st.text(alphabet=st.characters(codec='utf-8', exclude_categories=('C', 'Z')), min_size=1)
    | st.floats(0, 1e300)
    | st.booleans()
)
def test_written_values_read_back(value):
    assert load(f'{{key: {written([value])}, next: 1}}')['key'] == [value]


def test_reference_blocks_become_ours_in_place(convert):
    text, values, notes = convert(REFERENCE)
    gone, new = changed(REFERENCE, text)
    assert values['train']['spn_opt'] == {
        'type': 'SPNLoss',
        'layer_weights': {'relu1_2': 0.25, 'relu3_3': 0.75},
        'loss_weight': 0.003,
        'use_input_norm': True,
        'criterion': 'l2',
        'vgg_type': 'vgg19',  # what PerceptualLoss takes when none is named
        'weights': 'imagenet',
    }
    assert values['train']['history'] == {'interval': [50, 75, 80], 'decay': 0.2, 'start': 0.3}
    assert list(values['train']) == ['use_grad_norm', 'pixel_opt', 'spn_opt', 'history']
    read_options(values)
    for kept in (
        '  # of BasicSR',
        '  # lambda',
        '  # when',
        "'relu1_2': 0.25  # early",
        '    # what to stay away from',
    ):
        assert kept in text
    assert not [line for line in gone + new if line.strip().startswith("'relu")]
    assert 'style_weight' not in notes


def test_reference_model_names_and_keys_without_effect(convert):
    for name in ('SRNegModel', 'SRNegModel_Multi', 'ImageRestorationModel_FFANet_Neg_Any'):
        _, values, notes = convert(REFERENCE.replace('ImageRestorationModel_FFANet_Neg_Multi', name))
        assert values['model_type'] == 'HistoryModel'
        assert values['complie'] is False
        assert values['train']['use_grad_norm'] is True
        assert 'use_grad_norm' in notes
        assert 'complie' in notes
        assert 'train.grad_clip_norm' in notes


@pytest.mark.parametrize('where', ['top', 'block', 'perceptual_opt'])
def test_reference_keys_are_found_elsewhere(convert, where):
    lines = ['neg_iter:', '- 10', '- 20', 'neg_decay: [0.2, 0.4]', 'neg_start: [0.3, 0.3]']
    source = ''.join(line for line in REFERENCE.splitlines(keepends=True) if 'neg_' not in line)
    if where == 'top':
        source += '\n'.join(lines)
    elif where == 'block':
        source = source.replace('val:', '    negs:\n' + ''.join(f'        {line}\n' for line in lines) + 'val:')
    else:
        source = source.replace('        style', ''.join(f'        {line}\n' for line in lines) + '        style')
    text, values, _ = convert(source)
    assert values['train']['history'] == {'interval': [10, 20], 'decay': [0.2, 0.4], 'start': 0.3}
    assert 'neg' not in text.split('history:  #')[0].replace('negative', '')
    assert list(values['train']) == ['use_grad_norm', 'pixel_opt', 'spn_opt', 'history']


def test_reference_adaptive(convert):
    adaptive = REFERENCE.replace('Neg_Multi', 'Neg_Adaptive').replace('    neg_decay: !!float 2e-1\n', '')
    history = {'policy': 'adaptive', 'negatives': 3, 'threshold': 0.022, 'decay': 0.001, 'start': 0.3}
    assert convert(adaptive)[1]['train']['history'] == history
    assert convert(adaptive, negatives=5)[1]['train']['history'] == history | {'negatives': 5}
    read_options(convert(adaptive)[1])
    kept = convert(REFERENCE.replace('Neg_Multi', 'Neg_aDAPTIVE'))
    assert kept[1]['train']['history'] == history | {'decay': 0.2}
    assert '0.001' in kept[2]


def test_arguments_go_before_the_reference_file(convert):
    train = convert(REFERENCE, negatives=2, loss_weight=0.5)[1]['train']
    assert train['spn_opt']['loss_weight'] == 0.5
    assert train['history']['interval'] == [100, 200]


def test_what_a_reference_file_loses_is_said(convert):
    source = REFERENCE.replace('style_weight: 0', 'style_weight: 7\n        loss_weight: 9\n        margin: 1')
    source = source.replace('neg_start: 0.3', 'neg_start: [0.3, 0.2, 0.1]').replace('!!float 2e-1', '[0.1, 0.2]')
    _, values, notes = convert(source)
    assert values['train']['spn_opt']['loss_weight'] == 0.003
    assert values['train']['history'] == {'interval': [50, 75, 80], 'decay': 0.1, 'start': 0.3}
    for said in ('style_weight 7', 'margin', 'neg_start', 'neg_decay'):
        assert said in notes
    read_options(values)


def test_reference_without_a_negative_term_gets_ours(convert):
    source = REFERENCE.replace('perceptual_opt:', 'perceptual_opt: ~\n    unused:')
    options, _ = read_options(convert(source)[1])
    assert options.train.spn_opt == SPNOptions()
    assert options.train.history.interval == [50, 75, 80]


def test_empty_reference_keys_give_the_defaults(convert):
    source = REFERENCE.replace('[50, 75, 80]', '').replace('!!float 2e-1', '  # ?') + 'neg_start:'
    text, values, _ = convert(source)
    assert read_options(values)[0].train.history == HistoryOptions()
    assert '# ?' in text


def test_a_perceptual_loss_of_basicsr_stays(convert):
    source = PLAIN.replace('  # losses\n', '  perceptual_opt:\n    type: PerceptualLoss\n    style_weight: 1\n')
    values = convert(source)[1]
    assert values['train']['perceptual_opt'] == {'type': 'PerceptualLoss', 'style_weight': 1}


@pytest.mark.parametrize(
    ('model', 'reason'),
    [
        ('SRGANModel', 'discriminator'),
        ('ESRGANModel', 'discriminator'),
        ('RealESRGANModel', 'discriminator'),
        ('StyleGAN2Model', 'discriminator'),
        ('HiFaceGANModel', 'discriminator'),
        ('RealESRNetModel', 'its own lq'),
        ('VideoBaseModel', 'video'),
        ('VideoRecurrentModel', 'video'),
        ('EDVRModel', 'video'),
        ('OurModel', 'SRModel, SwinIRModel, HistoryModel'),
    ],
)
def test_models_of_another_kind_are_refused(convert, model, reason):
    with pytest.raises(MclirError, match=f'{model}.*{reason}'):
        convert(PLAIN.replace('SRModel', model))


@pytest.mark.parametrize('model', ['SwinIRModel', 'HistoryModel'])
def test_other_models_of_this_kind(convert, model):
    assert convert(PLAIN.replace('SRModel', model))[1]['model_type'] == 'HistoryModel'


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('scale: 2', 'scale: [2\nb: 3', r'in\.yml, line 5, column 2: not valid YAML'),
        ('scale: 2', 'scale:\n\t2', 'line 5.*not valid YAML'),
        ('scale: 2', 'scale: \x01', 'not valid YAML'),
        ('model_type: SRModel\n', '', 'no training option file of BasicSR: it has no model_type'),
        ('network_g:', 'network:', 'it has no network_g'),
        ('train:\n  ema', 'training:\n  ema', 'it has no train'),
        ('  pixel_opt:', '  spn_opt: {}\n  pixel_opt:', 'already'),
        ('path:\n', 'path: &p\n', 'line 22.*without'),
        ('name: 007_tiny_x2', 'name: &n tiny', 'line 2.*anchor'),
        ('name: 007_tiny_x2', 'name: >\n  tiny', 'line 2.*plain value'),
    ],
)
def test_faults_in_the_file_are_named(convert, old, new, message):
    assert old in PLAIN
    with pytest.raises(MclirError, match=message):
        convert(PLAIN.replace(old, new))


@pytest.mark.parametrize('text', ['', '- a\n- b\n', 'just words'])
def test_other_yaml_is_refused(convert, text):
    with pytest.raises(MclirError, match='no option file'):
        convert(text)


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('neg_start: 0.3', 'neg_start: some', r'line 25: neg_start must be a number'),
        ('neg_iter: [50, 75, 80]', 'neg_iter: [50, 0]', 'history.interval'),
        ('neg_start: 0.3', 'neg_start: 3', 'history.start'),
        ('neg_start: 0.3', 'neg_start: {a: 1}', 'neg_start must be a number'),
        ('neg_start: 0.3', 'neg_start: &s 0.3\n    other: *s', 'after the edit.*alias'),
        ('neg_start: 0.3', 'negs: {neg_start: 0.3, more: 1}', 'line 25.*one per line'),
    ],
)
def test_faults_in_a_reference_file_are_named(convert, old, new, message):
    assert old in REFERENCE
    with pytest.raises(MclirError, match=message):
        convert(REFERENCE.replace(old, new))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'negatives': 0}, '--negatives is 0'),
        ({'loss_weight': 0}, '--loss-weight is 0'),
        ({'loss_weight': -1e-3}, '--loss-weight is -0.001'),
        ({'loss_weight': float('nan')}, '--loss-weight is nan'),
        ({'loss_weight': float('inf')}, '--loss-weight is inf'),
        ({'pretrain': 'no/such.pth'}, 'no checkpoint no/such.pth'),
    ],
)
def test_bad_arguments_are_named(convert, arguments, message):
    with pytest.raises(MclirError, match=message):
        convert(PLAIN, **arguments)


def test_source_and_target(tmp_path):
    source = tmp_path / 'in.yml'
    with pytest.raises(MclirError, match=r'no option file .*in\.yml'):
        enable(source, tmp_path / 'out.yml')
    source.write_text(PLAIN)
    (tmp_path / 'link.yml').symlink_to(source)
    for target, message in [(source, 'itself'), (tmp_path / 'link.yml', 'itself'), (tmp_path / 'a' / 'b', 'folder')]:
        with pytest.raises(MclirError, match=message):
            enable(source, target)
    source.write_bytes(b'name: \xff\n')
    with pytest.raises(MclirError, match='UTF-8'):
        enable(source, tmp_path / 'out.yml')


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


def test_a_failed_write_leaves_the_former_file(convert, tmp_path, monkeypatch):
    (tmp_path / 'out.yml').write_text('former')

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'replace', full)
    with pytest.raises(MclirError, match='No space left'):
        convert(PLAIN)
    assert (tmp_path / 'out.yml').read_text() == 'former'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in.yml', 'out.yml']
