"""Repairs of how BasicSR starts and ends the processes of a run."""

import atexit
from collections.abc import Callable
from typing import Any

from mclir_basicsr.compat.repair import Repair
from mclir_basicsr.stand_in import stand_in


def cpu_process_group(original: Callable[..., None], _backend: str, *args: Any, **kwargs: Any) -> None:
    """Starting a process group divides by the number of GPUs and asks for NCCL; without GPUs gloo serves."""
    import torch

    with stand_in(torch.cuda, 'device_count', lambda: 1), stand_in(torch.cuda, 'set_device', lambda *_: None):
        original('gloo', *args, **kwargs)


def process_group_end(original: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """A process group is never ended: gloo's threads can abort the process while Python ends, which fails the job."""
    original(*args, **kwargs)
    atexit.register(_end_process_group)


def _end_process_group() -> None:
    """End a group of gloo; NCCL's waits for the other ranks, for ever where one has failed, and needs no end."""
    from torch import distributed

    if distributed.is_initialized() and distributed.get_backend() == 'gloo':
        distributed.destroy_process_group()


def cpu_data_parallel(original: Callable[..., Any], self: Any, net: Any, *args: Any, **kwargs: Any) -> Any:
    """DistributedDataParallel is given a CUDA device; on a CPU it takes none."""
    from torch.nn.parallel import DistributedDataParallel

    if not self.opt['dist']:
        return original(self, net, *args, **kwargs)
    unused = self.opt.get('find_unused_parameters', False)
    return DistributedDataParallel(net.to(self.device), find_unused_parameters=unused)


def _without_gpu(_: Callable[..., Any]) -> bool:
    import torch

    return not torch.cuda.is_available()


_DIST = 'basicsr.utils.dist_util'
REPAIRS = (
    Repair(_DIST, '_init_dist_pytorch', cpu_process_group, _without_gpu),
    Repair(_DIST, '_init_dist_slurm', cpu_process_group, _without_gpu),
    Repair(_DIST, 'init_dist', process_group_end),
    Repair('basicsr.models.base_model:BaseModel', 'model_to_device', cpu_data_parallel, _without_gpu),
)
