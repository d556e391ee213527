"""Validation: what networks need, and the same figures on one process and on many."""

import re
import shutil
import sys

import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.models import build_model
from conftest import EDSR, run
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mclir_basicsr.errors import MclirError


def test_many_ranks_give_the_figures_of_one_process(option_file, write_pairs, tmp_path):
    """Three images dealt to two ranks, and one, whose second rank has none: same log lines, all pictures saved."""
    checkpoint = tmp_path / 'net.pth'
    torch.save({'params': build_network(dict(EDSR)).state_dict()}, checkpoint)
    file = option_file()
    opt = yaml.safe_load(file.read_text())
    held_out = opt['datasets'].pop('val')
    del opt['datasets']['train'], opt['train']
    for count, name in ((3, 'three'), (1, 'one')):
        gt, lq = write_pairs(count, name=name)
        opt['datasets'][f'test_{name}'] = held_out | {'name': name, 'dataroot_gt': str(gt), 'dataroot_lq': str(lq)}
    opt['path'] = {'pretrain_network_g': str(checkpoint)}
    opt['val'] |= {'save_img': True}  # and no suffix
    file.write_text(yaml.safe_dump(opt))
    logs, pictures = [], []
    torchrun = ('torch.distributed.run', '--standalone', '--nproc_per_node', 2, '-m')
    for start, launcher in (((), ()), (torchrun, ('--launcher', 'pytorch'))):
        result = run(sys.executable, '-m', *start, 'mclir_basicsr', 'test', '-opt', file, *launcher, cwd=tmp_path)
        assert result.returncode == 0, result.stderr[-3000:]
        logs.append(re.findall(r'Validation \w+\n\t # psnr: .*', result.stderr))
        pictures.append({path.name: path.read_bytes() for path in (tmp_path / 'results').rglob('*.png')})
        shutil.rmtree(tmp_path / 'results')
    assert len(logs[0]) == 2
    assert logs[1] == logs[0]
    assert len(pictures[0]) == 3  # the picture of `one` has the name of the first of `three`
    assert pictures[1] == pictures[0]


class Network(nn.Module):
    """Gives back its input; says what it is told to."""

    def __init__(self, **says):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        for name, value in says.items():
            setattr(self, name, value)

    def forward(self, lq):
        self.seen = lq.shape[-2:]
        return lq


def restored(options, net, shape, **val):
    model = build_model(options(val=val))
    model.net_g, model.is_train = net, False
    del model.net_g_ema
    model.feed_data({'lq': torch.rand(1, 3, *shape)})
    model.test()
    assert torch.equal(model.output, model.lq)
    return net.seen


def test_small_images_are_continued_to_what_the_network_needs(options):
    assert restored(options, Network(min_side=25), (10, 30)) == (25, 30)
    assert restored(options, Network(min_side=25, window_size=8), (10, 30)) == (32, 32)


@pytest.mark.parametrize(
    'net', [Network(sees_whole_image=True), nn.Sequential(Network(), nn.AdaptiveAvgPool2d((24, 24)))]
)
def test_tiles_that_change_the_result_are_told_once(options, net, caplog):
    model = build_model(options(val={'tile': {'size': 16, 'overlap': 4}}))
    for _ in range(2):
        model._tiling(net)
    assert caplog.text.count('which tiles change') == 1


def test_networks_that_see_their_surroundings_only_take_tiles_silently(options, caplog):
    model = build_model(options(val={'tile': {'size': 16, 'overlap': 4}}))
    model._tiling(Network())
    assert 'tiles' not in caplog.text


class NoImages(Dataset):
    opt = {'name': 'nothing'}  # noqa: RUF012

    def __len__(self):
        return 0


def test_a_data_set_without_images(options):
    model = build_model(options())
    with pytest.raises(MclirError, match='datasets: nothing holds no image'):
        model.validation(DataLoader(NoImages()), 1, None)
