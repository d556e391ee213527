"""verify finds every kind of bad entry."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from sets import few, made
from trees import TREES, noise, plant

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.command import prepare
from mclir_basicsr.prepare.recipes import own_pairs, recipe
from mclir_basicsr.prepare.verify import verify, verify_tree


@pytest.fixture
def images(tmp_path):
    return few(tmp_path / 'images')


def test_good_ones(tmp_path, images):
    assert verify(made(images, tmp_path / 'gt.lmdb')) == []
    assert verify(made(images, tmp_path / 'gt')) == []
    theirs = tmp_path / 'theirs.lmdb'
    make_lmdb_from_imgs(str(images[0].parent), str(theirs), [p.name for p in images], [p.stem for p in images])
    assert verify(theirs) == []


def test_folder(tmp_path, images):
    folder = made(images, tmp_path / 'gt')
    for file in images:
        assert (folder / file.name).samefile(file)
        file.unlink()  # else the links would change it, too
    (folder / 'b.png').write_bytes((folder / 'b.png').read_bytes()[:-50])
    (folder / 'a.png').rename(folder / 'z.png')
    (folder / 'd').mkdir()
    assert verify(folder) == [
        'a.png: missing',
        'd: is none of the images written',
        'z.png: is none of the images written',
        'b.png: cannot be decoded',
        'd: cannot be read: Is a directory',
    ]
    (folder / 'z.png').replace(folder / 'b.png')
    (folder / 'd').rmdir()
    assert verify(folder) == ['a.png: missing', 'b.png: (20,30,3), but was written as (21,30,3)']
    (folder / '.meta_info.txt').unlink()  # as the first versions left it
    assert verify(folder) == ['2 files, but 3 were written']


@pytest.mark.parametrize('name', ['gt.lmdb', 'gt'])
def test_a_truncated_jpeg_that_opencv_takes(tmp_path, name, monkeypatch):
    """As OpenCV before 5 does."""
    noise(tmp_path / 'images', ['a.jpg', 'b.jpg'])
    files = sorted((tmp_path / 'images').iterdir())
    files[0].write_bytes(files[0].read_bytes()[:-20])
    target = made(files, tmp_path / name)
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: np.zeros((24, 28, 3), np.uint8))
    (fault,) = verify(target)
    assert fault.startswith('a') and fault.endswith('cannot be decoded')


def test_neither(tmp_path):
    (tmp_path / 'x.json').write_text(json.dumps({}))
    for target in (tmp_path, tmp_path / 'missing'):
        with pytest.raises(MclirError, match='neither an LMDB database nor'):
            verify(target)


def test_verify_reads_every_image_set_below(tmp_path):
    name, pairs, _ = TREES['rain200h']
    plant(tmp_path / 'src', pairs)
    out = tmp_path / 'out'
    prepare(recipe(name), tmp_path / 'src', out, progress=False)
    assert verify_tree(out) == (10, [])
    assert verify_tree(out / 'train/gt.lmdb') == (3, [])
    (out / 'test/lq.lmdb').rename(out / 'test/lq.lmdb.partial')
    meta = out / 'train/lq.lmdb/meta_info.txt'
    meta.write_text(meta.read_text().replace('(40,48,3)', '(40,49,3)', 1))
    images, faults = verify_tree(out)
    assert images == 8
    assert faults == [
        f'{out / "test/lq.lmdb.partial"}: unfinished; run the same mclir prepare again',
        f'{out / "train/lq.lmdb"}: 1: (40,48,3), but was written as (40,49,3)',
    ]
    with pytest.raises(MclirError, match='holds no LMDB, and no folder of images'):
        verify_tree(tmp_path / 'src')


@pytest.mark.parametrize('form', ['lmdb', 'folder'])
def test_what_is_not_there_any_more(tmp_path, form):
    name, pairs, _ = TREES['sots']
    plant(tmp_path / 'src', pairs)
    out = tmp_path / 'out'

    def again():
        prepare(recipe(name), tmp_path / 'src', out, form=form, progress=False)

    again()
    ending = '.lmdb' if form == 'lmdb' else ''
    listed = (out / '.prepared.json').stat().st_mtime_ns
    indoor, outdoor = out / 'indoor', out / 'outdoor'
    text = (indoor / 'pairs.txt').read_text()
    text = text.replace('1400_2 1400 ', '1400_2 1444 ').replace('1401_5 1401 28x44\n', 'x\n')
    (indoor / 'pairs.txt').write_text(text)
    (outdoor / 'pairs.txt').unlink()
    shutil.rmtree(outdoor / f'lq{ending}')
    assert verify_tree(out) == (
        14,
        [
            f'{outdoor / f"lq{ending}"}: missing; run the same mclir prepare again',
            f'{indoor / "pairs.txt"}: line 2: 1444 is not in {indoor / f"gt{ending}"}',
            f"{indoor / 'pairs.txt'}: line 10: 'x' is neither LQ GT nor LQ GT HEIGHTxWIDTH",
            f'{indoor / "pairs.txt"}: 1401_5: in {indoor / f"lq{ending}"}, but in no line',
            f'{outdoor / "pairs.txt"}: missing; run the same mclir prepare again',
        ],
    )
    again()
    assert verify_tree(out) == (16, [])
    assert (out / '.prepared.json').stat().st_mtime_ns == listed
    shutil.rmtree(indoor)
    shutil.rmtree(outdoor)
    assert verify_tree(out)[0] == 0
    assert len(verify_tree(out)[1]) == 6


def test_what_was_removed_on_purpose_is_not_missed_after_the_next_run(tmp_path):
    gt, lq = noise(tmp_path / 'gt', ['a.png', 'b.png']), noise(tmp_path / 'lq', ['a.png', 'b.png'])
    prepare(*own_pairs(gt, lq), tmp_path / 'out', progress=False)
    shutil.rmtree(tmp_path / 'out/gt.lmdb')
    shutil.rmtree(tmp_path / 'out/lq.lmdb')
    prepare(*own_pairs(gt, lq), tmp_path / 'out', form='folder', progress=False)
    assert verify_tree(tmp_path / 'out') == (4, [])


def test_verify_counts_a_database_of_basicsr(tmp_path):
    noise(tmp_path / 'gt', ['a.png', 'b.png'])
    make_lmdb_from_imgs(str(tmp_path / 'gt'), str(tmp_path / 'gt.lmdb'), ['a.png', 'b.png'], ['a', 'b'])
    assert verify_tree(tmp_path) == (2, [])


def test_a_database_behind_a_link_is_read_and_a_circle_of_links_ends(tmp_path):
    gt, lq = noise(tmp_path / 'gt', ['a.png']), noise(tmp_path / 'lq', ['a.png'])
    out = tmp_path / 'out'
    prepare(*own_pairs(gt, lq), out, progress=False)
    (out / 'lq.lmdb').rename(tmp_path / 'other_disk')
    (out / 'lq.lmdb').symlink_to(tmp_path / 'other_disk', target_is_directory=True)
    (out / 'circle').symlink_to(out, target_is_directory=True)
    assert verify_tree(out) == (2, [])


def test_a_folder_that_cannot_be_read_is_a_fault(tmp_path, images, monkeypatch):
    made(images, tmp_path / 'out/gt.lmdb')
    (tmp_path / 'out/closed').mkdir()
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith('closed'):
            raise PermissionError(13, 'Permission denied', str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, 'scandir', refuse)
    assert verify_tree(tmp_path / 'out') == (3, [f'{tmp_path / "out/closed"}: cannot be read: Permission denied'])


def test_a_pairs_file_with_another_size_than_the_image(tmp_path):
    name, pairs, _ = TREES['sots']
    plant(tmp_path / 'src', pairs)
    prepare(recipe(name), tmp_path / 'src', tmp_path / 'out', progress=False)
    file = tmp_path / 'out/outdoor/pairs.txt'
    file.write_text(file.read_text().replace('30x40', '400x40', 1))
    _, (fault,) = verify_tree(tmp_path / 'out')
    assert fault == f'{file}: line 1: 0001_0-8_0-2 has 30x40 pixels in {tmp_path / "out/outdoor/lq.lmdb"}'
