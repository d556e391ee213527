"""Tiny runs of BasicSR's model classes: options and batches by the name of the class."""

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from recipe import example_input
from torch import nn

SPN = {
    'spn_opt': {'weights': 'random', 'layer_weights': {'relu1_1': 1.0}, 'loss_weight': 0.1},
    'history': {'interval': [2, 3]},
}
RRDB = {'type': 'RRDBNet', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'num_grow_ch': 4}
UNET = {'type': 'UNetDiscriminatorSN', 'num_in_ch': 3, 'num_feat': 4}
EDVR = {
    'type': 'EDVR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_frame': 5, 'deformable_groups': 1,
    'num_extract_block': 1, 'num_reconstruct_block': 1, 'with_tsa': True,
}  # fmt: skip
SWINIR = {
    'type': 'SwinIR', 'upscale': 4, 'img_size': 8, 'window_size': 4, 'embed_dim': 8, 'depths': [1], 'num_heads': [2],
    'mlp_ratio': 2, 'upsampler': 'pixelshuffledirect', 'in_chans': 3, 'img_range': 1.0, 'resi_connection': '1conv',
}  # fmt: skip
DEGRADATION = {
    **{'resize_prob': [0.2, 0.7, 0.1], 'resize_range': [0.5, 1.5], 'gaussian_noise_prob': 0.5, 'noise_range': [1, 30]},
    **{'poisson_scale_range': [0.05, 3], 'gray_noise_prob': 0.4, 'jpeg_range': [30, 95], 'second_blur_prob': 0.8},
    **{'resize_prob2': [0.3, 0.4, 0.3], 'resize_range2': [0.5, 1.2], 'gaussian_noise_prob2': 0.5},
    **{'noise_range2': [1, 25], 'poisson_scale_range2': [0.05, 2.5], 'gray_noise_prob2': 0.4, 'jpeg_range2': [30, 95]},
    **{'gt_size': 32, 'queue_size': 12},  # more than the batches of a test fill
}
GAN = {
    'optim_d': {'type': 'Adam', 'lr': 1e-3},
    'gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.1},
}


class TinySequence(nn.Module):
    """Restores sequences x4, (N, T, 3, h, w) to (N, T, 3, 4h, 4w); part of it passes for a flow network."""

    def __init__(self, features=4):
        super().__init__()
        self.spynet = nn.Conv2d(3, features, 3, padding=1)
        self.body = nn.Conv2d(2 * features, 3 * 16, 3, padding=1)

    def forward(self, x):
        made = self.spynet(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # (N, T, F, h, w)
        before = torch.cat([made[:, :1], made[:, :-1]], dim=1)
        both = torch.cat([made, before], dim=2).flatten(0, 1)
        return nn.functional.pixel_shuffle(self.body(both), 4).unflatten(0, x.shape[:2])


if 'TinySequence' not in ARCH_REGISTRY:
    ARCH_REGISTRY.register(TinySequence)


def _images(t):
    return {'lq': example_input([2, 3, 8, 8], 100 + t), 'gt': example_input([2, 3, 32, 32], 200 + t)}


def _center(t):
    lq = example_input([5, 3, 8, 8], 100 + t)[None]
    return {'lq': lq, 'gt': example_input([1, 3, 32, 32], 200 + t)}


def _sequences(t):
    return {'lq': example_input([3, 3, 8, 8], 100 + t)[None], 'gt': example_input([3, 3, 32, 32], 200 + t)[None]}


def _gt_alone(t):
    kernel = torch.full((2, 21, 21), 1 / 441)
    return {
        'gt': example_input([2, 3, 64, 64], 200 + t),
        **{'kernel1': kernel, 'kernel2': kernel, 'sinc_kernel': kernel},
    }


USM = {'l1_gt_usm': True, 'percep_gt_usm': True, 'gan_gt_usm': False}
SEQUENCE = {'type': 'TinySequence'}
# By class: a function that makes the batch of an iteration, the blocks of the option file, keys of train.
CASES = {
    'SRModel': (_images, {'network_g': RRDB}, {}),
    'SwinIRModel': (_images, {'network_g': SWINIR}, {}),
    'SRGANModel': (_images, {'network_g': RRDB, 'network_d': UNET}, GAN | {'net_d_iters': 2}),
    'ESRGANModel': (_images, {'network_g': RRDB, 'network_d': UNET}, GAN),
    'HiFaceGANModel': (_images, {'network_g': RRDB, 'network_d': UNET | {'num_in_ch': 6}}, GAN | {'ema_decay': 0}),
    'RealESRNetModel': (_gt_alone, {'network_g': RRDB, 'gt_usm': True} | DEGRADATION, {}),
    'RealESRGANModel': (
        _gt_alone,
        {'network_g': RRDB, 'network_d': UNET} | USM | DEGRADATION,
        GAN | {'ldl_opt': {'type': 'L1Loss'}},
    ),
    'VideoBaseModel': (_center, {'network_g': EDVR}, {}),
    'EDVRModel': (_center, {'network_g': EDVR}, {'tsa_iter': 4, 'dcn_lr_mul': 0.5}),
    'VideoGANModel': (_center, {'network_g': EDVR, 'network_d': UNET}, GAN),
    'VideoRecurrentModel': (_sequences, {'network_g': SEQUENCE}, {'fix_flow': 4, 'flow_lr_mul': 0.125}),
    'VideoRecurrentGANModel': (
        _sequences,
        {'network_g': SEQUENCE, 'network_d': UNET},
        GAN | {'fix_flow': 4, 'lr_flow': 1e-4},
    ),
}
