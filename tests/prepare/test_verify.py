"""verify finds every kind of bad entry."""

import json
import random
import shutil

import cv2
import lmdb
import numpy as np
import pytest
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from trees import TREES, noise, plant

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.command import prepare
from mclir_basicsr.prepare.recipes import own_pairs, recipe
from mclir_basicsr.prepare.source import Source
from mclir_basicsr.prepare.verify import verify, verify_tree
from mclir_basicsr.prepare.writer import write


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for i, name in enumerate(('a', 'b', 'c')):
        pixels = np.random.default_rng(i).integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{name}.png'), pixels)
    return sorted(folder.iterdir())


@pytest.fixture
def database(tmp_path, images):
    return made(images, tmp_path / 'gt.lmdb')


def made(images, target, jobs=1):
    sources = [Source(file.stem, str(file)) for file in images]
    form = 'lmdb' if target.suffix else 'folder'
    write(sources, len(sources), target, form=form, jobs=jobs, plan='plan', progress=False)
    return target


def change(database, key, value):
    with lmdb.open(str(database)) as environment, environment.begin(write=True) as transaction:
        if value is None:
            transaction.delete(key)
        else:
            transaction.put(key, value)


def edit_meta(database, old, new):
    file = database / 'meta_info.txt'
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_good_ones(tmp_path, images, database):
    assert verify(database) == []
    assert verify(made(images, tmp_path / 'gt')) == []
    theirs = tmp_path / 'theirs.lmdb'
    make_lmdb_from_imgs(str(images[0].parent), str(theirs), [p.name for p in images], [p.stem for p in images])
    assert verify(theirs) == []


def test_truncated_value(database, images):
    change(database, b'b', images[1].read_bytes()[:-100])
    assert verify(database) == ['b: cannot be decoded']


def test_values_that_are_no_images(database):
    change(database, b'a', b'')
    change(database, b'c', b'text')
    assert verify(database) == ['a: cannot be decoded', 'c: cannot be decoded']


def test_other_size(database, images):
    change(database, b'b', images[2].read_bytes())
    assert verify(database) == ['b: (22,30,3), but was written as (21,30,3)']


def test_keys_on_one_side_only(database, images):
    change(database, b'a', None)
    change(database, b'z', images[0].read_bytes())
    assert verify(database) == [
        'a: in meta_info.txt, but not in the database',
        'z: in the database, but not in meta_info.txt',
    ]


def test_bad_lines_of_meta_info(database):
    edit_meta(database, 'b.png (21,30,3) 1\n', 'b.png 21x30\na.png (20,30,3) 1\n')
    assert verify(database) == [
        'meta_info.txt line 2: \'b.png 21x30\' is not "name.png (height,width,channels) 1"',
        'a: twice in meta_info.txt',
        'b: in the database, but not in meta_info.txt',
    ]


def test_no_meta_info(database):
    (database / 'meta_info.txt').unlink()
    (fault,) = verify(database)
    assert 'meta_info.txt' in fault


def test_data_that_is_no_database(database):
    (database / 'data.mdb').write_bytes(b'no database' * 1000)
    (fault,) = verify(database)
    assert fault.startswith('cannot be opened')


def test_data_cut_short_does_not_end_the_process(database):
    with (database / 'data.mdb').open('r+b') as file:
        file.truncate(8192)
    (fault,) = verify(database)
    assert fault.startswith('data.mdb is truncated: 8192 bytes of ')


@pytest.mark.parametrize('fill', [bytes, random.Random(0).randbytes])
def test_damaged_pages(tmp_path, fill):
    """LMDB itself raises or ends the process at many of them."""
    noise(tmp_path / 'images', [f'{i:02d}.png' for i in range(15)], side=12)
    noise(tmp_path / 'images', [f'{i:02d}.png' for i in range(15, 20)], side=60)
    database = made(sorted((tmp_path / 'images').iterdir()), tmp_path / 'gt.lmdb')
    file = database / 'data.mdb'
    content = file.read_bytes()
    with lmdb.open(str(database), readonly=True, lock=False) as environment:
        stat = environment.stat()
    size = stat['psize']
    assert size > 4096 or (stat['depth'], stat['overflow_pages']) == (2, 15)
    several_images_lost = 0
    for begin in range(0, len(content), size):
        file.write_bytes(content[:begin] + fill(size) + content[begin + size :])
        faults = verify(database)
        assert faults
        several_images_lost += f'data.mdb: page {begin // size} is damaged' in faults and len(faults) > 2
    assert several_images_lost == stat['branch_pages'] + stat['leaf_pages']


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


def test_data_gone(database):
    (database / 'data.mdb').unlink()
    (fault,) = verify(database)
    assert fault.startswith('cannot be opened')


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
            f'{indoor / "pairs.txt"}: line 10: \'x\' is not "LQ GT HEIGHTxWIDTH"',
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
