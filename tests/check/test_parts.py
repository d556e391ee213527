"""What an option file names, one kind at a time."""

import sys

import pytest

from mclir_basicsr.check.parts import loading, loggers
from mclir_basicsr.errors import MclirError

TENSORBOARD, WANDB = {'use_tb_logger': True}, {'wandb': {'project': 'p'}}


@pytest.fixture
def without(monkeypatch):
    """Make packages impossible to import."""

    def hide(*names):
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


@pytest.mark.parametrize(
    ('logger', 'said'),
    [
        (TENSORBOARD, ['logger.use_tb_logger needs tensorboard', 'pip install tensorboard, or set']),
        (TENSORBOARD | WANDB, ['logger.use_tb_logger needs', 'logger.wandb needs wandb', 'pip install wandb']),
        (WANDB | {'use_tb_logger': False}, ['needs logger.use_tb_logger: true beside it', 'but that is False']),
        (WANDB | {'use_tb_logger': 'yes'}, ["but that is 'yes'"]),
        ({'wandb': 'project'}, ["logger.wandb must be a block with the key project, but it is 'project'"]),
    ],
)  # fmt: skip
def test_loggers_that_are_not_installed_or_do_not_fit(logger, said, without):
    without('torch.utils.tensorboard', 'wandb')
    with pytest.raises(MclirError) as error:
        loggers({'name': 'x', 'logger': logger})
    assert [part for part in said if part not in str(error.value)] == []


def test_a_folder_named_wandb_is_not_wandb(monkeypatch, tmp_path):
    """wandb itself makes one where a run starts, and Python takes it for a package."""
    (tmp_path / 'wandb').mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'wandb', raising=False)
    with pytest.raises(MclirError, match=r'logger\.wandb needs wandb'):
        loggers({'name': 'x', 'logger': TENSORBOARD | WANDB})


@pytest.mark.parametrize(
    ('name', 'logger'),
    [
        ('x', {'use_tb_logger': False}),
        ('x', {'use_tb_logger': False, 'wandb': {'project': None, 'resume_id': None}}),
        ('x', {'wandb': None}),
        ('debug_x', TENSORBOARD | WANDB),
    ],
)
def test_loggers_that_are_not_asked_for_are_not_needed(name, logger, without):
    without('torch.utils.tensorboard', 'tensorboard', 'wandb')
    assert loggers({'name': name, 'logger': logger}) == []


def loaded(num_gpu='auto', val=None, **train):
    return {'num_gpu': num_gpu, 'datasets': {'train': {'num_worker_per_gpu': 1} | train, 'val': val or {}}}


@pytest.mark.parametrize(
    ('opt', 'said'),
    [
        (
            loaded(persistent_workers=True, num_worker_per_gpu=0),
            r'train\.persistent_workers: .* set num_worker_per_gpu',
        ),
        (loaded(val={'persistent_workers': True, 'num_worker_per_gpu': 4}), r'val\.persistent_workers: .* take it out'),
    ],
)
def test_persistent_workers_without_workers(opt, said):
    """PyTorch refuses them once the folder is made; BasicSR gives validation none."""
    with pytest.raises(MclirError, match=said):
        loading(opt, here=False)


def test_prefetch_mode_cuda_without_a_gpu(monkeypatch):
    """The run may be elsewhere, unless it asks for no GPU."""
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    said = 'prefetch_mode: cuda copies to a GPU, but torch sees none'
    for opt, here in ((loaded(prefetch_mode='cuda'), True), (loaded(num_gpu=0, prefetch_mode='cuda'), False)):
        with pytest.raises(MclirError, match=said):
            loading(opt, here)
    (note,) = loading(loaded(prefetch_mode='cuda'), here=False)
    assert said in note


def test_what_is_loaded_well_is_not_spoken_of():
    assert loading(loaded(persistent_workers=True, prefetch_mode='cpu', val={'persistent_workers': False}), True) == []
