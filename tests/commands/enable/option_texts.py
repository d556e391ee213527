"""Option files to convert, read by BasicSR's own loader."""

import difflib

import yaml
from basicsr.utils.options import ordered_yaml

from mclir_basicsr.commands.enable.enable import enable

PLAIN = """\
# a run of ours
name: 007_tiny_x2  # unquoted
model_type: SRModel
scale: 2
num_gpu: 0

datasets:
  train:
    name: tiny
    type: PairedImageDataset
    filename_tmpl: '{}'
    use_rot: True
    mean: [0.4488, 0.4371, 0.4040, 0.4488, 0.4371, 0.4040, 0.4488, 0.4371, 0.4040, 0.4488, 0.4371, 0.4040, 0.4488]
    prefetch_mode: ~

network_g:
  type: EDSR
  num_feat: 8
  img_range: 255.
  note: 2e-4     # a string to BasicSR's YAML 1.1

path:
  pretrain_network_g: ~  # none yet
  strict_load_g: true
  resume_state: ~

train:
  ema_decay: 0.999
  optim_g: {type: Adam, lr: !!float 2e-4, betas: [0.9, 0.99]}
  scheduler:
    type: MultiStepLR
    milestones:
    - 100
    - 200
    gamma: 0.5
  total_iter: 500000

  # losses
  pixel_opt:
    type: L1Loss
    reduction: mean  # of all pixels
    # loss_weight: 2

# validation
val:
  val_freq: !!float 5e3
"""


# The vocabulary of the MCLIR fork.
REFERENCE = """\
name: dehaze
model_type: ImageRestorationModel_FFANet_Neg_Multi
complie: false
network_g:
    type: FFANet
path:
    pretrain_network_g:
    resume_state:
train:
    use_grad_norm: true
    neg_iter: [50, 75, 80]  # when
    neg_decay: !!float 2e-1
    pixel_opt:
        type: L1Loss
    # what to stay away from
    perceptual_opt:
        type: PerceptualLoss  # of BasicSR
        layer_weights:
            'relu1_2': 0.25  # early
            'relu3_3': 0.75
        perceptual_weight: !!float -3e-3  # lambda
        style_weight: 0
        use_input_norm: true
        criterion: l2
    neg_start: 0.3
val:
    val_freq: 100
"""


def enabled(folder, text, **arguments):
    """Convert an option file given as text; returns the new text, its values and the notes."""
    source, target = folder / 'in.yml', folder / 'out.yml'
    source.write_bytes(text.encode())
    notes = enable(source, target, force=True, **arguments)
    assert source.read_bytes() == text.encode()
    result = target.read_bytes().decode()
    return result, load(result), ' '.join(notes)


def load(text):
    return yaml.load(text, Loader=ordered_yaml()[0])


def changed(before, after):
    """Lines taken out and lines put in."""
    lines = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in '+-']
    return [line[2:] for line in lines if line[0] == '-'], [line[2:] for line in lines if line[0] == '+']
