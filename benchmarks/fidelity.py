"""What the options that trade precision for speed do to the gradient of the SPN term.

    python benchmarks/fidelity.py                                    # with random VGG weights
    python benchmarks/fidelity.py --vgg-weights vgg16-397923af.pth

A small EDSR x2 trains with SPN on photographs that ship with scikit-image, so that the negatives are as near to the
output as in a real run. Then each setting computes the gradient of the SPN term from the same weights on the same
batches, and is compared with fp32 and all negatives: the angle between the two, and the norm of their difference over
the norm of the exact one, at the output and in the parameters. Medians over batches (and over the negatives that
per_step evaluates).
"""

import argparse
import math
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from basicsr.models import build_model
from cases import Case, options
from torch import Tensor

from mclir_basicsr.commands.demo.photographs import write_pairs

CASE = Case(
    {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 32, 'num_block': 4, 'upscale': 2}, 2, batch=2, side=60
)
INTERVAL = [10, 20, 50, 100]
NCHW = 'fp32, frozen parts in NCHW'  # rounding alone, for scale: HistoryModel keeps them in channels_last
SETTINGS: dict[str, dict[str, Any]] = {
    NCHW: {},
    'per_step 1': {'history': {'per_step': 1}},
    'per_step 2': {'history': {'per_step': 2}},
    'precision bf16': {'history': {'precision': 'bf16'}},
    'precision fp16': {'history': {'precision': 'fp16'}},
    'amp bf16': {'amp': 'bf16'},
    'amp fp16': {'amp': 'fp16'},
    'amp + precision bf16': {'amp': 'bf16', 'history': {'precision': 'bf16'}},
    'amp + precision fp16': {'amp': 'fp16', 'history': {'precision': 'fp16'}},
}


def batches(seed: int) -> Iterator[dict[str, Tensor]]:
    """Endless random batches of the demo's training photographs."""
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder))
        kinds = {
            kind: np.stack([cv2.imread(str(file)) for file in sorted((Path(folder) / 'train' / kind).glob('*.png'))])
            for kind in ('lq', 'gt')
        }
    images = {kind: torch.from_numpy(stack).flip(-1).permute(0, 3, 1, 2) / 255 for kind, stack in kinds.items()}
    generator = torch.Generator().manual_seed(seed)
    while True:
        chosen = torch.randperm(len(images['lq']), generator=generator)[: CASE.batch]
        yield {kind: stack[chosen] for kind, stack in images.items()}


def make(setting: dict[str, Any], vgg_weights: str) -> Any:
    """A HistoryModel with this setting."""
    train = {'spn_opt': {'weights': vgg_weights}} | setting
    return build_model(options(CASE, train | {'history': {'interval': INTERVAL} | setting.get('history', {})}))


def gradients(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Of the SPN term, at the output and in the parameters, each as one vector."""
    model.feed_data(batch)
    with model._autocast():
        output = model.net_g(model.lq).float()
        loss = model.scaler.scale(model.cri_spn(output, model.history(model.lq)))
    at_output, *in_parameters = torch.autograd.grad(loss, [output, *model.net_g.parameters()])
    scale = model.scaler.get_scale()
    return at_output.flatten().double() / scale, torch.cat([g.flatten() for g in in_parameters]).double() / scale


def compare(found: Tensor, exact: Tensor) -> tuple[float, float]:
    """Angle in degrees and relative error."""
    cosine = torch.dot(found, exact) / (found.norm() * exact.norm())
    return math.degrees(math.acos(cosine.clamp(-1, 1))), ((found - exact).norm() / exact.norm()).item()


def main() -> None:
    """Train, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--vgg-weights', default='random', help='imagenet, a torchvision vgg16 state dict, or random')
    parser.add_argument('--iterations', type=int, default=200, help='of training before')
    parser.add_argument('--batches', type=int, default=8, help='compared')
    arguments = parser.parse_args()

    trained, data = make({}, arguments.vgg_weights), batches(0)
    for iteration in range(1, arguments.iterations + 1):
        trained.feed_data(next(data))
        trained.optimize_parameters(iteration)
    log = trained.get_current_log()
    print(', '.join(f'{name} {value:.4g}' for name, value in log.items()))
    held = [next(data) for _ in range(arguments.batches)]
    exact = [gradients(trained, batch) for batch in held]
    print('| setting | angle, output | error, output | angle, parameters | error, parameters |\n|---|---|---|---|---|')
    for name, setting in SETTINGS.items():
        model = make(setting, arguments.vgg_weights)
        model.net_g.load_state_dict(trained.net_g.state_dict())
        model.history.load_state_dict(trained.history.state_dict())
        if name == NCHW:
            model.history.to(memory_format=torch.contiguous_format)
            model.cri_spn.vgg.to(memory_format=torch.contiguous_format)
        rounds = len(INTERVAL) if model.history.per_step else 1
        rows = [
            (*compare(found_output, output), *compare(found_parameters, parameters))
            for batch, (output, parameters) in zip(held, exact, strict=True)
            for found_output, found_parameters in (gradients(model, batch) for _ in range(rounds))
        ]
        values = [statistics.median(column) for column in zip(*rows, strict=True)]
        print('| {} | {:.2f}° | {:.4f} | {:.2f}° | {:.4f} |'.format(name, *values), flush=True)


if __name__ == '__main__':
    main()
