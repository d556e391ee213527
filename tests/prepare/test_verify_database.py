"""verify finds every kind of bad entry in a database, and no damage ends it."""

import random
import struct
import sys

import lmdb
import pytest
from sets import few, made
from trees import noise

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare import verify_database
from mclir_basicsr.prepare.verify import verify


@pytest.fixture
def images(tmp_path):
    return few(tmp_path / 'images')


@pytest.fixture
def database(tmp_path, images):
    return made(images, tmp_path / 'gt.lmdb')


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


def test_data_gone(database):
    (database / 'data.mdb').unlink()
    (fault,) = verify(database)
    assert fault.startswith('cannot be opened')


def resized(jpeg, height, width):
    """A JPEG whose header says another size."""
    place = jpeg.index(b'\xff\xc0') + 5
    return jpeg[:place] + struct.pack('>HH', height, width) + jpeg[place + 4 :]


@pytest.mark.parametrize(
    ('size', 'listed'),
    [
        ((40_000, 40_000), True),
        ((65_535, 65_535), True),
        ((40_000, 40_000), False),
        ((0, 28), False),
        ((25, 28), False),
    ],
)
def test_a_jpeg_whose_size_bytes_changed_is_a_fault_and_no_traceback(tmp_path, size, listed):
    noise(tmp_path / 'images', ['a.jpg', 'b.jpg'])
    database = made(sorted((tmp_path / 'images').iterdir()), tmp_path / 'gt.lmdb')
    change(database, b'b', resized((tmp_path / 'images/b.jpg').read_bytes(), *size))
    if listed:
        edit_meta(database, 'b.jpg (24,28,3)', 'b.jpg ({},{},3)'.format(*size))
    faults = verify(database)
    assert faults and all('b' in fault for fault in faults)


@pytest.mark.parametrize('number', ['9' * 5000, '-20', '0', '٢٠', '2e1', '', '20' + ' ' * 200])
def test_sizes_in_meta_info_that_are_none(database, number):
    edit_meta(database, 'a.png (20,30,3)', f'a.png ({number},30,3)')
    (fault,) = verify(database)
    assert fault.startswith("meta_info.txt line 1: 'a.png (")
    assert len(fault) < 200


@pytest.mark.parametrize('content', [bytes(range(256)) * 200, b'\0' * 10_000, 'a.png (20,30,3) 1\n'.encode('utf-16')])
def test_meta_info_that_is_binary(database, content):
    (database / 'meta_info.txt').write_bytes(content)
    faults = verify(database)
    assert 'a: in the database, but not in meta_info.txt' in faults
    assert all(len(fault) < 500 for fault in faults)


@pytest.mark.parametrize('fill', [bytes, random.Random(0).randbytes])
def test_a_damaged_page_loses_no_image_of_another(tmp_path, fill):
    noise(tmp_path / 'images', [f'{i:02d}.png' for i in range(15)], side=12)
    noise(tmp_path / 'images', [f'{i:02d}.png' for i in range(15, 20)], side=60)
    database = made(sorted((tmp_path / 'images').iterdir()), tmp_path / 'gt.lmdb')
    file = database / 'data.mdb'
    content = file.read_bytes()
    with lmdb.open(str(database), readonly=True, lock=False) as environment:
        stat = environment.stat()
    size = stat['psize']
    if size > 4096:
        pytest.skip('pages hold more images here')
    assert (stat['depth'], stat['overflow_pages']) == (2, 15)
    first_large = content.index((tmp_path / 'images/15.png').read_bytes()[:200]) // size
    leaf = content.index((tmp_path / 'images/03.png').read_bytes()[:200]) // size
    for page, lost in ((first_large, 1), (leaf, 5)):
        file.write_bytes(content[: page * size] + fill(size) + content[(page + 1) * size :])
        faults = [fault for fault in verify(database) if not fault.startswith('data.mdb')]
        assert 1 <= len(faults) <= lost


@pytest.mark.skipif(sys.platform == 'win32', reason='no signals')
def test_an_image_that_ends_the_process_is_named_and_those_after_it_are_read(tmp_path):
    noise(tmp_path / 'images', ['a.png', 'b.png', 'c.png'], side=60)
    files = sorted((tmp_path / 'images').iterdir())
    database = made(files, tmp_path / 'gt.lmdb')
    change(database, b'c', files[2].read_bytes()[:-50])
    file = database / 'data.mdb'
    low, high = (size := len(files[1].read_bytes())) & 0xFFFF, size >> 16
    node = (
        struct.pack('@HHHH', low, high, 1, 1) + b'b'
    )  # as in LMDB's mdb.c: the size of a value, a flag, that of a key
    content = file.read_bytes()
    assert node in content
    file.write_bytes(
        content.replace(node, struct.pack('@HHHH', size & 0xFFFF, 0x0FFF, 1, 1) + b'b')
    )  # far beyond the file
    first, second = verify(database)
    assert first in [f'b: to read it ended the process ({name})' for name in ('SIGBUS', 'SIGSEGV')]
    assert second == 'c: cannot be decoded'


def test_many_ends_of_the_process_are_bounded(tmp_path, database, monkeypatch):
    def ended(folder, fatal, counts, faults):
        counts[0], counts[1], counts[2] = len(fatal), len(fatal), 1000
        return 'SIGBUS'

    monkeypatch.setattr(verify_database, '_read_in_process', ended)
    assert verify(database) == ['data.mdb: is damaged; 20 processes have ended over it, and 981 images are not read']


def test_a_process_that_was_killed_is_no_fault_of_the_database(tmp_path):
    assert verify_database._end(tmp_path, -6) == 'SIGABRT'
    for status in (-9, 1):
        with pytest.raises(MclirError, match='If memory ran out, free some'):
            verify_database._end(tmp_path, status)
