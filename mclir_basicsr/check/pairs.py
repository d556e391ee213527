"""The data sets of an option file, before training starts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from mclir_basicsr.check.lists import lists_are_there
from mclir_basicsr.check.metrics import metrics_of, small, without_gt
from mclir_basicsr.data.meta_info import META_INFO, read_meta_info
from mclir_basicsr.data.mixed_dataset import part_options
from mclir_basicsr.data.progressive import read_stages
from mclir_basicsr.errors import FaultsError, MclirError, UnknownNameError
from mclir_basicsr.files.paths import expand
from mclir_basicsr.prepare.header import read_header
from mclir_basicsr.prepare.turned import APART, files_lie_apart
from mclir_basicsr.run.resume import is_ours

_SHOWN = 5  # faulty pairs named of each data set
MOST = 20_000  # pairs compared: on a network disk a header takes milliseconds, while the other ranks wait


def check_data_set(opt: dict[str, Any], phase: str) -> list[str]:
    """Build a data set of an option file as BasicSR does, compare the sizes of its images, and read the first.

    Of a data set to validate on, the sizes are also those that the metrics can be computed on.

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
    lists_are_there({phase: block})
    block |= {'phase': phase.split('_')[0]} | ({'scale': opt['scale']} if 'scale' in opt else {})
    if block.get('type') == 'MixedDataset':
        return [*_mixed(opt, phase, where, block), *_stages(opt, phase, block)]
    try:
        return [*_check_block(opt, phase, where, block), *_stages(opt, phase, block)]
    except UnknownNameError:  # names tells
        return []


def _mixed(opt: Mapping[str, Any], phase: str, where: str, block: dict[str, Any]) -> list[str]:
    """Each part of a mixed data set, and the whole."""
    from basicsr.data import build_dataset

    faults, notes = [], []
    try:
        parts = part_options(block)
    except MclirError as error:
        raise MclirError(f'{where}: {error}') from error
    for name, part in parts.items():
        try:
            notes += _check_block(opt, phase, f'{where}.parts.{name}', part)
        except FaultsError as error:
            faults += error.lines
        except UnknownNameError as error:
            faults.append(f'{where}.parts.{name}: {error}')
        except MclirError as error:
            faults.append(str(error))
    if faults:
        raise FaultsError(faults)
    mixed = build_dataset(deepcopy(block))
    return [*notes, f'{where}: {len(mixed)} samples an epoch: {mixed.told()}.']


def _check_block(opt: Mapping[str, Any], phase: str, where: str, block: dict[str, Any]) -> list[str]:
    for key in ('dataroot_gt', 'dataroot_lq'):
        if block.get(key) is not None:
            block[key] = str(expand(f'{where}.{key}', block[key]))
            if not Path(block[key]).exists():
                raise MclirError(f'{where}.{key}: there is no {block[key]}.')
    try:
        return _images(opt, phase, where, block)
    except (UnknownNameError, FaultsError):
        raise
    except KeyError as error:
        raise MclirError(f'{where}: {error} is missing or unknown.') from error
    except Exception as error:  # whatever a data set raises on what it reads
        raise MclirError(f'{where}: {error}') from error


def _images(opt: Mapping[str, Any], phase: str, where: str, block: dict[str, Any]) -> list[str]:
    from basicsr.data import build_dataset

    data = build_dataset(deepcopy(block))
    if not len(data):
        raise MclirError(f'no images in {block.get("dataroot_lq") or block.get("dataroot_gt")}.')
    patch, scale = block.get('gt_size'), block.get('scale')
    if phase == 'train' and isinstance(patch, int) and isinstance(scale, int) and scale and patch % scale:
        raise MclirError(f'gt_size {patch} is no multiple of scale {scale}.')
    metrics = {} if phase == 'train' else metrics_of(opt)
    paths, are_pairs = _paths(data)
    compared = sorted(paths)[:: -(-len(paths) // MOST) or 1]
    faults = list(_size_faults(compared, block, metrics)) if compared else []
    if faults:
        more = [f'{where}: and {len(faults) - _SHOWN} more such faults.'] if len(faults) > _SHOWN else []
        raise FaultsError([f'{where}: {fault}' for fault in faults[:_SHOWN]] + more)
    sample = data[0]
    if metrics and isinstance(sample, Mapping) and 'gt' not in sample and (fault := without_gt(opt, phase)):
        raise FaultsError([fault])
    of_many = (
        f' The sizes of {len(compared)} of them, evenly spread, were compared.' if len(compared) < len(paths) else ''
    )
    return [f'{where}: {len(data)} {"pairs" if are_pairs else "samples"}.{of_many}']


def _stages(opt: Mapping[str, Any], phase: str, block: Mapping[str, Any]) -> list[str]:
    """The stages of progressive learning, which only the training of ours has."""
    stages = read_stages(block, block.get('scale', 1)) if phase == 'train' and is_ours(dict(opt)) else None
    if stages is None:
        return []
    late = stages.late(int(opt['train']['total_iter']))
    unmet = f' Those of {", ".join(map(str, late))} begin behind total_iter.' if late else ''
    return [f'datasets.train: {stages}.{unmet}']


def _paths(data: Any) -> tuple[list[tuple[str, str | None]], bool]:
    """(lq, gt) of each pair, or (lq, None) of each image of a data set without gt; and whether there are pairs."""
    paths = getattr(data, 'paths', [])
    if all(isinstance(path, Mapping) and {'lq_path', 'gt_path'} <= path.keys() for path in paths):
        return [(path['lq_path'], path['gt_path']) for path in paths], bool(paths)
    pairs = [path for path in paths if isinstance(path, tuple)]
    if not pairs and getattr(data, 'lq_folder', None) and not getattr(data, 'gt_folder', None):
        return [(path, None) for path in paths if isinstance(path, str)], False
    return pairs, bool(pairs)


def _size_faults(
    pairs: list[tuple[str, str | None]], block: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    scale, patch = block['scale'], block.get('gt_size') if block['phase'] == 'train' else None
    lq_size, gt_size = (_sizes_of(block, side) for side in ('lq', 'gt'))
    border = block['type'] != 'PairedImageDataset' or block['phase'] != 'train'  # then a larger gt is cut
    for lq, gt in pairs:
        try:
            *low, lq_turn = lq_size(lq)
            wanted = low[0] * scale, low[1] * scale
            *large, gt_turn = (*wanted, lq_turn) if gt is None else gt_size(gt)
        except KeyError:
            yield f'{lq} and {gt or "no gt"}: a meta_info.txt lacks one of them, or its "(height,width,channels)".'
            continue
        except MclirError as error:
            yield str(error)
            continue
        fits = tuple(large) == wanted or (border and all(a >= b for a, b in zip(large, wanted, strict=True)))
        if not fits:
            yield f'{gt} is {_text(large)}, but {lq} is {_text(low)}, so that scale {scale} needs {_text(wanted)}.'
        elif patch and min(large) < patch:
            yield f'{gt} is {_text(large)}, smaller than gt_size {patch}.'
        elif gt is not None and gt_turn != lq_turn and files_lie_apart(Path(gt), Path(lq)):
            yield APART.format(lq=lq, gt=gt)
        for name, metric in metrics.items() if fits else ():
            if why := small(metric, *wanted):
                yield f'val.metrics.{name}: {why}: {lq}, restored to {_text(wanted)}.'


def _text(size: Sequence[int]) -> str:
    return f'{size[0]}x{size[1]} (height x width)'


def _sizes_of(block: Mapping[str, Any], side: str) -> Callable[[str], tuple[int, int, int]]:
    """A function from a path or key to (height, width, EXIF's orientation), which an LMDB does not tell."""
    if block['io_backend']['type'] == 'lmdb':
        shapes = read_meta_info(Path(block[f'dataroot_{side}']) / META_INFO).by_key()
        return {key: (*shape[:2], 1) for key, shape in shapes.items() if shape}.__getitem__

    def size(path: str) -> tuple[int, int, int]:
        header = read_header(Path(path), path)
        return header.height, header.width, header.orientation

    return size
