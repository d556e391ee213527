"""A schedule that ends before the run does."""

import pytest
import torch
from basicsr.models import build_model
from basicsr.models.lr_scheduler import CosineAnnealingRestartLR

from mclir_basicsr.check.preflight import check
from mclir_basicsr.check.schedule import optimisation
from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import parse_file

COSINE = {'type': 'CosineAnnealingRestartLR', 'periods': [3, 2], 'restart_weights': [1, 1]}
ONE_CYCLE = {'type': 'OneCycleLR', 'max_lr': 1e-3, 'total_steps': 5}


def of(scheduler, total_iter, model_type='HistoryModel'):
    optim_g = {'type': 'Adam', 'lr': 1e-3}
    return {
        'model_type': model_type,
        'train': {'optim_g': optim_g, 'scheduler': dict(scheduler), 'total_iter': total_iter},
    }


@pytest.mark.parametrize('scheduler', [COSINE, ONE_CYCLE], ids=lambda options: options['type'])
def test_the_last_iteration_with_a_learning_rate(scheduler, options):
    """The schedule moves before each iteration but the first: one of 5 steps lasts for 6 iterations."""
    model = build_model(options(train={'scheduler': dict(scheduler)}))
    for iteration in range(1, 7):
        model.optimizer_g.step()
        model.update_learning_rate(iteration)
    with pytest.raises((TypeError, ValueError)):
        model.update_learning_rate(7)
    assert optimisation(of(scheduler, 6)) == []
    with pytest.raises(MclirError, match=r'LR ends after 5 iterations \(.*\), but train\.total_iter is 7'):
        optimisation(of(scheduler, 7))


def test_a_schedule_of_basicsr_that_ends_under_srmodel():
    with pytest.raises(MclirError, match='periods'):
        optimisation(of(COSINE, 100, 'SRModel'))


@pytest.mark.parametrize(
    ('scheduler', 'behind'),
    [
        ({'type': 'TrueCosineAnnealingLR', 'T_max': 50}, 'T_max): then the rate rises again'),
        ({'type': 'CosineAnnealingLR', 'T_max': 50}, 'T_max): then the rate rises again'),
        ({'type': 'PolynomialLR', 'total_iters': 50}, 'total_iters): then the rate is 0'),
    ],
)
def test_a_learning_rate_that_is_odd_behind_the_end_is_told(scheduler, behind):
    (note,) = optimisation(of(scheduler, 100))
    assert f'train.scheduler: {scheduler["type"]} ends after 50 of 100 iterations (' in note
    assert behind in note
    assert optimisation(of(scheduler, 50)) == []


@pytest.mark.parametrize(
    'scheduler',
    [
        {'type': 'MultiStepLR', 'milestones': [2, 4], 'gamma': 0.5},
        {'type': 'MultiStepRestartLR', 'milestones': [2], 'restarts': [0, 3], 'restart_weights': [1, 0.5]},
        {'type': 'CosineAnnealingWarmRestarts', 'T_0': 3},
        {'type': 'LinearLR', 'total_iters': 3},
        {'type': 'CyclicLR', 'base_lr': 1e-4, 'max_lr': 1e-3, 'cycle_momentum': False},
        {'type': 'StepLR', 'step_size': 3},
    ],
    ids=lambda options: options['type'],
)
def test_schedules_without_an_end(scheduler):
    assert optimisation(of(scheduler, 100_000)) == []


def kept(scheduler, done):
    """``schedulers`` of a state."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(()))], 1e-3)
    arguments = {key: value for key, value in scheduler.items() if key != 'type'}
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, **arguments)
    schedule.last_epoch = done - 1
    return {'iter': done, 'schedulers': [schedule.state_dict()]}


def test_resumed_with_a_longer_total_iter():
    """The state's length counts, whatever the file says now."""
    longer = ONE_CYCLE | {'total_steps': 1000}
    with pytest.raises(MclirError, match=r'LR of the state to resume ends after 5 iterations .*Start anew'):
        optimisation(of(longer, 1000), kept(ONE_CYCLE, 4))
    assert optimisation(of(ONE_CYCLE, 6), kept(ONE_CYCLE, 4)) == []


def test_resumed_with_a_learning_rate_of_its_own_for_the_optical_flow():
    """BasicSR's video models have two groups of parameters."""
    scheduler = {'type': 'CosineAnnealingRestartLR', 'periods': [100], 'restart_weights': [1], 'eta_min': 1e-7}
    groups = [{'params': [torch.nn.Parameter(torch.zeros(()))], 'lr': lr} for lr in (2.5e-5, 1e-4)]
    schedule = CosineAnnealingRestartLR(torch.optim.Adam(groups), periods=[100], eta_min=1e-7)
    assert optimisation(of(scheduler, 10), {'iter': 2, 'schedulers': [schedule.state_dict()]}) == []
    with pytest.raises(MclirError, match=r'of the state to resume ends after 100 iterations \(periods\)'):
        optimisation(of(scheduler, 200), {'iter': 2, 'schedulers': [schedule.state_dict()]})


@pytest.mark.parametrize('auto_resume', [True, False])
def test_check_reads_the_state_that_the_run_goes_on_from(auto_resume, option_file, tmp_path):
    states = tmp_path / 'experiments' / 'tiny' / 'training_states'
    states.mkdir(parents=True)
    torch.save({'epoch': 0, 'optimizers': []} | kept(ONE_CYCLE, 4), states / '4.state')
    path = {} if auto_resume else {'resume_state': str(states / '4.state')}
    opt = parse_file(option_file(train={'scheduler': ONE_CYCLE | {'total_steps': 12}, 'total_iter': 12}, path=path))
    with pytest.raises(MclirError, match='of the state to resume ends after 5 iterations'):
        check(opt, tmp_path, auto_resume=auto_resume)
    if auto_resume:
        check(opt, tmp_path)  # without the flag it is a new run
