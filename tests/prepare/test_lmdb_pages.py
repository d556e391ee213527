"""The walk through the pages of a database finds what LMDB finds."""

import mmap
import random

import lmdb
import pytest

from mclir_basicsr.prepare.lmdb_pages import find_values


def walked(folder):
    """Values by key, and the faults."""
    with lmdb.open(str(folder), readonly=True, lock=False) as environment:
        page_bytes = environment.stat()['psize']
    with (folder / 'data.mdb').open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        values, faults = find_values(data, page_bytes)
        return {key: data[place] for key, place in values.items()}, faults


@pytest.mark.parametrize(('count', 'depth'), [(0, 0), (1, 1), (100, 2), (2000, 3)])
def test_the_same_as_lmdb(tmp_path, count, depth):
    moments = random.Random(count)
    keys = [b'%0*d' % (moments.choice((5, 200)), i) for i in range(count)]
    with lmdb.open(str(tmp_path), map_size=2**26) as environment:
        for share in (keys, keys[::2], keys[::3]):  # put, replaced and deleted: pages become free and are used again
            with environment.begin(write=True) as transaction:
                for key in moments.sample(share, len(share)):
                    transaction.put(key, moments.randbytes(moments.choice((0, 1, 700, 5000, 20_000))))
            with environment.begin(write=True) as transaction:
                for key in share[5::7]:
                    transaction.delete(key)
        stat = environment.stat()
        assert stat['psize'] > 4096 or stat['depth'] == depth
        with environment.begin() as transaction:
            expected = dict(transaction.cursor())
    assert walked(tmp_path) == (expected, [])
    assert list(walked(tmp_path)[0]) == sorted(expected)


def test_keys_that_a_search_would_miss(tmp_path):
    with lmdb.open(str(tmp_path)) as environment, environment.begin(write=True) as transaction:
        for i in range(3):
            transaction.put(b'key%d' % i, b'value')
    file = tmp_path / 'data.mdb'
    file.write_bytes(file.read_bytes().replace(b'key1', b'kez1'))
    assert walked(tmp_path) == ({}, ['page 2 is damaged'])
