"""verify finds every kind of bad entry."""

import json

import cv2
import lmdb
import numpy as np
import pytest
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from trees import TREES, noise, plant

from mclir_basicsr.data.prepare import prepare
from mclir_basicsr.data.recipes import recipe
from mclir_basicsr.data.source import Source
from mclir_basicsr.data.verify import verify, verify_tree
from mclir_basicsr.data.writer import write
from mclir_basicsr.errors import MclirError


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
    assert verify(database) == ['b: (22,30,3), but meta_info.txt says (21,30,3)']


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


def test_folder(tmp_path, images):
    folder = made(images, tmp_path / 'gt')
    bad = images[1].read_bytes()[:-50]
    (folder / 'b.png').unlink()  # a hard link to the original
    (folder / 'b.png').write_bytes(bad)
    assert verify(folder) == ['b.png: cannot be decoded']
    (folder / 'b.png').unlink()
    assert verify(folder) == ['2 files, but 3 were written']


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
        f'{out / "train/lq.lmdb"}: 1: (40,48,3), but meta_info.txt says (40,49,3)',
    ]
    with pytest.raises(MclirError, match='holds no LMDB, and no folder of images'):
        verify_tree(tmp_path / 'src')


def test_verify_counts_a_database_of_basicsr(tmp_path):
    noise(tmp_path / 'gt', ['a.png', 'b.png'])
    make_lmdb_from_imgs(str(tmp_path / 'gt'), str(tmp_path / 'gt.lmdb'), ['a.png', 'b.png'], ['a', 'b'])
    assert verify_tree(tmp_path) == (2, [])
