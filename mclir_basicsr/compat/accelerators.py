"""Repairs for GPUs other than CUDA's, where torch has one: Apple's MPS, Intel's XPU."""

from collections.abc import Callable
from typing import Any

from mclir_basicsr.compat.repair import Repair
from mclir_basicsr.stand_in import stand_in


def other_gpu_counts(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """``num_gpu: auto`` counts the GPUs of CUDA alone; another one that torch sees counts as one."""
    import torch

    with stand_in(torch.cuda, 'device_count', lambda: 1):
        return original(*args, **kwargs)


def other_gpu_trains(original: Callable[..., None], self: Any, opt: dict[str, Any], *args: Any, **kwargs: Any) -> None:
    """A model with ``num_gpu`` goes onto CUDA whatever torch sees; it goes onto the GPU that there is."""
    original(self, opt, *args, **kwargs)
    from mclir_basicsr import devices

    self.device = devices.of_run(opt)


def _has_other_gpu(_: Callable[..., Any]) -> bool:
    from mclir_basicsr import devices

    return devices.is_other()


REPAIRS = (
    Repair('basicsr.utils.options', 'parse_options', other_gpu_counts, _has_other_gpu),
    Repair('basicsr.models.base_model:BaseModel', '__init__', other_gpu_trains, _has_other_gpu),
)
