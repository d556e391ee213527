"""Patches that grow and batches that shrink, killed and resumed anywhere."""

import shutil
import sys

import pytest
import torch
import yaml
from basicsr.data import build_dataloader
from basicsr.data.data_sampler import EnlargedSampler
from torch.utils.data import Dataset

from mclir_basicsr.check.preflight import check
from mclir_basicsr.data.progressive import read_stages
from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import parse_file
from mclir_basicsr.run.position import begin, resumed_epoch

STAGES = {'gt_sizes': [8, 12, 16], 'mini_batch_sizes': [3, 2, 1], 'iters': [2, 3, 4], 'gt_size': 16}


class Maps(Dataset):
    """gt holds the number of each pixel, lq that of every second one."""

    def __len__(self):
        return 7

    def __getitem__(self, index):
        gt = torch.arange(256.0).view(1, 16, 16) + 1000 * index
        return {'gt': gt, 'lq': gt[:, ::2, ::2], 'gt_path': str(index)}


def batches(count, done=0, workers=0, ranks=1, rank=0):
    """Those of the iterations after `done`, as BasicSR's loop meets them."""
    options = {'phase': 'train', 'batch_size_per_gpu': 3, 'num_worker_per_gpu': workers, 'scale': 2} | STAGES
    opt = {'datasets': {'train': options}, 'manual_seed': 1, 'dist': False}
    begin(opt, {'iter': done} if done else None)
    sampler = EnlargedSampler(Maps(), ranks, rank, 1)
    loader = build_dataloader(Maps(), options, num_gpu=0, dist=False, sampler=sampler, seed=1)
    met, epoch = [], resumed_epoch(opt, 0)
    while len(met) < count - done:
        sampler.set_epoch(epoch)
        met += list(loader)
        epoch += 1
    return met[: count - done]


def test_each_iteration_has_the_patch_and_the_batch_of_its_stage():
    met = batches(11)
    assert [tuple(batch['gt'].shape) for batch in met] == [
        *[(3, 1, 8, 8)] * 2, *[(2, 1, 12, 12)] * 3, *[(1, 1, 16, 16)] * 6
    ]  # fmt: skip
    for batch in met:
        assert torch.equal(batch['gt'][..., ::2, ::2], batch['lq']), 'the same part of both'
    corners = {int(sample[0, 0, 0]) % 1000 for batch in met[:5] for sample in batch['gt']}
    assert len(corners) > 4, 'from anywhere in the patch'


@pytest.mark.parametrize('workers', [0, 2])
def test_from_any_iteration_the_batches_are_those_of_a_run_that_did_not_stop(workers):
    straight = batches(9)
    for done in range(1, 9) if not workers else (1, 4):
        resumed = batches(9, done, workers)
        assert all(torch.equal(a['lq'], b['lq']) for a, b in zip(straight[done:], resumed, strict=True)), done
        assert [batch['gt_path'] for batch in resumed] == [batch['gt_path'] for batch in straight[done:]]


def test_each_rank_has_the_batch_of_a_gpu():
    assert [len(batch['lq']) for batch in batches(6, ranks=2, rank=1)] == [3, 3, 2, 2, 2, 1]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'iters': None}, r'iters: give a list .* but it is None'),
        ({'iters': [2, 0, 3]}, r'iters: give a list of whole numbers above 0'),
        ({'iters': [2, 3]}, r'they need one entry for each stage, but have 3, 3, 2'),
        ({'gt_size': 12}, r'gt_sizes: 16 is above gt_size 12'),
        ({'gt_sizes': [8, 13, 16]}, r'gt_sizes: 13 is no multiple of scale 2'),
        ({'mini_batch_sizes': [4, 2, 1]}, r'mini_batch_sizes: 4 is above batch_size_per_gpu 3'),
    ],
)
def test_stages_that_do_not_go_together_are_named(changes, message):
    with pytest.raises(MclirError, match=message):
        read_stages(STAGES | {'batch_size_per_gpu': 3} | changes, 2)


@pytest.fixture
def staged(option_file, write_pairs):
    """An option file of 6 iterations that saves each, in three stages."""
    write_pairs(5)
    logger = {'print_freq': 1, 'save_checkpoint_freq': 1, 'use_tb_logger': False}
    file = option_file(train={'total_iter': 6}, logger=logger)
    opt = yaml.safe_load(file.read_text())
    opt['datasets']['train'] |= STAGES | {'gt_sizes': [8, 16, 32], 'gt_size': 32, 'use_hflip': True, 'use_rot': True}
    opt['datasets']['train'] |= {'batch_size_per_gpu': 3, 'iters': [2, 2, 2], 'num_worker_per_gpu': 1}
    file.write_text(yaml.safe_dump(opt))
    return file


def test_a_run_resumed_before_and_behind_a_change_ends_as_one_that_never_stopped(staged, tmp_path, monkeypatch, caplog):
    from basicsr.train import train_pipeline

    def train(root, *flags):
        root.mkdir(exist_ok=True)
        monkeypatch.setattr(sys, 'argv', ['train', '-opt', str(staged), *flags])
        train_pipeline(str(root))
        return (root / 'experiments' / 'tiny' / 'models' / 'net_g_6.pth').read_bytes()

    with caplog.at_level('INFO', 'basicsr'):
        whole = train(tmp_path / 'whole')
    assert 'from iteration 1 patches of 8, batches of 3; from iteration 3 patches of 16, batches of 2' in caplog.text
    for done in (1, 2, 4):
        shutil.copytree(tmp_path / 'whole', tmp_path / f'from{done}')
        for state in (tmp_path / f'from{done}' / 'experiments' / 'tiny' / 'training_states').iterdir():
            if int(state.stem) > done:
                state.unlink()
        assert train(tmp_path / f'from{done}', '--auto_resume') == whole, done


def test_check_looks_at_them(staged, tmp_path):
    opt = parse_file(staged)
    notes = '\n'.join(check(opt, tmp_path, fast=True))
    assert 'datasets.train: from iteration 1 patches of 8, batches of 3; ' in notes
    assert 'has no effect' not in notes
    opt['train']['total_iter'] = 3
    assert 'Those of 32 begin behind total_iter.' in '\n'.join(check(opt, tmp_path, fast=True))
    with pytest.raises(MclirError, match=r'datasets\.train\.gt_sizes: 32 is above gt_size 16'):
        opt['datasets']['train']['gt_size'] = 16
        check(opt, tmp_path, fast=True)
    opt['datasets']['train']['gt_size'] = 32
    del opt['train']['spn_opt'], opt['train']['history']
    notes = '\n'.join(check(opt | {'model_type': 'SRModel'}, tmp_path, fast=True))
    assert 'datasets.train.gt_sizes is read by neither BasicSR nor mclir_basicsr: it has no effect' in notes
