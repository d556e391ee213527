"""The weight that enable writes: measured where all is at hand, else the published one or a balance."""

import re
import shutil

import pytest
import torch
import yaml
from basicsr.archs import build_network
from option_texts import PLAIN, REFERENCE

from mclir_basicsr.check.spn_ratio import ratio_per_weight
from mclir_basicsr.commands.enable.enable import enable
from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import parse_file, read_options

PSNR = {'type': 'PSNRLoss', 'loss_weight': 1.0}


@pytest.fixture
def plain(option_file, tmp_path):
    """Write the option file of a plain training whose data and network are there."""

    def write(loss=None, **blocks):
        file = option_file('plain', 'SRModel', {'pixel_opt': loss or {'type': 'L1Loss'}}, **blocks)
        opt = yaml.safe_load(file.read_text())
        del opt['train']['spn_opt'], opt['train']['history']
        file.write_text(yaml.safe_dump(opt, sort_keys=False))
        torch.manual_seed(0)
        torch.save({'params': build_network(dict(opt['network_g'])).state_dict()}, tmp_path / 'net.pth')
        return file

    return write


@pytest.fixture
def enabled(plain, tmp_path):
    """Enable such a file; returns spn_opt and the notes."""

    def make(loss=None, **arguments):
        target = tmp_path / 'spn.yml'
        given = {'pretrain': str(tmp_path / 'net.pth'), 'vgg_weights': 'oxford'} | arguments
        notes = enable(plain(loss), target, force=True, **given)
        opt = parse_file(target)
        read_options(opt)
        return opt['train']['spn_opt'], ' '.join(notes), opt

    return make


@pytest.mark.parametrize('loss', [None, PSNR])
def test_the_weight_is_measured_for_the_ratio(enabled, loss):
    """A published weight beside PSNRLoss hardly acted."""
    spn, notes, opt = enabled(loss)
    assert spn['weights'] == 'oxford'
    per_weight = ratio_per_weight(opt)
    assert spn['loss_weight'] * per_weight == pytest.approx(0.02, rel=0.06)
    said = re.search(
        r'loss_weight: (\S+), measured in .* of 0\.02; the published 0\.001 would give (\S+)\.( |$)', notes
    )
    assert float(said[1]) == spn['loss_weight']
    assert float(said[2]) == pytest.approx(1e-3 * per_weight, rel=0.06)


def test_another_ratio_is_measured_for(enabled):
    spn, _, _ = enabled()
    more, _, _ = enabled(ratio=0.1)
    assert more['loss_weight'] == pytest.approx(5 * spn['loss_weight'], rel=0.1)


def test_a_weight_that_is_given_stays(enabled):
    spn, notes, _ = enabled(loss_weight=0.5)
    assert spn['loss_weight'] == 0.5
    assert 'measured' not in notes


@pytest.mark.parametrize(
    ('what', 'reason'),
    [
        ({'pretrain': None}, 'path.pretrain_network_g is empty'),
        ({'vgg_weights': 'imagenet'}, 'the ImageNet weights of vgg16 are not in the cache; --vgg-weights oxford'),
    ],
)
def test_what_cannot_be_measured_keeps_the_published_weight_on_l1_alone(enabled, monkeypatch, tmp_path, what, reason):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    spn, notes, _ = enabled(**what)
    assert spn['loss_weight'] == 1e-3
    assert f'not measured ({reason}' in notes
    for other in (PSNR, {'type': 'L1Loss', 'loss_weight': 0.01}):
        spn, notes, _ = enabled(other, **what)
        assert 'loss_weight' not in spn
        assert spn['balance'] == 0.02
        assert f'not measured ({reason}' in notes
    assert enabled(**what, ratio=0.1)[0]['balance'] == 0.1


def test_data_that_is_not_there_or_cannot_be_read(enabled, tmp_path):
    enabled()
    gt = tmp_path / 'pairs' / 'gt'
    (gt / '000.png').write_bytes(b'no image')
    spn, notes, _ = enabled()
    assert spn['loss_weight'] == 1e-3
    assert 'not measured (' in notes
    shutil.rmtree(tmp_path / 'pairs' / 'lq')
    spn, notes, _ = enabled()
    assert spn['loss_weight'] == 1e-3
    assert f'not measured (datasets.train.dataroot_lq: there is no {tmp_path / "pairs" / "lq"})' in notes


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ({'ratio': 0.1, 'loss_weight': 1.0}, '--ratio chooses the weight that --loss-weight gives'),
        ({'ratio': 0}, '--ratio is 0; it must be above 0'),
        ({'ratio': 1.5}, '--ratio is 1.5'),
        ({'ratio': float('nan')}, '--ratio is nan'),
        ({'vgg_weights': 'gone.pth'}, '--vgg-weights: there is no file gone.pth; it may also be imagenet, oxford'),
    ],
)
def test_arguments_that_cannot_be(arguments, said, tmp_path):
    (tmp_path / 'plain.yml').write_text(PLAIN)
    with pytest.raises(MclirError, match=re.escape(said)):
        enable(tmp_path / 'plain.yml', tmp_path / 'spn.yml', **arguments)
    assert not (tmp_path / 'spn.yml').exists()


def test_on_the_command_line(mclir, plain, tmp_path):
    plain(PSNR)
    command = (
        'enable',
        'plain.yml',
        '-o',
        'spn.yml',
        '--pretrain',
        'net.pth',
        '--vgg-weights',
        'oxford',
        '--ratio',
        0.1,
    )
    result = mclir(*command)
    assert result.returncode == 0, result.stderr
    assert 'for a spn_ratio of 0.1; the published 0.001 would give' in result.stdout
    assert not (tmp_path / 'experiments').exists()


def test_the_weight_of_a_reference_file_stays_unless_a_ratio_is_asked_for(tmp_path):
    (tmp_path / 'in.yml').write_text(REFERENCE)
    enable(tmp_path / 'in.yml', tmp_path / 'kept.yml')
    assert parse_file(tmp_path / 'kept.yml')['train']['spn_opt']['loss_weight'] == 0.003
    enable(tmp_path / 'in.yml', tmp_path / 'balanced.yml', ratio=0.1)
    spn = parse_file(tmp_path / 'balanced.yml')['train']['spn_opt']
    assert spn['balance'] == 0.1
    assert 'loss_weight' not in spn


def test_shipped_weights_without_the_layers_of_the_file_are_refused(tmp_path):
    source = tmp_path / 'in.yml'
    source.write_text(re.sub('vgg_type: vgg16', 'vgg_type: vgg19', REFERENCE))
    with pytest.raises(MclirError, match='weights: oxford is vgg16 up to relu3_3, but vgg_type is vgg19'):
        enable(source, tmp_path / 'spn.yml', vgg_weights='oxford')
    assert not (tmp_path / 'spn.yml').exists()
