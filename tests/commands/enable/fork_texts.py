"""Small option files in the form that each fork's have: its model type, keys, data set classes and schedule."""

HEAD = """\
name: {fork}
model_type: {model}
scale: {scale}
num_gpu: auto
manual_seed: 0

datasets:
  train:
    name: train
    dataroot_gt: {gt}
    dataroot_lq: {lq}
{train}    io_backend:
      type: disk

    # data loader
    use_shuffle: true
    num_worker_per_gpu: 0
    batch_size_per_gpu: {batch}
    dataset_enlarge_ratio: 1
    prefetch_mode: ~

  val:
    name: held-out
    dataroot_gt: {gt}
    dataroot_lq: {lq}
{val}    io_backend:
      type: disk

network_g:
{network}
path:
  pretrain_network_g: ~
  strict_load_g: true
  resume_state: ~

train:
{training}
  total_iter: 3
  warmup_iter: -1  # no warm up

  pixel_opt:
    type: {loss}
    loss_weight: 1
    reduction: mean

val:
  val_freq: !!float 3
  save_img: false
{validation}
  metrics:
    psnr:
      type: calculate_psnr
      crop_border: 0
      test_y_channel: false

logger:
  print_freq: 1
  save_checkpoint_freq: !!float 3
  use_tb_logger: false
  wandb:
    project: ~
    resume_id: ~

dist_params:
  backend: nccl
  port: 29500
"""
PAIRED = '    type: PairedImageDataset\n'
ADAM = """\
  ema_decay: 0.999
  optim_g:
    type: Adam
    lr: !!float 2e-4
    weight_decay: 0
    betas: [0.9, 0.99]

  scheduler:
    type: MultiStepLR
    milestones: [250000, 400000]
    gamma: 0.5
"""
FLIPS = PAIRED + '    gt_size: 32\n    use_hflip: true\n    use_rot: true\n'
WINDOWED = """\
  img_size: 16
  upscale: 2
  in_chans: 3
  img_range: 1.
  embed_dim: 8
  mlp_ratio: 2
  upsampler: 'pixelshuffledirect'
  resi_connection: '1conv'
  depths: [2]
  num_heads: [2]
"""
RESTORER = {'scale': 1, 'batch': 2, 'loss': 'L1Loss', 'val': PAIRED, 'validation': '', 'training': ADAM}
UPSCALER = RESTORER | {'scale': 2, 'train': FLIPS}
FORKS = {
    'HAT': UPSCALER
    | {
        'model': 'HATModel',
        'network': '  type: HAT\n  window_size: 8\n  compress_ratio: 4\n  squeeze_factor: 4\n  conv_scale: 0.01\n'
        '  overlap_ratio: 0.5\n' + WINDOWED.replace('pixelshuffledirect', 'pixelshuffle'),
    },
    'DAT': UPSCALER
    | {
        'model': 'DATModel',
        'network': '  type: DAT\n  upscale: 2\n  in_chans: 3\n  img_size: 16\n  img_range: 1.\n  depth: [2]\n'
        '  embed_dim: 16\n  num_heads: [2]\n  expansion_factor: 2\n  resi_connection: 3conv\n  split_size: [4,8]\n'
        "  upsampler: 'pixelshuffledirect'\n",
        'train': '    task: SR\n' + FLIPS,
        'validation': '  use_chop: True\n',
    },
    'DRCT': UPSCALER
    | {
        'model': 'DRCTModel',
        'network': '  type: DRCT\n  upscale: 2\n  in_chans: 3\n  img_size: 16\n  window_size: 8\n  img_range: 1.\n'
        "  depths: [2]\n  embed_dim: 8\n  num_heads: [2]\n  mlp_ratio: 2\n  gc: 4\n  upsampler: 'pixelshuffle'\n",
    },
    'SRFormer': UPSCALER
    | {'model': 'SwinIRModel', 'network': '  type: OwnSRFormer\n  window_size: 8\n  upscale: 2\n'},
    'NAFNet': RESTORER
    | {
        'model': 'ImageRestorationModel',
        'network': '  type: NAFNetLocal\n  width: 4\n  enc_blk_nums: [1]\n  middle_blk_num: 1\n  dec_blk_nums: [1]\n',
        'train': PAIRED + "    filename_tmpl: '{}'\n    gt_size: 32\n    use_flip: true\n    use_rot: true\n",
        'loss': 'PSNRLoss',
        'training': '  optim_g:\n    type: AdamW\n    lr: !!float 1e-3\n    weight_decay: !!float 1e-3\n    betas: '
        '[0.9, 0.9]\n\n  scheduler:\n    type: TrueCosineAnnealingLR\n    T_max: 200000\n    eta_min: !!float 1e-7\n',
        'validation': '  grids: false\n  crop_size_h: 256\n  crop_size_w: 256\n  use_image: false\n',
    },
    'Restormer': RESTORER
    | {
        'model': 'ImageCleanModel',
        'network': '  type: OwnRestormer\n  dim: 4\n  LayerNorm_type: WithBias\n',
        'train': '    type: Dataset_PairedImage\n    geometric_augs: true\n    mini_batch_sizes: [2,1]\n'
        '    iters: [2,1]\n    gt_size: 32   # Max patch size for progressive training\n    gt_sizes: [16,32]\n',
        'val': '    type: Dataset_PairedImage\n',
        'training': '  use_grad_clip: true\n  scheduler:\n    type: CosineAnnealingRestartCyclicLR\n'
        '    periods: [2, 4]\n    restart_weights: [1,1]\n    eta_mins: [0.0003,0.000001]\n\n  mixing_augs:\n'
        '    mixup: true\n    mixup_beta: 1.2\n    use_identity: true\n\n'
        '  optim_g:\n    type: AdamW\n    lr: !!float 3e-4\n',
        'validation': '  window_size: 8\n  rgb2bgr: true\n  use_image: true\n  max_minibatch: 8\n',
    },
    'pairs of Real-ESRGAN': UPSCALER
    | {
        'model': 'SRModel',
        'network': '  type: RRDBNet\n  num_in_ch: 3\n  num_out_ch: 3\n  num_feat: 4\n  num_block: 1\n'
        '  num_grow_ch: 2\n  scale: 2\n',
        'train': FLIPS.replace('PairedImageDataset', 'RealESRGANPairedDataset') + '    meta_info: pairs.txt\n',
    },
}  # fmt: skip


def fork_text(fork, gt='gt', lq='lq'):
    """The option file of a fork for these folders."""
    return HEAD.format(fork=fork.replace(' ', '-'), gt=gt, lq=lq, **FORKS[fork])
