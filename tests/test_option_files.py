"""Every file under options/ starts: its network is built, it trains two iterations with SPN, and validates."""

from pathlib import Path

import pytest
import torch
from basicsr.models import build_model

from mclir_basicsr.options import parse_file, read_options

FILES = sorted((Path(__file__).parents[1] / 'options').glob('*.yml'))
# As published: EDSR-baseline 1.37 M and 1.52 M, SwinIR 11.9 M, light SwinIR 0.93 M.
PARAMETERS = {
    'edsr_spn_x2': 1.37e6,
    'edsr_spn_x4': 1.52e6,
    'swinir_light_spn_x4': 0.93e6,
    'swinir_spn_x4': 11.9e6,
}


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_it_trains_and_validates(file, tmp_path):
    opt = parse_file(file)
    assert read_options(opt)[1] == []
    assert file.stem == opt['network_g']['type'].lower() + file.stem[len(opt['network_g']['type']) :]
    assert opt['network_g']['upscale'] == opt['scale']
    assert opt['datasets']['train']['gt_size'] % opt['scale'] == 0
    assert all(metric['crop_border'] == opt['scale'] for metric in opt['val']['metrics'].values())
    opt |= {'num_gpu': 0, 'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1}
    opt['path']['pretrain_network_g'] = None
    opt['train']['spn_opt']['weights'] = 'random'
    model = build_model(opt)
    parameters = sum(p.numel() for p in model.net_g.parameters())
    assert parameters == pytest.approx(PARAMETERS[file.stem], rel=0.01)
    lq = torch.rand(1, 3, 16, 16)
    for iteration in (1, 2):
        model.update_learning_rate(iteration, opt['train']['warmup_iter'])
        model.feed_data({'lq': lq, 'gt': torch.rand(1, 3, *(side * opt['scale'] for side in lq.shape[2:]))})
        model.optimize_parameters(iteration)
        assert model.get_current_log()['l_spn'] < 0
    model.feed_data({'lq': torch.rand(1, 3, 11, 19)})
    model.test()
    assert model.output.shape == (1, 3, 11 * opt['scale'], 19 * opt['scale'])


def test_there_is_a_file_for_every_expectation():
    assert {file.stem for file in FILES} == set(PARAMETERS)
