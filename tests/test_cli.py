"""The command line as a user runs it: exit status, and one clear message for input that cannot be used."""

import argparse
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from conftest import run

from mclir_basicsr import __version__, cli


def mclir(*arguments, cwd, **environment):
    return run(sys.executable, '-m', 'mclir_basicsr', *arguments, cwd=cwd, **environment)


@pytest.mark.parametrize(
    ('arguments', 'status', 'said'),
    [
        (['--version'], 0, __version__),
        (['--help'], 0, 'doctor'),
        (['enable', '--help'], 0, '--negatives K'),
        ([], 2, 'COMMAND'),
        (['trian'], 2, "invalid choice: 'trian'"),
        (['train', '-opt', 'nowhere.yml'], 2, 'There is no option file nowhere.yml'),
        (['enable', 'nowhere.yml', '-o', 'x.yml'], 2, 'nowhere.yml'),
        (['compare', 'nowhere', 'nothing'], 2, 'nowhere'),
    ],
)
def test_status_and_message(arguments, status, said, tmp_path):
    result = mclir(*arguments, cwd=tmp_path)
    assert result.returncode == status
    assert said in (result.stdout if status == 0 else result.stderr)
    assert 'Traceback' not in result.stderr


def test_every_flag_is_documented():
    page = (Path(__file__).parents[1] / 'docs' / 'cli.md').read_text(encoding='utf-8')
    (commands,) = (a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction))
    flags = {
        flag for command in commands.choices.values() for action in command._actions for flag in action.option_strings
    }
    assert '--negatives' in flags
    assert {name for name in [*commands.choices, *(flags - {'-h', '--help'})] if f'`{name}' not in page} == set()


def broken_yaml(file):
    file.write_text('name: x\n  train: [1, 2\n')


def no_mapping(file):
    file.write_text('just words')


def misspelt(file):
    opt = yaml.safe_load(file.read_text())
    opt['train']['history'] = {'intervall': [1, 2], 'decay': 1.5}
    opt['train']['grad_clip_nrom'] = 1
    file.write_text(yaml.safe_dump(opt))


def missing_pretrain(file):
    file.write_text(file.read_text().replace('pretrain_network_g: null', 'pretrain_network_g: gone.pth'))


def no_vgg_weights(file):
    file.write_text(file.read_text().replace('weights: random', 'weights: imagenet'))


def unknown_model(file):
    file.write_text(file.read_text().replace('HistoryModel', 'HistroyModel'))


def lengths(file):
    opt = yaml.safe_load(file.read_text())
    opt['train']['history'] = {'interval': [1, 2, 3], 'decay': [0.1, 0.2]}
    file.write_text(yaml.safe_dump(opt))


def missing_images(file):
    opt = yaml.safe_load(file.read_text())
    opt['datasets']['train']['dataroot_lq'] = 'no-such-folder'
    file.write_text(yaml.safe_dump(opt))


@pytest.mark.parametrize(
    ('spoil', 'said'),
    [
        (broken_yaml, ['tiny.yml is no YAML', 'line 2']),
        (no_mapping, ['it holds str instead of']),
        (misspelt, ['train.history.intervall: unknown key; did you mean interval?', 'train.history.decay: ',
                    'train.grad_clip_nrom: unknown key; did you mean grad_clip_norm?']),
        (missing_pretrain, ['path.pretrain_network_g: there is no file gone.pth']),
        (no_vgg_weights, ['vgg16-397923af.pth', 'spn_opt.weights']),
        (unknown_model, ['did you mean HistoryModel', 'mclir_basicsr is loaded']),
        (lengths, ['decay has 2 values for 3 negatives']),
        (missing_images, ['no-such-folder']),
    ],
)  # fmt: skip
def test_bad_option_files(spoil, said, option_file, tmp_path):
    spoil(option_file())
    # an unreachable proxy stands for a machine without a network
    result = mclir(
        'train', '-opt', 'tiny.yml', cwd=tmp_path, TORCH_HOME=str(tmp_path), https_proxy='http://127.0.0.1:9'
    )
    assert result.returncode == 2, result.stderr
    message = result.stderr[result.stderr.index('mclir: error:') :]
    assert all(part in message for part in said), message
    assert 'Traceback' not in message


def states(root):
    run_folder = root / 'experiments' / 'tiny'
    state = torch.load(run_folder / 'training_states' / '12.state', weights_only=True)
    return state, torch.load(run_folder / 'models' / 'net_g_12.pth', weights_only=True)


def flat(value, path=''):
    """Nested values by path, tensors as lists."""
    if isinstance(value, torch.Tensor):
        return {path: value.tolist()}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else None
    if items is None:
        return {path: value}
    return {p: v for key, part in items for p, v in flat(part, f'{path}/{key}').items()}


def test_auto_resume_in_a_new_process_equals_an_uninterrupted_run(option_file, tmp_path):
    """12 iterations straight, and 6, a new process with --auto_resume, 6 more; one pair, so the data is the same."""
    train = {'total_iter': 12, 'history': {'interval': [2, 3, 5]}}
    logger = {'print_freq': 1, 'save_checkpoint_freq': 6, 'use_tb_logger': False}
    file = option_file(train=train, logger=logger)
    straight, resumed = tmp_path / 'straight', tmp_path / 'resumed'
    for root in (straight, resumed):
        root.mkdir()
    assert mclir('train', '-opt', file, cwd=straight).returncode == 0
    file = option_file(train=train | {'total_iter': 6}, logger=logger)
    assert mclir('train', '-opt', file, cwd=resumed).returncode == 0
    file = option_file(train=train, logger=logger)
    result = mclir('train', '-opt', file, '--auto_resume', cwd=resumed)
    assert result.returncode == 0, result.stderr[-3000:]
    assert 'Resuming training from epoch: 5, iter: 6.' in result.stderr
    (state, nets), (state_resumed, nets_resumed) = states(straight), states(resumed)
    assert flat(nets_resumed) == flat(nets)
    del state['epoch'], state_resumed['epoch']  # BasicSR begins the epoch it stopped in anew
    assert flat(state_resumed) == flat(state)
    assert state['history']['_extra_state']['refreshes'] == [6, 4, 2]

    # a truncated state: named, nothing lost, and the one before it serves once it is removed
    damaged = resumed / 'experiments' / 'tiny' / 'training_states' / '12.state'
    damaged.write_bytes(damaged.read_bytes()[:1000])
    result = mclir('train', '-opt', file, '--auto_resume', cwd=resumed)
    assert result.returncode == 2
    assert 'path.resume_state' in result.stderr
    assert '12.state is truncated, damaged' in result.stderr
    assert (resumed / 'experiments' / 'tiny' / 'models' / 'net_g_12.pth').is_file()


def test_a_trained_network_is_tested_with_basicsr_flags(option_file, tmp_path):
    file = option_file()
    assert mclir('train', '-opt', file, cwd=tmp_path).returncode == 0
    opt = yaml.safe_load(file.read_text())
    del opt['datasets']['train'], opt['train']
    opt['path'] = {'pretrain_network_g': 'experiments/tiny/models/net_g_latest.pth', 'param_key_g': 'params_ema'}
    opt['val']['suffix'] = None
    results = {}
    for model_type in ('HistoryModel', 'SRModel'):  # the checkpoint serves plain BasicSR alike
        shutil.rmtree(tmp_path / 'results', ignore_errors=True)
        file.write_text(yaml.safe_dump(opt | {'model_type': model_type}))
        result = mclir('test', '-opt', file, cwd=tmp_path)
        assert result.returncode == 0, result.stderr[-3000:]
        results[model_type] = result.stderr[result.stderr.index('Validation held-out') :]
    assert '# psnr: ' in results['SRModel']
    assert results['HistoryModel'] == results['SRModel']


TELLING_RANK = """
import sys
import torch
from mclir_basicsr import HistoryModel
from mclir_basicsr.cli import main

step = HistoryModel.optimize_parameters

def telling_step(self, current_iter):
    step(self, current_iter)
    values = torch.cat([value.flatten() for value in self.history.parameters()]).double()
    with open(f'rank{self.opt["rank"]}', 'a') as file:
        file.write(f'{values.sum().item()!r} {values.norm().item()!r} {self.history.refreshes}\\n')

HistoryModel.optimize_parameters = telling_step
sys.exit(main(sys.argv[1:]))
"""


def test_two_gloo_ranks_hold_the_same_negatives(option_file, tmp_path):
    """torchrun on a CPU; each rank seeds itself differently, as BasicSR does, and prints a sum of its negatives."""
    file = option_file(
        manual_seed=None,
        train={'total_iter': 3, 'history': {'policy': 'adaptive', 'negatives': 2, 'threshold': 0.2}},
    )
    script = tmp_path / 'ranks.py'
    script.write_text(TELLING_RANK)
    command = ('-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', 2, script, 'train')
    result = run(sys.executable, *command, '-opt', file, '--launcher', 'pytorch', cwd=tmp_path, OMP_NUM_THREADS='1')
    assert result.returncode == 0, result.stderr[-3000:]
    first, second = ((tmp_path / f'rank{rank}').read_text() for rank in (0, 1))
    assert first == second
    assert len(first.splitlines()) == 3
