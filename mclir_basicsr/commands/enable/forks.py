"""What option files of BasicSR's forks have that BasicSR has not, and what it is here: one table.

The sources are repositories at GitHub and files in them, as read there; formulas and names are facts, the code is ours.
"""

from collections.abc import Callable
from typing import NamedTuple

from mclir_basicsr.commands.enable import fork_edits as edits
from mclir_basicsr.commands.enable.fork_edits import Edit

_NAFNET = 'megvii-research/NAFNet: '
_RESTORMER = 'swz30/Restormer: '
_BASICSR = 'XPixelGroup/BasicSR: '
_HAT = 'XPixelGroup/HAT: '
_DRCT = 'ming053l/DRCT: '
_DAT = 'zhengchen1999/DAT: '
_REAL_ESRGAN = 'xinntao/Real-ESRGAN: '


class Model(NamedTuple):
    """A model class of a fork.

    Attributes:
        base: The class of BasicSR that trains likewise, for ``base_model``.
        source: Where it stands.
        clips: Whether it clips the gradient to CLIP_NORM where the file has no ``use_grad_clip``; None for one that
            has no such key.
    """

    base: str
    source: str
    clips: bool | None = None


MODELS = {
    'HATModel': Model('SRModel', f'{_HAT}hat/models/hat_model.py (pads to the window, as HistoryModel validates)'),
    'DRCTModel': Model('SRModel', f'{_DRCT}drct/models/drct_model.py (likewise)'),
    'DATModel': Model('SRModel', f'{_DAT}basicsr/models/dat_model.py'),
    'RealHATMSEModel': Model('RealESRNetModel', f'{_HAT}hat/models/realhatmse_model.py'),
    'RealHATGANModel': Model('RealESRGANModel', f'{_HAT}hat/models/realhatgan_model.py'),
    'RealDRCTMSEModel': Model('RealESRNetModel', f'{_DRCT}drct/models/realdrctmse_model.py'),
    'RealDRCTGANModel': Model('RealESRGANModel', f'{_DRCT}drct/models/realdrctgan_model.py'),
    'ImageRestorationModel': Model('SRModel', f'{_NAFNET}basicsr/models/image_restoration_model.py', clips=True),
    'ImageCleanModel': Model('SRModel', f'{_RESTORMER}basicsr/models/image_restoration_model.py', clips=False),
}
# Classes of BasicSR 1.4.2 that restore; a base_model, but for those that HistoryModel is anyway.
OF_BASICSR = {
    'SRModel': 'SRModel', 'SwinIRModel': 'SRModel', 'HistoryModel': 'SRModel',
} | {
    name: name for name in (
        'RealESRNetModel', 'SRGANModel', 'ESRGANModel', 'RealESRGANModel', 'VideoBaseModel', 'EDVRModel',
        'VideoRecurrentModel', 'VideoGANModel', 'VideoRecurrentGANModel', 'HiFaceGANModel',
    )
}  # fmt: skip

# By class of BasicSR without a discriminator: one with one, that trains likewise.
ADVERSARIAL = {
    'SRModel': 'SRGANModel', 'RealESRNetModel': 'RealESRGANModel', 'VideoBaseModel': 'VideoGANModel',
    'EDVRModel': 'VideoGANModel', 'VideoRecurrentModel': 'VideoRecurrentGANModel',
}  # fmt: skip
# Restoring networks of spandrel_extra_arches 0.2, which has those whose licences are not free.
IN_EXTRA = ('M3SNet', 'MIRNet2', 'MPRNet', 'Restormer', 'SRFormer')


class Entry(NamedTuple):
    """A key of a fork.

    Attributes:
        block: ``datasets`` for each data set, else a block of the file.
        key: Its name there.
        edit: What becomes of it.
        source: Where it is read, or says what it means.
        models: The model types that give it this meaning; empty for any.
    """

    block: str
    key: str
    edit: Callable[[Edit], str]
    source: str
    models: tuple[str, ...] = ()


_PAIRS = {
    'Dataset_PairedImage': 'PairedImageDataset',
    'RealESRGANPairedDataset': 'PairedImageDataset',
}
_WITHOUT = {
    'RealESRGANPairedDataset': (
        'meta_info',
        'PairedImageDataset pairs the files of two folders by name: give the folders of the pairs as dataroot_gt and '
        'dataroot_lq, or list the pairs for PairsFileDataset (docs/data.md)',
    )
}
_OWN_DATA = dict.fromkeys(
    ('Dataset_GaussianDenoising', 'ImageNetPairedDataset'),
    'makes lq images in a way that neither BasicSR nor mclir_basicsr has: --import FILE takes its class, with '
    '@DATASET_REGISTRY.register() above it, or use PairedImageDataset with lq images on disk',
)
ENTRIES = (
    Entry('datasets', 'use_flip', edits.renamed('use_hflip'), f'{_NAFNET}basicsr/data/paired_image_dataset.py'),
    Entry(
        'datasets',
        'geometric_augs',
        edits.renamed('use_hflip', 'use_rot'),
        f'{_RESTORMER}basicsr/data/data_util.py: random_augmentation, one of the 8 flips and rotations',
    ),
    Entry(
        'datasets',
        'type',
        edits.named(_PAIRS, _OWN_DATA, _WITHOUT),
        f'{_RESTORMER}basicsr/data/paired_image_dataset.py; {_HAT}hat/data/imagenet_paired_dataset.py; {_REAL_ESRGAN}'
        'realesrgan/data/realesrgan_paired_dataset.py, whose meta_info has "GT, LQ" in each line',
    ),
    Entry(
        'datasets',
        'meta_info_file',
        edits.renamed_in('RealESRGANDataset', 'meta_info'),
        f'{_HAT}hat/data/realesrgan_dataset.py, which takes all of the folder; that of BasicSR needs the list',
    ),
    Entry(
        'network_g',
        'ema_decay',
        edits.moved('train'),
        f'{_BASICSR}basicsr/models/sr_model.py, which reads it in train; options/train/EDVR has it among the arguments '
        'of EDVR, which takes none of that name',
    ),
    Entry('path', 'param_key', edits.renamed('param_key_g'), f'{_NAFNET}basicsr/models/image_restoration_model.py'),
    Entry(
        'train',
        'mixing_augs',
        edits.left_out('images are not mixed with one another here, as Restormer does for denoising', 'mixup'),
        f'{_RESTORMER}basicsr/models/image_restoration_model.py: Mixing_Augment',
    ),
    Entry(
        'train',
        'mixup',
        edits.left_out('images are not mixed with one another here'),
        f'{_NAFNET}basicsr/models/image_restoration_model.py: mixup_aug',
    ),
    Entry(
        'train',
        'feature_matching_opt',
        edits.left_out_where_unknown(
            'is no loss of BasicSR 1.4.2, whose own training would stop here. With --import FILE, which registers one, '
            'it stays'
        ),
        f'{_BASICSR}basicsr/losses/gan_loss.py, which has no GANFeatLoss any more; options/train/HiFaceGAN asks for it',
    ),
    Entry(
        'val',
        'window_size',
        edits.renamed('pad_multiple'),
        f'{_RESTORMER}basicsr/models/image_restoration_model.py: pad_test',
        ('ImageCleanModel',),
    ),
    Entry(
        'val',
        'use_chop',
        edits.became('tile', {'size': 232, 'overlap': 32}),
        f'{_DAT}basicsr/models/dat_model.py: parts of at most 200 pixels, and 16 on each side',
    ),
    Entry(
        'val',
        'rgb2bgr',
        edits.left_out('images are RGB to the network and BGR to the metrics, always'),
        f'{_RESTORMER}basicsr/models/image_restoration_model.py: nondist_validation',
    ),
    Entry(
        'val',
        'use_image',
        edits.left_out('metrics are of 8-bit images, as BasicSR computes them'),
        f'{_RESTORMER}basicsr/models/image_restoration_model.py: nondist_validation',
    ),
    Entry(
        'val',
        'max_minibatch',
        edits.left_out('images are restored one by one'),
        f'{_NAFNET}basicsr/models/image_restoration_model.py: test',
    ),
    *(
        Entry(
            'val',
            key,
            edits.left_out('to restore in tiles set val.tile, e.g. {size: 256, overlap: 32}'),
            f'{_NAFNET}basicsr/models/image_restoration_model.py: grids',
        )
        for key in ('grids', 'crop_size_h', 'crop_size_w', 'crop_size_h_ratio', 'crop_size_w_ratio')
    ),
)
CLIP_NORM = 0.01  # of the models with use_grad_clip, which have it in their code
