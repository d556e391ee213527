"""An option file made small: synthetic data of its kind, a few features in its networks, a few iterations.

Its model, losses, schedule, augmentation and data set classes stay what they are. Nothing is downloaded: perceptual
losses, whose VGG would be, are taken out. SPN compares in one layer, with two negatives.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

IMAGES = 3
_SIDE = 40  # of lq images, at least
_OF_NIQE = 208  # of gt images that NIQE measures, with a crop border
_PATCH = 16  # of lq, where nothing asks for more
_ALONE = 'num_frame', 'blur_kernel_size'  # sequences, and images of 400x400 to degrade: one is a batch
_CLIP, _SEQUENCE = 100, 7  # frames that REDS and Vimeo-90K have, on which BasicSR's data sets for them rely
# Patches of lq that a network asks for: SpyNet halves its images five times, HiFaceGAN four.
_PATCHES = {'BasicVSR': 36, 'IconVSR': 36, 'BasicVSRPlusPlus': 64, 'HiFaceGAN': 64}
_DISCRIMINATED = {'VGGStyleDiscriminator': (128, 256)}  # patches of gt that one takes
_FRAMES = {'EDVR': 5, 'IconVSR': 5}  # that a network takes, or asks for; 2 else
# What makes networks small, by argument, where they have it: of lists as many as of numbers.
_SMALL: dict[str, Any] = {
    'embed_dim': 48, 'depths': [2], 'depth': [2], 'num_heads': [2], 'width': 8, 'enc_blk_nums': [1],
    'middle_blk_num': 1, 'dec_blk_nums': [1], 'enc_blks': [1], 'dec_blks': [1], 'num_feat': 8, 'num_block': 1,
    'num_grow_ch': 4, 'num_refinement_blocks': 1, 'dim': 8, 'heads': [1, 1, 1, 1], 'num_group': 1, 'mid_channels': 8,
    'squeeze_factor': 4, 'deformable_groups': 2, 'num_extract_block': 1, 'num_reconstruct_block': 1,
}  # fmt: skip


def made_small(opt: dict[str, Any], folder: Path, iterations: int) -> dict[str, Any]:
    """The options with synthetic data, small networks and a few iterations, each of which is saved.

    Args:
        opt: An option file for training, as YAML gives it. It is changed.
        folder: Where the data go.
        iterations: After the last one the run validates.
    """
    scale, patch = int(opt.get('scale', 1)), _patch_of_lq(opt)
    metrics = (opt.get('val') or {}).get('metrics') or {}
    side = _OF_NIQE // scale if any(metric['type'] == 'calculate_niqe' for metric in metrics.values()) else _SIDE
    data = SyntheticData(folder, scale, max(patch, side))
    opt['datasets'].setdefault('val', {'name': 'val', 'type': 'PairedImageDataset', 'dataroot_lq': ''})
    for phase, block in opt['datasets'].items():
        data.put_into(block, phase)
    train = opt['datasets']['train']
    train |= {'gt_size': patch * scale, 'num_worker_per_gpu': 0}
    train['batch_size_per_gpu'] = 1 if any(key in train for key in _ALONE) else 2
    if 'num_frame' in train and train['num_frame'] > 0:
        train['num_frame'] = _FRAMES.get(opt['network_g']['type'], 2)
    if 'gt_sizes' in train:
        train |= {'gt_sizes': [patch * scale // 2, patch * scale], 'mini_batch_sizes': [2, 1]}
        train |= {'iters': [iterations - 1, 1]}
    opt |= {'gt_size': patch * scale} if 'gt_size' in opt else {}
    for network in (opt[key] for key in opt if key.startswith('network_')):
        _shrink(network, patch * scale)
    opt |= {'num_gpu': 0}
    opt['path'] |= {key: None for key in opt['path'] if key.startswith('pretrain')}
    opt['train'] |= {'total_iter': iterations}
    opt['train']['history'] |= {'interval': [1, 2]}  # so that each of the negatives is refreshed
    opt['train']['spn_opt'] |= {'layer_weights': {'relu1_2': 1.0}}
    if opt['train'].pop('perceptual_opt', None) and 'pixel_opt' not in opt['train']:
        opt['train']['pixel_opt'] = {'type': 'L1Loss'}
    opt['logger'] |= {'print_freq': 1, 'save_checkpoint_freq': 1, 'use_tb_logger': False}
    val = opt.setdefault('val', {'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}})
    val |= {'val_freq': iterations, 'save_img': not val.get('metrics')}
    return opt


def _patch_of_lq(opt: Mapping[str, Any]) -> int:
    scale, patch = int(opt.get('scale', 1)), _PATCHES.get(opt['network_g']['type'], _PATCH)
    taken = _DISCRIMINATED.get(opt.get('network_d', {}).get('type', ''), ())
    return next((of_gt // scale for of_gt in taken if of_gt >= patch * scale), patch)


def _shrink(network: dict[str, Any], patch: int) -> None:
    """Give a network a few features and no files."""
    network |= {key: value for key, value in _SMALL.items() if key in network}
    if 'num_blocks' in network:
        network['num_blocks'] = 1 if isinstance(network['num_blocks'], int) else [1] * len(network['num_blocks'])
    network |= {key: patch for key in ('crop_size', 'input_size') if key in network}
    network |= {key: None for key in network if key.endswith('_path')}


class SyntheticData:
    """Pairs of images, clips and sequences, made where a data set asks for them.

    Args:
        folder: Where they go.
        scale: Sides of gt over those of lq.
        side: Of lq images.
    """

    def __init__(self, folder: Path, scale: int, side: int) -> None:
        self.folder, self.scale, self.side = folder, scale, side

    def put_into(self, block: dict[str, Any], phase: str) -> None:
        """Let a block of ``datasets`` read synthetic data of its kind."""
        kind = block['type']
        if kind.startswith('Vimeo90K'):
            names, listed = self._clips('sequences', ['00001/0001', '00001/0002'], _SEQUENCE, 'im{}.png', first=1)
        elif kind.startswith('REDS'):
            names, listed = self._clips('clips', ['001', '002'], _CLIP, '{:08d}.png')
        elif kind.startswith('Video'):
            names, listed = self._clips('test', ['000'], _SEQUENCE, '{:08d}.png')
        else:
            names, listed = self._images()
        block['io_backend'] = {'type': 'disk'}
        if kind != 'SingleImageDataset':
            block['dataroot_gt'] = str(names / 'gt')
        if 'dataroot_lq' in block:
            block['dataroot_lq'] = str(names / 'lq')
        block |= {key: str(listed) for key in ('meta_info', 'meta_info_file') if key in block}
        block |= {'filename_tmpl': '{}'} if 'filename_tmpl' in block else {}
        block |= {'dataset_enlarge_ratio': 1} if phase == 'train' else {}

    def _images(self) -> tuple[Path, Path]:
        home = self.folder / 'images'
        if not home.exists():
            for number in range(IMAGES):
                self._write(home, f'{number}.png', number, 0)
        return home, self._list(home, [f'{number}.png' for number in range(IMAGES)], '')

    def _clips(self, name: str, clips: list[str], count: int, file: str, first: int = 0) -> tuple[Path, Path]:
        """Each clip shows a texture that moves, back and forth where it is long."""
        home = self.folder / name
        for number, clip in enumerate(clips if not home.exists() else []):
            for frame in range(count):
                place = f'{clip}/{file.format(frame + first)}'
                if frame < _SEQUENCE:
                    self._write(home, place, number, frame)
                else:
                    for part in ('gt', 'lq'):
                        os.link(home / part / clip / file.format(frame % _SEQUENCE + first), home / part / place)
        return home, self._list(home, clips, f' {count}')

    def _write(self, home: Path, name: str, seed: int, shift: int) -> None:
        """A smooth image, ``shift`` pixels of lq to the left."""
        coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        size = self.side * self.scale
        gt = np.roll(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), -shift * self.scale, axis=1)
        for part, image in (('gt', gt), ('lq', cv2.resize(gt, (self.side, self.side), interpolation=cv2.INTER_AREA))):
            (home / part / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(home / part / name), image)

    def _list(self, home: Path, names: list[str], counted: str) -> Path:
        """The list of BasicSR's form: NAME (H,W,C), or CLIP FRAMES (H,W,C)."""
        size = self.side * self.scale
        (home / 'list.txt').write_text(''.join(f'{name}{counted} ({size},{size},3)\n' for name in names))
        return home / 'list.txt'
