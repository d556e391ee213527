"""What the options of a run say about what it computes, and in what two runs differ."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mclir_basicsr.report.log import block, validation_sets

_NEEDLESS = re.compile(  # what says how fast, where or under which name a run goes, but not what it computes
    r'name|manual_seed|root_path|auto_resume|dist|rank|is_train|logger\..*|path\.(experiments_root|models|'
    r'training_states|log|visualization|resume_state|resume_settings|.*_(models|states|log)_folder)|datasets\.[^.]*\.(phase|'
    r'num_worker_per_gpu|prefetch_mode|num_prefetch_queue|pin_memory|persistent_workers|iterations_done|start_epoch|position)|'
    r'val\.(pbar|save_img|metrics\..*\.better)'
)
_OBSTACLE = re.compile(  # what makes another experiment, or another way to measure it
    r'train\.total_iter|path\.(pretrain_network_g|param_key_g|strict_load_g)|datasets\..*|scale|num_gpu|world_size|'
    r'val\.(?!val_freq).*'
)
_FILES = re.compile(r'path\.pretrain_.*|.*\.(dataroot.*|meta_info.*)')
_MEASURED = re.compile(r'datasets\.val:.*?\.|val\.metrics\..*?\.')


def settings(options: dict[str, Any]) -> dict[str, str]:
    """The options that say what is computed, by dotted name; files and folders with their full paths.

    Args:
        options: See :class:`~mclir_basicsr.report.runs.Run`. Validation sets are called by their names, not their keys.
    """
    root, sets = options.get('root_path', ''), validation_sets(options)
    given = [dataset.get('name') for dataset in sets.values()]
    names = {key: f'val:{name if given.count(name) == 1 else key}' for key, name in zip(sets, given, strict=True)}
    datasets = {names.get(key, key): value for key, value in block(options, 'datasets').items()}
    found = {}
    for key, value in _flat(options | {'datasets': datasets}):
        if _NEEDLESS.fullmatch(key) or value in ('None', ''):
            continue
        if _FILES.fullmatch(key):
            value = str(Path(os.path.normpath(Path(root, Path(value).expanduser()))))
        elif (key, value) == ('num_gpu', '0'):
            value = '1'  # a CPU takes the batch of one GPU
        found[key] = value
    return found


def _flat(options: dict[str, Any], prefix: str = '') -> Iterator[tuple[str, str]]:
    for key, value in options.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def differing(options: dict[str, Any], others: dict[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    """Options of two runs that differ, as (of the one, of the other); nothing where those of one are not known.

    A data set or metric that only one of them validates with does not count.
    """
    if not options or not others:
        return {}
    mine, theirs = settings(options), settings(others)
    parts = [{match[0] for key in side if (match := _MEASURED.match(key))} for side in (mine, theirs)]
    return {
        key: (mine.get(key), theirs.get(key))
        for key in dict.fromkeys([*mine, *theirs])
        if mine.get(key) != theirs.get(key)
        and not ((match := _MEASURED.match(key)) and match[0] in parts[0] ^ parts[1])
    }


def is_obstacle(key: str) -> bool:
    """Whether runs that differ in this option are other experiments, or measured in another way."""
    return bool(_OBSTACLE.fullmatch(key))
