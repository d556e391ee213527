"""Optimizers and schedules by name."""

import pytest
import torch
from basicsr.models import build_model
from basicsr.models.lr_scheduler import CosineAnnealingRestartLR

from mclir_basicsr.errors import MclirError
from mclir_basicsr.models.optimizers import OPTIMIZERS, SCHEDULERS, make_optimizer, make_scheduler


def parameters():
    return [torch.nn.Parameter(torch.zeros(2, 2))]


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_any_optimizer_of_torch(name):
    params = parameters()
    optimizer = make_optimizer(name, params, lr=0.1)
    params[0].grad = torch.ones(2, 2)
    optimizer.step()
    assert params[0].abs().sum() > 0


ARGUMENTS = {
    'MultiStepLR': {'milestones': [2]},
    'StepLR': {'step_size': 2},
    'ExponentialLR': {'gamma': 0.9},
    'CosineAnnealingLR': {'T_max': 5},
    'TrueCosineAnnealingLR': {'T_max': 5},
    'CosineAnnealingWarmRestarts': {'T_0': 2},
    'CyclicLR': {'base_lr': 0.01, 'max_lr': 0.1, 'cycle_momentum': False},
    'OneCycleLR': {'max_lr': 0.1, 'total_steps': 9},
    'CosineAnnealingRestartCyclicLR': {'periods': [2, 4], 'restart_weights': [1, 1], 'eta_mins': [0.1, 0.01]},
}


@pytest.mark.parametrize('name', SCHEDULERS)
def test_any_scheduler_of_torch(name):
    scheduler = make_scheduler(name, torch.optim.Adam(parameters(), 0.1), **ARGUMENTS.get(name, {}))
    rates = []
    for _ in range(6):
        scheduler.optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
    assert len(set(rates)) > 1 or name in ('ConstantLR', 'LinearLR', 'PolynomialLR')


def test_cycles_with_one_lowest_rate_are_those_of_basicsr():
    arguments = {'periods': [3, 5, 2], 'restart_weights': [1, 0.5, 0.25]}
    ours = make_scheduler(
        'CosineAnnealingRestartCyclicLR', torch.optim.Adam(parameters(), 0.1), eta_mins=[0.01] * 3, **arguments
    )
    theirs = CosineAnnealingRestartLR(torch.optim.Adam(parameters(), 0.1), eta_min=0.01, **arguments)
    rates = []
    for _ in range(10):
        for schedule in (ours, theirs):
            schedule.optimizer.step()
            schedule.step()
        rates.append(ours.get_last_lr()[0])
        assert rates[-1] == pytest.approx(theirs.get_last_lr()[0], rel=1e-12)
    assert len(set(rates)) > 5
    with pytest.raises(MclirError, match='must be of one length'):
        make_scheduler('CosineAnnealingRestartCyclicLR', ours.optimizer, periods=[3], eta_mins=[1, 2])


@pytest.mark.parametrize(
    ('make', 'arguments', 'message'),
    [
        (make_optimizer, ('AdamV', parameters(), 0.1), 'train.optim_g.type: AdamV cannot be used; did you mean Adam'),
        (make_optimizer, ('SparseAdam', parameters(), 0.1), 'SparseAdam cannot be used; did you mean (?!SparseAdam)'),
        (make_optimizer, ('LBFGS', parameters(), 0.1), 'LBFGS cannot be used; (?!did you mean LBFGS)'),
        (make_scheduler, ('CosineAnnealing', None), 'did you mean CosineAnnealingLR'),
        (make_scheduler, ('ReduceLROnPlateau', None), 'train.scheduler.type: ReduceLROnPlateau cannot be used'),
    ],
)
def test_unknown_names(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(*arguments)


def test_arguments_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r'train\.optim_g: Adam does not take these arguments: .*wieght_decay'):
        make_optimizer('Adam', parameters(), 0.1, wieght_decay=1)
    with pytest.raises(ValueError, match=r'train\.scheduler: StepLR does not take these arguments: .*step_size'):
        make_scheduler('StepLR', torch.optim.Adam(parameters()))


def rates(options, scheduler, warmup=-1, steps=10):
    model = build_model(options(train={'optim_g': {'type': 'AdamW', 'lr': 1.0}, 'scheduler': scheduler}))
    found = []
    for t in range(1, steps + 1):
        model.update_learning_rate(t, warmup)
        found += model.get_current_learning_rate()
        model.optimizer_g.step()
    return found


def test_true_cosine_annealing_is_the_closed_form_also_after_a_warm_up(options):
    scheduler = {'type': 'TrueCosineAnnealingLR', 'T_max': 10, 'eta_min': 0.1}
    cosine = [0.1 + 0.45 * (1 + torch.cos(torch.tensor(torch.pi * t / 10)).item()) for t in range(10)]
    assert rates(options, dict(scheduler)) == pytest.approx(cosine, rel=1e-5)
    warm = rates(options, dict(scheduler), warmup=4)
    assert warm == pytest.approx([0.25, 0.5, 0.75, *cosine[3:]], rel=1e-5)
