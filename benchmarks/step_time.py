"""What a training step with SPN costs against BasicSR's SRModel.

    python benchmarks/step_time.py                      # the small networks, for a CPU
    python benchmarks/step_time.py --set gpu            # the authors' networks and batches, for a GPU
    python benchmarks/step_time.py --networks swinir --settings 'K=4' 'K=4 per_step 1' --steps 50
    python benchmarks/step_time.py --other some_model.py:SomeModel --other-train its_train_keys.yml

All models stand in one process and take turns, step by step, so that whatever else the machine does meets all alike.
The ratio is the median over rounds of a model's time to SRModel's in the same round. R* is what the arithmetic alone
costs at equal precision: ``1 + K/3 + (2 + K) V / (3 F)`` plain steps, with F and V the floating-point operations of a
forward pass of the network and of the VGG part (torch.utils.flop_counter) and K the negatives evaluated in a step.
Memory is the peak from before the model is built until after its second step: all tensors on a CPU
(torch.profiler), torch.cuda.max_memory_allocated on a GPU.
"""

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
import yaml
from cases import CASES, GPU_SETTINGS, NEGATIVES, PLAIN, SETS, SETTINGS, Case, forward_flops, make, make_other
from torch.profiler import ProfilerActivity, profile

WARM_UP = 3


def peak_memory(build: Callable[[], Any]) -> float:
    """Peak memory in MiB of building a model and making two steps."""
    gc.collect()

    def work() -> None:
        model = build()
        for iteration in (1, 2):
            model.optimize_parameters(iteration)

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
        work()
    results = run.profiler.kineto_results  # no public interface gives the allocations in their order
    changes = [event.nbytes() for event in results.events() if event.name() == '[memory]']
    return max(accumulate(changes)) / 2**20


def seconds(model: Any, iteration: int) -> Callable[[], float]:
    """Make one step; the result tells its time once it is called."""
    if torch.cuda.is_available():
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        model.optimize_parameters(iteration)
        end.record()
        end.synchronize()
        return lambda: begin.elapsed_time(end) / 1e3
    began = time.perf_counter()
    model.optimize_parameters(iteration)
    took = time.perf_counter() - began
    return lambda: took


def measure(case: Case, builds: dict[str, Callable[[], Any]], steps: int) -> list[dict[str, Any]]:
    """One row per model, the plain one first."""
    memory = {name: peak_memory(build) for name, build in builds.items()}
    models = {name: build() for name, build in builds.items()}
    f, v = forward_flops(make(case, 'K=4'))
    times: dict[str, list[float]] = {name: [] for name in models}
    for iteration in range(1, WARM_UP + steps + 1):
        for name, model in models.items():
            took = seconds(model, iteration)
            if iteration > WARM_UP:
                times[name].append(took())
    rows = []
    for name, taken in times.items():
        k = negatives_per_step(name)
        limit = 1 + k / 3 + (2 + k) * v / (3 * f) if k else 1.0
        ratio = statistics.median(mine / plain for mine, plain in zip(taken, times[PLAIN], strict=True))
        rows.append(
            {
                'setting': name,
                'ms': 1e3 * statistics.median(taken),
                'ratio': ratio,
                'limit': limit,
                'efficiency': limit / ratio,
                'memory_mib': memory[name],
            }
        )
    print(f'F {f / 1e9:.2f} GFLOP, V {v / 1e9:.2f} GFLOP, V/F {v / f:.2f}')
    return rows


def negatives_per_step(setting: str) -> int:
    """K of R*; another model class is taken to evaluate all."""
    train = SETTINGS.get(setting, {})
    return 0 if train is None else train.get('history', {}).get('per_step', NEGATIVES)


def draw(results: dict[str, list[dict[str, Any]]], file: Path) -> None:
    """Bar chart: ratios, with R* as a mark on each bar."""
    mpl.use('Agg')
    from matplotlib import pyplot as plt

    height = sum(len(rows) for rows in results.values())
    figure, axes = plt.subplots(len(results), squeeze=False, figsize=(8, 1 + 0.45 * height), layout='constrained')
    for axis, (network, rows) in zip(axes[:, 0], results.items(), strict=True):
        rows = rows[::-1]
        names = [row['setting'] for row in rows]
        bars = axis.barh(names, [row['ratio'] for row in rows], color='tab:blue')
        axis.bar_label(bars, fmt='%.2f', padding=3)
        axis.plot([row['limit'] for row in rows], names, 'k|', markersize=14, label='R*')
        axis.set(title=network, xlabel='plain steps')
        axis.legend(loc='upper right')
    figure.savefig(file, dpi=120)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--set', choices=SETS, default='cpu', help='networks')
    parser.add_argument('--networks', nargs='+', choices=CASES, help='in place of a set')
    parser.add_argument('--settings', nargs='+', choices=SETTINGS, help='default: all that are of use there')
    parser.add_argument('--steps', type=int, default=20, help='measured steps of each model')
    parser.add_argument('--other', metavar='FILE.py:CLASS', help='any BasicSR-style model class to measure as well')
    parser.add_argument('--other-train', type=Path, metavar='YAML', help="keys for that model's train block")
    parser.add_argument('--out', type=Path, default=Path('step_time'), help='writes OUT.json and OUT.png')
    arguments = parser.parse_args()

    torch.backends.cudnn.benchmark = True  # as basicsr/train.py does
    gpu = torch.cuda.is_available()
    machine = torch.cuda.get_device_name() if gpu else f'CPU, {torch.get_num_threads()} threads'
    print(f'{machine}, torch {torch.__version__}, medians of {arguments.steps} steps')
    results = {}
    for network in arguments.networks or SETS[arguments.set]:
        case = CASES[network]
        wanted = arguments.settings or [name for name in SETTINGS if gpu or name not in GPU_SETTINGS]
        settings = [PLAIN, *(name for name in wanted if name != PLAIN)]
        builds: dict[str, Callable[[], Any]] = {name: lambda c=case, n=name: make(c, n) for name in settings}
        if arguments.other:
            train = yaml.safe_load(arguments.other_train.read_text()) if arguments.other_train else {}
            builds[arguments.other] = lambda c=case, t=train: make_other(c, arguments.other, t)
        print(f'\n{network}: batch {case.batch}, lq {case.side}x{case.side}, x{case.scale}', flush=True)
        results[network] = measure(case, builds, arguments.steps)
        print('| setting | ms | plain steps | R* | R*/R | peak MiB |\n|---|---|---|---|---|---|')
        for row in results[network]:
            print('| {setting} | {ms:.1f} | {ratio:.2f} | {limit:.2f} | {efficiency:.2f} | {memory_mib:.0f} |'
                  .format(**row), flush=True)  # fmt: skip
    content = {'machine': machine, 'torch': torch.__version__, 'steps': arguments.steps, 'networks': results}
    arguments.out.with_suffix('.json').write_text(json.dumps(content, indent=1))
    draw(results, arguments.out.with_suffix('.png'))


if __name__ == '__main__':
    main()
