"""The GPUs that torch sees, and what hides one."""

import os
import shutil
import warnings
from collections.abc import Iterator
from importlib import import_module

from mclir_basicsr.commands.doctor.findings import Finding


def gpu() -> Iterator[Finding]:
    """Each GPU that torch sees, or why there is none."""
    torch = import_module('torch')
    with warnings.catch_warnings(record=True) as caught:  # torch warns of a driver or a GPU that is too old
        warnings.simplefilter('always')
        devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    said = [' '.join(str(warning.message).split()) for warning in caught if warning.category is UserWarning]
    for i, device in enumerate(devices):
        advice = 'Install a torch that supports it: https://pytorch.org/get-started/locally/' if said else ''
        yield Finding(f'GPU {i}', '; '.join([f'{device.name}, {device.total_memory / 2**30:.0f} GiB', *said]), advice)
    other = import_module('mclir_basicsr.devices').gpu() if not devices else None
    if other is not None:
        yield Finding('GPU', f'{other.type}, which num_gpu: auto takes')
    elif not devices:
        build = f'torch is built for CUDA {torch.version.cuda}' if torch.version.cuda else 'torch is built for the CPU'
        advice = 'Training runs on the CPU: set num_gpu: 0 or auto in the option file. If there is a GPU,\n'
        yield Finding('GPU', '; '.join(['none', build, *said]), advice + _way_to_a_gpu(torch.version.cuda))


def _way_to_a_gpu(built_for: str | None) -> str:
    """What hides a GPU from a torch that is built for this CUDA."""
    hidden = os.environ.get('CUDA_VISIBLE_DEVICES')
    if hidden is not None:
        return f'CUDA_VISIBLE_DEVICES={hidden} hides it: unset that.'
    if built_for and shutil.which('nvidia-smi'):
        return f'its driver may be too old for CUDA {built_for}: update it, or install a torch for an older CUDA.'
    if built_for:
        return 'its driver is not installed: no nvidia-smi was found.'
    return 'install a torch built for it: https://pytorch.org/get-started/locally/'
