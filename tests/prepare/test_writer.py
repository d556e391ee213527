"""Databases and folders are complete and right, whatever interrupts their writing."""

import os
import signal
import subprocess
import sys

import cv2
import lmdb
import numpy as np
import pytest
from basicsr.data.paired_image_dataset import PairedImageDataset
from trees import stored

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare import writer
from mclir_basicsr.prepare.database import Database
from mclir_basicsr.prepare.resize import reduce
from mclir_basicsr.prepare.source import Source, Window
from mclir_basicsr.prepare.subimages import cut
from mclir_basicsr.prepare.verify import verify
from mclir_basicsr.prepare.writer import Written, write

WINDOW = Window(24, 12)


def pixels(i, height=40, width=52):
    return np.random.default_rng(i).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for i in range(12):
        cv2.imwrite(str(folder / f'{i:02d}.png'), pixels(i))
    return sorted(folder.iterdir())


def sources(files, **kind):
    return [Source(file.stem, str(file), **kind) for file in files]


def run(items, target, jobs=1, plan='plan'):
    form = 'lmdb' if target.suffix == '.lmdb' else 'folder'
    return write(items, len(items), target, form=form, jobs=jobs, plan=plan, progress=False)


def decoded(target):
    return {name: cv2.imdecode(np.frombuffer(data, np.uint8), -1) for name, data in stored(target).items()}


def same(a, b):
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize('name', ['gt.lmdb', 'gt'])
def test_whole_images_keep_their_bytes_and_ending(tmp_path, images, name):
    cv2.imwrite(str(tmp_path / 'images' / 'photo.JPG'), pixels(99))
    files = [*images, tmp_path / 'images' / 'photo.JPG']
    assert run(sources(files), tmp_path / name) == Written(13, 0)
    assert stored(tmp_path / name) == {file.name: file.read_bytes() for file in files}
    assert verify(tmp_path / name) == []


def test_whole_images_in_a_folder_take_no_space_and_are_copied_where_that_cannot_be(tmp_path, images, monkeypatch):
    link = tmp_path / 'images' / 'link.png'
    link.symlink_to(images[0])
    run(sources([*images, link]), tmp_path / 'gt')
    assert (tmp_path / 'gt' / '00.png').samefile(images[0])
    assert not (tmp_path / 'gt' / 'link.png').is_symlink()

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, 'link', refuse)
    run(sources(images), tmp_path / 'copies')
    assert not (tmp_path / 'copies' / '00.png').samefile(images[0])
    assert stored(tmp_path / 'copies') == {file.name: file.read_bytes() for file in images}


@pytest.mark.parametrize('name', ['gt.lmdb', 'gt'])
@pytest.mark.parametrize('jobs', [1, 2])
def test_subimages(tmp_path, images, name, jobs):
    assert run(sources(images, window=WINDOW), tmp_path / name, jobs) == Written(12 * 12, 0)
    expected = {f'{i:02d}_s{k:03d}.png': part for i in range(12) for k, part in enumerate(cut(pixels(i), WINDOW), 1)}
    assert same(decoded(tmp_path / name), expected)
    assert verify(tmp_path / name) == []


def test_modcrop_then_reduction_then_subimages(tmp_path, images):
    run(sources(images[:2], modcrop=12, reduce=3), tmp_path / 'lq.lmdb')
    reduced = {f'{i:02d}.png': reduce(pixels(i)[:36, :48], 3) for i in range(2)}
    assert same(decoded(tmp_path / 'lq.lmdb'), reduced)
    run(sources(images[:1], modcrop=12, reduce=3, window=Window(12, 4)), tmp_path / 'sub.lmdb')
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
    run(sources(files, window=Window(40, 40)), tmp_path / 'gt.lmdb')
    found = decoded(tmp_path / 'gt.lmdb')
    seen = [cv2.imread(str(file)) for file in files]
    assert np.array_equal(found['grey_s001.png'], grey[:, :40])
    assert np.array_equal(found['deep_s001.png'], seen[1][:, :40])
    assert np.array_equal(found['alpha_s001.png'], seen[2][:, :40])


def test_paired_image_dataset_reads_the_same_from_lmdb_and_folder(tmp_path, images):
    gt, lq = sources(images, window=WINDOW), sources(images, reduce=2, modcrop=2, window=Window(12, 6))
    for ending in ('.lmdb', ''):
        run(gt, tmp_path / f'gt{ending}')
        run(lq, tmp_path / f'lq{ending}')
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
    run(sources(images), tmp_path / name)
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / name).iterdir()}

    def never():
        raise AssertionError('sources were read')
        yield

    again = write(never(), 12, tmp_path / name, form='lmdb', jobs=1, plan='plan', progress=False)
    assert again == Written(0, 12)
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / name).iterdir()} == before


def test_another_plan_is_refused_for_what_is_finished(tmp_path, images):
    run(sources(images), tmp_path / 'gt.lmdb')
    with pytest.raises(MclirError, match=r'gt\.lmdb exists already and was made from other.*Remove it or .*--out'):
        run(sources(images), tmp_path / 'gt.lmdb', plan='other')


def test_what_others_made_is_left_alone(tmp_path, images):
    for name in ('gt', 'lq.partial'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'thesis.tex').write_text('text')
    with pytest.raises(MclirError, match='gt exists already and is none of ours'):
        run(sources(images), tmp_path / 'gt')
    with pytest.raises(MclirError, match=r'lq\.partial is needed for unfinished work, but holds something else'):
        run(sources(images), tmp_path / 'lq')
    assert (tmp_path / 'lq.partial' / 'thesis.tex').read_text() == 'text'


def flush_always(monkeypatch):
    monkeypatch.setattr(writer, '_BATCH_SECONDS', 0)


@pytest.mark.parametrize('name', ['gt.lmdb', 'gt'])
@pytest.mark.parametrize('kind', [{}, {'window': WINDOW}])
def test_goes_on_after_an_unreadable_image(tmp_path, images, monkeypatch, name, kind):
    flush_always(monkeypatch)
    whole = images[7].read_bytes()
    images[7].write_bytes(whole[:20])  # not even the header
    with pytest.raises(MclirError, match=r'07\.png'):
        run(sources(images, **kind), tmp_path / name)
    assert not (tmp_path / name).exists()
    images[7].write_bytes(whole)
    each = 12 if kind else 1
    assert run(sources(images, **kind), tmp_path / name) == Written(5 * each, 7 * each)
    run(sources(images, **kind), tmp_path / f'at_once_{name}')
    assert stored(tmp_path / name) == stored(tmp_path / f'at_once_{name}')
    assert not list(tmp_path.glob('*.partial'))


def test_truncated_image_is_named_by_a_worker(tmp_path, images):
    images[7].write_bytes(images[7].read_bytes()[:-200])
    with pytest.raises(MclirError, match=r'07\.png cannot be decoded: it is truncated'):
        run(sources(images, window=WINDOW), tmp_path / 'gt.lmdb', jobs=2)


def test_unfinished_work_with_another_plan_starts_anew(tmp_path, images, monkeypatch):
    flush_always(monkeypatch)
    cut_short = [*sources(images[:4], window=WINDOW), Source('missing', str(tmp_path / 'missing.png'))]
    with pytest.raises(MclirError, match=r'missing\.png cannot be read: No such file'):
        run(cut_short, tmp_path / 'gt.lmdb')
    assert run(sources(images), tmp_path / 'gt.lmdb', plan='other') == Written(12, 0)
    assert stored(tmp_path / 'gt.lmdb') == {file.name: file.read_bytes() for file in images}


def test_full_disk_is_one_message_and_the_same_call_goes_on(tmp_path, images, monkeypatch):
    flush_always(monkeypatch)
    flush = Database.flush
    left = [5]

    def limited(store):
        left[0] -= 1
        if left[0] < 0:
            raise lmdb.Error('mdb_txn_commit: Input/output error')  # what LMDB says of a full disk
        flush(store)

    monkeypatch.setattr(Database, 'flush', limited)
    words = r'gt\.lmdb could not be written: .*error\. \d+ MB are free .* run the same command again'
    with pytest.raises(MclirError, match=words):
        run(sources(images), tmp_path / 'gt.lmdb')
    left[0] = 100
    assert run(sources(images), tmp_path / 'gt.lmdb') == Written(7, 5)
    assert verify(tmp_path / 'gt.lmdb') == []


def test_a_real_write_error_goes_the_same_way(tmp_path, images, driver):
    # a limit on file size stands for a full disk: LMDB sees a write that falls short
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
run()
"""
    ended = driver(tmp_path / 'gt.lmdb', images, code=code)
    assert 'MclirError' in ended.communicate()[1]
    assert not (tmp_path / 'gt.lmdb').exists()
    run(sources(images, window=WINDOW), tmp_path / 'gt.lmdb')
    assert verify(tmp_path / 'gt.lmdb') == []


def test_two_processes_do_not_write_the_same(tmp_path, images):
    def interfering():
        yield from sources(images[:1])
        with pytest.raises(MclirError, match=r'gt\.lmdb\.partial is being written by another process'):
            run(sources(images), tmp_path / 'gt.lmdb')
        yield from sources(images[1:])

    write(interfering(), 12, tmp_path / 'gt.lmdb', form='lmdb', jobs=1, plan='plan', progress=False)
    assert verify(tmp_path / 'gt.lmdb') == []


@pytest.mark.parametrize('key', ['', 'grün', 'a.b', 'a/b', 'a\nb', 'k' * 201])
def test_keys_that_basicsr_cannot_read(tmp_path, images, key):
    with pytest.raises(MclirError, match=r'00\.png: the key .* ASCII'):
        run([Source(key, str(images[0]))], tmp_path / 'gt.lmdb')


@pytest.mark.parametrize('name', ['gt.lmdb', 'gt'])
def test_same_keys(tmp_path, images, name):
    pair = [Source('a', str(images[0])), Source('a', str(images[1]))]
    with pytest.raises(MclirError, match=r'01\.png and .*00\.png have the same key a\.'):
        run(pair, tmp_path / name)
    clash = [Source('a', str(images[0]), WINDOW), Source('a_s002', str(images[1]))]
    with pytest.raises(MclirError, match='has 12 images, but 13 were written'):
        run(clash, tmp_path / name, plan='clash')
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
        run(sources(images, **kind), tmp_path / 'gt.lmdb')


def test_jobs_must_be_positive(tmp_path, images):
    with pytest.raises(MclirError, match='jobs must be at least 1, but is 0'):
        run(sources(images), tmp_path / 'gt.lmdb', jobs=0)


def test_progress_shows_rate_and_time_left(tmp_path, images, capfd):
    write(sources(images), 12, tmp_path / 'gt.lmdb', form='lmdb', jobs=1, plan='plan')
    shown = capfd.readouterr().err
    assert 'gt.lmdb: 100%' in shown
    assert 'image/s' in shown
    assert '12/12' in shown
    assert '<' in shown  # elapsed<remaining


DRIVER = """
import sys
from pathlib import Path
from mclir_basicsr.prepare import verify, writer
from mclir_basicsr.prepare.source import Source, Window
assert not {'torch', 'basicsr', 'scipy', 'matplotlib'} & set(sys.modules), 'must start quickly'
writer._BATCH_BYTES, writer._BATCH_SECONDS = 20_000, 0.1
jobs, target, *files = sys.argv[1:]
def run():
    items = [Source(Path(file).stem, file, Window(24, 24)) for file in files]
    form = 'lmdb' if target.endswith('lmdb') else 'folder'
    print(writer.write(items, len(items), Path(target), form=form, jobs=int(jobs), plan='plan', progress=False))
"""


@pytest.fixture
def driver():
    """Start a process of its own; its standard output and error end only when all of its workers have."""
    started = []

    def start(target, images, jobs=1, code='run()'):
        started.append(
            subprocess.Popen(
                [sys.executable, '-c', DRIVER + code, str(jobs), str(target), *map(str, images)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            )
        )  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:  # the test failed
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_ctrl_c_ends_all_processes_quietly(tmp_path, images, driver):
    """The job has no end of its own, and the signal comes when its first workers have been started."""
    code = """
from itertools import count
def endless():
    for i in count():
        if i == 2:
            print('started', flush=True)
        yield Source(f'{i:06d}', files[i % len(files)], Window(24, 24))
try:
    writer.write(endless(), 10**6, Path(target), form='lmdb', jobs=int(jobs), plan='plan', progress=False)
except KeyboardInterrupt:
    sys.exit(130)
"""
    process = driver(tmp_path / 'gt.lmdb', images, jobs=2, code=code)
    assert process.stdout.readline() == 'started\n'
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, '', '')
    assert not (tmp_path / 'gt.lmdb').exists()


def test_a_worker_that_dies_is_one_message(tmp_path, images, driver):
    code = """
import os
from concurrent.futures import ProcessPoolExecutor
submit = ProcessPoolExecutor.submit
ProcessPoolExecutor.submit = lambda pool, *_: submit(pool, os._exit, 1)
run()
"""
    err = driver(tmp_path / 'gt.lmdb', images, jobs=2, code=code).communicate()[1]
    assert 'MclirError: A worker process ended unexpectedly. If memory ran out' in err
