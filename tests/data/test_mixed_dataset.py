"""Several data sets as one: shares, order, resuming, and what check says of each part."""

import sys
from collections import Counter

import pytest
import yaml
from basicsr.data import build_dataloader, build_dataset
from basicsr.data.data_sampler import EnlargedSampler
from hypothesis import given
from hypothesis import strategies as st

from mclir_basicsr.check.preflight import check
from mclir_basicsr.data.mixed_dataset import epoch_counts
from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import parse_file
from mclir_basicsr.run import figures
from mclir_basicsr.run.position import begin, resumed_epoch

COMMON = {
    'type': 'MixedDataset', 'name': 'all', 'phase': 'train', 'scale': 2,
    'gt_size': 16, 'use_hflip': True, 'use_rot': True,
    'io_backend': {'type': 'disk'}, 'batch_size_per_gpu': 2, 'num_worker_per_gpu': 0,
}  # fmt: skip


@pytest.fixture
def roots(write_pairs):
    """Folders (gt, lq) of 5 hazy, 2 rainy and 3 noisy pairs."""
    return {name: write_pairs(count, name=name) for name, count in (('haze', 5), ('rain', 2), ('noise', 3))}


def parts(roots, **shares):
    return {
        name: {'type': 'PairedImageDataset', 'dataroot_gt': str(gt), 'dataroot_lq': str(lq)}
        | ({'share': shares[name]} if shares else {})
        for name, (gt, lq) in roots.items()
    }


def lists(roots):
    return {f'dataroots_{side}': [str(pair[i]) for pair in roots.values()] for i, side in enumerate(('gt', 'lq'))}


def seen(data, indices=None):
    """How often each image comes in an epoch."""
    paths = [data[i]['lq_path'] for i in (range(len(data)) if indices is None else indices)]
    return Counter('/'.join(path.split('/')[-3::2]) for path in paths)


def test_without_shares_an_epoch_has_each_image_once(roots):
    for block in ({'parts': parts(roots)}, lists(roots)):
        data = build_dataset(COMMON | block)
        assert len(data) == 10
        assert set(seen(data).values()) == {1}
        assert data[0]['lq'].shape == (3, 8, 8)
    with pytest.raises(IndexError):
        data[10]


def test_with_shares_each_part_has_its_own_and_repeats_evenly(roots):
    for block in ({'parts': parts(roots, haze=2, rain=1, noise=1)}, lists(roots) | {'shares': [2, 1, 1]}):
        count = seen(build_dataset(COMMON | block))
        by_part = {name: sum(n for key, n in count.items() if key.startswith(name)) for name in roots}
        assert by_part == {'haze': 6, 'rain': 3, 'noise': 3}
        assert max(count.values()) == 2


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0.01, 100)), min_size=1, max_size=6))
def test_the_largest_part_for_its_share_comes_once_and_shares_are_kept(parts):
    sizes, shares = map(list, zip(*parts, strict=True))
    counts = epoch_counts(sizes, shares)
    assert all(count >= size for count, size in zip(counts, sizes, strict=True))
    assert any(count == size for count, size in zip(counts, sizes, strict=True))
    unit = max(size / share for size, share in zip(sizes, shares, strict=True))
    assert all(abs(count - share * unit) <= 1 for count, share in zip(counts, shares, strict=True))


def test_a_part_may_have_keys_of_its_own(roots, tmp_path):
    (tmp_path / 'pairs.txt').write_text('000 000\n001 000\n')
    block = parts(roots)
    block['rain'] |= {'type': 'PairsFileDataset', 'pairs_file': str(tmp_path / 'pairs.txt'), 'use_hflip': False}
    data = build_dataset(COMMON | {'parts': block})
    assert type(data.parts['rain']).__name__ == 'PairsFileDataset'
    assert data.parts['rain'].opt['use_hflip'] is False
    assert data.parts['haze'].opt['use_hflip'] is True
    assert data.told() == 'haze 50% (5 images), rain 20% (2 images), noise 30% (3 images)'


@pytest.mark.parametrize('workers', [0, 1])
def test_it_goes_on_exactly_where_it_stopped(roots, workers):
    def batches(done):
        options = COMMON | {'parts': parts(roots, haze=2, rain=1, noise=1), 'num_worker_per_gpu': workers}
        opt = {'datasets': {'train': options}, 'manual_seed': 3, 'dist': False}
        begin(opt, {'iter': done} if done else None)
        data = build_dataset(options)
        sampler, met, epoch = EnlargedSampler(data, 1, 0), [], resumed_epoch(opt, 0)
        loader = build_dataloader(data, options, num_gpu=0, dist=False, sampler=sampler, seed=3)
        epoch = resumed_epoch(opt, 0)
        while len(met) < 9 - done:
            sampler.set_epoch(epoch)
            met += [(batch['lq_path'], batch['lq'].tolist()) for batch in loader]
            epoch += 1
        return met[: 9 - done]

    straight = batches(0)
    for done in (3, 7):
        assert batches(done) == straight[done:]


@pytest.fixture
def mixed_file(roots, option_file):
    """The option file of an all-in-one run with a val set for each task."""
    file = option_file(train={'total_iter': 2}, val={'val_freq': 2, 'save_img': False, 'metrics': {
        'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}})  # fmt: skip
    opt = yaml.safe_load(file.read_text())
    train = {key: value for key, value in opt['datasets']['train'].items() if not key.startswith('dataroot')}
    train |= {'type': 'MixedDataset', 'parts': parts(roots, haze=2, rain=1, noise=1)}
    val = {
        f'val_{i}': block | {'name': name, 'io_backend': {'type': 'disk'}}
        for i, (name, block) in enumerate(parts(roots).items(), 1)
    }
    file.write_text(yaml.safe_dump(opt | {'datasets': {'train': train} | val}, sort_keys=False))
    return file


def test_a_network_for_all_is_checked_and_trained_with_figures_by_task(mixed_file, tmp_path, monkeypatch):
    from basicsr.train import train_pipeline

    notes = check(parse_file(mixed_file), tmp_path)
    assert 'datasets.train.parts.rain: 2 pairs.' in notes
    assert (
        'datasets.train: 12 samples an epoch: haze 50% (5 images), rain 25% (2 images), noise 25% (3 images).' in notes
    )
    assert not [note for note in notes if 'has no effect' in note]
    monkeypatch.setattr(sys, 'argv', ['train', '-opt', str(mixed_file)])
    train_pipeline(str(tmp_path))
    found = figures.of_iteration(tmp_path / 'experiments' / 'tiny', 2)
    assert {name: len(found[name]['psnr']) for name in found} == {'haze': 5, 'rain': 2, 'noise': 3}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda data: data['parts']['rain'].update(dataroot_lq='gone'), r'parts\.rain\.dataroot_lq: there is no gone'),
        (
            lambda data: data['parts']['rain'].update(share=0),
            r'parts\.rain\.share must be a number above 0, but it is 0',
        ),
        (lambda data: data['parts']['rain'].pop('share'), r'parts\.rain has no share, but parts\.haze has'),
        (lambda data: data['parts']['rain'].pop('type'), r'parts\.rain has no type'),
        (lambda data: data['parts']['rain'].update(type='PairdImageDataset'), r'parts\.rain: .*did you mean Paired'),
        (lambda data: data['parts']['rain'].update(mean=[0, 0, 0]), r'parts\.rain\.mean: a batch is normalised as one'),
        (lambda data: data['parts']['rain'].update(use_hflp=True), r'parts\.rain\.use_hflp: unknown key; .*use_hflip'),
        (lambda data: data.update(gt_size=64), r'parts\.haze: .*smaller than gt_size 64'),
        (lambda data: data.update(parts={}), r'parts must be a block with a block for each'),
        (lambda data: data.pop('parts'), r'MixedDataset takes either parts or dataroots_gt and dataroots_lq'),
        (lambda data: data.update(parts=None, dataroots_gt=['a'], dataroots_lq=[]), r'must be lists of one length'),
    ],
)
def test_faults_are_named_with_their_part(mixed_file, tmp_path, change, message):
    opt = parse_file(mixed_file)
    change(opt['datasets']['train'])
    with pytest.raises(MclirError, match=message):
        check(opt, tmp_path, fast=True)
