"""Databases and folders hold what they should, and nothing is overwritten."""

import os

import cv2
import numpy as np
import pytest
from basicsr.data.paired_image_dataset import PairedImageDataset
from sets import WINDOW, pixels, planted, sources, write_set
from trees import stored

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.resize import reduce
from mclir_basicsr.prepare.source import Source, Window
from mclir_basicsr.prepare.subimages import cut
from mclir_basicsr.prepare.verify import verify
from mclir_basicsr.prepare.writer import Written, write


@pytest.fixture
def images(tmp_path):
    return planted(tmp_path / 'images', 12)


def decoded(target):
    return {name: cv2.imdecode(np.frombuffer(data, np.uint8), -1) for name, data in stored(target).items()}


def same(a, b):
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize('name', ['gt.lmdb', 'gt'])
def test_whole_images_keep_their_bytes_and_ending(tmp_path, images, name):
    cv2.imwrite(str(tmp_path / 'images' / 'photo.JPG'), pixels(99))
    files = [*images, tmp_path / 'images' / 'photo.JPG']
    assert write_set(sources(files), tmp_path / name) == Written(13, 0)
    assert stored(tmp_path / name) == {file.name: file.read_bytes() for file in files}
    assert verify(tmp_path / name) == []


def test_whole_images_in_a_folder_take_no_space_and_are_copied_where_that_cannot_be(tmp_path, images, monkeypatch):
    link = tmp_path / 'images' / 'link.png'
    link.symlink_to(images[0])
    write_set(sources([*images, link]), tmp_path / 'gt')
    assert (tmp_path / 'gt' / '00.png').samefile(images[0])
    assert not (tmp_path / 'gt' / 'link.png').is_symlink()

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, 'link', refuse)
    write_set(sources(images), tmp_path / 'copies')
    assert not (tmp_path / 'copies' / '00.png').samefile(images[0])
    assert stored(tmp_path / 'copies') == {file.name: file.read_bytes() for file in images}


@pytest.mark.parametrize('name', ['gt.lmdb', 'gt'])
@pytest.mark.parametrize('jobs', [1, 2])
def test_subimages(tmp_path, images, name, jobs):
    assert write_set(sources(images, window=WINDOW), tmp_path / name, jobs) == Written(12 * 12, 0)
    expected = {f'{i:02d}_s{k:03d}.png': part for i in range(12) for k, part in enumerate(cut(pixels(i), WINDOW), 1)}
    assert same(decoded(tmp_path / name), expected)
    assert verify(tmp_path / name) == []


def test_modcrop_then_reduction_then_subimages(tmp_path, images):
    write_set(sources(images[:2], modcrop=12, reduce=3), tmp_path / 'lq.lmdb')
    reduced = {f'{i:02d}.png': reduce(pixels(i)[:36, :48], 3) for i in range(2)}
    assert same(decoded(tmp_path / 'lq.lmdb'), reduced)
    write_set(sources(images[:1], modcrop=12, reduce=3, window=Window(12, 4)), tmp_path / 'sub.lmdb')
    assert same(
        decoded(tmp_path / 'sub.lmdb'),
        {'00_s001.png': reduced['00.png'][:, :12], '00_s002.png': reduced['00.png'][:, 4:]},
    )


def test_grey_stays_grey_and_16_bit_and_alpha_become_what_the_reader_sees(tmp_path):
    grey = pixels(0)[..., 0]
    deep = pixels(1).astype(np.uint16) * 257
    alpha = np.dstack([pixels(2), grey])
    for name, image in (('grey', grey), ('deep', deep), ('alpha', alpha)):
        cv2.imwrite(str(tmp_path / f'{name}.png'), image)
    files = [tmp_path / f'{name}.png' for name in ('grey', 'deep', 'alpha')]
    write_set(sources(files, window=Window(40, 40)), tmp_path / 'gt.lmdb')
    found = decoded(tmp_path / 'gt.lmdb')
    seen = [cv2.imread(str(file)) for file in files]
    assert np.array_equal(found['grey_s001.png'], grey[:, :40])
    assert np.array_equal(found['deep_s001.png'], seen[1][:, :40])
    assert np.array_equal(found['alpha_s001.png'], seen[2][:, :40])


def test_paired_image_dataset_reads_the_same_from_lmdb_and_folder(tmp_path, images):
    gt, lq = sources(images, window=WINDOW), sources(images, reduce=2, modcrop=2, window=Window(12, 6))
    for ending in ('.lmdb', ''):
        write_set(gt, tmp_path / f'gt{ending}')
        write_set(lq, tmp_path / f'lq{ending}')
    both = [
        PairedImageDataset(
            {'dataroot_gt': str(tmp_path / f'gt{ending}'), 'dataroot_lq': str(tmp_path / f'lq{ending}'),
             'io_backend': {'type': backend}, 'scale': 2, 'phase': 'val'}
        )
        for ending, backend in (('.lmdb', 'lmdb'), ('', 'disk'))
    ]  # fmt: skip
    assert [len(dataset) for dataset in both] == [144, 144]
    by_name = [{item['gt_path'].split('/')[-1].split('.')[0]: item for item in dataset} for dataset in both]
    for key, item in by_name[0].items():
        assert item['gt'].shape == (3, 24, 24)
        assert item['lq'].shape == (3, 12, 12)
        assert all(bool((item[part] == by_name[1][key][part]).all()) for part in ('gt', 'lq'))


@pytest.mark.parametrize('name', ['gt.lmdb', 'gt'])
def test_running_twice_does_nothing_twice(tmp_path, images, name):
    write_set(sources(images), tmp_path / name)
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / name).iterdir()}

    def never():
        raise AssertionError('sources were read')
        yield

    again = write(never(), 12, tmp_path / name, form='lmdb', jobs=1, plan='plan', progress=False)
    assert again == Written(0, 12)
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / name).iterdir()} == before


def test_another_plan_is_refused_for_what_is_finished(tmp_path, images):
    write_set(sources(images), tmp_path / 'gt.lmdb')
    with pytest.raises(MclirError, match=r'gt\.lmdb exists already and was made from other.*Remove it or .*--out'):
        write_set(sources(images), tmp_path / 'gt.lmdb', plan='other')


def test_what_others_made_is_left_alone(tmp_path, images):
    for name in ('gt', 'lq.partial'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'thesis.tex').write_text('text')
    with pytest.raises(MclirError, match='gt exists already and is none of ours'):
        write_set(sources(images), tmp_path / 'gt')
    with pytest.raises(MclirError, match=r'lq\.partial is needed for unfinished work, but holds something else'):
        write_set(sources(images), tmp_path / 'lq')
    assert (tmp_path / 'lq.partial' / 'thesis.tex').read_text() == 'text'


@pytest.mark.parametrize('key', ['', 'grün', 'a.b', 'a/b', 'a\nb', 'k' * 201])
def test_keys_that_basicsr_cannot_read(tmp_path, images, key):
    with pytest.raises(MclirError, match=r'00\.png: the key .* ASCII'):
        write_set([Source(key, str(images[0]))], tmp_path / 'gt.lmdb')


@pytest.mark.parametrize('name', ['gt.lmdb', 'gt'])
def test_same_keys(tmp_path, images, name):
    pair = [Source('a', str(images[0])), Source('a', str(images[1]))]
    with pytest.raises(MclirError, match=r'01\.png and .*00\.png have the same key a\.'):
        write_set(pair, tmp_path / name)
    clash = [Source('a', str(images[0]), WINDOW), Source('a_s002', str(images[1]))]
    with pytest.raises(MclirError, match='has 12 images, but 13 were written'):
        write_set(clash, tmp_path / name, plan='clash')
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ('kind', 'words'),
    [
        ({'window': Window(64, 32)}, r'00\.png: 52x40 pixels are too few for subimages of 64x64'),
        ({'modcrop': 48}, r'00\.png: 52x40 pixels, less than 48'),
    ],
)
def test_images_that_are_too_small(tmp_path, images, kind, words):
    with pytest.raises(MclirError, match=words):
        write_set(sources(images, **kind), tmp_path / 'gt.lmdb')


def test_jobs_must_be_positive(tmp_path, images):
    with pytest.raises(MclirError, match='jobs must be at least 1, but is 0'):
        write_set(sources(images), tmp_path / 'gt.lmdb', jobs=0)


def test_progress_shows_rate_and_time_left(tmp_path, images, capfd):
    write(sources(images), 12, tmp_path / 'gt.lmdb', form='lmdb', jobs=1, plan='plan')
    shown = capfd.readouterr().err
    assert 'gt.lmdb: 100%' in shown
    assert 'image/s' in shown
    assert '12/12' in shown
    assert '<' in shown  # elapsed<remaining
