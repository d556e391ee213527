"""From the names of images to what is to be written."""

import pytest
from trees import blocks, noise, plant, read, stored, super_resolution

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
    (tmp_path / 'gt' / 'a.gif').touch()
    words = r'gt holds no images \(.bmp, .*\), nor does a folder below it; left out: 1 files .gif'
    with pytest.raises(MclirError, match=words) as error:
        prepare(*own_pairs(tmp_path / 'gt', lq, make_lr or 1), tmp_path / 'out', make_lr=make_lr, progress=False)
    assert len(str(error.value).splitlines()) == (2 if make_lr else 3)


def test_one_side_that_is_empty_is_one_fault(tmp_path):
    noise(tmp_path / 'gt', ['a.png', 'b.png', 'c.png'])
    (tmp_path / 'lq').mkdir()
    with pytest.raises(MclirError, match=r'^1 faults in .*\n.*lq holds no images'):
        prepare(*own_pairs(tmp_path / 'gt', tmp_path / 'lq'), tmp_path / 'out', progress=False)


@pytest.mark.parametrize('form', ['lmdb', 'folder'])
def test_nested_folders_from_the_files_to_training(tmp_path, form):
    for side in ('gt', 'lq'):
        for film in ('one', 'two'):
            noise(tmp_path / side / film, ['1.png', '2.png'], seed=len(film))
    for _ in range(2):  # the second finds --out, which lies beside, as it left it
        report = prepare(*own_pairs(tmp_path / 'gt', tmp_path / 'lq'), tmp_path / 'out', form=form, progress=False)
    assert '2 folders below it are taken (one, two)' in report
    ((_, datasets),) = blocks(report)
    assert len(read(datasets['train'], 1)) == 4
    names = {name.split('.')[0] for name in stored(tmp_path / ('out/gt.lmdb' if form == 'lmdb' else 'out/gt'))}
    assert names == {'one-1', 'one-2', 'two-1', 'two-2'}


def test_an_output_below_nested_sources_is_not_taken_for_one(tmp_path):
    noise(tmp_path / 'photos/one', ['1.png'])
    out = tmp_path / 'photos/out'

    def run():
        return prepare(*own_pairs(tmp_path / 'photos', None, 2), out, form='folder', make_lr=2, progress=False)

    first, second = run(), run()
    assert '1 written' in first and '0 written, 1 there already' in second


def test_the_data_set_itself_is_not_written_to(tmp_path):
    gt, lq = noise(tmp_path / 'gt', ['a.png']), noise(tmp_path / 'lq', ['a.png'])
    with pytest.raises(MclirError, match='is a folder of the data set itself'):
        prepare(*own_pairs(gt, lq), tmp_path, form='folder', progress=False)
    prepare(*own_pairs(gt, lq), tmp_path, form='lmdb', progress=False)
    assert (tmp_path / 'gt.lmdb' / 'data.mdb').is_file()
