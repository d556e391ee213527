"""From the names of images to what is to be written."""

import pytest
from trees import noise, plant, super_resolution

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.command import prepare
from mclir_basicsr.prepare.recipes import own_pairs, recipe


@pytest.mark.parametrize('scales', [[2], [2, 4]])
def test_an_lq_image_missing_in_one_scale(scales, tmp_path):
    pairs = super_resolution('Set5/GTmod12/{}.png', 'Set5/LRbicx{s}/{}.png', {'a': (24, 24), 'b': (24, 24)}, scales)
    plant(tmp_path, pairs)
    (tmp_path / 'Set5/LRbicx2/a.png').unlink()
    with pytest.raises(MclirError, match=r'(?s)^1 faults.*Set5/GTmod12/a.png: gt without lq$'):
        prepare(recipe('sr-benchmarks'), tmp_path, tmp_path / 'out', progress=False)


@pytest.mark.parametrize('make_lr', [None, 2])
def test_empty_folders(make_lr, tmp_path):
    for side in ('gt', 'lq'):
        (tmp_path / side).mkdir()
    lq = None if make_lr else tmp_path / 'lq'
    with pytest.raises(MclirError, match='hold no images'):
        prepare(*own_pairs(tmp_path / 'gt', lq, make_lr or 1), tmp_path / 'out', make_lr=make_lr, progress=False)


def test_the_data_set_itself_is_not_written_to(tmp_path):
    gt, lq = noise(tmp_path / 'gt', ['a.png']), noise(tmp_path / 'lq', ['a.png'])
    with pytest.raises(MclirError, match='is a folder of the data set itself'):
        prepare(*own_pairs(gt, lq), tmp_path, form='folder', progress=False)
    prepare(*own_pairs(gt, lq), tmp_path, form='lmdb', progress=False)
    assert (tmp_path / 'gt.lmdb' / 'data.mdb').is_file()
