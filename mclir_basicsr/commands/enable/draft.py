"""A complete option file from a checkpoint and two folders of images alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mclir_basicsr.commands.enable.network import NO_TRACE
from mclir_basicsr.commands.enable.option_text import written
from mclir_basicsr.commands.enable.pair_folders import Pairs, held_out, patch_for, read_folders
from mclir_basicsr.commands.replacing import refuse_to_replace
from mclir_basicsr.data.pairs_file import write_pairs
from mclir_basicsr.errors import MclirError

if TYPE_CHECKING:
    from mclir_basicsr.archs.detect import Detected

_ITERATIONS, _EPOCH = 100_000, 4_000  # of the training; samples that an epoch has at least
_PATCHES = {True: 64, False: 128}  # side in lq pixels, for super-resolution or not
_TEMPLATE = """\
# {title}
#
# Made by `mclir enable` from {checkpoint} and the pairs in
# {gt} and
# {lq}. What is most often changed: batch_size_per_gpu and gt_size (memory), lr, total_iter with T_max,
# val_freq. Every key beside BasicSR's is in docs/options.md.

name: {name}
model_type: SRModel
scale: {scale}
num_gpu: auto  # all that are there; 0 trains on the CPU
manual_seed: 0

datasets:
  train:
{train}
    gt_size: {gt_size}  # side of training patches in gt; {patch} in lq
    use_hflip: true
    use_rot: true

    num_worker_per_gpu: 4
    batch_size_per_gpu: 4
    dataset_enlarge_ratio: {enlarge}  # repetitions of the {count} pairs in an epoch
    prefetch_mode: ~

  val:
{val}

network_g:
{network}

path:
  pretrain_network_g: ~
  strict_load_g: true
  resume_state: ~

train:
  ema_decay: 0.999  # validation and net_g_latest.pth have the average, too
  optim_g:
    type: Adam
    lr: !!float 1e-4  # for a trained network; about half of what it was trained with at first
    weight_decay: 0
    betas: [0.9, 0.99]

  scheduler:
    type: TrueCosineAnnealingLR
    T_max: {iterations}
    eta_min: !!float 1e-7

  total_iter: {iterations}
  warmup_iter: -1  # none

  pixel_opt:
    type: L1Loss  # best the loss that the network was trained with
    loss_weight: 1.0
    reduction: mean

  keep: {{last: 3, best: psnr}}  # saves that stay: the newest ones, and net_g_best.pth

val:
  val_freq: !!float 5e3
  save_img: false
  pad_multiple: auto  # what the network needs
  metrics:
    psnr:
      type: calculate_psnr
      crop_border: {border}
      test_y_channel: false
    ssim:
      type: calculate_ssim
      crop_border: {border}
      test_y_channel: false

logger:
  print_freq: 100
  save_checkpoint_freq: !!float 5e3
  use_tb_logger: false
  wandb:
    project: ~
    resume_id: ~

dist_params:
  backend: nccl
  port: 29500
"""


def pairs_files(target: Path) -> dict[str, Path]:
    """The lists of pairs beside an option file."""
    return {part: target.with_name(f'{target.stem}_{part}.txt') for part in ('train', 'val')}


def write_draft(
    draft: Path,
    target: Path,
    pretrain: str,
    gt: Path,
    lq: Path,
    *,
    scale: int | None = None,
    val: tuple[Path, Path] | None = None,
    force: bool = False,
) -> list[str]:
    """Write an option file that trains a network on pairs, for ``enable`` to add SPN to, and its pairs files.

    Args:
        draft: Where it goes.
        target: The option file that will be made of it; the pairs files lie beside that.
        pretrain: Checkpoint, whose network is detected.
        gt: Folder or LMDB of ground truth.
        lq: Folder or LMDB of the inputs.
        scale: Sides of gt over those of lq; None to tell by the images.
        val: gt and lq to validate on; None to hold out some of the pairs.
        force: Replace pairs files that are there.

    Returns:
        What to say.

    Raises:
        MclirError: The network cannot be told, the pairs cannot be used, or they are not of its scale, or a pairs file
            exists.
    """
    from mclir_basicsr.archs.detect import detect  # torch takes seconds to start
    from mclir_basicsr.files.paths import expand
    from mclir_basicsr.files.weights import EMA_FIRST

    files = pairs_files(target)
    refuse_to_replace(files.values(), '-o', force=force)
    pairs = read_folders(gt, lq, scale)
    found = detect(expand('--pretrain', pretrain), '--pretrain', EMA_FIRST)
    if pairs.scale != found.scale:
        raise MclirError(
            f'--pretrain {pretrain} is a network of scale {found.scale}, but the pairs are of scale {pairs.scale}: use '
            'other folders or another checkpoint.'
        )
    train, held = held_out(pairs) if val is None else (pairs, read_folders(*val, scale, ('--val-gt', '--val-lq')))
    for part, listed in (('train', train), ('val', held)):
        write_pairs(files[part], listed.pairs)
    patch = _patch(train, found)
    draft.write_text(
        _TEMPLATE.format(
            title=f'{found.network_g["type"]} x{found.scale} retrained with SPN',
            checkpoint=pretrain,
            gt=gt,
            lq=lq,
            name=target.stem.removesuffix('_spn'),
            scale=found.scale,
            train=_lines(train.block('train', files['train']), 4),
            val=_lines(held.block('held-out' if val is None else 'val', files['val']), 4),
            network=_lines(found.network_g, 2),
            gt_size=patch * found.scale,
            patch=patch,
            enlarge=-(-_EPOCH // len(train.pairs)),
            count=len(train.pairs),
            iterations=_ITERATIONS,
            border=found.scale if found.scale > 1 else 0,
        ),
        encoding='utf-8',
    )
    told = f'{len(held.pairs)} pairs to validate on' + (', held out of them' if val is None else '')
    if train.pairs == held.pairs:
        told = 'validation on the same one: give more pairs, or --val-gt and --val-lq'
    return [
        f'network_g: {found.network_g["type"]} of scale {found.scale}, detected from the checkpoint. {NO_TRACE}',
        f'datasets: {len(train.pairs)} pairs to train on, {told}; {files["train"]} and {files["val"]} list them.',
    ]


def _patch(pairs: Pairs, found: 'Detected') -> int:
    """Side in lq: the network's own where it says one, in whole windows."""
    block = found.network_g
    window, own = block.get('window_size'), block.get('img_size')
    multiple = window if isinstance(window, int) else 8
    return patch_for(pairs, multiple, own if isinstance(own, int) else _PATCHES[found.scale > 1])


def _lines(block: Mapping[str, Any], indent: int) -> str:
    return '\n'.join(f'{" " * indent}{key}: {written(value)}' for key, value in block.items())
