"""A state that is damaged or foreign is refused by the name of its entry; what is let through trains on."""

import math
from copy import deepcopy

import pytest
import torch
from basicsr.models import build_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_history_model import SPN, step

from mclir_basicsr.errors import MclirError
from mclir_basicsr.run import resume, stop

BALANCED = SPN | {'spn_opt': {key: value for key, value in SPN['spn_opt'].items() if key != 'loss_weight'}}
BALANCED['spn_opt']['balance'] = 0.1

DELETED = object()
STRANGE = [
    DELETED, None, True, 'text', b'bytes', -1, 0, 7, 3.5, math.nan, math.inf, 10**30, [], [1, 2], {}, {'a': 1},
    torch.zeros(2, 5), torch.zeros(3, dtype=torch.long), torch.tensor(2.0),
]  # fmt: skip


def changed(state, path, value):
    """A copy of a state with another value at a path."""
    state = deepcopy(state)
    *parents, last = path
    part = state
    for key in parents:
        part = part[key]
    if value is not DELETED:
        part[last] = value
    else:
        del part[last]
    return state


def paths(value, path=()):
    """Every path in nested dicts and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*path, key)
        yield from paths(part, (*path, key))


@pytest.fixture
def trained(options, tmp_path):
    """Options of a run, its model after two iterations, both saved, and the state of the second."""
    opt = options(train=BALANCED)
    model = build_model(deepcopy(opt))
    for iteration in (1, 2):
        step(model, iteration)
        model.save(0, iteration)
    return opt, model, torch.load(tmp_path / 'training_states' / '2.state', weights_only=True)


FOREIGN = {
    'iter': (['iter'], 'text', r'is no training state'),
    'iter below 1': (['iter'], -3, r'iter: Input should be greater than or equal to 1, but it is -3'),
    'no optimizers': (['optimizers'], [], r'optimizers: there are 0, but this run has 1'),
    'no schedulers': (['schedulers'], DELETED, r'schedulers: Field required'),
    'epoch': (['epoch'], -1, r'epoch: .*, but it is -1'),
    'seed': (['seed'], 'text', r"seed: .*, but it is 'text'"),
    'exp_avg missing': (['optimizers', 0, 'state', 1, 'exp_avg'], DELETED, r'state\.1\.exp_avg is missing'),
    'exp_avg of another shape': (
        ['optimizers', 0, 'state', 1, 'exp_avg'], torch.zeros(3),
        r'optimizers\.0\.state\.1\.exp_avg: it must be a tensor of \[8\], but it is a tensor of \[3\]',
    ),
    'step': (['optimizers', 0, 'state', 0, 'step'], 'text', r"state\.0\.step: it must be a number from 0, but it is"),
    'a parameter too many': (['optimizers', 0, 'state', 99], {}, r'optimizers\.0\.state\.99: network_g has no such'),
    'params': (['optimizers', 0, 'param_groups', 0, 'params'], [0], r'param_groups\.0\.params: it must be a list of'),
    'lr': (['optimizers', 0, 'param_groups', 0, 'lr'], 'text', r"param_groups\.0\.lr: it must be like 0\.001, but"),
    'negative lr': (['optimizers', 0, 'param_groups', 0, 'lr'], -1.0, r'param_groups: Invalid learning rate: -1\.0'),
    'betas': (['optimizers', 0, 'param_groups', 0, 'betas'], [0.9], r'param_groups\.0\.betas: it must be like'),
    'a foreign schedule': (['schedulers', 0], {'T_max': 5}, r'schedulers\.0 is of another schedule: it lacks base_lrs'),
    'last_epoch': (['schedulers', 0, 'last_epoch'], 0.5, r'schedulers\.0\.last_epoch: it must be a whole number'),
    'base_lrs': (['schedulers', 0, 'base_lrs'], [1.0, 1.0], r'base_lrs: there must be 1, one for each group'),
    'guard': (['guard', 'in_a_row'], -1, r'guard\.in_a_row: .*, but it is -1'),
    'balance': (['balance', 'weight'], 'text', r"balance\.weight: Input should be a valid number, but it is 'text'"),
    'next_refresh': (
        ['history', '_extra_state', 'next_refresh'], None, r'history\._extra_state\.next_refresh: .* but it is None',
    ),
    'refreshes': (
        ['history', '_extra_state', 'refreshes'], [1], r'history\._extra_state\.refreshes: there are 1 for 2 negatives',
    ),
    'next_forward': (
        ['history', '_extra_state', 'next_forward'], 2, r'next_forward: it must be below 2, but it is 2',
    ),
    'a negative': (
        ['history', 'negatives.1.conv_first.bias'], torch.zeros(3),
        r'history\.negatives\.1\.conv_first\.bias: it must be a tensor of \[8\], but it is a tensor of \[3\]',
    ),
    'a weight of a negative': (
        ['history', 'negatives.0.conv_last.weight'], DELETED, r'negatives\.0\.conv_last\.weight: it must be a tensor',
    ),
}  # fmt: skip


@pytest.mark.parametrize('what', FOREIGN)
def test_a_foreign_entry_is_named_and_auto_resume_goes_on_from_the_state_before(what, trained, tmp_path, monkeypatch):
    opt, _, state = trained
    path, value, message = FOREIGN[what]
    torch.save(changed(state, path, value), tmp_path / 'training_states' / '2.state')
    monkeypatch.setattr(stop, 'listen', lambda: None)
    run = {'datasets': {'train': {}}, 'auto_resume': False}
    explicit = opt | run | {'path': opt['path'] | {'resume_state': str(tmp_path / 'training_states' / '2.state')}}
    with pytest.raises(MclirError, match=rf'(?s)path\.resume_state: .*2\.state.*{message}'):
        resume.load_resume_state(deepcopy(explicit))
    latest = deepcopy(opt | run | {'auto_resume': True})
    assert resume.load_resume_state(latest)['iter'] == 1
    assert latest['path']['pretrain_network_g'].endswith('net_g_1.pth')


def test_a_whole_state_is_taken_and_nothing_random_is_drawn(trained, tmp_path, monkeypatch):
    opt, model, _ = trained
    monkeypatch.setattr(stop, 'listen', lambda: None)
    before = torch.get_rng_state()
    state = resume.load_resume_state(deepcopy(opt | {'datasets': {'train': {}}, 'auto_resume': True}))
    assert state['iter'] == 2
    assert torch.equal(torch.get_rng_state(), before)
    model.resume_training(state)


def test_other_negatives_are_named(trained, options):
    _, _, state = trained
    other = build_model(options(train=BALANCED | {'history': {'interval': [2]}}))
    with pytest.raises(MclirError, match=r'history: it holds 2 negatives, but this run has 1 \(train\.history\)'):
        other.resume_training(state)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_let_through_trains_on(trained, data):
    """Whatever entry is changed into whatever: one message that is ours, or a run that goes on and saves."""
    _, model, state = trained
    weights = deepcopy(model.net_g.state_dict())
    path = data.draw(st.sampled_from(list(paths(state))), 'path')
    value = data.draw(st.sampled_from(STRANGE), 'value')
    try:
        model.resume_training(changed(state, path, value))
    except MclirError as error:
        assert len(str(error)) < 1500
    else:
        step(model, 3)
        model.save(0, 3)
    for net in (model.net_g, model.net_g_ema):  # a rate of inf makes weights that no later example can train on
        net.load_state_dict(weights)
    model.resume_training(deepcopy(state))


@pytest.mark.parametrize(('iteration', 'every'), [(2, 4), (3, 2)])
def test_a_state_within_an_accumulated_step_is_refused(trained, options, iteration, every):
    _, _, state = trained
    model = build_model(options(train=BALANCED | {'accumulate': every}))
    with pytest.raises(MclirError, match=rf'accumulate is {every}, but .* iteration {iteration}, which lies within'):
        model.resume_training(state | {'iter': iteration})
    model.resume_training(state | {'iter': 4})
