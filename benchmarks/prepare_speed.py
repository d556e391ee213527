"""Writing databases beside BasicSR's own tools on the same images: `python benchmarks/prepare_speed.py [FOLDER]`.

Prints the time of whole images and of subimages on both sides, the time to read one epoch from LMDB and from a folder,
and peak memory at 1,000 and 10,000 images. Where it says `write`, this is the writer of `mclir prepare` alone: without
pairing the names, and without the check, which decodes every image and which BasicSR has no counterpart of. Where it
says `prepare`, it is all that the command does once Python has started, for gt and lq images. Everything runs in one
process unless it says otherwise; times are the best of a few turns, both sides in turn, with the images in the page
cache. Linux only (/proc).
"""

import argparse
import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from mclir_basicsr.prepare.command import prepare
from mclir_basicsr.prepare.recipes import own_pairs
from mclir_basicsr.prepare.source import Source, Window
from mclir_basicsr.prepare.subimages import cut
from mclir_basicsr.prepare.writer import write

TURNS = 5
MEMORY_COUNTS = 1_000, 10_000
Timed = Callable[[], object]


def synthetic_images(folder: Path, count: int, height: int = 678, width: int = 1020) -> Path:
    """Write PNGs that are about as hard to compress as photographs."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(count):
        coarse = random.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + random.normal(
            0, 4, (height, width, 3)
        )
        cv2.imwrite(str(folder / f'{i:05d}.png'), image.clip(0, 255).astype(np.uint8))
    return folder


def ours(images: list[Path], target: Path, window: Window | None = None, jobs: int = 1) -> None:
    """Write a database or folder."""
    sources = [Source(path.stem, str(path), window) for path in images]
    form = 'lmdb' if target.suffix else 'folder'
    write(sources, len(sources), target, form=form, jobs=jobs, plan='benchmark', progress=False)


def prepared(gt: Path, lq: Path, out: Path) -> None:
    """Check the pairs of two folders and write their databases, as the command does."""
    prepare(*own_pairs(gt, lq), out, progress=False)


def basicsr_lmdb(images: list[Path], target: Path) -> None:
    """Write a database with BasicSR's own tool and its defaults: one process, PNG level 1."""
    from basicsr.utils.lmdb_util import make_lmdb_from_imgs

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        make_lmdb_from_imgs(str(images[0].parent), str(target), [p.name for p in images], [p.stem for p in images])


def two_steps(images: list[Path], target: Path, window: Window) -> None:
    """Write subimages as BasicSR's documentation says: PNG files of level 3, then a database from them."""
    folder = target.with_suffix('')
    folder.mkdir()
    for path in images:
        for k, part in enumerate(cut(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), window), 1):
            cv2.imwrite(str(folder / f'{path.stem}_s{k:03d}.png'), part, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    basicsr_lmdb(sorted(folder.iterdir()), target)


def best_times(*tasks: Timed, before: Timed = lambda: None) -> list[float]:
    """Best wall time of each task in seconds, the tasks in turn."""
    times = [[] for _ in tasks]
    for _ in range(TURNS):
        for task, its_times in zip(tasks, times, strict=True):
            before()
            began = time.perf_counter()
            task()
            its_times.append(time.perf_counter() - began)
    return [min(its_times) for its_times in times]


def emptied(scratch: Path) -> None:
    """Remove what the last turn wrote."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()


def compare(images: list[Path], window: Window, scratch: Path) -> None:
    """Print the times of writing."""
    clean = partial(emptied, scratch)
    theirs, own = best_times(
        partial(basicsr_lmdb, images, scratch / 'basicsr.lmdb'), partial(ours, images, scratch / 'own.lmdb'),
        before=clean,
    )  # fmt: skip
    print(f'whole images: make_lmdb_from_imgs {theirs:.3f} s, write {own:.3f} s, ratio {theirs / own:.1f}')
    theirs, own = best_times(
        partial(two_steps, images, scratch / 'basicsr.lmdb', window),
        partial(ours, images, scratch / 'own.lmdb', window),
        before=clean,
    )
    print(f'subimages, one core: two steps {theirs:.3f} s, write {own:.3f} s, ratio {theirs / own:.1f}')


def compare_command(images: list[Path], scratch: Path) -> None:
    """Print the time of the whole command for these images as gt and a copy of them as lq."""
    folders = [scratch / 'images' / side for side in ('gt', 'lq')]
    out = scratch / 'out'
    emptied(scratch)
    for folder in folders:
        folder.mkdir(parents=True)
        for image in images:
            shutil.copy(image, folder)

    def theirs() -> None:
        for folder in folders:
            basicsr_lmdb(sorted(folder.iterdir()), out / f'{folder.name}.lmdb')

    tool, own = best_times(theirs, partial(prepared, *folders, out), before=partial(emptied, out))
    print(f'whole images, gt and lq, checked: make_lmdb_from_imgs {tool:.3f} s, prepare {own:.3f} s, '
          f'ratio {tool / own:.1f}')  # fmt: skip


def read_epoch(folder: Path, ending: str, backend: str) -> None:
    """Read every image as PairedImageDataset does for training, from gt and lq in a folder."""
    from basicsr.data.paired_image_dataset import PairedImageDataset

    dataset = PairedImageDataset(
        {'dataroot_gt': str(folder / f'gt{ending}'), 'dataroot_lq': str(folder / f'lq{ending}'),
         'io_backend': {'type': backend}, 'scale': 1, 'phase': 'train', 'gt_size': 48, 'use_hflip': True,
         'use_rot': True}
    )  # fmt: skip
    for i in range(len(dataset)):
        dataset[i]


def compare_reading(images: list[Path], window: Window, scratch: Path) -> None:
    """Print the times of one epoch over whole images and over subimages."""
    for name, cut_into in (('whole images', None), ('subimages', window)):
        emptied(scratch)
        for target in ('gt.lmdb', 'lq.lmdb', 'gt', 'lq'):
            ours(images, scratch / target, cut_into)
        lmdb_time, folder_time = best_times(
            partial(read_epoch, scratch, '.lmdb', 'lmdb'), partial(read_epoch, scratch, '', 'disk')
        )
        print(f'one epoch of {name}: LMDB {lmdb_time:.3f} s, folder {folder_time:.3f} s, '
              f'ratio {folder_time / lmdb_time:.2f}')  # fmt: skip


def tree_megabytes(pid: int) -> float:
    """Resident memory of a process and its descendants in 10^6 bytes; what they share counts each time."""
    try:
        pages = int(Path(f'/proc/{pid}/statm').read_text().split()[1])
        children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    except OSError:  # it has just ended
        return 0.0
    return pages * os.sysconf('SC_PAGE_SIZE') / 1e6 + sum(tree_megabytes(int(child)) for child in children)


def peak_megabytes(image: Path, count: int, target: Path, window: Window | None) -> float:
    """Peak memory of writing one image under ``count`` keys with two processes."""
    code = f"""
from pathlib import Path
from mclir_basicsr.prepare.source import Source, Window
from mclir_basicsr.prepare.writer import write
sources = (Source(f'{{i:05d}}', {str(image)!r}, {window!r}) for i in range({count}))
write(sources, {count}, Path({str(target)!r}), form='lmdb', jobs=2, plan='benchmark', progress=False)
"""
    process = subprocess.Popen([sys.executable, '-c', code])
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, tree_megabytes(process.pid))
        time.sleep(0.005)
    if process.returncode:
        sys.exit('the memory benchmark failed')
    return peak


def compare_memory(scratch: Path) -> None:
    """Print peak memory at both counts, whole images and subimages (the workers' included)."""
    emptied(scratch)
    image = next(synthetic_images(scratch / 'images', 1, 128, 128).iterdir())
    for name, window in (('whole images', None), ('subimages', Window(64, 32))):
        few, many = (peak_megabytes(image, count, scratch / f'{count}.lmdb', window) for count in MEMORY_COUNTS)
        for count in MEMORY_COUNTS:
            shutil.rmtree(scratch / f'{count}.lmdb')
        print(f'peak memory of {name}: {few:.0f} MB at {MEMORY_COUNTS[0]:,}, {many:.0f} MB at {MEMORY_COUNTS[1]:,}, '
              f'ratio {many / few:.2f}')  # fmt: skip


def run(images: Iterable[Path], window: Window, scratch: Path) -> None:
    """Print all figures for some images."""
    import mclir_basicsr

    mclir_basicsr.register()  # repairs basicsr on current versions of torchvision
    cv2.setNumThreads(1)
    files = sorted(images)
    print(f'{len(files)} images, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB; window {window.size}, '
          f'step {window.step}; best of {TURNS}')  # fmt: skip
    compare(files, window, scratch)
    compare_command(files, scratch)
    compare_reading(files, window, scratch)
    compare_memory(scratch)


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path, nargs='?', help='PNG images (default: 40 synthetic ones)')
    parser.add_argument('--window', type=int, nargs=2, default=(480, 240), metavar=('SIZE', 'STEP'))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or synthetic_images(Path(temporary) / 'images', 40)
        run(folder.glob('*.png'), Window(*options.window), Path(temporary) / 'scratch')


if __name__ == '__main__':
    main()
