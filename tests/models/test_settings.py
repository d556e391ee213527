"""A run that is resumed with another lr, schedule or weight decay in its option file says which counts."""

import logging
from collections import Counter

import pytest
import torch
from basicsr.models import build_model
from basicsr.utils import get_root_logger
from test_history_model import SPN, step

from mclir_basicsr.errors import MclirError
from mclir_basicsr.models.optimizers import SCHEDULERS, make_scheduler
from mclir_basicsr.models.settings import _of_schedule, differences
from mclir_basicsr.run.training_state import Expected, faults

ADAM = {'type': 'Adam', 'lr': 1e-3, 'betas': [0.9, 0.99]}
MULTI = {'type': 'MultiStepLR', 'milestones': [4], 'gamma': 0.5}


@pytest.fixture
def resume(options, tmp_path, caplog, monkeypatch):
    """Train 5 iterations with these settings, resume with others: the model and what the log said."""

    monkeypatch.setattr(get_root_logger(), 'propagate', True)

    def run(before, after, choice=None):
        model = build_model(options(train=SPN | before))
        for iteration in range(1, 6):
            step(model, iteration)
        model.save(0, 5)
        path = options()['path'] | ({} if choice is None else {'resume_settings': choice})
        resumed = build_model(options(train=SPN | after, path=path))
        caplog.clear()
        with caplog.at_level(logging.INFO, 'basicsr'):
            resumed.resume_training(torch.load(tmp_path / 'training_states' / '5.state', weights_only=True))
        return model, resumed, caplog.text

    return run


def rates(model, first, last):
    """The learning rate of each iteration."""
    found = []
    for iteration in range(first, last + 1):
        step(model, iteration)
        found.append(model.get_current_learning_rate()[0])
    return found


CHANGED = {
    'lr': ({'optim_g': ADAM | {'lr': 5e-4}}, 'train.optim_g.lr 0.001 (option file: 0.0005)'),
    'betas': ({'optim_g': ADAM | {'betas': [0.8, 0.99]}}, 'train.optim_g.betas [0.9, 0.99] (option file: [0.8, 0.99])'),
    'weight_decay': ({'optim_g': ADAM | {'weight_decay': 0.1}}, 'train.optim_g.weight_decay 0 (option file: 0.1)'),
    'milestones': (
        {'scheduler': MULTI | {'milestones': [4, 8]}}, 'train.scheduler.milestones [4] (option file: [4, 8])',
    ),
    'gamma': ({'scheduler': MULTI | {'gamma': 0.1}}, 'train.scheduler.gamma 0.5 (option file: 0.1)'),
    'AdamW': ({'optim_g': ADAM | {'type': 'AdamW', 'weight_decay': 0}}, 'decoupled_weight_decay False (option file: T'),
}  # fmt: skip


@pytest.mark.parametrize('what', CHANGED)
def test_settings_of_the_option_file_that_the_state_overrules_are_named(resume, what):
    after, said = CHANGED[what]
    if what == 'AdamW' and 'decoupled_weight_decay' not in torch.optim.Adam([torch.zeros(1)]).param_groups[0]:
        pytest.skip('this torch does not keep which of them it is')
    model, resumed, log = resume({}, after)
    assert 'The state of iteration 5 goes on with its own settings' in log
    assert said in log
    assert 'path.resume_settings: file takes those of the option file' in log
    assert rates(resumed, 6, 9) == rates(model, 6, 9)


def test_where_nothing_differs_nothing_is_said(resume):
    _, _, log = resume({}, {})
    assert 'settings' not in log


def test_resume_settings_file_takes_the_new_ones_with_the_kept_moments(resume, options):
    after = {
        'optim_g': ADAM | {'lr': 1e-2, 'weight_decay': 0.1},
        'scheduler': MULTI | {'milestones': [3, 8], 'gamma': 0.1},
    }
    model, resumed, log = resume({}, after, 'file')
    for old, new in zip(model.optimizer_g.state.values(), resumed.optimizer_g.state.values(), strict=True):
        assert all(torch.equal(old[name], new[name]) for name in ('step', 'exp_avg', 'exp_avg_sq'))
    assert resumed.optimizer_g.param_groups[0]['weight_decay'] == 0.1
    fresh = build_model(options(train=SPN | after))
    assert rates(fresh, 1, 12)[5:] == rates(resumed, 6, 12)
    assert 'train.optim_g.lr 0.01 (state: 0.001)' in log
    assert 'train.scheduler.milestones [3, 8] (state: [4])' in log
    assert 'stands where it leads to at iteration 5, lr 0.001.' in log


def test_another_kind_of_schedule_is_refused_unless_the_file_counts(resume):
    cosine = {'scheduler': {'type': 'CosineAnnealingLR', 'T_max': 12}}
    with pytest.raises(MclirError, match=r'schedulers\.0 is of another schedule: it lacks T_max, eta_min and it'):
        resume({}, cosine)
    _, resumed, _ = resume({}, cosine, 'file')
    assert resumed.schedulers[0].last_epoch == 4


def test_another_kind_of_optimizer_is_refused(resume):
    with pytest.raises(MclirError, match=r'optimizers\.0\.param_groups\.0\.momentum is missing: the state is of anoth'):
        resume({}, {'optim_g': {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9}})


def test_a_schedule_of_the_file_that_has_ended_is_refused(resume):
    after = {'scheduler': {'type': 'CosineAnnealingRestartLR', 'periods': [3], 'restart_weights': [1]}}
    with pytest.raises(MclirError, match=r'CosineAnnealingRestartLR of the option file ends before iteration 5'):
        resume({}, after, 'file')


def test_a_word_that_is_neither_is_refused(resume):
    with pytest.raises(MclirError, match=r"path\.resume_settings: Input should be 'state' or 'file', but it is 'new'"):
        resume({}, {}, 'new')


ARGUMENTS = {
    'CyclicLR': {'base_lr': 1e-4, 'max_lr': 1e-3, 'step_size_up': 3, 'cycle_momentum': False},
    'OneCycleLR': {'max_lr': 1e-3, 'total_steps': 20},
    'StepLR': {'step_size': 3},
    'MultiStepLR': {'milestones': [2, 5]},
    'ExponentialLR': {'gamma': 0.9},
    'CosineAnnealingLR': {'T_max': 9},
    'TrueCosineAnnealingLR': {'T_max': 9},
    'CosineAnnealingWarmRestarts': {'T_0': 3},
    'CosineAnnealingRestartCyclicLR': {'periods': [3, 9], 'restart_weights': [1, 1], 'eta_mins': [1e-3, 1e-4]},
}


@pytest.mark.parametrize('name', SCHEDULERS)
def test_a_moment_of_a_schedule_is_no_difference_of_its_settings(name):
    parameter = torch.nn.Parameter(torch.zeros(3))

    def made(steps):
        optimizer = torch.optim.Adam([parameter], lr=1e-3)
        schedule = make_scheduler(name, optimizer, **ARGUMENTS.get(name, {}))
        for _ in range(steps):
            parameter.grad = torch.ones(3)
            optimizer.step()
            schedule.step()
        return [optimizer], [schedule]

    optimizers, schedulers = made(4)
    state = {
        'iter': 5, 'epoch': 0, 'optimizers': [optimizers[0].state_dict()], 'schedulers': [schedulers[0].state_dict()],
    }  # fmt: skip
    own = made(0)
    assert differences(*own, state) == []
    net = torch.nn.Module()
    net.weight = parameter
    assert list(faults(state, Expected(*own, net, 0))) == []


@pytest.mark.parametrize(('kind', 'fits'), [('AdamW', True), ('RAdam', True), ('RMSprop', False), ('NAdam', False)])
def test_optimizers_that_keep_the_same_averages_can_take_each_others_place(resume, kind, fits):
    optimizer = {'optim_g': {'type': kind, 'lr': 1e-3}}
    if not fits:
        with pytest.raises(MclirError, match=r'optimizers\.0\.state\.0\.\w+ is missing'):
            resume({}, optimizer, 'file')
        return
    model, resumed, _ = resume({}, optimizer, 'file')
    assert type(resumed.optimizer_g).__name__ == kind
    for old, new in zip(model.optimizer_g.state.values(), resumed.optimizer_g.state.values(), strict=True):
        assert torch.equal(old['exp_avg'], new['exp_avg'])
    assert all(rate > 0 for rate in rates(resumed, 6, 7))


def test_a_damaged_count_of_milestones_is_told_as_it_is():
    (found,) = _of_schedule({'milestones': Counter([4, 8, 8])}, {'milestones': Counter({4: 10**30})})
    assert found.file == '[4, 8, 8]'
    assert found.state.startswith('Counter({4: 1000')
