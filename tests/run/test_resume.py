"""Killed at any iteration and resumed, a run ends as if it had never stopped: bit for bit on a CPU.

Five images in batches of two with random crops and flips, read by workers, and a network with dropout.
"""

import re
import shutil
import sys
from pathlib import Path

import basicsr
import pytest
import torch
import yaml
from basicsr.archs import build_network
from conftest import EDSR, run

SWINIR = {
    'type': 'SwinIR', 'upscale': 2, 'in_chans': 3, 'img_size': 8, 'window_size': 8, 'img_range': 1.0, 'depths': [2],
    'embed_dim': 8, 'num_heads': [2], 'mlp_ratio': 2, 'upsampler': 'pixelshuffledirect', 'resi_connection': '1conv',
    'drop_rate': 0.1,
}  # fmt: skip

# KILL_AT is the iteration in which the process dies.
DEADLY = """
import os
from mclir_basicsr.models.step import TrainingStep

step = TrainingStep.optimize_parameters

def deadly_step(self, current_iter):
    if current_iter == int(os.environ.get('KILL_AT', 0)):
        os._exit(9)
    step(self, current_iter)

TrainingStep.optimize_parameters = deadly_step
"""

MODULE = """
import runpy
import mclir_basicsr
mclir_basicsr.register()
import deadly
runpy.run_module('basicsr.train', run_name='__main__', alter_sys=True)  # as `python -m` does
"""


@pytest.fixture
def deadly(tmp_path):
    """A module to import that lets a run die."""
    file = tmp_path / 'deadly.py'
    file.write_text(DEADLY)
    return file


@pytest.fixture
def write_options(option_file, write_pairs):
    """Write the option file of 9 iterations, 5 of them an epoch; data keys may be replaced."""
    write_pairs(5)

    def write(network=SWINIR, save_every=3, terms=None, **data):
        file = option_file(
            network_g=network,
            train={'total_iter': 9, 'history': {'interval': [2, 3], 'per_step': 1}} | (terms or {}),
            logger={'print_freq': 1, 'save_checkpoint_freq': save_every, 'use_tb_logger': False},
        )
        opt = yaml.safe_load(file.read_text())
        opt['datasets']['train'] |= {
            'gt_size': 16, 'use_hflip': True, 'use_rot': True, 'num_worker_per_gpu': 2, 'batch_size_per_gpu': 2,
            'dataset_enlarge_ratio': 2,
        } | data  # fmt: skip
        del opt['val'], opt['datasets']['val']
        file.write_text(yaml.safe_dump(opt))
        return file

    return write


def results(root):
    """What the last state and the last checkpoint hold, by name, and what each iteration logged."""
    folder = root / 'experiments' / 'tiny'
    files = folder / 'training_states' / '9.state', folder / 'models' / 'net_g_9.pth'
    held = {file.name: flat(torch.load(file, weights_only=True)) for file in files}
    lines = [line for log in sorted(folder.glob('train_*.log')) for line in log.read_text().splitlines()]
    logged = dict(re.search(r'iter: +(\d+), .*?(l_pix.*)', line).groups() for line in lines if 'l_pix: ' in line)
    return held, logged


def flat(value, path=''):
    """Nested values by path, tensors as lists."""
    if isinstance(value, torch.Tensor):
        return {path: value.tolist()}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else None
    if items is None:
        return {path: value}
    return {p: v for key, part in items for p, v in flat(part, f'{path}/{key}').items()}


def test_killed_and_resumed_equals_never_stopped(mclir, deadly, write_options, tmp_path):
    """By mclir train, and by basicsr.train, which puts its experiments beside the package."""
    ours, module = tmp_path / 'ours', tmp_path / 'module'
    for folder in (tmp_path / 'straight', ours):
        folder.mkdir()
    shutil.copytree(Path(basicsr.__file__).parent, module / 'basicsr')
    script = tmp_path / 'run.py'
    script.write_text(MODULE)

    def train(folder, *flags, **environment):
        flags = ('-opt', tmp_path / 'tiny.yml', *flags)
        if folder == module:
            return run(sys.executable, script, *flags, cwd=folder, PYTHONPATH=str(module), **environment)
        return mclir('train', '--import', deadly, *flags, cwd=folder, **environment)

    write_options()
    result = train(tmp_path / 'straight')
    assert result.returncode == 0, result.stderr[-3000:]
    held, logged = results(tmp_path / 'straight')
    assert list(logged) == [str(iteration) for iteration in range(1, 10)]
    assert held['9.state']['/history/_extra_state/refreshes/0'] == 4

    for folder, kill_at, resumed_from in ((ours, '5', 'epoch: 0, iter: 3'), (module, '8', 'epoch: 1, iter: 6')):
        write_options()
        assert train(folder, KILL_AT=kill_at).returncode == 9
        write_options(num_worker_per_gpu=1)
        result = train(folder, '--auto_resume')
        assert result.returncode == 0, result.stderr[-3000:]
        assert f'Resuming training from {resumed_from}.' in result.stderr
        held_resumed, logged_resumed = results(folder)
        assert held_resumed == held, folder.name
        assert logged_resumed == logged, folder.name


def test_a_killed_curriculum_goes_on(mclir, deadly, write_options, tmp_path):
    """Both terms, negatives of two checkpoints; the curriculum is part of the state that is compared."""
    files = [tmp_path / 'a.pth', tmp_path / 'b.pth']
    for k, file in enumerate(files):
        torch.manual_seed(k)
        torch.save({'params': build_network(EDSR | {'num_feat': 8 + 4 * k}).state_dict()}, file)
    contrast = {'type': 'CCRLoss', 'weights': 'random', 'layer_weights': {'relu1_1': 1.0}}
    terms = {'contrast_opt': contrast | {'negatives': [str(file) for file in files]}}

    def train(folder, *flags, **environment):
        write_options(EDSR, terms=terms)
        folder.mkdir(exist_ok=True)
        flags = ('-opt', tmp_path / 'tiny.yml', '--import', deadly, *flags)
        return mclir('train', *flags, cwd=folder, **environment)

    result = train(tmp_path / 'straight')
    assert result.returncode == 0, result.stderr[-3000:]
    held, logged = results(tmp_path / 'straight')
    assert held['9.state']['/curriculum/batches'] == 9
    assert all('l_contrast' in line and 'l_spn' in line and 'contrast_ratio' in line for line in logged.values())
    assert train(tmp_path / 'killed', KILL_AT='5').returncode == 9
    result = train(tmp_path / 'killed', '--auto_resume')
    assert result.returncode == 0, result.stderr[-3000:]
    assert results(tmp_path / 'killed') == (held, logged)


def train_here(monkeypatch, file, root, *flags):
    """Run basicsr.train in this process, whose random states are then whatever was left behind."""
    root.mkdir(exist_ok=True)
    monkeypatch.setattr(sys, 'argv', ['train', '-opt', str(file), *flags])
    from basicsr.train import train_pipeline

    train_pipeline(str(root))


def test_a_run_reaches_its_last_iteration(write_options, tmp_path, monkeypatch):
    """Of five images in batches of four BasicSR counts two iterations an epoch and makes one (BasicSR #518)."""
    file = write_options(EDSR, batch_size_per_gpu=4, dataset_enlarge_ratio=1, num_worker_per_gpu=0)
    train_here(monkeypatch, file, tmp_path / 'run')
    assert (tmp_path / 'run' / 'experiments' / 'tiny' / 'training_states' / '9.state').is_file()


def cut_back(source, target, iteration):
    """A copy of a run as if it had ended with this iteration's state."""
    shutil.copytree(source, target)
    for state in (target / 'experiments' / 'tiny' / 'training_states').iterdir():
        if int(state.stem) > iteration:
            state.unlink()


@pytest.mark.parametrize('data', [{'num_worker_per_gpu': 0}, {'prefetch_mode': 'cpu'}, {'persistent_workers': True}])
def test_from_any_state_with_any_reader(write_options, tmp_path, monkeypatch, data):
    file = write_options(save_every=1, **data)
    file.write_text(file.read_text().replace('manual_seed: 0', ''))  # then BasicSR draws one, anew in each process
    train_here(monkeypatch, file, tmp_path / 'straight')
    held, _ = results(tmp_path / 'straight')
    for iteration in (5, 6):
        cut_back(tmp_path / 'straight', tmp_path / f'from{iteration}', iteration)
        train_here(monkeypatch, file, tmp_path / f'from{iteration}', '--auto_resume')
        assert results(tmp_path / f'from{iteration}')[0] == held, iteration


def test_two_ranks_go_on_from_the_state_of_one(write_options, tmp_path, monkeypatch):
    """Half the batch each: the same samples, so nearly the same weights and negatives."""
    file = write_options(EDSR)
    train_here(monkeypatch, file, tmp_path / 'one')
    cut_back(tmp_path / 'one', tmp_path / 'two', 3)
    write_options(EDSR, batch_size_per_gpu=1, num_worker_per_gpu=1, persistent_workers=True)  # they are spawned
    command = ('-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', 2, '-m', 'mclir_basicsr', 'train')
    flags = ('-opt', file, '--launcher', 'pytorch', '--auto_resume')
    result = run(sys.executable, *command, *flags, cwd=tmp_path / 'two')
    assert result.returncode == 0, result.stderr[-3000:]
    one, two = (torch.cat([part.flatten() for part in weights(tmp_path / name)]).double() for name in ('one', 'two'))
    assert (one - two).norm() < 1e-5 * one.norm()


def weights(root):
    """Tensors of the last network and negatives."""
    folder = root / 'experiments' / 'tiny'
    history = torch.load(folder / 'training_states' / '9.state', weights_only=True)['history']
    nets = torch.load(folder / 'models' / 'net_g_9.pth', weights_only=True).values()
    return [value for part in (*nets, history) for value in part.values() if isinstance(value, torch.Tensor)]
