"""`mclir prepare` from the folders as published to what BasicSR reads."""

import re

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataset
from trees import TREES, blocks, noise, plain, plant, read, write

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare import images as check
from mclir_basicsr.prepare.command import prepare
from mclir_basicsr.prepare.pairing import regex
from mclir_basicsr.prepare.recipes import RECIPES, own_pairs, recipe


def test_every_recipe_is_tried():
    assert {name for name, _, _ in TREES.values()} == {entry.name for entry in RECIPES}


@pytest.mark.parametrize('case', TREES)
def test_from_the_published_layout_to_training(case, tmp_path):
    name, pairs, expected = TREES[case]
    plant(tmp_path / 'src', pairs)
    found = {}
    for form in ('lmdb', 'folder'):
        report = prepare(recipe(name), tmp_path / 'src', tmp_path / form, form=form, progress=False)
        found[form] = blocks(report)
    assert len(found['lmdb']) == len(expected)
    for (scale, lmdb), (_, folder), counts in zip(found['lmdb'], found['folder'], expected, strict=True):
        assert lmdb.keys() == folder.keys() == counts.keys()
        for phase in counts:
            ours, theirs = (read(block[phase], scale) for block in (lmdb, folder))
            assert len(ours) == counts[phase]
            for one, other in zip(sorted_pairs(ours), sorted_pairs(theirs), strict=True):
                for side in ('lq', 'gt'):
                    assert torch.equal(one[side], other[side])
                assert one['gt'].shape[1:] == tuple(scale * side for side in one['lq'].shape[1:])
                assert (one['gt'].mean((1, 2)) - one['lq'].mean((1, 2))).abs().max() < 0.01  # the right gt
            assert len({tuple(pair['gt'].mean((1, 2)).mul(50).round().tolist()) for pair in ours}) > 1 or len(ours) == 1
            if phase == 'train':
                entry = lmdb[phase]
                patch = build_dataset(entry | {'phase': 'train', 'scale': scale})[0]['gt']
                assert patch.shape == (3, entry['gt_size'], entry['gt_size'])


def sorted_pairs(samples):
    """In the order of their names: an LMDB gives keys, a folder paths."""
    return sorted(samples, key=lambda sample: re.sub(r'.*/|\.[a-z]+$', '', sample['lq_path']))


def test_a_shared_clear_image_is_stored_once(tmp_path):
    name, pairs, _ = TREES['reside-its']
    plant(tmp_path / 'src', pairs)
    prepare(recipe(name), tmp_path / 'src', tmp_path / 'out', form='folder', progress=False)
    assert len(list((tmp_path / 'out/train/gt').glob('*.png'))) == 3
    assert len(list((tmp_path / 'out/train/lq').glob('*.png'))) == 30
    lines = (tmp_path / 'out/train/pairs.txt').read_text().splitlines()
    assert '1_10_0-91017 1 44x52' in lines
    assert len(lines) == 30


@pytest.mark.parametrize('form', ['lmdb', 'folder'])
def test_own_pairs_bit_for_bit(form, tmp_path):
    gt, lq = noise(tmp_path / 'gt', ['a.png', 'b.1.png']), noise(tmp_path / 'lq', ['a.png', 'b.1.png'], seed=1)
    report = prepare(*own_pairs(gt, lq), tmp_path / 'out', form=form, progress=False)
    ((scale, datasets),) = blocks(report)
    assert (scale, datasets['train']['type'], datasets['train']['gt_size']) == (1, 'PairedImageDataset', 24)
    for sample, name in zip(read(datasets['train'], 1), ('a.png', 'b.1.png'), strict=True):
        for side, folder in (('gt', gt), ('lq', lq)):
            image = cv2.imread(str(folder / name))[..., ::-1].transpose(2, 0, 1)
            assert np.array_equal(sample[side].mul(255).round().numpy(), image)


def test_names_of_own_folders_are_no_patterns(tmp_path):
    for folder in ('gx', 'l1', '*'):
        noise(tmp_path / folder / '*', ['other.png'])
    gt, lq = noise(tmp_path / '*/g[x]*', ['a.png']), noise(tmp_path / '*/l{s}', ['a.png'])
    prepare(*own_pairs(gt, lq), tmp_path / 'out', form='folder', progress=False)
    assert (tmp_path / 'out/gt/a.png').samefile(gt / 'a.png')
    assert (tmp_path / 'out/lq/a.png').samefile(lq / 'a.png')


def test_own_pairs_by_a_pattern_may_share_images(tmp_path):
    gt, lq = (
        noise(tmp_path / 'gt', ['1.png', '2.png', '3.png']),
        noise(tmp_path / 'lq', ['1_a.png', '1_b.png', '2_a.png']),
    )
    for _ in range(2):  # found anew, and as remembered
        report = prepare(*own_pairs(gt, lq, 1, regex('([^_]+)(?:_.+)?')), tmp_path / 'out', progress=False)
        assert report.count('# pairs: 1 gt images have no lq image and are left out') == 1
    ((_, datasets),) = blocks(report)
    assert datasets['train']['type'] == 'PairsFileDataset'
    assert (tmp_path / 'out' / 'pairs.txt').read_text() == '1_a 1 24x28\n1_b 1 24x28\n2_a 2 24x28\n'


@pytest.mark.parametrize('form', ['lmdb', 'folder'])
def test_lq_made_from_gt(form, tmp_path):
    noise(tmp_path / 'src/Set5/HR', ['a.png', 'b.jpg'], side=27)
    for scale in (2, 3):
        out = tmp_path / f'out{scale}'
        report = prepare(recipe('sr-benchmarks'), tmp_path / 'src', out, form=form, make_lr=scale, progress=False)
        ((found, datasets),) = blocks(report)
        assert found == scale
        assert re.search(r'LRbicx\d', datasets['val']['dataroot_lq'])[0] == f'LRbicx{scale}'
        for sample in read(datasets['val'], scale):
            assert sample['gt'].shape == (3, 24, 24)  # 27x31 cut to multiples of 12, as GTmod12 says
            assert sample['lq'].shape == (3, 24 // scale, 24 // scale)


def test_lq_subimages_made_from_gt(tmp_path):
    write(tmp_path / 'DIV2K_train_HR/0001.png', plain(483, 725, 50))
    report = prepare(recipe('div2k'), tmp_path, tmp_path / 'out', make_lr=4, progress=False)
    ((_, datasets),) = blocks(report)
    assert datasets['train']['dataroot_lq'].endswith('out/DIV2K_train_LR_bicubic_X4_sub.lmdb')
    samples = read(datasets['train'], 4)
    assert [sample['lq'].shape for sample in samples] == [(3, 120, 120)] * 3  # starts 0, 240 and 244 of 724 columns
    assert {sample['gt'].shape for sample in samples} == {(3, 480, 480)}
    with pytest.raises(MclirError, match='Scale 7 does not divide the subimages'):
        prepare(recipe('div2k'), tmp_path, tmp_path / 'out7', make_lr=7, progress=False)


@pytest.mark.parametrize('form', ['lmdb', 'folder'])
def test_a_second_run_checks_and_writes_nothing(form, tmp_path, monkeypatch):
    name, pairs, _ = TREES['sots']
    plant(tmp_path / 'src', pairs)
    first = prepare(recipe(name), tmp_path / 'src', tmp_path / 'out', form=form, progress=False)
    monkeypatch.setattr(check, 'examine', None)
    second = prepare(recipe(name), tmp_path / 'src', tmp_path / 'out', form=form, progress=False)
    assert blocks(first) == blocks(second)
    assert '10 written, 0 there already' in first
    assert '0 written, 10 there already' in second
    assert 'lq' in second and not re.search(r': [1-9]\d* written', second)
