"""A run that cannot succeed stops before BasicSR puts the former experiment aside, however it is started."""

import random
import sys

import numpy as np
import pytest
import torch
import yaml
from basicsr.archs.edsr_arch import EDSR
from conftest import run

from mclir_basicsr.check import start
from mclir_basicsr.errors import MclirError

TRAIN = 'import mclir_basicsr; mclir_basicsr.register(); from basicsr.train import train_pipeline; train_pipeline(".")'
OF_TORCHRUN = {'RANK': '1', 'LOCAL_RANK': '1', 'WORLD_SIZE': '2'}
OF_SRUN = {'SLURM_STEP_ID': '0', 'SLURM_STEP_NUM_TASKS': '2', 'SLURM_NTASKS': '2', 'SLURM_PROCID': '1'}


@pytest.mark.parametrize(
    ('environment', 'remedy'),
    [
        (OF_TORCHRUN, 'add --launcher pytorch'),
        (OF_SRUN, 'add --launcher slurm'),
        ({'OMPI_COMM_WORLD_RANK': '0', 'OMPI_COMM_WORLD_SIZE': '4'}, 'start by torchrun'),
        ({'PMI_RANK': '0', 'PMI_SIZE': '4'}, 'start by torchrun'),
    ],
)
def test_several_processes_without_a_launcher_are_refused(environment, remedy):
    with pytest.raises(MclirError, match=remedy):
        start.refuse_lone_processes(environment)


@pytest.mark.parametrize(
    'environment',
    [
        {},
        {'RANK': '0', 'WORLD_SIZE': '1'},
        {'WORLD_SIZE': '8'},  # exported for torchrun, which has not started this process
        {'SLURM_JOB_ID': '1', 'SLURM_NTASKS': '4'},  # salloc
        {'SLURM_JOB_ID': '1', 'SLURM_NTASKS': '4', 'SLURM_PROCID': '0'},  # the batch script of sbatch itself
        {'SLURM_STEP_ID': '0', 'SLURM_STEP_NUM_TASKS': '1', 'SLURM_NTASKS': '1', 'SLURM_PROCID': '0'},
        {'SLURM_STEP_ID': '4294967290', 'SLURM_STEP_NUM_TASKS': '1', 'SLURM_NTASKS': '4'},  # interactive step of salloc
    ],
)
def test_one_process_is_not_refused_whatever_the_allocation(environment):
    start.refuse_lone_processes(environment)


@pytest.mark.parametrize(
    ('way', 'environment'),
    [(('-c', TRAIN), OF_TORCHRUN), (('-m', 'mclir_basicsr', 'train'), OF_SRUN)],
    ids=['torchrun-script', 'srun-mclir'],
)
def test_torchrun_or_srun_without_launcher_writes_nothing(way, environment, option_file, tmp_path):
    result = run(sys.executable, *way, '-opt', option_file(), cwd=tmp_path, **environment)
    assert result.returncode != 0
    assert 'but --launcher is none' in result.stderr
    assert not (tmp_path / 'experiments').exists()


def of_another_shape(opt, tmp_path):
    torch.save({'params': EDSR(3, 3, num_feat=4, num_block=1, upscale=2).state_dict()}, tmp_path / 'net.pth')
    opt['path']['pretrain_network_g'] = str(tmp_path / 'net.pth')


def damaged(opt, tmp_path):
    (tmp_path / 'net.pth').write_bytes(b'damaged')
    opt['path']['pretrain_network_g'] = str(tmp_path / 'net.pth')


FAULTS = {
    'misspelt key': (lambda opt, _: opt['train'].update(grad_clip_nrom=1), 'did you mean grad_clip_norm?'),
    'no GPU': (lambda opt, _: opt.update(num_gpu=1), 'torch sees no GPU'),
    'wandb without tensorboard': (lambda opt, _: opt['logger'].update(wandb={'project': 'p'}), 'use_tb_logger: true'),
    'list that is missing': (
        lambda opt, _: opt['datasets']['train'].update(meta_info_file='gone.txt'),
        'datasets.train.meta_info_file: there is no gone.txt',
    ),
    'unknown network': (lambda opt, _: opt['network_g'].update(type='ESDR'), "no arch named 'ESDR'"),
    'another network': (of_another_shape, 'does not fit network_g'),
    'damaged network': (damaged, 'net.pth'),
}


@pytest.fixture
def run_options(options, tmp_path, monkeypatch):
    """Options as BasicSR's parser leaves them, on a machine without a GPU."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    return options(auto_resume=False, datasets={'train': {'gt_size': 32}})


@pytest.mark.parametrize('fault', FAULTS)
def test_a_run_that_cannot_succeed_stops_before_anything_is_put_aside(fault, run_options, tmp_path):
    spoil, said = FAULTS[fault]
    spoil(run_options, tmp_path)
    with pytest.raises(MclirError, match='nothing was changed') as error:
        start.examine(run_options)
    assert said in str(error.value)


def test_the_former_experiment_stays_where_it_is(option_file, tmp_path):
    former = tmp_path / 'experiments' / 'tiny'
    former.mkdir(parents=True)
    file = option_file()
    opt = yaml.safe_load(file.read_text())
    opt['network_g']['type'] = 'ESDR'
    file.write_text(yaml.safe_dump(opt))
    result = run(sys.executable, '-c', TRAIN, '-opt', file, cwd=tmp_path)
    assert "no arch named 'ESDR'" in result.stderr
    assert list((tmp_path / 'experiments').iterdir()) == [former]


def test_what_fits_passes_and_random_numbers_and_options_are_as_before(run_options, tmp_path):
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), repr(run_options)
    start.examine(run_options)
    assert before == (
        random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), repr(run_options),
    )  # fmt: skip


def test_a_resumed_run_another_rank_and_one_that_was_examined_are_not_examined_again(run_options, tmp_path):
    run_options['network_g']['type'] = 'ESDR'
    (tmp_path / 'training_states' / '5.state').touch()
    start.examine(run_options | {'auto_resume': True})
    start.examine(run_options | {'path': run_options['path'] | {'resume_state': '5.state'}})
    start.examine(run_options | {'rank': 1})
    start.note_examined(run_options)
    start.examine(run_options)
    with pytest.raises(MclirError):  # that was said of one run
        start.examine(run_options)
