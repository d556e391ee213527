"""What `enable` sets in an option file of BasicSR, and which it refuses."""

from functools import partial
from pathlib import Path

import pytest
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY
from option_texts import PLAIN, enabled, load

from mclir_basicsr.commands.enable.enable import enable
from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import HistoryOptions, SPNOptions, read_options


@pytest.fixture
def convert(tmp_path):
    return partial(enabled, tmp_path)


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


def test_a_perceptual_loss_of_basicsr_stays(convert):
    source = PLAIN.replace('  # losses\n', '  perceptual_opt:\n    type: PerceptualLoss\n    style_weight: 1\n')
    values = convert(source)[1]
    assert values['train']['perceptual_opt'] == {'type': 'PerceptualLoss', 'style_weight': 1}


@pytest.mark.parametrize(
    ('model', 'reason'),
    [
        ('StyleGAN2Model', 'generates images: there is nothing that it restores'),
        ('OurModel', 'it is not known here.*register it: --import FILE.*SRModel, SwinIRModel, HistoryModel.*HATModel'),
    ],
)
def test_models_of_another_kind_are_refused(convert, model, reason):
    with pytest.raises(MclirError, match=f'{model}.*{reason}'):
        convert(PLAIN.replace('SRModel', model))


@pytest.mark.parametrize(
    ('model', 'base'),
    [
        ('SwinIRModel', None),
        ('HistoryModel', None),
        ('HATModel', None),
        ('RealESRNetModel', 'RealESRNetModel'),
        ('ESRGANModel', 'ESRGANModel'),
        ('EDVRModel', 'EDVRModel'),
        ('RealHATGANModel', 'RealESRGANModel'),
        ('RegisteredModel', 'RegisteredModel'),
    ],
)
def test_other_models_become_the_base_of_historymodel(convert, monkeypatch, model, base):
    monkeypatch.setattr(MODEL_REGISTRY, '_obj_map', {**MODEL_REGISTRY._obj_map, 'RegisteredModel': SRModel})
    _, values, notes = convert(PLAIN.replace('SRModel', model))
    assert values['model_type'] == 'HistoryModel'
    assert values.get('base_model') == base
    assert (f'with base_model: {base};' in notes) == (base is not None)


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
