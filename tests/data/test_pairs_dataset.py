"""The data set class against BasicSR's own where that one can do it, and against the images themselves elsewhere."""

import pickle
import random
import sys

import cv2
import lmdb
import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.utils.registry import DATASET_REGISTRY
from conftest import run

from mclir_basicsr.data.pairs_dataset import PairsFileDataset
from mclir_basicsr.errors import MclirError


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def rgb(image):
    """What the data set is to return for an image of OpenCV's."""
    return torch.from_numpy(image[..., ::-1].transpose(2, 0, 1).copy()).float() / 255


@pytest.fixture
def reside(tmp_path):
    """Two clear images with a border of 4 rows and 6 columns, three hazy ones; as folders and as LMDB."""
    sizes = {'1_1_0-9': (40, 48), '1_2_0-8': (40, 48), '2_1_0-7': (20, 64)}
    images = {'lq': {key: photo(*size, seed) for seed, (key, size) in enumerate(sizes.items())}}
    images['gt'] = {'1': photo(48, 60, 10), '2': photo(28, 76, 11)}
    for side, endings in (('lq', '.png'), ('gt', '.bmp')):
        (tmp_path / side).mkdir()
        environment = lmdb.open(str(tmp_path / f'{side}.lmdb'), map_size=1 << 22)
        with environment.begin(write=True) as transaction:
            for key, image in images[side].items():
                cv2.imwrite(str(tmp_path / side / f'{key}{endings}'), image)
                transaction.put(key.encode(), cv2.imencode('.png', image)[1].tobytes())
        environment.close()
        lines = (f'{key}.png ({image.shape[0]},{image.shape[1]},3) 1\n' for key, image in images[side].items())
        (tmp_path / f'{side}.lmdb' / 'meta_info.txt').write_text(''.join(lines))
    pairs = ''.join(f'{key} {key[0]} {height}x{width}\n' for key, (height, width) in sizes.items())
    (tmp_path / 'pairs.txt').write_text(pairs)
    return tmp_path, images


def options(root, form='lmdb', **others):
    lmdb_roots = form == 'lmdb'
    return {
        'name': 'ITS',
        'type': 'PairsFileDataset',
        'dataroot_gt': str(root / ('gt.lmdb' if lmdb_roots else 'gt')),
        'dataroot_lq': str(root / ('lq.lmdb' if lmdb_roots else 'lq')),
        'pairs_file': str(root / 'pairs.txt'),
        'io_backend': {'type': 'lmdb' if lmdb_roots else 'disk'},
        'phase': 'val',
        'scale': 1,
    } | others


@pytest.mark.parametrize('form', ['lmdb', 'folder'])
def test_every_hazy_image_with_the_middle_of_its_clear_one(form, reside):
    root, images = reside
    data = build_dataset(options(root, form))
    assert [len(data), type(data)] == [3, PairsFileDataset]
    for sample, key in zip(data, images['lq'], strict=True):
        height, width = images['lq'][key].shape[:2]
        torch.testing.assert_close(sample['lq'], rgb(images['lq'][key]), rtol=0, atol=0)
        middle = images['gt'][key[0]][4 : 4 + height, 6 : 6 + width]
        torch.testing.assert_close(sample['gt'], rgb(middle), rtol=0, atol=0)
        paths = (
            [key, key[0]] if form == 'lmdb' else [str(root / 'lq' / f'{key}.png'), str(root / 'gt' / f'{key[0]}.bmp')]
        )
        assert [sample['lq_path'], sample['gt_path']] == paths


@pytest.mark.parametrize('phase', ['train', 'val'])
@pytest.mark.parametrize('others', [{}, {'mean': [0.5, 0.4, 0.3], 'std': [0.2, 0.2, 0.3]}, {'color': 'y'}])
def test_as_paired_image_dataset_on_pairs_it_can_read(phase, others, write_pairs, tmp_path):
    gt, lq = write_pairs(count=3, side=32, scale=2)
    (tmp_path / 'pairs.txt').write_text(''.join(f'{i:03d} {i:03d} 16x16\n' for i in range(3)))
    opt = options(tmp_path, 'folder', dataroot_gt=str(gt), dataroot_lq=str(lq), scale=2, phase=phase, **others)
    opt |= {'gt_size': 16, 'use_hflip': True, 'use_rot': True}
    samples = []
    for kind in ('PairsFileDataset', 'PairedImageDataset'):
        random.seed(3)
        samples.append(list(build_dataset(opt | {'type': kind})))
    for ours, theirs in zip(*samples, strict=True):
        assert ours.keys() == theirs.keys()
        assert (ours['lq_path'], ours['gt_path']) == (theirs['lq_path'], theirs['gt_path'])
        for side in ('lq', 'gt'):
            torch.testing.assert_close(ours[side], theirs[side], rtol=0, atol=0)


def test_the_remainder_of_a_division_is_cut_as_paired_image_dataset_does(tmp_path):
    for side, image in (('gt', photo(31, 47)), ('lq', photo(7, 11))):
        (tmp_path / side).mkdir()
        cv2.imwrite(str(tmp_path / side / '1.png'), image)
    (tmp_path / 'pairs.txt').write_text('1 1\n')
    opt = options(tmp_path, 'folder', scale=4)
    ours, theirs = (build_dataset(opt | {'type': kind})[0] for kind in ('PairsFileDataset', 'PairedImageDataset'))
    assert ours['gt'].shape == (3, 28, 44)
    torch.testing.assert_close(ours['gt'], theirs['gt'], rtol=0, atol=0)


def test_a_training_patch_is_the_same_place_in_both(reside):
    """lq as the middle of gt: then patches are equal, wherever they are and however they are turned."""
    root, images = reside
    for key, image in images['lq'].items():
        height, width = image.shape[:2]
        cv2.imwrite(str(root / 'lq' / f'{key}.png'), images['gt'][key[0]][4 : 4 + height, 6 : 6 + width])
    training = {'phase': 'train', 'gt_size': 16, 'use_hflip': True, 'use_rot': True}
    for sample in build_dataset(options(root, 'folder', **training)):
        assert sample['lq'].shape == (3, 16, 16)
        torch.testing.assert_close(sample['lq'], sample['gt'], rtol=0, atol=0)


def test_training_leaves_out_pairs_smaller_than_the_patch(reside, caplog):
    root, _ = reside
    training = {'phase': 'train', 'use_hflip': False, 'use_rot': False}
    assert len(build_dataset(options(root, gt_size=20, **training))) == 3
    with caplog.at_level('INFO', logger='basicsr'):
        data = build_dataset(options(root, gt_size=21, **training))
    assert {path for path, _ in data.paths} == {'1_1_0-9', '1_2_0-8'}
    with pytest.raises(MclirError, match=r'no pair as large as gt_size 41'):
        build_dataset(options(root, gt_size=41, **training))
    assert len(build_dataset(options(root, gt_size=41))) == 3  # validation shows them all


def test_the_size_may_be_absent_and_folders_may_hold_dots(reside):
    root, _ = reside
    (root / 'lq' / '1_1_0-9.png').rename(root / 'lq' / '1_1_0.9.png')
    (root / 'pairs.txt').write_text('1_1_0.9 1\n2_1_0-7 2\n')
    training = {'phase': 'train', 'gt_size': 16, 'use_hflip': False, 'use_rot': False}
    assert len(build_dataset(options(root, 'folder', **training))) == 2


def test_worker_processes_read_an_lmdb(reside):
    root, images = reside
    opt = options(root, phase='train', gt_size=20, use_hflip=False, use_rot=False)
    opt |= {'batch_size_per_gpu': 3, 'num_worker_per_gpu': 2}
    (batch,) = build_dataloader(pickle.loads(pickle.dumps(build_dataset(opt))), opt)
    assert batch['lq'].shape == (3, 3, 20, 20)
    assert sorted(batch['lq_path']) == list(images['lq'])


@pytest.mark.parametrize(
    ('pairs', 'said'),
    [
        (None, r'pairs_file .*pairs.txt cannot be read'),
        ('1_1_0-9 1\none\n', r"line 2: 'one' is neither LQ GT nor LQ GT HEIGHTxWIDTH"),
        ('1_1_0-9 1 40\n', r"line 1: '1_1_0-9 1 40' is neither"),
        ('1_1_0-9 1 40x48 x\n', r'line 1'),
        ('1_1_0-9 1\n9_9 1\n', r'names 1 images that dataroot_lq .*lq.* lacks: 9_9'),
        ('1_1_0-9 7\n', r'names 1 images that dataroot_gt .*gt.* lacks: 7'),
    ],
)
@pytest.mark.parametrize('form', ['lmdb', 'folder'])
def test_pairs_files_that_cannot_be_used(pairs, said, form, reside):
    root, _ = reside
    (root / 'pairs.txt').unlink()
    if pairs is not None:
        (root / 'pairs.txt').write_text(pairs)
    with pytest.raises(MclirError, match=said):
        build_dataset(options(root, form))


def test_settings_that_cannot_be_used(reside):
    root, _ = reside
    with pytest.raises(MclirError, match='Data set ITS: pairs_file is missing'):
        build_dataset(options(root, pairs_file=None))
    for form in ('lmdb', 'folder'):
        with pytest.raises(MclirError, match=r'dataroot_gt .*nowhere cannot be read'):
            build_dataset(options(root, form, dataroot_gt=str(root / 'nowhere')))


@pytest.mark.parametrize('content', [b'', b'no image', None])
@pytest.mark.parametrize('form', ['lmdb', 'folder'])
def test_a_damaged_image_is_named(content, form, reside):
    root, _ = reside
    data = build_dataset(options(root, form))
    if form == 'lmdb':
        environment = lmdb.open(str(root / 'lq.lmdb'))
        with environment.begin(write=True) as transaction:
            if content is None:
                transaction.delete(b'1_2_0-8')
            else:
                transaction.put(b'1_2_0-8', content)
        environment.close()
    elif content is None:
        (root / 'lq' / '1_2_0-8.png').unlink()
    else:
        (root / 'lq' / '1_2_0-8.png').write_bytes(content)
    data[0]
    with pytest.raises(MclirError, match=r'lq image .*1_2_0-8.*(damaged|cannot be read)'):
        data[1]


def test_a_clear_image_smaller_than_the_hazy_one_is_named(reside):
    root, _ = reside
    cv2.imwrite(str(root / 'gt' / '1.bmp'), photo(39, 60))
    with pytest.raises(MclirError, match=r'gt image .*1\.bmp .*1_1_0-9.*60x39 is smaller than .* 48x40'):
        build_dataset(options(root, 'folder'))[0]


def test_it_is_registered():
    assert DATASET_REGISTRY.get('PairsFileDataset') is PairsFileDataset


def test_imported_before_basicsr_it_is_registered_all_the_same(tmp_path):
    code = """
from mclir_basicsr import autoload
autoload.install()
from mclir_basicsr.data.pairs_dataset import PairsFileDataset
from basicsr.utils.registry import DATASET_REGISTRY, MODEL_REGISTRY
assert DATASET_REGISTRY.get('PairsFileDataset') is PairsFileDataset
assert 'HistoryModel' in MODEL_REGISTRY
"""
    result = run(sys.executable, '-W', 'error::UserWarning:mclir_basicsr', '-c', code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_what_the_off_line_tools_share_with_it_needs_no_torch(tmp_path):
    code = """
import sys
import mclir_basicsr.data.meta_info, mclir_basicsr.data.pairs_file
assert not {'torch', 'basicsr'} & set(sys.modules)
"""
    assert run(sys.executable, '-c', code, cwd=tmp_path).returncode == 0
