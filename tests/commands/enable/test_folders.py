"""``enable`` without an option file: a checkpoint and two folders of pairs are enough."""

import gc
import sys

import pytest
import torch
from basicsr.archs import build_network
from conftest import EDSR

from mclir_basicsr.commands.cli import main
from mclir_basicsr.commands.enable.pair_folders import held_out, read_folders
from mclir_basicsr.data.pairs_file import read_pairs
from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import parse_file
from mclir_basicsr.prepare.command import prepare
from mclir_basicsr.prepare.recipes import own_pairs


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    weights = build_network(dict(EDSR)).state_dict()
    torch.save({'params': weights, 'params_ema': weights}, tmp_path / 'net.pth')
    return str(tmp_path / 'net.pth')


@pytest.fixture
def mclir(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['mclir'])
        gc.collect()  # an LMDB can be open in a process once, and each command has a process of its own
        status = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


@pytest.mark.parametrize('form', ['folder', 'lmdb', 'plain'])
def test_what_comes_out_passes_check_and_trains(form, checkpoint, mclir, write_pairs, tmp_path):
    gt, lq = write_pairs(4, side=40)
    if form != 'plain':
        prepare(*own_pairs(gt, lq, scale=2), tmp_path / 'out', form=form, progress=False)
        gt, lq = (next((tmp_path / 'out').glob(f'*{side}*')) for side in ('gt', 'lq'))
    flags = ('--pretrain', checkpoint, '--gt', gt, '--lq', lq, '--vgg-weights', 'oxford')
    status, said = mclir('enable', '-o', 'mine_spn.yml', *flags)
    assert status == 0, said
    assert 'EDSR of scale 2, detected' in said
    assert 'measured in' in said
    assert 'path.param_key_g: params_ema' in said
    opt = parse_file(tmp_path / 'mine_spn.yml')
    assert (opt['name'], opt['scale'], opt['datasets']['train']['gt_size']) == ('mine_spn', 2, 32)
    listed = [read_pairs(tmp_path / f'mine_spn_{part}.txt')[0].values() for part in ('train', 'val')]
    assert [len(pairs) for pairs in listed] == [3, 1]
    assert not {pair.gt for pair in listed[0]} & {pair.gt for pair in listed[1]}
    assert '# side of training patches in gt; 16 in lq' in (tmp_path / 'mine_spn.yml').read_text()
    status, said = mclir('check', '-opt', 'mine_spn.yml')
    assert status == 0, said
    assert 'has no effect' not in said
    changes = ('train:total_iter=2', 'datasets:train:num_worker_per_gpu=0', 'datasets:train:dataset_enlarge_ratio=1')
    status, said = mclir('train', '-opt', 'mine_spn.yml', '--fast', '--force_yml', *changes)
    assert status == 0, said
    assert (tmp_path / 'experiments' / 'mine_spn' / 'models' / 'net_g_latest.pth').is_file()


def test_validation_on_folders_of_its_own(checkpoint, mclir, write_pairs, tmp_path):
    gt, lq = write_pairs(3)
    val_gt, val_lq = write_pairs(2, name='others')
    flags = ('--pretrain', checkpoint, '--gt', gt, '--lq', lq, '--loss-weight', '0.001')
    status, said = mclir('enable', '-o', 'x.yml', *flags, '--val-gt', val_gt, '--val-lq', val_lq)
    assert status == 0, said
    opt = parse_file(tmp_path / 'x.yml')
    assert opt['datasets']['val']['dataroot_gt'] == str(val_gt)
    assert [len(read_pairs(tmp_path / f'x_{part}.txt')[0]) for part in ('train', 'val')] == [3, 2]


def test_nothing_that_is_there_is_replaced_without_force(checkpoint, mclir, write_pairs, tmp_path):
    gt, lq = write_pairs(2)
    flags = ('enable', '-o', 'x.yml', '--pretrain', checkpoint, '--gt', gt, '--lq', lq, '--loss-weight', '0.001')
    (tmp_path / 'x_val.txt').write_text('mine')
    status, said = mclir(*flags)
    assert (status, 'x_val.txt exists already' in said) == (2, True)
    assert not (tmp_path / 'x.yml').exists()
    assert mclir(*flags, '--force')[0] == 0
    status, said = mclir(*flags)
    assert (status, 'x.yml exists already' in said) == (2, True)


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (('--gt', 'gt'), 'enable takes FILE, or --pretrain, --gt and --lq: there is no --pretrain, --lq.'),
        (('--pretrain', 'net.pth', '--gt', 'gone', '--lq', 'lq'), '--gt: there is no folder gone'),
        (('--pretrain', 'net.pth', '--gt', 'gt', '--lq', 'lq', '--val-gt', 'gt'), '--val-gt and --val-lq go together'),
        (('--pretrain', 'net.pth', '--gt', 'gt', '--lq', 'lq', '--scale', '0'), '--scale is 0'),
        (('--pretrain', 'net.pth', '--gt', 'gt', '--lq', 'lq', '--scale', '4'), 'which is not scale 4 (--scale)'),
        (('--pretrain', 'net.pth', '--gt', 'gt', '--lq', 'gt'), 'a network of scale 2, but the pairs are of scale 1'),
        (('in.yml', '--gt', 'gt'), '--gt: with FILE, the data sets are those of FILE'),
    ],
)
def test_what_does_not_go_together_is_named(flags, message, checkpoint, mclir, write_pairs, tmp_path):
    gt, lq = write_pairs(2)
    gt.rename(tmp_path / 'gt')
    lq.rename(tmp_path / 'lq')
    status, said = mclir('enable', '-o', 'x.yml', *flags)
    assert status == 2
    assert message in said
    assert not list(tmp_path.glob('x*'))


def test_names_with_the_scale_behind_them_and_names_without_counterpart(write_pairs, tmp_path):
    gt, lq = write_pairs(3)
    for file in list(lq.iterdir()):
        file.rename(lq / f'{file.stem}x2.png')
    assert read_folders(gt, lq).pairs[0] == ('000x2', '000', (16, 16))
    (lq / '001x2.png').rename(lq / 'other.png')
    with pytest.raises(MclirError, match=r'--gt: 1 images have no counterpart of their name: 001\..*--template'):
        read_folders(gt, lq)
    (gt / '001.png').unlink()
    with pytest.raises(MclirError, match=r'--lq: 1 images have no counterpart of their name: other\.'):
        read_folders(gt, lq)


def test_pairs_of_other_sizes_are_named(write_pairs, tmp_path):
    gt, lq = write_pairs(2)
    other, _ = write_pairs(2, side=64, name='larger')
    (other / '001.png').rename(gt / '001.png')
    with pytest.raises(MclirError, match=r'gt 001 is 64x64 and lq 001 is 16x16 .* not scale 2, as the first pair'):
        read_folders(gt, lq)
    assert read_folders(gt, lq, 2).scale == 2, 'a border that is given in so many words'


@pytest.mark.parametrize(('count', 'held'), [(1, 1), (2, 1), (19, 1), (40, 4), (1000, 16)])
def test_a_tenth_is_held_out_but_no_more_than_sixteen(count, held, write_pairs):
    pairs = read_folders(*write_pairs(1))
    many = pairs._replace(pairs=[pairs.pairs[0]._replace(lq=str(i)) for i in range(count)])
    train, val = held_out(many)
    assert len(val.pairs) == held
    assert len(train.pairs) == (count - held or 1)
    assert count == 1 or not set(train.pairs) & set(val.pairs)
