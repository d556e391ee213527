"""Small data sets in the folders they are published in, and the report about them read back."""

import re

import cv2
import lmdb
import numpy as np
import yaml
from basicsr.data import build_dataset


def plain(height, width, shade):
    return np.full((height, width, 3), (shade, 255 - shade, 7), np.uint8)


def write(file, image):
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), image)


def noise(folder, names, side=24, seed=0):
    random = np.random.default_rng(seed)
    for name in names:
        write(folder / name, random.integers(0, 256, (side, side + 4, 3), dtype=np.uint8))
    return folder


def plant(root, pairs):
    """Write pairs of a data set: each gt image has a colour of its own, and so have the lq images that belong to it.

    pairs: (gt file, gt height and width, lq file, lq height and width).
    """
    shades = {}
    for gt, gt_size, lq, lq_size in pairs:
        shade = shades.setdefault(gt, 20 * (len(shades) + 1))
        write(root / gt, plain(*gt_size, shade))
        write(root / lq, plain(*lq_size, shade))


def super_resolution(gt, lq, sizes, scales=(2, 3, 4)):
    return [
        (gt.format(name), (height, width), lq.format(name, s=s), (height // s, width // s))
        for s in scales
        for name, (height, width) in sizes.items()
    ]


def same_size(gt, lq, count, size):
    return [(gt.format(i), size, lq.format(i), size) for i in range(1, count + 1)]


# name of the case: recipe, pairs as published, images read per phase of each block
TREES = {
    'div2k': (
        'div2k',
        super_resolution(
            'DIV2K/DIV2K_train_HR/{}.png',
            'DIV2K/DIV2K_train_LR_bicubic/X{s}/{}x{s}.png',
            {'0001': (480, 720), '0002': (492, 480)},
        )
        + super_resolution(
            'DIV2K/DIV2K_valid_HR/{}.png', 'DIV2K/DIV2K_valid_LR_bicubic/X{s}/{}x{s}.png', {'0801': (36, 48)}
        ),
        [{'train': 4, 'val': 1}] * 3,
    ),
    'df2k': (
        'df2k',
        super_resolution(
            'DIV2K/DIV2K_train_HR/{}.png', 'DIV2K/DIV2K_train_LR_bicubic/X{s}/{}x{s}.png', {'0001': (480, 480)}, [4]
        )
        + super_resolution(
            'Flickr2K/Flickr2K_HR/{}.png',
            'Flickr2K/Flickr2K_LR_bicubic/X{s}/{}x{s}.png',
            {'000001': (480, 720)},
            [4],
        ),
        [{'train': 3}],
    ),
    'sr-benchmarks': (
        'sr-benchmarks',
        super_resolution('Set5/GTmod12/{}.png', 'Set5/LRbicx{s}/{}.png', {'baby': (24, 36), 'bird': (36, 36)})
        + super_resolution('B100/GTmod12/{}.png', 'B100/LRbicx{s}/{}.png', {'101085': (24, 36)}, [2]),
        [{'val_1': 2, 'val_2': 1}, {'val': 2}, {'val': 2}],
    ),
    'sr-benchmarks of EDSR': (  # gt is not cut to a multiple of the scale there
        'sr-benchmarks',
        super_resolution(
            'benchmark/Set14/HR/{}.png', 'benchmark/Set14/LR_bicubic/X{s}/{}x{s}.png', {'zebra': (31, 47)}
        ),
        [{'val': 1}] * 3,
    ),
    'reside-its': (
        'reside-its',
        [
            (f'ITS/clear/{clear}.png', (64, 72), f'ITS/hazy/{clear}_{i}_0.9{i}17.png', (44, 52))
            for clear in (1, 2, 10)
            for i in range(1, 11)
        ],
        [{'train': 30}],
    ),
    'reside-its as DehazeFormer has it': (
        'reside-its',
        same_size('RESIDE-IN/train/GT/{}_1.png', 'RESIDE-IN/train/hazy/{}_1.png', 3, (40, 48)),
        [{'train': 3}],
    ),
    'reside-ots': (
        'reside-ots',
        [
            (f'OTS/clear/{clear}.jpg', (48, 64), f'OTS/hazy/{clear}_{a}_{b}.jpg', (48, 64))
            for clear in ('0005', '0008')
            for a in (0.8, 0.85, 0.9, 0.95, 1)
            for b in (0.04, 0.06, 0.08, 0.1, 0.12, 0.16, 0.2)
        ],
        [{'train': 70}],
    ),
    'sots': (
        'sots',
        [
            (f'SOTS/indoor/clear/{clear}.png', (48, 64), f'SOTS/indoor/hazy/{clear}_{i}.png', (28, 44))
            for clear in (1400, 1401)
            for i in range(1, 6)
        ]
        + [
            (f'SOTS/outdoor/clear/000{i}.png', (30, 40), f'SOTS/outdoor/hazy/000{i}_0.8_0.2.jpg', (30, 40))
            for i in (1, 2)
        ],
        [{'val_1': 10, 'val_2': 2}],
    ),
    'sots as DehazeFormer has it': (
        'sots',
        same_size('RESIDE-OUT/test/GT/{}_0.8_0.2.jpg', 'RESIDE-OUT/test/hazy/{}_0.8_0.2.jpg', 2, (30, 40)),
        [{'val': 2}],
    ),
    'reside6k': (
        'reside6k',
        same_size('RESIDE-6K/train/GT/{}.jpg', 'RESIDE-6K/train/hazy/{}.jpg', 3, (40, 48))
        + same_size('RESIDE-6K/test/GT/{}.jpg', 'RESIDE-6K/test/hazy/{}.jpg', 2, (40, 48)),
        [{'train': 3, 'val': 2}],
    ),
    'rain200l': (
        'rain200l',
        same_size('groundtruth/norain-{}.png', 'input/rain-{}.png', 3, (40, 48)),
        [{'train': 3}],
    ),
    'rain200h': (
        'rain200h',
        same_size('Rain200H/train/target/{}.png', 'Rain200H/train/input/{}.png', 3, (40, 48))
        + same_size('Rain200H/test/target/{}.png', 'Rain200H/test/input/{}.png', 2, (40, 48)),
        [{'train': 3, 'val': 2}],
    ),
    'rain100': (
        'rain100',
        same_size('Rain100L/target/{}.png', 'Rain100L/input/{}.png', 2, (40, 48))
        + same_size('Rain100H/groundtruth/norain-{}.png', 'Rain100H/input/rain-{}.png', 2, (40, 48)),
        [{'val_1': 2, 'val_2': 2}],
    ),
    'ddn': (
        'ddn',
        [(f'groundtruth/{i}.jpg', (40, 48), f'input/{i}_{k}.jpg', (40, 48)) for i in (1, 900) for k in range(1, 15)],
        [{'train': 28}],
    ),
    'did': (
        'did',
        same_size('DID-MDN/groundtruth/{}.jpg', 'DID-MDN/input/{}.jpg', 3, (40, 48)),
        [{'train': 3}],
    ),
    'spa': (
        'spa',
        same_size('train/groundtruth/{}.png', 'train/input/{}.png', 3, (40, 48))
        + same_size('test/groundtruth/{}.png', 'test/input/{}.png', 1, (40, 48)),
        [{'train': 3, 'val': 1}],
    ),
    'gopro': (
        'gopro',
        same_size('GoPro/train/target/{}.png', 'GoPro/train/input/{}.png', 2, (512, 768))
        + same_size('GoPro/test/target/{}.png', 'GoPro/test/input/{}.png', 1, (40, 48)),
        [{'train': 4, 'val': 1}],
    ),
    'gopro as its makers publish it': (
        'gopro',
        [
            (f'{phase}/GOPR{film}/sharp/000047.png', size, f'{phase}/GOPR{film}/blur/000047.png', size)
            for phase, size in (('train', (512, 512)), ('test', (40, 48)))
            for film in (1, 2)
        ],
        [{'train': 2, 'val': 2}],
    ),
}  # fmt: skip


def blocks(report):
    """The datasets of each document, and its scale."""
    scales = [int(scale) for scale in re.findall(r'^# scale: (\d+)$', report, re.MULTILINE)]
    return list(zip(scales, (document['datasets'] for document in yaml.safe_load_all(report)), strict=True))


def read(entry, scale):
    """Every pair of a data set, uncut."""
    return list(build_dataset(entry | {'phase': 'val', 'scale': scale}))


def stored(target):
    """Encoded images by name, in the order of meta_info.txt for a database."""
    if target.suffix != '.lmdb':
        return {file.name: file.read_bytes() for file in sorted(target.glob('[!.]*'))}
    names = [line.split(' ')[0] for line in (target / 'meta_info.txt').read_text().splitlines()]
    with lmdb.open(str(target), readonly=True, lock=False) as environment, environment.begin() as transaction:
        found = {key.decode(): value for key, value in transaction.cursor()}
    assert sorted(found) == sorted(name.split('.')[0] for name in names)
    return {name: found[name.split('.')[0]] for name in names}
