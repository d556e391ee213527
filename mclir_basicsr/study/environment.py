"""What a run was made with: versions and device, noted by the process that trains."""

import json
import platform
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.served import version_of

if TYPE_CHECKING:
    import torch


def describe(opt: Mapping[str, Any]) -> dict[str, str]:
    """Versions of what computes, and the device, of this process.

    Args:
        opt: Options of the run; ``num_gpu: 0`` keeps it from a GPU.
    """
    import torch

    from mclir_basicsr import __version__, devices

    gpu = devices.gpu() if opt.get('num_gpu') != 0 else None
    return {
        'python': platform.python_version(),
        'torch': torch.__version__,
        'basicsr': _basicsr(),
        'mclir_basicsr': __version__,
        'device': _name(gpu),
    }


def note(file: Path, found: Mapping[str, str]) -> None:
    """Add a description to a run's file, which has those of its earlier parts."""
    kept = json.loads(file.read_text(encoding='utf-8')) if file.is_file() else []
    if found not in kept:
        with whole_file(file) as stream:
            stream.write(json.dumps([*kept, found], indent=1).encode())


def together(files: Iterable[Path]) -> dict[str, str]:
    """The descriptions of several runs as one; where they differ, each value that occurs."""
    values: dict[str, set[str]] = {}
    for file in files:
        for found in json.loads(file.read_text(encoding='utf-8')) if file.is_file() else []:
            for name, value in found.items():
                values.setdefault(name, set()).add(value)
    return {name: ', '.join(sorted(found)) for name, found in values.items()}


def _basicsr() -> str:
    """Its version; from Python 3.13 on, another package than basicsr brings it."""
    spec = find_spec('basicsr')
    return version_of(Path(spec.origin).parent) if spec and spec.origin else 'none'


def _name(gpu: 'torch.device | None') -> str:
    import torch

    if gpu is not None and gpu.type == 'cuda':
        return torch.cuda.get_device_name()
    return _processor() if gpu is None else f'{gpu.type} of {_processor()}'


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    names = (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    return f'CPU {next(names, platform.processor() or platform.machine())}'
