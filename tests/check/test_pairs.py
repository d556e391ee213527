"""The sizes of pairs are those that training reads."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mclir_basicsr.check.pairs import check_data_set
from mclir_basicsr.errors import MclirError


def opt(tmp_path, **block):
    sides = {f'dataroot_{side}': str(tmp_path / side) for side in ('gt', 'lq')}
    data = {'name': 'x', 'type': 'PairedImageDataset', 'io_backend': {'type': 'disk'}} | sides | block
    return {'scale': 1, 'val': {}, 'datasets': {'val': data}}


def save(file, orientation, height=64, width=64):
    coarse = np.random.default_rng(3).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file.parent.mkdir(exist_ok=True)
    Image.fromarray(cv2.resize(coarse, (width, height))).save(file, exif=exif)


def test_photographs_that_exif_turns_have_the_size_that_training_reads(tmp_path):
    save(tmp_path / 'gt/a.jpg', 6, 48, 64)
    save(tmp_path / 'lq/a.jpg', 6, 48, 64)
    assert check_data_set(opt(tmp_path), 'val') == ['datasets.val: 1 pairs.']
    save(tmp_path / 'lq/a.jpg', 1, 48, 64)
    with pytest.raises(MclirError, match=r'gt/a.jpg is 64x48 \(height x width\), but .*lq/a.jpg is 48x64'):
        check_data_set(opt(tmp_path), 'val')


def test_a_square_photograph_that_exif_turns_on_one_side_only(tmp_path):
    save(tmp_path / 'gt/a.jpg', 6)
    save(tmp_path / 'lq/a.jpg', 1)
    with pytest.raises(MclirError, match=r'lq/a.jpg: EXIF turns it or its gt .*gt/a.jpg'):
        check_data_set(opt(tmp_path), 'val')


@pytest.mark.parametrize('size', ['9' * 5000 + ',48,3', '0,48,3', '-48,48,3', '٤٨,48,3', ''])
def test_a_size_in_meta_info_that_is_none(tmp_path, size):
    for side in ('gt', 'lq'):
        (tmp_path / f'{side}.lmdb').mkdir()
        (tmp_path / f'{side}.lmdb/meta_info.txt').write_text('a.png (48,48,3) 1\n')
    (tmp_path / 'lq.lmdb/meta_info.txt').write_text(f'a.png ({size}) 1\n', 'utf-8')
    roots = {f'dataroot_{side}': str(tmp_path / f'{side}.lmdb') for side in ('gt', 'lq')}
    with pytest.raises(MclirError, match=r'a and a: a meta_info.txt lacks one of them'):
        check_data_set(opt(tmp_path, io_backend={'type': 'lmdb'}, **roots), 'val')
