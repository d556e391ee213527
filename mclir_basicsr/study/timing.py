"""How much longer a training step of one arm takes than one of another."""

import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any

_WARM_UP, _STEPS = 3, 15


def step_ratio(slow: Mapping[str, Any], fast: Mapping[str, Any]) -> float:
    """Time of a step of one option file over that of another, on this machine.

    Both models stand in one process and take turns, so that whatever else the machine does meets both alike; the ratio
    is the median over turns.

    Args:
        slow: The options of a run, with data, as parsed.
        fast: The other's.

    Returns:
        To the nearest twentieth, at least 1.
    """
    from mclir_basicsr.plugin import register

    register()
    models = [_model(dict(opt)) for opt in (slow, fast)]
    ratios = []
    for iteration in range(1, _WARM_UP + _STEPS + 1):
        seconds = [_seconds(model, iteration) for model in models]
        if iteration > _WARM_UP:
            ratios.append(seconds[0] / seconds[1])
    return max(1.0, round(statistics.median(ratios) * 20) / 20)


def _model(opt: dict[str, Any]) -> Any:
    """A model with a batch of its training data."""
    from basicsr.data import build_dataset
    from basicsr.models import build_model
    from torch.utils.data import default_collate

    from mclir_basicsr import devices

    opt |= {'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1, 'num_gpu': int(devices.gpu() is not None)}
    data = opt['datasets']['train']
    dataset = build_dataset({**data, 'phase': 'train', 'scale': opt.get('scale', 1)})
    count = data['batch_size_per_gpu']
    batch = default_collate([dataset[i % len(dataset)] for i in range(count)])
    model = build_model(opt)
    model.feed_data(batch)
    return model


def _seconds(model: Any, iteration: int) -> float:
    from mclir_basicsr import devices

    devices.wait()
    began = time.perf_counter()
    model.optimize_parameters(iteration)
    devices.wait()
    return time.perf_counter() - began


def main() -> int:
    """For a process of its own: two option files, and flags ``--import NAME``; the ratio is the output's last line."""
    from pathlib import Path

    from mclir_basicsr.imports import import_all
    from mclir_basicsr.options import parse_file

    import_all(sys.argv[4::2])
    sys.stdout.write(f'\n{step_ratio(*(parse_file(Path(name)) for name in sys.argv[1:3]))}\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
