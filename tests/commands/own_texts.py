"""Code of a user's own, in a folder beside the option file that names it."""

import yaml

OWN = """\
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.losses.basic_loss import L1Loss
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY
from own_blocks import Upscale


@ARCH_REGISTRY.register()
class OwnNet(Upscale):
    pass


@LOSS_REGISTRY.register()
class OwnLoss(L1Loss):
    pass


@DATASET_REGISTRY.register()
class OwnPairs(PairedImageDataset):
    pass
"""
BLOCKS = """\
from torch import nn


class Upscale(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 12, 3, 1, 1), nn.PixelShuffle(2))
"""


def use_own_code(file):
    """Write code/own_code.py beside an option file, and let it name the network, loss and data set in there."""
    code = file.parent / 'code'
    code.mkdir()
    (code / 'own_code.py').write_text(OWN)
    (code / 'own_blocks.py').write_text(BLOCKS)
    opt = yaml.safe_load(file.read_text())
    opt |= {'network_g': {'type': 'OwnNet'}}
    opt['train']['pixel_opt'] = {'type': 'OwnLoss'}
    opt['datasets']['train'] |= {'type': 'OwnPairs', 'num_worker_per_gpu': 1}
    file.write_text(yaml.safe_dump(opt, sort_keys=False))
