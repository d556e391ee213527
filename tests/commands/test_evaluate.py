"""Figures of networks, by the code of the validation."""

import json

import pytest
import torch
import yaml
from conftest import EDSR, run

from mclir_basicsr.commands.evaluate.evaluate import evaluate
from mclir_basicsr.errors import MclirError
from mclir_basicsr.run import figures


@pytest.fixture
def experiment(mclir, tmp_path, option_file, write_pairs):
    """An experiment of two iterations from a checkpoint, with EMA."""
    from basicsr.archs import build_network

    write_pairs(2)
    torch.manual_seed(0)
    torch.save({'params': build_network(dict(EDSR)).state_dict()}, tmp_path / 'start.pth')
    path = {'pretrain_network_g': str(tmp_path / 'start.pth'), 'strict_load_g': True, 'resume_state': None}
    done = mclir('train', '-opt', option_file(path=path))
    assert done.returncode == 0, done.stderr
    return tmp_path / 'experiments' / 'tiny'


def test_an_experiment_is_measured_as_its_own_validation_did(experiment, tmp_path):
    text = evaluate([experiment], output=tmp_path / 'found.json')
    found = json.loads((tmp_path / 'found.json').read_text())
    assert list(found['figures']) == ['tiny start', 'tiny']
    assert found['figures']['tiny start'] == figures.of_iteration(experiment, 0)
    assert found['figures']['tiny'] == figures.of_iteration(experiment, 2)
    assert found['subjects']['tiny']['entry'] == 'params_ema'
    assert f'tiny: EDSR from {experiment / "models" / "net_g_latest.pth"}, entry params_ema.' in text
    means = [sum(v['held-out']['psnr'].values()) / 2 for v in found['figures'].values()]
    assert [line.split()[-1] for line in text.splitlines()[-2:]] == [f'{mean:.4f}' for mean in means]


def test_checkpoints_are_detected_and_measured_on_folders(experiment, tmp_path):
    again = [experiment / 'models' / 'net_g_latest.pth', tmp_path / 'start.pth', tmp_path / 'start.pth']
    folders = {'gt': tmp_path / 'pairs' / 'gt', 'lq': tmp_path / 'pairs' / 'lq'}
    evaluate(again, **folders, output=tmp_path / 'found.json')
    found = json.loads((tmp_path / 'found.json').read_text())
    assert list(found['figures']) == ['net_g_latest', 'start'], 'the same weights once'
    ours = found['figures']['net_g_latest']['pairs']
    assert set(ours) == {'psnr', 'ssim'}
    assert ours['psnr'] == figures.of_iteration(experiment, 2)['held-out']['psnr'], 'both without a border of 2'
    assert found['metrics']['ssim']['crop_border'] == 2


def test_the_command_takes_an_option_file(mclir, experiment, tmp_path):
    opt = yaml.safe_load((tmp_path / 'tiny.yml').read_text())
    test = {key: opt[key] for key in ('scale', 'network_g', 'val')} | {'datasets': {'test_1': opt['datasets']['val']}}
    (tmp_path / 'test.yml').write_text(yaml.safe_dump(test))
    done = mclir('evaluate', tmp_path / 'start.pth', '-opt', tmp_path / 'test.yml')
    assert done.returncode == 0, done.stderr
    mean = sum(figures.of_iteration(experiment, 0)['held-out']['psnr'].values()) / 2
    assert f'{mean:.4f}' in done.stdout
    again = ['mclir', 'evaluate', tmp_path / 'start.pth', '-opt', tmp_path / 'test.yml', '-o', tmp_path / 'tiny.yml']
    done = run(*again, cwd=tmp_path)
    assert done.returncode == 2
    assert 'exists already. Give another name, or --force' in done.stderr


@pytest.mark.parametrize(
    ('place', 'arguments', 'message'),
    [
        ('gone.pth', {}, 'no checkpoint or experiment folder'),
        ('.', {}, 'is no experiment folder'),
        ('start.pth', {}, 'says nothing of data sets: give -opt FILE with some, or --gt DIR and --lq DIR'),
        ('start.pth', {'gt': 'pairs/gt'}, '--gt and --lq go together'),
    ],
)
def test_what_cannot_be_evaluated_is_named(tmp_path, place, arguments, message):
    from basicsr.archs import build_network

    torch.save({'params': build_network(dict(EDSR)).state_dict()}, tmp_path / 'start.pth')
    with pytest.raises(MclirError, match=message):
        evaluate([tmp_path / place], **{key: tmp_path / value for key, value in arguments.items()})
