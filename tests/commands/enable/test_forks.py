"""Option files of BasicSR's forks: converted, examined, trained for 3 iterations with SPN, validated."""

import re
import sys
from importlib.util import find_spec

import pytest
import yaml
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY
from fork_texts import FORKS, fork_text
from option_texts import PLAIN, enabled

from mclir_basicsr.commands.cli import main
from mclir_basicsr.commands.enable.forks import ENTRIES, MODELS, OF_BASICSR
from mclir_basicsr.run import figures

OWN = """\
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn


@ARCH_REGISTRY.register()
class OwnRestormer(nn.Module):
    def __init__(self, dim, LayerNorm_type):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, dim, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(dim, 3, 2, 2))

    def forward(self, x):
        return x + self.body(x)


@ARCH_REGISTRY.register()
class OwnSRFormer(nn.Sequential):
    def __init__(self, window_size, upscale):
        super().__init__(nn.Conv2d(3, 3 * upscale**2, 3, 1, 1), nn.PixelShuffle(upscale))
"""


@pytest.mark.parametrize('fork', FORKS)
def test_it_is_converted_and_trains(fork, tmp_path, write_pairs, monkeypatch, capsys):
    scale = FORKS[fork]['scale']
    gt, lq = write_pairs(3, side=36, scale=scale)
    (tmp_path / 'in.yml').write_text(fork_text(fork, gt, lq))
    (tmp_path / 'own_networks.py').write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    monkeypatch.setattr(ARCH_REGISTRY, '_obj_map', dict(ARCH_REGISTRY._obj_map))
    monkeypatch.delitem(sys.modules, 'own_networks', raising=False)
    own = ['--import', 'own_networks.py'] if fork in ('Restormer', 'SRFormer') else []  # spandrel has neither

    def mclir(*arguments):
        monkeypatch.setattr(sys, 'argv', ['mclir'])
        status = main([*arguments, *own])
        said = capsys.readouterr()
        assert status == 0, said.err
        return said.out

    said = mclir('enable', 'in.yml', '-o', 'out.yml', '--vgg-weights', 'random')
    assert 'neither BasicSR nor spandrel has' not in said
    said = mclir('check', '-opt', 'out.yml')
    assert [line for line in said.splitlines() if 'has no effect' in line and 'use_shuffle' not in line] == (
        ['datasets.train.task is read by neither BasicSR nor mclir_basicsr: it has no effect.'] if fork == 'DAT' else []
    )
    mclir('train', '-opt', 'out.yml', '--fast')
    folder = tmp_path / 'experiments' / f'{fork.replace(" ", "-")}_spn'
    assert (folder / 'models' / 'net_g_3.pth').is_file()
    assert {figure.image for figure in figures.read(folder) if figure.iteration == 3} == {'000', '001', '002'}


def test_keys_of_nafnet(tmp_path):
    text, values, notes = enabled(tmp_path, fork_text('NAFNet'))
    assert values['datasets']['train']['use_hflip'] is True
    assert '    use_hflip: true\n    use_rot: true\n' in text
    assert values['train']['grad_clip_norm'] == 0.01, 'it clips where the file says nothing'
    assert set(values['val']) == {'val_freq', 'save_img', 'metrics'}
    assert 'datasets.train.use_flip became use_hflip.' in notes
    assert 'val.use_image was left out: metrics are of 8-bit images' in notes
    no_clip = fork_text('NAFNet').replace('train:\n  optim_g', 'train:\n  use_grad_clip: false\n  optim_g')
    train = enabled(tmp_path, no_clip)[1]['train']
    assert not {'use_grad_clip', 'grad_clip_norm'} & train.keys()


def test_keys_of_restormer(tmp_path):
    source = fork_text('Restormer')
    text, values, notes = enabled(tmp_path, source)
    train = values['datasets']['train']
    assert (train['type'], values['datasets']['val']['type']) == ('PairedImageDataset', 'PairedImageDataset')
    assert (train['use_hflip'], train['use_rot']) == (True, True)
    assert (train['gt_sizes'], train['mini_batch_sizes'], train['iters']) == ([16, 32], [2, 1], [2, 1])
    assert 'gt_size: 32   # Max patch size' in text
    assert values['train']['grad_clip_norm'] == 0.01
    assert values['val']['pad_multiple'] == 8
    assert set(values['val']) == {'val_freq', 'save_img', 'pad_multiple', 'metrics'}
    assert 'mixing_augs was left out: images are not mixed' in notes
    assert 'neither BasicSR nor spandrel has OwnRestormer. Give the file' in notes
    quiet = source.replace('mixup: true', 'mixup: false').replace('geometric_augs: true', 'geometric_augs: false')
    _, values, notes = enabled(tmp_path, quiet)
    assert 'mixing_augs' not in notes
    assert 'mixing_augs' not in values['train']
    assert (values['datasets']['train']['use_hflip'], values['datasets']['train']['use_rot']) == (False, False)


def test_what_nothing_here_stands_for_is_named_with_what_to_do(tmp_path):
    noisy = fork_text('Restormer').replace('Dataset_PairedImage', 'Dataset_GaussianDenoising', 1)
    _, values, notes = enabled(tmp_path, noisy)
    assert values['datasets']['train']['type'] == 'Dataset_GaussianDenoising'
    assert 'datasets.train.type: Dataset_GaussianDenoising makes lq images in a way' in notes
    assert '--import FILE takes its class' in notes
    assert 'neither BasicSR nor spandrel has OwnSRFormer' in enabled(tmp_path, fork_text('SRFormer'))[2]
    _, values, notes = enabled(tmp_path, fork_text('HAT').replace('conv_scale', 'own_scale'))
    assert 'network_g: HAT of spandrel' in notes
    assert "does not take these arguments: got an unexpected keyword argument 'own_scale'" in notes
    _, values, notes = enabled(tmp_path, fork_text('pairs of Real-ESRGAN'))
    assert 'meta_info' not in values['datasets']['train']
    assert 'give the folders of the pairs as dataroot_gt and dataroot_lq' in notes


def test_partition_of_dat_becomes_tiles(tmp_path):
    assert enabled(tmp_path, fork_text('DAT'))[1]['val']['tile'] == {'size': 232, 'overlap': 32}
    whole = fork_text('DAT').replace('use_chop: True', 'use_chop: False')
    assert not {'tile', 'use_chop'} & enabled(tmp_path, whole)[1]['val'].keys()


def test_what_a_discriminator_needs_is_left_out_where_none_is_trained(tmp_path):
    """As RealHATMSEModel's file has an optim_d, and BasicSR's for EDVR with a GAN, which it calls TODO, all of it."""
    optimizer = '  optim_d:\n    type: Adam\n    lr: !!float 1e-4\n'
    text = PLAIN.replace('train:\n  ema', f'train:\n{optimizer}  ema')
    _, values, notes = enabled(tmp_path, text.replace('SRModel', 'RealHATMSEModel'))
    assert 'optim_d' not in values['train']
    assert 'train.optim_d was left out: RealESRNetModel trains without a discriminator.' in notes
    assert 'To train with one' not in notes
    text = text.replace('path:\n', 'network_d:\n  type: VGGStyleDiscriminator\n\npath:\n  strict_load_d: true\n')
    _, values, notes = enabled(tmp_path, text.replace('SRModel', 'EDVRModel'))
    assert 'network_d' not in values
    assert 'strict_load_d' not in values['path']
    assert 'network_d, path.strict_load_d, train.optim_d were left out: EDVRModel trains without a' in notes
    assert 'write model_type: VideoGANModel first' in notes
    _, values, notes = enabled(tmp_path, text.replace('SRModel', 'VideoGANModel'))
    assert 'optim_d' in values['train']
    assert 'left out' not in notes


def test_a_key_of_training_among_the_arguments_of_a_network_goes_where_it_is_read(tmp_path):
    """As in BasicSR's own train_EDVR_L_x4_SR_REDS.yml."""
    text = PLAIN.replace('network_g:\n', 'network_g:\n  ema_decay: !!float 9.9e-1\n')
    _, values, notes = enabled(tmp_path, text.replace('  ema_decay: 0.999\n', ''))
    assert values['train']['ema_decay'] == 0.99
    assert 'ema_decay' not in values['network_g']
    assert 'network_g.ema_decay became train.ema_decay, where it is read.' in notes
    _, values, notes = enabled(tmp_path, text)
    assert values['train']['ema_decay'] == 0.999
    assert 'ema_decay' not in values['network_g']
    assert 'network_g.ema_decay was left out: train has ema_decay, too.' in notes


def test_a_loss_that_basicsr_has_no_more_is_left_out_unless_it_is_registered(tmp_path, monkeypatch):
    """As in BasicSR's own train_hifacegan.yml."""
    loss = '  feature_matching_opt:\n    type: GANFeatLoss\n    loss_weight: 10\n    criterion: l1\n\n'
    text = PLAIN.replace('SRModel', 'HiFaceGANModel').replace('  # losses\n', f'{loss}  # losses\n')
    _, values, notes = enabled(tmp_path, text)
    assert 'feature_matching_opt' not in values['train']
    assert 'train.feature_matching_opt was left out: GANFeatLoss is no loss of BasicSR 1.4.2' in notes
    monkeypatch.setitem(LOSS_REGISTRY._obj_map, 'GANFeatLoss', object)
    _, values, notes = enabled(tmp_path, text)
    assert values['train']['feature_matching_opt']['loss_weight'] == 10
    assert 'left out' not in notes


def test_the_list_of_images_has_the_name_that_its_data_set_reads(tmp_path):
    """HAT's RealESRGANDataset reads meta_info_file, BasicSR's meta_info; PairedImageDataset reads the former."""
    text = PLAIN.replace("    filename_tmpl: '{}'\n", '    meta_info_file: list.txt\n')
    train = enabled(tmp_path, text)[1]['datasets']['train']
    assert (train['meta_info_file'], train.get('meta_info')) == ('list.txt', None)
    _, values, notes = enabled(tmp_path, text.replace('PairedImageDataset', 'RealESRGANDataset'))
    train = values['datasets']['train']
    assert (train['meta_info'], train.get('meta_info_file')) == ('list.txt', None)
    assert 'datasets.train.meta_info_file became meta_info.' in notes


@pytest.mark.skipif(find_spec('spandrel_extra_arches') is not None, reason='spandrel_extra_arches is installed')
def test_a_network_of_spandrels_collection_with_other_licences_is_named(tmp_path):
    said = enabled(tmp_path, fork_text('SRFormer').replace('OwnSRFormer', 'SRFormer'))[2]
    assert 'Install spandrel_extra_arches, which has it under its own licence, or give the file' in said


def test_files_of_basicsr_have_none_of_these_keys(tmp_path):
    keys = {entry.key for entry in ENTRIES if entry.block != 'network_g'} - {'type'}
    assert not keys & set(re.findall(r'\w+', PLAIN))
    assert not MODELS.keys() & OF_BASICSR.keys()


def test_each_entry_has_its_source():
    sources = [entry.source for entry in (*ENTRIES, *MODELS.values())]
    assert [source for source in sources if not re.match(r'[\w-]+/[\w-]+: [\w/]+\.py', source)] == []


def test_the_file_that_comes_out_is_yaml_to_basicsr_too(tmp_path):
    for fork in FORKS:
        text, values, _ = enabled(tmp_path, fork_text(fork))
        assert yaml.safe_load(text)['name'] == values['name']
