"""The command line as a user runs it: exit status, and one clear message for input that cannot be used."""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from basicsr.archs.srvgg_arch import SRVGGNetCompact
from conftest import run

from mclir_basicsr import __version__
from mclir_basicsr.commands import cli


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
def test_status_and_message(mclir, arguments, status, said):
    result = mclir(*arguments)
    assert result.returncode == status
    assert said in (result.stdout if status == 0 else result.stderr)
    assert 'Traceback' not in result.stderr


def test_every_flag_is_documented():
    page = (Path(__file__).parents[2] / 'docs' / 'cli.md').read_text(encoding='utf-8')
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
def test_bad_option_files(mclir, spoil, said, option_file, tmp_path):
    spoil(option_file())
    # an unreachable proxy stands for a machine without a network
    result = mclir('train', '-opt', 'tiny.yml', TORCH_HOME=str(tmp_path), https_proxy='http://127.0.0.1:9')
    assert result.returncode == 2, result.stderr
    message = result.stderr[result.stderr.index('mclir: error:') :]
    assert all(part in message for part in said), message
    assert 'Traceback' not in message


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_ends_a_run_with_everything_saved(number, option_file, tmp_path):
    """Sent to its DataLoader workers too, as SLURM and torchrun do, and again until it has ended."""
    file = option_file(train={'total_iter': 1_000_000, 'keep': {'last': 1}})
    opt = yaml.safe_load(file.read_text())
    opt['datasets']['train'] |= {'num_worker_per_gpu': 2, 'dataset_enlarge_ratio': 1_000_000}
    file.write_text(yaml.safe_dump(opt))
    command = [sys.executable, '-m', 'mclir_basicsr', 'train', '-opt', str(file)]
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        log = ''
        for line in process.stderr:
            log += line
            if 'iter:       3,' in line:
                os.killpg(process.pid, number)
            if 'is saved' in line:
                break
        while process.poll() is None:  # a status other than 75 would not be put back into the queue
            os.killpg(process.pid, number)
            time.sleep(0.01)
    assert process.returncode == 75, log[-3000:]
    done = int(re.search(rf'{number.name}: iteration (\d+) is saved', log).group(1))
    run_folder = tmp_path / 'experiments' / 'tiny'
    assert [path.name for path in (run_folder / 'training_states').iterdir()] == [f'{done}.state']
    state = torch.load(run_folder / 'training_states' / f'{done}.state', weights_only=True)
    assert state['iter'] == done
    assert (run_folder / 'models' / f'net_g_{done}.pth').is_file()


def test_check_lists_every_fault_and_train_does_so_first(mclir, option_file, tmp_path):
    file = option_file()
    result = mclir('check', '-opt', file)
    assert (result.returncode, result.stdout.splitlines()[-1]) == (0, f'{file} can be trained with.')
    file.write_text(file.read_text().replace('L1Loss', 'L1Los').replace('num_feat', 'num_faet'))
    for command in (('check',), ('train', '--force_yml', 'val:save_img=true')):
        result = mclir(command[0], '-opt', file, *command[1:])
        assert result.returncode == 2
        assert 'did you mean L1Loss' in result.stderr
        assert 'network_g: EDSR cannot be built' in result.stderr
    assert not (tmp_path / 'experiments').exists()


def test_test_refuses_the_option_file_of_a_training(mclir, option_file, tmp_path):
    """It would score the network from before the training under the name of the run, or the training set as a test."""
    file = option_file()
    opt = yaml.safe_load(file.read_text())
    opt['datasets']['test'] = opt['datasets'].pop('val')
    renamed = tmp_path / 'renamed.yml'
    renamed.write_text(yaml.safe_dump(opt))
    for each in (file, renamed):
        result = mclir('test', '-opt', each)
        assert result.returncode == 2
        assert 'mclir evaluate experiments/tiny' in result.stderr
    assert not (tmp_path / 'results').exists()


def test_fast_leaves_the_trial_out(mclir, option_file, tmp_path):
    """A network with two outputs: check and train find it before a folder is made, and with --fast they do not."""
    file = option_file()
    script = tmp_path / 'two.py'
    script.write_text(TWO_OUTPUTS)
    for command in ('check', 'train'):
        result = mclir(command, '-opt', file, '--import', script)
        assert result.returncode == 2
        assert 'network_g: EDSR makes a tuple of 1x3x32x32 and 1x3x16x16' in result.stderr
        assert not (tmp_path / 'experiments').exists()
    assert mclir('check', '-opt', file, '--fast', '--import', script).returncode == 0
    result = mclir('train', '--fast', '-opt', file, '--import', script)
    assert 'unrecognized arguments' not in result.stderr
    assert (tmp_path / 'experiments').exists()


TWO_OUTPUTS = """
from basicsr.archs.edsr_arch import EDSR

forward = EDSR.forward
EDSR.forward = lambda self, x: (forward(self, x), x)
"""


def test_a_trained_network_is_tested_with_basicsr_flags(mclir, option_file, tmp_path):
    file = option_file()
    assert mclir('train', '-opt', file).returncode == 0
    opt = yaml.safe_load(file.read_text())
    del opt['datasets']['train'], opt['train']
    opt['path'] = {'pretrain_network_g': 'experiments/tiny/models/net_g_latest.pth', 'param_key_g': 'params_ema'}
    opt['val']['suffix'] = None
    results = {}
    for model_type in ('HistoryModel', 'SRModel'):  # the checkpoint serves plain BasicSR alike
        shutil.rmtree(tmp_path / 'results', ignore_errors=True)
        file.write_text(yaml.safe_dump(opt | {'model_type': model_type}))
        result = mclir('test', '-opt', file)
        assert result.returncode == 0, result.stderr[-3000:]
        results[model_type] = result.stderr[result.stderr.index('Validation held-out') :]
    assert '# psnr: ' in results['SRModel']
    assert results['HistoryModel'] == results['SRModel']


TELLING_RANK = """
import sys
import torch
from basicsr.archs.edsr_arch import EDSR
from mclir_basicsr.models.step import TrainingStep
from mclir_basicsr.commands.cli import main

step, make = TrainingStep.optimize_parameters, EDSR.__init__

def make_with_statistics(self, *args, **kwargs):
    make(self, *args, **kwargs)
    self.conv_after_body = torch.nn.Sequential(self.conv_after_body, torch.nn.BatchNorm2d(8))

def telling_step(self, current_iter):
    step(self, current_iter)
    negatives = self.history.negatives
    values = torch.cat([value.flatten() for part in (negatives.parameters(), negatives.buffers()) for value in part])
    values = values.double()
    with open(f'rank{self.opt["rank"]}', 'a') as file:
        file.write(f'{values.sum().item()!r} {values.norm().item()!r} {self.history.refreshes} ')
        file.write(f'{self.curriculum.state_dict()}\\n')

TrainingStep.optimize_parameters, EDSR.__init__ = telling_step, make_with_statistics
sys.exit(main(sys.argv[1:]))
"""


def test_two_gloo_ranks_hold_the_same_negatives_and_curriculum(option_file, write_pairs, tmp_path):
    """torchrun on a CPU; each rank seeds itself differently, as BasicSR does, and prints a sum of its negatives.

    The ranks see other images, so that batch statistics differ. --fast: a step that is tried first would tell, too.
    """
    write_pairs(count=6)
    history = {'policy': 'adaptive', 'negatives': 2, 'threshold': 0.2}
    torch.save(SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2).state_dict(), tmp_path / 'negative.pth')
    contrast = {'type': 'CCRLoss', 'negatives': [str(tmp_path / 'negative.pth')], 'weights': 'random'}
    contrast |= {'layer_weights': {'relu1_1': 1.0}}
    file = option_file(manual_seed=None, train={'total_iter': 3, 'history': history, 'contrast_opt': contrast})
    script = tmp_path / 'ranks.py'
    script.write_text(TELLING_RANK)
    command = ('-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', 2, script, 'train', '--fast')
    result = run(sys.executable, *command, '-opt', file, '--launcher', 'pytorch', cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    first, second = ((tmp_path / f'rank{rank}').read_text() for rank in (0, 1))
    assert first == second
    assert len(first.splitlines()) == 3


DYING_RANK = """
import os
import sys
from mclir_basicsr.models.step import TrainingStep
from mclir_basicsr.commands.cli import main

step = TrainingStep.optimize_parameters

def deadly_step(self, current_iter):
    if current_iter == 2 and self.opt['rank'] == 1:
        os._exit(9)
    step(self, current_iter)

TrainingStep.optimize_parameters = deadly_step
sys.exit(main(sys.argv[1:]))
"""


def test_a_rank_that_dies_ends_the_job(option_file, tmp_path):
    """With a message that names the rank, long before the 30 minutes after which a process group gives up."""
    file = option_file(train={'total_iter': 1_000_000})
    script = tmp_path / 'ranks.py'
    script.write_text(DYING_RANK)
    command = ('-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', 2, script, 'train')
    result = run(sys.executable, *command, '-opt', file, '--launcher', 'pytorch', cwd=tmp_path)
    assert result.returncode != 0
    assert re.search(r'exitcode +: 9', result.stderr), result.stderr[-3000:]
    assert re.search(r'rank +: 1', result.stderr)
