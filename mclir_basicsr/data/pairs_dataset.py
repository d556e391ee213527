"""A BasicSR data set whose pairs stand in a file: many lq images may share one gt image."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from torch.utils.data import Dataset
from torchvision.transforms.functional import normalize

from mclir_basicsr.data.meta_info import META_INFO, read_meta_info
from mclir_basicsr.data.pairs_file import Pair, read_pairs
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.paths import expand


class PairsFileDataset(Dataset[dict[str, Any]]):
    """Pairs of lq and gt images as a pairs file lists them, from LMDB or folders.

    What it does to a pair is what BasicSR's PairedImageDataset does, apart from three things that RESIDE needs
    (FFA-Net, Qin et al., AAAI 2020): several lq images may name the same gt image, a gt image with a border, larger
    by ``scale`` pixels or more than ``scale`` times its lq image, is first cut to that size around the centre, and
    training leaves out pairs smaller than the patch.

    Args:
        opt: ``dataroot_gt``, ``dataroot_lq``, ``pairs_file``, ``io_backend`` (type lmdb or disk), ``scale``, ``phase``;
            in training ``gt_size``, ``use_hflip``, ``use_rot``; optional ``mean``, ``std`` (RGB, for lq and gt alike)
            and ``color`` (``y``). The lines of the pairs file are ``LQ GT`` or ``LQ GT HEIGHTxWIDTH``: the names
            without ending and the size of the lq image.

    Raises:
        MclirError: The pairs file is missing or malformed, names an image that is not there, or no pair is as large as
            the patch.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt
        self.file_client: FileClient | None = None
        self.mean, self.std = opt.get('mean'), opt.get('std')
        pairs = _read(_pairs_file(opt))
        if opt['phase'] == 'train':
            pairs = _large_enough(pairs, opt)
        names = {side: _names(opt, side) for side in ('lq', 'gt')}
        for side, keys in (('lq', {pair.lq for pair in pairs}), ('gt', {pair.gt for pair in pairs})):
            _complete(keys, names[side], opt, side)
        self.paths = [(names['lq'][pair.lq], names['gt'][pair.gt]) for pair in pairs]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The pair as tensors.

        Returns:
            ``lq`` (3, h, w) and ``gt`` (3, h·scale, w·scale), float32, RGB in [0, 1] before ``mean`` and ``std``, one
            channel for ``color: y``; ``lq_path`` and ``gt_path``, keys of an LMDB or paths of files.

        Raises:
            MclirError: An image cannot be read, or gt is smaller than ``scale`` times lq.
        """
        lq_path, gt_path = self.paths[index]
        scale = self.opt['scale']
        lq, gt = self._image(lq_path, 'lq'), self._image(gt_path, 'gt')
        gt = _fitted(gt, lq, scale, f'{gt_path} (lq: {lq_path})')
        if self.opt['phase'] == 'train':
            gt, lq = paired_random_crop(gt, lq, self.opt['gt_size'], scale, gt_path)
            gt, lq = augment([gt, lq], self.opt['use_hflip'], self.opt['use_rot'])
        if self.opt.get('color') == 'y':
            gt, lq = (bgr2ycbcr(image, y_only=True)[..., None] for image in (gt, lq))
        gt, lq = img2tensor([gt, lq], bgr2rgb=True, float32=True)
        if self.mean is not None or self.std is not None:
            for image in (lq, gt):
                normalize(image, self.mean, self.std, inplace=True)
        return {'lq': lq, 'gt': gt, 'lq_path': lq_path, 'gt_path': gt_path}

    def _image(self, path: str, side: str) -> np.ndarray:
        """(H, W, 3), BGR, float32 in [0, 1]."""
        if self.file_client is None:  # here and not in __init__: an open LMDB cannot go to the worker processes
            self.file_client = _client(self.opt)
        try:
            content = self.file_client.get(path, side)
        except OSError as error:
            raise MclirError(f'{side} image {path} cannot be read: {error}.') from error
        image = imfrombytes(content) if content else None
        if image is None:
            raise MclirError(
                f'{side} image {path} of {self.opt[f"dataroot_{side}"]} is missing or damaged. '
                'mclir verify names every such image; prepare the data set again from whole files.'
            )
        return image.astype(np.float32) / 255.0


def _is_lmdb(opt: Mapping[str, Any]) -> bool:
    return bool(opt['io_backend']['type'] == 'lmdb')


# An LMDB can be open in a process once, but pairs of it may be trained with and others validated on.
_open: WeakValueDictionary[tuple[int, str, str], 'FileClient'] = WeakValueDictionary()


def _client(opt: Mapping[str, Any]) -> 'FileClient':
    backend = dict(opt['io_backend'])
    if not _is_lmdb(opt):
        return FileClient(backend.pop('type'), **backend)
    roots = opt['dataroot_lq'], opt['dataroot_gt']
    key = (os.getpid(), *roots)  # a process that was forked opens its own
    client = _open.get(key)
    if client is None:
        backend |= {'db_paths': list(roots), 'client_keys': ['lq', 'gt']}
        client = _open[key] = FileClient(backend.pop('type'), **backend)
    return client


def _pairs_file(opt: Mapping[str, Any]) -> Path:
    if not opt.get('pairs_file'):
        raise MclirError(f'Data set {opt.get("name")}: pairs_file is missing. `mclir prepare` writes one.')
    return expand('pairs_file', opt['pairs_file'])


def _read(file: Path) -> list[Pair]:
    try:
        pairs, bad = read_pairs(file)
    except OSError as error:
        raise MclirError(f'pairs_file {file} cannot be read: {error}. `mclir prepare` writes one.') from error
    if bad:
        more = f' So are {len(bad) - 1} more lines.' if len(bad) > 1 else ''
        raise MclirError(f'pairs_file {file}, line {bad[0].number}: {bad[0].text}.{more}')
    return list(pairs.values())


def _large_enough(pairs: list[Pair], opt: Mapping[str, Any]) -> list[Pair]:
    patch = opt['gt_size'] // opt['scale']
    large = [pair for pair in pairs if pair.size is None or min(pair.size) >= patch]
    if not large:
        raise MclirError(f'pairs_file {opt["pairs_file"]} lists no pair as large as gt_size {opt["gt_size"]}.')
    if len(large) < len(pairs):
        get_root_logger().info(
            f'Data set {opt.get("name")}: {len(pairs) - len(large)} of {len(pairs)} pairs are smaller than gt_size '
            f'{opt["gt_size"]} and left out.'
        )
    return large


def _names(opt: Mapping[str, Any], side: str) -> dict[str, str]:
    """What to ask the file client for, by key."""
    root = Path(opt[f'dataroot_{side}'])
    try:
        if _is_lmdb(opt):
            return {key: key for key in read_meta_info(root / META_INFO).by_key()}
        return {Path(name).stem: str(root / name) for name in scandir(str(root))}
    except OSError as error:
        raise MclirError(f'dataroot_{side} {root} cannot be read: {error}.') from error


def _complete(keys: set[str], names: Mapping[str, str], opt: Mapping[str, Any], side: str) -> None:
    missing = sorted(keys - names.keys())
    if missing:
        raise MclirError(
            f'pairs_file {opt["pairs_file"]} names {len(missing)} images that dataroot_{side} '
            f'{opt[f"dataroot_{side}"]} lacks: {", ".join(missing[:5])}{", ..." if len(missing) > 5 else ""}.'
        )


def _fitted(gt: np.ndarray, lq: np.ndarray, scale: int, name: str) -> np.ndarray:
    """The part of gt that lq shows: without a border, or without the remainder of a division by scale."""
    height, width = lq.shape[0] * scale, lq.shape[1] * scale
    over = gt.shape[0] - height, gt.shape[1] - width
    if min(over) < 0:
        raise MclirError(
            f'gt image {name}: {gt.shape[1]}x{gt.shape[0]} is smaller than scale times its lq image, {width}x{height}.'
        )
    # what a division leaves over lies at the bottom and the right: BasicSR's PairedImageDataset, too, cuts it there
    top, left = (pixels // 2 if pixels >= scale else 0 for pixels in over)
    return gt[top : top + height, left : left + width]


# Last: where the start-up hook is on, the first import of BasicSR registers the class above.
from basicsr.data.transforms import augment, paired_random_crop  # noqa: E402
from basicsr.utils import FileClient, bgr2ycbcr, get_root_logger, imfrombytes, img2tensor, scandir  # noqa: E402
