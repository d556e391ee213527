"""The data sets of an option file, before training starts."""

import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from mclir_basicsr.errors import FaultsError, MclirError, UnknownNameError
from mclir_basicsr.files.paths import expand

_SHOWN = 5  # faulty pairs named of each data set
MOST = 20_000  # pairs compared: on a network disk a header takes milliseconds, while the other ranks wait


def check_data_set(opt: dict[str, Any], phase: str) -> list[str]:
    """Build a data set of an option file as BasicSR does, compare the sizes of its pairs, and read the first.

    Of more than MOST pairs, so many evenly spread ones are compared.

    Args:
        opt: The option file; the block of the data set is completed in place, as BasicSR's parser does.
        phase: Which of ``datasets``.

    Returns:
        What was found, a sentence each.

    Raises:
        MclirError: The data set cannot be built or read, or pairs do not fit.
    """
    where, block = f'datasets.{phase}', opt['datasets'][phase]
    block |= {'phase': phase.split('_')[0]} | ({'scale': opt['scale']} if 'scale' in opt else {})
    for key in ('dataroot_gt', 'dataroot_lq'):
        if block.get(key) is not None:
            block[key] = str(expand(f'{where}.{key}', block[key]))
            if not Path(block[key]).exists():
                raise MclirError(f'{where}.{key}: there is no {block[key]}.')
    try:
        return _pairs(where, block)
    except UnknownNameError:  # _names tells
        return []
    except KeyError as error:
        raise MclirError(f'{where}: {error} is missing or unknown.') from error
    except FaultsError:
        raise
    except Exception as error:  # whatever a data set raises on what it reads
        raise MclirError(f'{where}: {error}') from error


def _pairs(where: str, block: dict[str, Any]) -> list[str]:
    from basicsr.data import build_dataset

    data = build_dataset(deepcopy(block))
    if not len(data):
        raise MclirError(f'no images in {block.get("dataroot_lq") or block.get("dataroot_gt")}.')
    patch, scale = block.get('gt_size'), block.get('scale')
    if block['phase'] == 'train' and isinstance(patch, int) and isinstance(scale, int) and scale and patch % scale:
        raise MclirError(f'gt_size {patch} is no multiple of scale {scale}.')
    pairs = _paths(data)
    compared = sorted(pairs)[:: -(-len(pairs) // MOST) or 1]
    faults = list(_size_faults(compared, block)) if compared else []
    if faults:
        more = [f'{where}: and {len(faults) - _SHOWN} more such pairs.'] if len(faults) > _SHOWN else []
        raise FaultsError([f'{where}: {fault}' for fault in faults[:_SHOWN]] + more)
    data[0]
    of_many = (
        f' The sizes of {len(compared)} of them, evenly spread, were compared.' if len(compared) < len(pairs) else ''
    )
    return [f'{where}: {len(data)} pairs.{of_many}']


def _paths(data: Any) -> list[tuple[str, str]]:
    """(lq, gt) of each pair, where the data set is one of pairs."""
    paths = getattr(data, 'paths', [])
    if all(isinstance(path, Mapping) and {'lq_path', 'gt_path'} <= path.keys() for path in paths):
        return [(path['lq_path'], path['gt_path']) for path in paths]
    return [path for path in paths if isinstance(path, tuple)]


def _size_faults(pairs: list[tuple[str, str]], block: Mapping[str, Any]) -> Iterator[str]:
    scale, patch = block['scale'], block.get('gt_size') if block['phase'] == 'train' else None
    lq_size, gt_size = (_sizes_of(block, side) for side in ('lq', 'gt'))
    border = block['type'] != 'PairedImageDataset' or block['phase'] != 'train'  # then a larger gt is cut
    for lq, gt in pairs:
        try:
            small, large = lq_size(lq), gt_size(gt)
        except KeyError:
            yield f'{lq} and {gt}: a meta_info.txt lacks one of them, or its "(height,width,channels)".'
            continue
        except OSError as error:
            yield f'{lq} and {gt}: {"no image" if isinstance(error, UnidentifiedImageError) else error}'
            continue
        wanted = tuple(side * scale for side in small)
        if large != wanted and not (border and all(a >= b for a, b in zip(large, wanted, strict=True))):
            yield f'{gt} is {_text(large)}, but {lq} is {_text(small)}, so that scale {scale} needs {_text(wanted)}.'
        elif patch and min(large) < patch:
            yield f'{gt} is {_text(large)}, smaller than gt_size {patch}.'


def _text(size: tuple[int, ...]) -> str:
    return f'{size[0]}x{size[1]} (height x width)'


def _sizes_of(block: Mapping[str, Any], side: str) -> Callable[[str], tuple[int, int]]:
    """A function from a path or key to (height, width)."""
    if block['io_backend']['type'] == 'lmdb':
        lines = (Path(block[f'dataroot_{side}']) / 'meta_info.txt').read_text(encoding='utf-8')
        sizes = re.findall(r'^([^.\n]+)\S* \((\d+),(\d+)', lines, re.MULTILINE)
        return {key: (int(height), int(width)) for key, height, width in sizes}.__getitem__

    def size(path: str) -> tuple[int, int]:
        with Image.open(path) as image:
            return image.height, image.width

    return size
