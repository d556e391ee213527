"""Every file under options/ starts: its data sets and network are built, it trains with SPN, and validates."""

import functools
import json
import re
from pathlib import Path

import pytest
import torch
from basicsr.archs import build_network
from basicsr.data import build_dataloader, build_dataset
from basicsr.models import build_model
from torch.utils.data import default_collate

from mclir_basicsr.check.network import check_scale
from mclir_basicsr.losses.spn_weight import PUBLISHED_LOSSES
from mclir_basicsr.options import parse_file, read_options

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / 'options').glob('*.yml'))
# As published, by how the files' names begin.
PARAMETERS = {
    'edsr_spn_x2': 1.37e6,
    'edsr_spn_x4': 1.52e6,
    'swinir_light': 0.93e6,
    'swinir_spn': 11.9e6,
    'ffanet': 4_455_913,
    'dehazeformer_t': 687_404,
    'dehazeformer_s': 1_284_884,
    'dehazeformer_b': 2_517_612,
    'idt': 16_416_463,
    'nafnet': 17_111_907,
}
# With which a network trains in a fraction of the time; tests/archs run them as they are published.
SMALL = {
    'IDT': {'img_size': 64, 'embed_dim': 8, 'num_heads': [1] * 9},
    'FFANet': {'blocks': 1},
    'DehazeFormer': {'depths': [1] * 5},
    'NAFNetLocal': {'enc_blk_nums': [1] * 4},
    'SwinIR': {'depths': [2], 'num_heads': [6]},
}


def use_pairs(dataset, write_pairs, side, scale):
    """Point a data set of an option file at two small pairs in folders."""
    gt, lq = write_pairs(2, side, scale, name=dataset['name'])
    dataset |= {'dataroot_gt': str(gt), 'dataroot_lq': str(lq), 'io_backend': {'type': 'disk'}, 'scale': scale}
    if 'pairs_file' in dataset:
        pairs = gt.parent / 'pairs.txt'
        pairs.write_text('000 000\n001 000\n')  # two hazy images of one scene
        dataset['pairs_file'] = str(pairs)


@functools.cache
def count_parameters(network):
    return sum(parameter.numel() for parameter in build_network(json.loads(network)).parameters())


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_it_trains_and_validates(file, tmp_path, write_pairs):
    opt = parse_file(file)
    assert read_options(opt)[1] == []
    scale, kind = opt['scale'], opt['network_g']['type']
    assert opt['network_g'].get('upscale', 1) == scale
    assert opt['datasets']['train']['gt_size'] % scale == 0
    assert all(metric['crop_border'] == (scale if scale > 1 else 0) for metric in opt['val']['metrics'].values())
    horizon = opt['train']['scheduler'].get('T_max') or opt['train']['scheduler']['milestones'][-1]
    assert 0 < horizon <= opt['train']['total_iter']

    parameters = count_parameters(json.dumps(opt['network_g']))
    expected = next(count for stem, count in PARAMETERS.items() if file.stem.startswith(stem))
    assert parameters == (expected if isinstance(expected, int) else pytest.approx(expected, rel=0.01))
    opt['network_g'] |= SMALL.get(kind, {})
    check_scale(build_network(opt['network_g']), opt)

    side = {'IDT': 64, 'SwinIR': 16 * scale}.get(kind, 32)
    train, val = ((key, opt['datasets'][key]) for key in ('train', next(k for k in opt['datasets'] if k != 'train')))
    for (phase, dataset), size in ((train, side), (val, side + 12)):
        use_pairs(dataset, write_pairs, size, scale)
        dataset['phase'] = phase[:3] if phase != 'train' else phase
    train[1]['gt_size'] = side
    opt |= {'num_gpu': 0, 'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1}
    opt['path']['pretrain_network_g'] = None
    opt['train']['spn_opt']['weights'] = 'random'
    opt['train']['history']['interval'] = opt['train']['history']['interval'][:1]  # the test has no time for four

    model = build_model(opt)
    pairs = build_dataset(train[1])
    for iteration in (1, 2):
        model.update_learning_rate(iteration, opt['train']['warmup_iter'])
        model.feed_data(default_collate([pairs[iteration - 1]]))
        model.optimize_parameters(iteration)
        assert model.get_current_log()['l_spn'] < 0
    loader = build_dataloader(build_dataset(val[1]), val[1], num_gpu=0, dist=False, sampler=None, seed=0)
    model.validation(loader, 2, None)
    assert set(model.metric_results) == {'psnr', 'ssim'}
    assert all(torch.isfinite(torch.tensor(value)) for value in model.metric_results.values())


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_the_page_of_results_has_it_with_the_figures_of_its_header(file):
    page = (ROOT / 'docs' / 'results.md').read_text()
    header = re.match(r'(#.*\n)+', file.read_text()).group()
    figures = re.findall(r'\d\d\.\d\d/0\.\d+', header)
    assert f'(../options/{file.name})' in page
    assert figures
    assert all(figure in page for figure in figures)
    assert f'-opt options/{file.name} ' in header


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_the_published_weight_stands_beside_losses_that_it_acts_with(file):
    """Beside PSNRLoss it gives a ratio of 6e-5; beside SSIMLoss 0.003 was measured."""
    train = parse_file(file)['train']
    acts = train['pixel_opt']['type'] in (*PUBLISHED_LOSSES, 'SSIMLoss')
    assert ('loss_weight' in train['spn_opt']) == acts
    assert ('balance' in train['spn_opt']) != acts
