"""What a training step with SPN costs against BasicSR's SRModel.

    python benchmarks/step_time.py                      # the small networks, for a CPU
    python benchmarks/step_time.py --set gpu            # the authors' networks and batches, for a GPU
    python benchmarks/step_time.py --networks swinir --settings 'K=4' 'K=4 per_step 1' --steps 50
    python benchmarks/step_time.py --networks edsr_tiny --steps 2                                  # a trial
    python benchmarks/step_time.py --other some_model.py:SomeModel --other-train its_train_keys.yml

The models of a network stand in one process and take turns, step by step, so that whatever else the machine does meets
all alike; each network has a process of its own. The ratio is the median over rounds of a model's time to SRModel's in
the same round. R* is what the arithmetic alone costs at equal precision: ``1 + K/3 + (2 + K) V / (3 F)`` plain steps,
with F and V the floating-point operations of a forward pass of the network and of the VGG part
(torch.utils.flop_counter) and K the negatives evaluated in a step; of another model class it is not known. With the
term at every n-th step all but the 1 is divided by n, and the ratio is the median over cycles of n rounds of their
mean. CR compares the output with gt and lq, CCR with J restored images more, each by a network like the trained
one: ``1 + J/3 + (4 + J) W / (3 F)`` plain steps, W a forward pass of their VGG-19 part, through which the
batch goes whole.

Memory is the peak of one model alone. On a CPU: of all tensors, from before the model is built until after its second
step. On a GPU: what torch's allocator holds (torch.cuda.max_memory_reserved) in the third and fourth step, so that what
cuDNN needs to choose its algorithms does not count. The last column is the peak less the K frozen copies of the network
over SRModel's peak.

A setting that fails has its error in its row, and the others go on; so does the next network. A torch.compile that
would leave a part uncompiled, for too many variants of it, counts as failed.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from math import nan
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
import yaml
from cases import (
    CASES,
    GPU_SETTINGS,
    NEGATIVES,
    PLAIN,
    SETS,
    SETTINGS,
    first_line,
    forward_flops,
    make,
    make_other,
    other_class,
)
from memory import peak_memory

WARM_UP = 3
COLUMNS = {  # heading and digits
    'ms': ('ms', 1),
    'ratio': ('plain steps', 2),
    'limit': ('R*', 2),
    'efficiency': ('R*/R', 2),
    'memory_mib': ('peak MiB', 0),
    'copies_mib': ('copies MiB', 0),
    'memory_ratio': ('(peak - copies) / SRModel', 2),
}


def seconds(model: Any, iteration: int) -> float:
    """Time of one step."""
    if torch.cuda.is_available():
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        model.optimize_parameters(iteration)
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3
    began = time.perf_counter()
    model.optimize_parameters(iteration)
    return time.perf_counter() - began


def each(things: dict[str, Any], task: Callable[[Any], Any], errors: dict[str, str]) -> dict[str, Any]:
    """What the task makes of each; where it fails, the first line of the error goes to errors instead."""
    made = {}
    for name, thing in things.items():
        try:
            made[name] = task(thing)
        except Exception as error:  # out of memory, a compiler's, a network that cannot be recorded
            errors[name] = first_line(error)
    return made


def measure(network: str, settings: list[str], others: list[str], train: dict[str, Any], steps: int) -> dict[str, Any]:
    """The machine, F and V in GFLOP an image, and one row per model; for a process of its own."""
    torch.backends.cudnn.benchmark = True  # as basicsr/train.py does
    # All models run the same few functions; a function with more variants than that would run uncompiled, silently.
    compiler = torch._dynamo.config
    if hasattr(compiler, 'recompile_limit'):
        compiler.recompile_limit = compiler.accumulated_recompile_limit = 1024
        compiler.fail_on_recompile_limit_hit = True
    else:  # torch 2.4
        compiler.cache_size_limit = compiler.accumulated_cache_size_limit = 1024
    case = CASES[network]
    builds: dict[str, Callable[[], Any]] = {name: partial(make, case, name) for name in settings}
    builds |= {place: partial(make_other, case, place, train) for place in others}
    one = replace(case, batch=1)
    flops = (*forward_flops(make(one, 'K=4')), *(forward_flops(make(one, 'CR'))[1:] if 'CR' in str(settings) else (0,)))

    errors: dict[str, str] = {}
    memory = each(builds, peak_memory, errors)
    models = each({name: builds[name] for name in memory}, lambda build: build(), errors)
    times: dict[str, list[float]] = {name: [] for name in models}
    for iteration in range(1, WARM_UP + steps + 1):
        taken = each(models, partial(seconds, iteration=iteration), errors)
        models = {name: models[name] for name in taken}
        if iteration > WARM_UP:
            for name, took in taken.items():
                times[name].append(took)
    machine = torch.cuda.get_device_name() if torch.cuda.is_available() else f'CPU, {torch.get_num_threads()} threads'
    times = {name: times[name] for name in models}
    rows = [
        {'setting': name} | ({'error': errors[name]} if name in errors else figures(name, times, memory, flops))
        for name in builds
    ]
    return {'machine': machine, 'F': flops[0] / 1e9, 'V': flops[1] / 1e9, 'W': flops[2] / 1e9, 'rows': rows}


def figures(
    name: str, times: dict[str, list[float]], memory: dict[str, tuple[float, float]], flops: tuple[int, ...]
) -> dict[str, float | None]:
    """The columns of a model; None for what is not known, of another class or for lack of SRModel."""
    (peak, copies), mine = memory[name], times[name]
    known: dict[str, Any] = dict.fromkeys(COLUMNS)
    known |= {'ms': 1e3 * typical(mine, every(name)), 'memory_mib': peak}
    if PLAIN in times:
        known['ratio'] = typical([a / b for a, b in zip(mine, times[PLAIN], strict=True)], every(name))
    if name in SETTINGS:
        known |= {'limit': least(name, flops), 'copies_mib': copies}
        if PLAIN in times:
            known['efficiency'] = known['limit'] / known['ratio']
            known['memory_ratio'] = (peak - copies) / memory[PLAIN][0]
    return known


def typical(values: list[float], cycle: int) -> float:
    """The median; of steps that differ within a cycle, the median over cycles of their means."""
    cycles = [values[i : i + cycle] for i in range(0, len(values) - cycle + 1, cycle)]
    return statistics.median(statistics.mean(each) for each in cycles or [values])


def every(setting: str) -> int:
    """At every which step the SPN term of a setting acts; 1 of another model class."""
    train = SETTINGS.get(setting) or {}
    return train.get('spn_opt', {}).get('every', 1)


def least(setting: str, flops: tuple[int, ...]) -> float:
    """R*; flops are F, V and W."""
    (f, v, w), train = flops, SETTINGS[setting]
    if train is None:
        return 1.0
    if 'contrast_opt' in train:
        j = train['contrast_opt'].get('negatives', 0)
        return 1 + j / 3 + (4 + j) * w / (3 * f)
    k = train['history'].get('per_step', NEGATIVES)
    return 1 + (k / 3 + (2 + k) * v / (3 * f)) / every(setting)


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown."""
    lines = [
        '| setting | ' + ' | '.join(heading for heading, _ in COLUMNS.values()) + ' |',
        '|---' * (1 + len(COLUMNS)) + '|',
    ]
    for row in rows:
        cells = ['-' if row.get(key) is None else f'{row[key]:.{digits}f}' for key, (_, digits) in COLUMNS.items()]
        if 'error' in row:
            cells[0] = row['error'].replace('|', '\\|')
        lines.append('| ' + ' | '.join([row['setting'], *cells]) + ' |')
    return '\n'.join(lines)


def draw(results: dict[str, dict[str, Any]], file: Path) -> None:
    """Bar chart: ratios, with R* as a mark on each bar."""
    mpl.use('Agg')
    from matplotlib import pyplot as plt

    measured = {network: found['rows'][::-1] for network, found in results.items() if 'rows' in found}
    if not measured:
        return
    height = sum(len(rows) for rows in measured.values())
    figure, axes = plt.subplots(len(measured), squeeze=False, figsize=(8, 1 + 0.45 * height), layout='constrained')
    for axis, (network, rows) in zip(axes[:, 0], measured.items(), strict=True):
        names = [row['setting'] for row in rows]
        ratios = [row.get('ratio') for row in rows]
        bars = axis.barh(names, [ratio or 0 for ratio in ratios], color='tab:blue')
        axis.bar_label(bars, ['-' if ratio is None else f'{ratio:.2f}' for ratio in ratios], padding=3)
        axis.plot([row.get('limit') or nan for row in rows], names, 'k|', markersize=14, label='R*')
        axis.set(title=network, xlabel='plain steps')
        axis.legend(loc='upper right')
    figure.savefig(file, dpi=120)
    plt.close(figure)


def apart(task: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What the task gives in a process of its own, or its error: a crash there ends nothing here."""
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as process:
        try:
            return process.submit(task, *arguments).result()
        except Exception as error:
            return {'error': first_line(error)}


def read_keys(file: Path | None) -> dict[str, Any]:
    """The keys of a YAML file; none without a file.

    Raises:
        SystemExit: It cannot be read, or holds no keys.
    """
    if file is None:
        return {}
    try:
        keys = yaml.safe_load(file.read_text(encoding='utf-8'))
    except (OSError, ValueError, yaml.YAMLError) as error:
        sys.exit(f'--other-train: {file} cannot be read: {first_line(error)}')
    if not isinstance(keys, dict):
        sys.exit(f'--other-train: {file} must hold keys and values.')
    return keys


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--set', choices=SETS, default='cpu', help='networks')
    parser.add_argument('--networks', nargs='+', choices=CASES, help='in place of a set')
    parser.add_argument('--settings', nargs='+', choices=SETTINGS, help='default: all that are of use there')
    parser.add_argument('--steps', type=int, default=20, help='measured steps of each model')
    parser.add_argument(
        '--other', nargs='+', default=[], metavar='FILE.py:CLASS', help='BasicSR-style model classes to measure as well'
    )
    parser.add_argument('--other-train', type=Path, metavar='YAML', help='keys for their train block')
    parser.add_argument('--out', type=Path, default=Path('step_time'), help='writes OUT.json and OUT.png')
    arguments = parser.parse_args()
    if not arguments.out.parent.is_dir():
        sys.exit(f'--out: there is no folder {arguments.out.parent}.')
    for place in arguments.other:
        other_class(place)
    train = read_keys(arguments.other_train)

    wanted = arguments.settings or [n for n in SETTINGS if torch.cuda.is_available() or n not in GPU_SETTINGS]
    settings = [PLAIN, *(name for name in wanted if name != PLAIN)]
    print(f'torch {torch.__version__}, medians of {arguments.steps} steps')
    results: dict[str, dict[str, Any]] = {}
    for network in arguments.networks or SETS[arguments.set]:
        case = CASES[network]
        print(f'\n{network}: batch {case.batch}, lq {case.side}x{case.side}, x{case.scale}', flush=True)
        results[network] = found = apart(measure, network, settings, arguments.other, train, arguments.steps)
        if 'error' in found:
            print(found['error'], flush=True)
        else:
            print('{machine}: F {F:.2f} GFLOP, V {V:.2f} GFLOP an image'.format(**found))
            print(table(found['rows']), flush=True)
        content = {'torch': torch.__version__, 'steps': arguments.steps, 'networks': results}
        Path(f'{arguments.out}.json').write_text(json.dumps(content, indent=1), encoding='utf-8')
        draw(results, Path(f'{arguments.out}.png'))


if __name__ == '__main__':
    main()
