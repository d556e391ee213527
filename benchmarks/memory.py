"""What fits: the memory of a training step, and the largest batch for GPUs of a few sizes.

    python benchmarks/memory.py                                     # the authors' networks and patches
    python benchmarks/memory.py --networks nafnet --settings SRModel 'K=4 per_step 1'
    python benchmarks/memory.py --networks edsr --batch 28          # a small network

The peak is a part that does not depend on the batch (weights and what goes along with them, and the pixels that SPNLoss
has in its VGG at a time) and one per image, as found at two batches; the smaller should outweigh those pixels. On a CPU
it counts tensors alone, so that a batch which just fits by this table may not on a GPU; on a GPU it is what torch takes
from the device.
"""

import argparse
import gc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from cases import CASES, SETS, SETTINGS, make
from torch.profiler import ProfilerActivity, profile

MIB = 2**20
GPUS = (11, 24, 80)  # memory in GiB
CUDA = 1.5  # GiB of it that CUDA's own code and libraries take


def peak_memory(build: Callable[[], Any]) -> tuple[float, float]:
    """Peak memory of a model's training steps in MiB, and how much of it are frozen copies of the network.

    On a CPU: of all tensors, while the model is built and makes two steps (torch.profiler). On a GPU: what torch's
    allocator holds of the device, during two steps that follow two others, in which cuDNN tries its algorithms and
    compilers compile.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        model = build()
        _steps(model, 1, 2)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        _steps(model, 3, 4)
        return torch.cuda.max_memory_reserved() / MIB, _copies(model)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
        model = build()
        _steps(model, 1, 2)
    results = run.profiler.kineto_results  # no public interface gives the allocations in their order
    changes = [event.nbytes() for event in results.events() if event.name() == '[memory]']
    return max(accumulate(changes)) / MIB, _copies(model)


def _steps(model: Any, *iterations: int) -> None:
    for iteration in iterations:
        model.optimize_parameters(iteration)


def _copies(model: Any) -> float:
    """MiB of the negatives, those stored in a low precision included; 0 for a model without any."""
    history = getattr(model, 'history', None)
    networks = {*history.negatives, *history._evaluated} if history is not None else ()
    return sum(t.nbytes for net in networks for t in (*net.parameters(), *net.buffers())) / MIB


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--networks', nargs='+', choices=CASES, default=SETS['gpu'])
    parser.add_argument('--settings', nargs='+', choices=SETTINGS, default=['SRModel', 'K=4', 'K=4 amp bf16'])
    parser.add_argument('--batch', type=int, default=1, help='measure at this batch and twice this batch')
    arguments = parser.parse_args()
    batch = arguments.batch

    print('| network | lq | setting | MiB | MiB per image |' + ''.join(f' {size} GB |' for size in GPUS))
    print('|---' * (5 + len(GPUS)) + '|', flush=True)
    for network in arguments.networks:
        case = CASES[network]
        for setting in arguments.settings:
            one, two = (peak_memory(partial(make, replace(case, batch=n), setting))[0] for n in (batch, 2 * batch))
            fixed, per_image = 2 * one - two, (two - one) / batch
            largest = [max(0, int(((size - CUDA) * 1024 - fixed) / per_image)) for size in GPUS]
            print(
                f'| {network} | {case.side}x{case.side} | {setting} | {fixed:.0f} | {per_image:.0f} |'
                + ''.join(f' {number} |' for number in largest),
                flush=True,
            )


if __name__ == '__main__':
    main()
