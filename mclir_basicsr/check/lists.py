"""The files that list the images of a data set: BasicSR's ``meta_info``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mclir_basicsr.errors import FaultsError

_KEYS = ('meta_info_file', 'meta_info')
_CAN_DO_WITHOUT = ('PairedImageDataset', 'SingleImageDataset', 'RealESRGANPairedDataset')
_UNREAD_WITH_LMDB = (*_CAN_DO_WITHOUT, 'RealESRGANDataset')  # a database has a list of its own
_PUBLISHED = 'https://github.com/XPixelGroup/BasicSR/tree/master/basicsr/data/meta_info'


def lists_are_there(datasets: Mapping[str, Any], where: str = 'datasets') -> list[str]:
    """Whether each list that the data sets name is a file; a BasicSR that pip installed has none of its own lists.

    Args:
        datasets: Blocks of an option file by name, and the parts of mixed ones.
        where: Their place in the file.

    Returns:
        Nothing, for there is nothing to note.

    Raises:
        FaultsError: Some are no files; a line for each, with what to do.
    """
    faults: list[str] = []
    for name, block in datasets.items():
        if not isinstance(block, Mapping):
            continue
        for key in _KEYS:
            file = block.get(key)
            if isinstance(file, str) and _is_read(block) and not Path(file).is_file():
                faults.append(f'{where}.{name}.{key}: there is no {file}. {_way_out(block, key, file)}')
        if isinstance(block.get('parts'), Mapping):
            try:
                lists_are_there(block['parts'], f'{where}.{name}.parts')
            except FaultsError as error:
                faults += error.lines
    if faults:
        raise FaultsError(faults)
    return []


def _is_read(block: Mapping[str, Any]) -> bool:
    backend = block.get('io_backend')
    is_database = isinstance(backend, Mapping) and backend.get('type') == 'lmdb'
    return not (is_database and block.get('type') in _UNREAD_WITH_LMDB)


def _way_out(block: Mapping[str, Any], key: str, file: str) -> str:
    of_basicsr = 'data/meta_info/' in Path(file).as_posix()
    fetch = f'A BasicSR that pip installed has no such lists: fetch it from {_PUBLISHED}' if of_basicsr else 'Mend it'
    if block.get('type') not in _CAN_DO_WITHOUT:
        return f'{fetch}.'
    return f'{fetch}, or take {key} out: then every image of the folder is used.'
