"""What is written is an LMDB database as BasicSR's own tool writes it."""

import io

import lmdb
import numpy as np
import pytest
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from PIL import Image

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare import database
from mclir_basicsr.prepare.database import Database
from mclir_basicsr.prepare.entries import Entry


def entries(folder):
    return [Entry(file.name, file) for file in sorted(folder.iterdir())]


def read(folder):
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return {key.decode(): data for key, data in transaction.cursor()}


def fill(folder, items, images=0):
    folder.mkdir(exist_ok=True)
    store = Database(folder, images)
    for item in items:
        store.put(item)
    store.flush()
    count = store.count()
    store.close()
    return count


def test_meta_info_is_that_of_basicsr(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    colour = Image.effect_noise((40, 30), 50).convert('RGB')
    images = {
        'rgb': colour,
        'grey': colour.convert('L'),
        'grey16': Image.fromarray(np.full((9, 8), 1000, np.uint16)),
        'one_bit': colour.convert('1'),
        'palette': colour.convert('P'),
        'rgba': colour.convert('RGBA'),
        'grey_alpha': colour.convert('LA'),
    }
    for name, image in images.items():
        image.save(folder / f'{name}.png')
    colour.convert('P').save(folder / 'palette_alpha.png', transparency=3)
    files = sorted(folder.iterdir())
    make_lmdb_from_imgs(
        str(folder), str(tmp_path / 'theirs.lmdb'), [file.name for file in files], [file.stem for file in files]
    )
    assert fill(tmp_path / 'ours.lmdb', entries(folder)) == len(files)
    ours, theirs = ((tmp_path / f'{name}.lmdb' / 'meta_info.txt').read_text() for name in ('ours', 'theirs'))
    assert ours == theirs
    assert read(tmp_path / 'ours.lmdb') == {file.stem: file.read_bytes() for file in files}


def test_size_of_a_photograph_on_its_side_is_that_seen_by_the_reader(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6  # orientation: turned by 90 degrees
    Image.new('RGB', (40, 30)).save(tmp_path / 'a.jpg', exif=exif)
    fill(tmp_path / 'gt.lmdb', [Entry('a.jpg', tmp_path / 'a.jpg')])
    assert (tmp_path / 'gt.lmdb' / 'meta_info.txt').read_text() == 'a.jpg (40,30,3) 1\n'


def test_damaged_exif_does_not_matter(tmp_path):
    Image.new('RGB', (40, 30)).save(tmp_path / 'a.jpg', exif=b'Exif\0\0garbage')
    fill(tmp_path / 'gt.lmdb', [Entry('a.jpg', tmp_path / 'a.jpg')])
    assert (tmp_path / 'gt.lmdb' / 'meta_info.txt').read_text() == 'a.jpg (30,40,3) 1\n'


def png(seed, side):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)
    Image.fromarray(pixels).save(file, 'png')
    return file.getvalue()


@pytest.mark.parametrize('side', [2, 40, 300])
def test_map_grows_and_the_file_stays_small(tmp_path, monkeypatch, side):
    monkeypatch.setattr(database, '_FIRST_MAP_BYTES', 2**17)
    items = [Entry(f'{i:04d}.png', png(i, side)) for i in range(300)]
    assert fill(tmp_path / 'gt.lmdb', items) == 300
    assert read(tmp_path / 'gt.lmdb') == {item.key: item.content for item in items}
    data = sum(len(item.content) for item in items)
    assert (tmp_path / 'gt.lmdb' / 'data.mdb').stat().st_size < data + 300 * 4096 + 2**17  # whole pages


def test_what_was_not_counted_is_written_again(tmp_path):
    items = [Entry(f'{i}.png', png(i, 20)) for i in range(6)]
    fill(tmp_path / 'gt.lmdb', items[:4])
    assert fill(tmp_path / 'gt.lmdb', items[2:], images=2) == 6
    assert read(tmp_path / 'gt.lmdb') == {item.key: item.content for item in items}
    lines = (tmp_path / 'gt.lmdb' / 'meta_info.txt').read_text().splitlines()
    assert lines == [f'{i}.png (20,20,1) 1' for i in range(6)]


def test_what_is_not_flushed_is_not_there(tmp_path):
    store = Database(tmp_path, 0)
    store.put(Entry('a.png', png(0, 20)))
    assert store.pending == len(png(0, 20))
    store.flush()
    assert store.pending == 0
    store.put(Entry('b.png', png(1, 20)))
    store.close()
    assert list(read(tmp_path)) == ['a']


@pytest.mark.parametrize(('content', 'words'), [(b'', 'no image'), (b'no PNG', 'no image'), (None, 'cannot be read')])
def test_files_that_are_no_images_are_named(tmp_path, content, words):
    if content is not None:
        (tmp_path / 'a.png').write_bytes(content)
    with pytest.raises(MclirError, match=rf'a\.png.*{words}'):
        fill(tmp_path / 'gt.lmdb', [Entry('a.png', tmp_path / 'a.png')])
