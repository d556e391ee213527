"""The SPN term at every n-th optimizer step only."""

import copy

import pytest
import torch
from basicsr.models import build_model
from hypothesis import given
from hypothesis import strategies as st
from recipe import example_input

from mclir_basicsr.models.lazy import Lazy

COUNTS = st.integers(1, 7)
LAYERS = {'relu1_1': 1.0, 'conv2_1': 0.5}


@given(COUNTS, COUNTS)
def test_every_nth_optimizer_step_has_the_term_whole(every, accumulate):
    lazy = Lazy(every, accumulate)
    acting = [iteration for iteration in range(1, every * accumulate * 3 + 1) if lazy.acts(iteration)]
    assert len(acting) == 3 * accumulate
    steps = {(iteration - 1) // accumulate + 1 for iteration in acting}
    assert steps == {every, 2 * every, 3 * every}


@given(COUNTS, COUNTS, st.integers(1, 20))
def test_each_multiple_behind_the_first_step_is_stood_for_once(every, accumulate, of):
    lazy = Lazy(every, accumulate)
    last = 4 * every * accumulate
    acting = [iteration for iteration in range(1, last + 1) if lazy.acts(iteration)]
    stood_for = [i for iteration in acting for i in lazy.stands_for(iteration)]
    assert stood_for == list(range(acting[0], stood_for[-1] + 1)), 'each iteration once, without a gap'
    for iteration in acting:
        assert lazy.has_multiple(iteration, of) == any(i % of == 0 for i in lazy.stands_for(iteration))


def build(options, print_freq=1, accumulate=1, **spn):
    torch.manual_seed(0)
    train = {
        'spn_opt': {'weights': 'random', 'layer_weights': LAYERS} | spn,
        'history': {'interval': [2, 3]},
        'optim_g': {'type': 'SGD', 'lr': 0.1},
        'accumulate': accumulate,
    }
    logger = {'print_freq': print_freq, 'save_checkpoint_freq': 100, 'use_tb_logger': False}
    return build_model(options(train=copy.deepcopy(train), logger=logger))


def step(model, iteration):
    model.update_learning_rate(iteration)
    model.feed_data(
        {'lq': example_input([1, 3, 12, 12], iteration), 'gt': example_input([1, 3, 24, 24], 1000 + iteration)}
    )
    before = [p.detach().clone() for p in model.net_g.parameters()]
    model.optimize_parameters(iteration)
    moved = [p.detach() - b for p, b in zip(model.net_g.parameters(), before, strict=True)]
    return torch.cat([m.flatten() for m in moved]), dict(model.get_current_log())


def test_the_term_has_n_times_its_weight_where_it_acts(options):
    """By SGD the step is linear in the gradient: that of the lazy term is n times that of the term of every step."""
    plain, always, lazy = (build(options, **spn) for spn in ({'loss_weight': 1e-30}, {}, {'every': 3}))
    for iteration in (1, 2, 3):
        moves = {}
        for name, model in (('plain', plain), ('always', always), ('lazy', lazy)):
            for other in (always, lazy):  # the same network and negatives for all three
                other.net_g.load_state_dict(plain.net_g.state_dict())
                other.history.load_state_dict(plain.history.state_dict())
            start = copy.deepcopy((plain.net_g.state_dict(), plain.history.state_dict()))
            moves[name], _ = step(model, iteration)
            plain.net_g.load_state_dict(start[0])
            plain.history.load_state_dict(start[1])
        if iteration < 3:
            assert torch.equal(moves['lazy'], moves['plain'])
        else:
            alone, thrice = (moves[name] - moves['plain'] for name in ('always', 'lazy'))
            assert alone.norm() > 0
            torch.testing.assert_close(thrice, 3 * alone, rtol=1e-3, atol=1e-7)


def test_negatives_run_only_where_the_term_acts(options, monkeypatch):
    model, calls = build(options, every=4), []
    forward = model.history.forward
    monkeypatch.setattr(model.history, 'forward', lambda lq: calls.append(model._iteration) or forward(lq))
    for iteration in range(1, 10):
        step(model, iteration)
    assert calls == [4, 8]
    assert sum(model.history.refreshes) == 4 + 3, 'refreshed at their intervals all the same'


def test_the_log_shows_the_last_value_as_it_is_on_average(options):
    model = build(options, print_freq=2, every=3, loss_weight=0.1)
    logs = {iteration: step(model, iteration)[1] for iteration in range(1, 8)}
    assert 'l_spn' not in logs[2]
    assert logs[3]['l_spn'] == pytest.approx(-0.1 * logs[3]['spn_dist'])
    assert all(logs[4][name] == logs[3][name] for name in ('l_spn', 'spn_dist', 'spn_ratio'))
    assert logs[6]['l_spn'] != logs[4]['l_spn']
    once = build(options, print_freq=3, loss_weight=0.1)
    once.net_g.load_state_dict(model.net_g.state_dict())
    once.history.load_state_dict(model.history.state_dict())
    model_log, once_log = step(model, 9)[1], step(once, 9)[1]
    assert model_log['spn_ratio'] == pytest.approx(once_log['spn_ratio']), 'of the mean gradient, not n times as large'


def test_balance_follows_with_rare_measurements(options):
    model = build(options, print_freq=1000, every=7, balance=0.25)
    for iteration in range(1, 57):
        log = step(model, iteration)[1]
    assert model.balance.state_dict()['mean'] is not None
    assert log['spn_weight'] == pytest.approx(model.cri_spn.loss_weight)
    again = build(options, print_freq=1, every=7, balance=0.25)
    for iteration in range(1, 8):
        log = step(again, iteration)[1]
    assert log['spn_ratio'] == pytest.approx(0.25, rel=1e-3), 'the first measurement counts whole'


@pytest.mark.parametrize('per_step', [None, 1])
def test_a_resumed_lazy_run_goes_on_as_it_would_have(options, tmp_path, per_step):
    def start():
        model = build(options, every=4, accumulate=2)
        model.history.per_step = per_step
        return model

    straight = start()
    for iteration in range(1, 7):
        step(straight, iteration)
    straight.save(0, 6)
    resumed = start()
    resumed.net_g.load_state_dict(straight.net_g.state_dict())
    resumed.net_g_ema.load_state_dict(straight.net_g_ema.state_dict())
    resumed.resume_training(torch.load(tmp_path / 'training_states' / '6.state', weights_only=True))
    for iteration in range(7, 20):
        ours, theirs = step(resumed, iteration), step(straight, iteration)
        assert torch.equal(ours[0], theirs[0])
    assert ours[1] == theirs[1]
