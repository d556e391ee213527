"""Which form of the term helps? Forms of SPN that the package does not have, against plain training, in pairs of seeds.

    python benchmarks/evidence/forms.py benchmarks/evidence/sr_cnn.yml --forms spn_0.1 worse_0.1 --seeds 5 -o forms.json

Each step knows both gradients at the output: g_rec of the reconstruction loss, and g_spn of the SPN term, brought to
``ratio`` times the norm of g_rec. A form says what the network gets. All forms of a seed begin alike and see the same
batches. Options, networks and data are those of the studies (make_pairs.py and the head of the option file).

    plain        g_rec
    lr_<f>       g_rec, the learning rate times f
    beta_<b>     g_rec, Adam's first beta b
    spn_<r>      g_rec + g_spn: the published form
    early_<r>    the same in the first half of the training alone
    pull_<r>     g_rec - g_spn: towards the past, as a teacher that lags behind
    worse_<r>    g_spn only at pixels where the mean of the negatives is further from gt than the output
    side_<r>     g_spn without its component along g_rec (image by image)
    agree_<r>    g_spn only at values where it has the sign of g_rec
    ratio_<r>    the gradient of d(y, gt) / mean_k d(y, n_k), layer by layer, in place of g_spn: CR with history
    sure_<a>     no term: the reconstruction loss weighted by 1 + a·(σ / mean σ - 1), σ the spread of all outputs

With the figures goes the cosine of g_spn and g_rec, a mean over each tenth of the training: above zero where away from
the past is towards gt.
"""

import argparse
import json
import random
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from basicsr.data import build_dataset
from basicsr.metrics import calculate_metric
from basicsr.models import build_model
from basicsr.utils import tensor2img
from torch import Tensor
from torch.utils.data import default_collate

import mclir_basicsr
from mclir_basicsr.options import force, parse_file
from mclir_basicsr.study.gains import gains
from mclir_basicsr.study.verdict import sentence

Figures = dict[str, dict[str, float]]


def changed(opt: dict[str, Any], name: str, value: float) -> None:
    """Make what a form changes in the options."""
    optimizer = opt['train']['optim_g']
    if name == 'lr':
        optimizer['lr'] *= value
    if name == 'beta':
        optimizer['betas'] = [value, optimizer['betas'][1]]


def by_features(model: Any, y: Tensor, negatives: Tensor, gt: Tensor | None) -> Tensor:
    """Gradient by y of minus the mean distance to the negatives, or with gt of the ratio form."""
    y = y.detach().requires_grad_()
    loss = model.cri_spn
    features = loss.vgg(y)
    with torch.no_grad():
        others = [loss.vgg(negative) for negative in negatives]
        wanted = loss.vgg(gt) if gt is not None else None
    total = y.new_zeros(())
    for layer, weight in loss.layer_weights.items():
        away = torch.stack([(features[layer] - other[layer]).abs().mean() for other in others]).mean()
        total = total + weight * (
            -away if wanted is None else (features[layer] - wanted[layer]).abs().mean() / (away + 1e-7)
        )
    return torch.autograd.grad(total, y)[0]


def combined(form: str, value: float, g_rec: Tensor, g_spn: Tensor, y: Tensor, n: Tensor, gt: Tensor) -> Tensor:
    """The gradient at the output y (N, C, H, W) that a form gives; negatives n (K, N, C, H, W)."""
    g_spn = g_spn * (value * g_rec.norm() / g_spn.norm().clamp(min=1e-30))
    if form == 'pull':
        g_spn = -g_spn
    if form == 'worse':
        g_spn = g_spn * ((n - gt).abs().mean(0).mean(1, keepdim=True) > (y - gt).abs().mean(1, keepdim=True))
    if form == 'side':
        along = (g_spn * g_rec).flatten(1).sum(1) / g_rec.flatten(1).square().sum(1).clamp(min=1e-30)
        g_spn = g_spn - along[:, None, None, None] * g_rec
    if form == 'agree':
        g_spn = g_spn * (g_spn.sign() == g_rec.sign())
    return g_rec + g_spn


def train(opt: dict[str, Any], form: str, value: float, seed: int, data: Any) -> tuple[Any, list[float]]:
    """Train one form with one seed; returns the model, and the cosines of both gradients at every step."""
    opt |= {'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1, 'num_gpu': 0, 'manual_seed': seed}
    torch.manual_seed(seed)
    model = build_model(opt)
    count, total = opt['datasets']['train']['batch_size_per_gpu'], opt['train']['total_iter']
    cosines = []
    for iteration in range(1, total + 1):
        model.update_learning_rate(iteration)
        random.seed(seed * 1_000_003 + iteration)
        batch = default_collate([data[random.randrange(len(data))] for _ in range(count)])
        lq, gt = batch['lq'], batch['gt']
        y = model.net_g(lq)
        is_over = form == 'early' and iteration > total // 2
        n = None if model.history is None or is_over else model.history(lq)
        with torch.no_grad():
            weight = torch.ones_like(y)
            if form == 'sure':
                spread = torch.cat([n, y[None]]).std(0)
                weight += value * (spread / spread.mean().clamp(min=1e-12) - 1)
        (g_rec,) = torch.autograd.grad((weight * (y - gt).abs()).mean(), y, retain_graph=True)
        g = g_rec
        if n is not None and form != 'sure':
            g_spn = by_features(model, y, n, gt if form == 'ratio' else None)
            cosines.append(torch.cosine_similarity(g_spn.flatten(), g_rec.flatten(), dim=0).item())
            g = combined(form, value, g_rec, g_spn, y.detach(), n, gt)
        model.optimizer_g.zero_grad()
        y.backward(g)
        model.optimizer_g.step()
        if model.history is not None and model.history.is_due(iteration):
            model.history.refresh(model.net_g, iteration)
    return model, cosines


@torch.no_grad()
def measured(model: Any, data: Any, metric: Mapping[str, Any]) -> dict[str, float]:
    """The metric of each image."""
    model.net_g.eval()
    found = {}
    for pair in data:
        images = [tensor2img([model.net_g(pair['lq'][None])]), tensor2img([pair['gt'][None]])]
        found[Path(pair['lq_path']).stem] = float(calculate_metric({'img': images[0], 'img2': images[1]}, dict(metric)))
    model.net_g.train()
    return found


def main() -> None:
    """Train every form with every seed, and say what each gains over plain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('option_file', type=Path)
    parser.add_argument('--forms', nargs='+', required=True, metavar='NAME_VALUE')
    parser.add_argument('--seeds', type=int, default=5)
    parser.add_argument('--force_yml', nargs='+', default=[], metavar='KEY=VALUE', help='changes for all forms')
    parser.add_argument('-o', '--out', type=Path, required=True, metavar='FILE', help='where figures go')
    arguments = parser.parse_args()
    mclir_basicsr.register()
    kept = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    found: dict[str, Figures] = kept.get('figures', {})
    cosines: dict[str, dict[str, list[float]]] = kept.get('cosines', {})
    for seed in range(arguments.seeds):
        for form in ('plain', *arguments.forms):
            if str(seed) in found.get(form, {}):
                continue
            opt = parse_file(arguments.option_file)
            force(opt, arguments.force_yml)
            name, _, value = form.partition('_')
            changed(opt, name, float(value or 0))
            if name in ('plain', 'lr', 'beta'):
                for key in ('spn_opt', 'history'):
                    opt['train'].pop(key)
            data = {
                phase: build_dataset({**opt['datasets'][phase], 'phase': phase, 'scale': opt['scale']})
                for phase in ('train', 'val')
            }
            began = time.perf_counter()
            np.random.seed(seed)
            model, by_step = train(opt, name, float(value or 0), seed, data['train'])
            figures = measured(model, data['val'], opt['val']['metrics']['psnr'])
            found.setdefault(form, {})[str(seed)] = figures
            tenths = [fmean(part) for part in np.array_split(by_step, min(10, len(by_step) or 1)) if len(part)]
            cosines.setdefault(form, {})[str(seed)] = tenths
            arguments.out.write_text(json.dumps({'figures': found, 'cosines': cosines}, indent=1))
            mean = fmean(figures.values())
            print(f'seed {seed} {form}: {mean:.4f} dB, {time.perf_counter() - began:.0f} s', flush=True)
    arms = {form: {arguments.option_file.stem: {'psnr': found[form]}} for form in ('plain', *arguments.forms)}
    for gain in gains(arms):
        print(f'{gain.arm}: {sentence(gain)}')
    for form in arguments.forms:
        if any(tenths := list(cosines[form].values())):
            print(f'{form}: cosine by tenths', *(f'{fmean(values):+.3f}' for values in zip(*tenths, strict=True)))


if __name__ == '__main__':
    main()
