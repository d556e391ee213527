"""ModelHistory in a plain PyTorch loop, against closed forms and a slow model in plain Python."""

import copy
from statistics import fmean, stdev

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from mclir_basicsr import ModelHistory, SPNLoss
from mclir_basicsr.errors import MclirError
from mclir_basicsr.history import PRECISIONS, residual_spread


class Scale(nn.Module):
    """The simplest network: one weight, one floating-point and one integer buffer."""

    def __init__(self, weight=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(float(weight)))
        self.register_buffer('offset', torch.tensor(0.0))
        self.register_buffer('count', torch.tensor(0))

    def forward(self, x):
        return x * self.weight + self.offset


def weights(history):
    return [negative.weight.item() for negative in history.negatives]


def test_a_plain_pytorch_loop():
    """All that a loop without BasicSR needs."""
    torch.manual_seed(0)

    def make():
        return nn.Conv2d(3, 3, 3, padding=1)

    net = make()
    history = ModelHistory(net, interval=[2, 5], start=0.1, fresh=make)
    spn_loss = SPNLoss(loss_weight=1e-3, layer_weights={'relu1_1': 1.0}, weights='random')
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    lq = torch.rand(2, 3, 16, 16)
    gt = lq.flip(1)
    losses = []
    for iteration in range(1, 21):
        output = net(lq)
        reconstruction = F.l1_loss(output, gt)
        loss = reconstruction + spn_loss(output, history(lq))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.refresh(net, iteration)
        losses.append(reconstruction.item())
    assert losses[-1] < 0.7 * losses[0]
    assert history.refreshes == [10, 4]


def test_start_is_a_mix_with_a_random_initialisation_of_its_own():
    drawn = []

    def fresh():
        drawn.append(Scale(torch.rand(()).item()))
        return drawn[-1]

    net = Scale(5.0)
    state = torch.random.get_rng_state()
    history = ModelHistory(net, [1, 1, 1], start=0.3, fresh=fresh, seed=11)
    assert torch.equal(torch.random.get_rng_state(), state), (
        'the training stream of random numbers must go on undisturbed'
    )
    assert weights(history) == pytest.approx([0.3 * d.weight.item() + 0.7 * 5 for d in drawn])
    assert len(set(weights(history))) == 3
    torch.manual_seed(99)
    assert weights(ModelHistory(net, [1, 1, 1], start=0.3, fresh=fresh, seed=11)) == weights(history)


@pytest.mark.parametrize('start', [0.0, 1.0])
def test_start_shares_at_the_ends(start):
    history = ModelHistory(Scale(5.0), [1], start=start, fresh=lambda: Scale(2.0))
    assert weights(history) == [2.0 if start else 5.0]


def test_a_batch_norm_does_not_start_on_random_statistics():
    net = nn.BatchNorm2d(3)
    with torch.no_grad():
        net.running_mean.fill_(7.0)
    history = ModelHistory(net, [1], start=0.5, fresh=lambda: nn.BatchNorm2d(3))
    assert history.negatives[0].running_mean.tolist() == [7.0] * 3


def test_refresh_at_iteration_0_is_refused():
    """A loop that counts from 0 would refresh all negatives at its start, and each an iteration late after it."""
    history = ModelHistory(Scale(5.0), [1, 100], start=0)
    for iteration in (0, -1):
        with pytest.raises(MclirError, match=rf'at iteration {iteration}, but .* counted from 1.*Pass iteration'):
            history.refresh(Scale(), iteration)
        assert not history.is_due(iteration)
    assert history.refreshes == [0, 0]


def test_a_second_call_for_the_same_iteration_refreshes_nothing(caplog):
    """Also where the state was saved and loaded between; another iteration refreshes again."""
    history = ModelHistory(Scale(5.0), [2, 3], start=0)
    history.refresh(Scale(), 2)
    once = weights(history)
    resumed = ModelHistory(Scale(), [2, 3], start=0)
    resumed.load_state_dict(history.state_dict())
    assert caplog.text == ''
    for each in (history, resumed):
        each.refresh(Scale(1.0), 2)
        assert weights(each) == once
        each.refresh(Scale(1.0), 3)
        assert each.refreshes == [1, 1]
    assert caplog.text.count('refresh was called again at iteration 2') == 2
    older = history.state_dict()
    del older['_extra_state']['refreshed_at']
    resumed.load_state_dict(older)


def test_a_network_that_changes_its_modules_is_named():
    net = nn.Sequential(nn.ReLU())
    history = ModelHistory(net, [1], start=0)
    net.append(nn.ReLU())
    with pytest.raises(MclirError, match='has 3 modules, but the average of it has 2'):
        history.refresh(net, 1)
    net.append(nn.Linear(1, 1))
    with pytest.raises(MclirError, match='has 2 parameters, but the average of it has 0'):
        history.refresh(net, 2)


FINITE = st.floats(-3, 3)
LINEAR = st.lists(FINITE, min_size=3, max_size=3)  # weights and bias of a network with two inputs and one output
INPUT = (1.0, -2.0)


def linear(values=(0.0, 0.0, 0.0)):
    return set_linear(nn.Linear(2, 1).double(), values)


def set_linear(net, values):
    net.weight.data.copy_(torch.tensor([values[:2]], dtype=torch.float64))
    net.bias.data.fill_(values[2])
    return net


class PlainHistory:
    """The negatives as lists of numbers: what the paper says, one number at a time."""

    def __init__(self, values, decays):
        self.negatives, self.decays = values, decays
        self.refreshes = [0] * len(decays)

    def refresh(self, k, net):
        keep = self.decays[k]
        self.negatives[k] = [keep * old + (1 - keep) * new for old, new in zip(self.negatives[k], net, strict=True)]
        self.refreshes[k] += 1

    def outputs(self, chosen):
        return [
            self.negatives[k][0] * INPUT[0] + self.negatives[k][1] * INPUT[1] + self.negatives[k][2] for k in chosen
        ]

    def equals(self, history):
        values = [[*negative.weight.flatten().tolist(), negative.bias.item()] for negative in history.negatives]
        return values == [pytest.approx(value, rel=1e-12, abs=1e-12) for value in self.negatives] and (
            history.refreshes == self.refreshes
        )


@st.composite
def decays(draw, count):
    """An option and what it says of each negative."""
    option = draw(st.floats(0, 1) | st.lists(st.floats(0, 1), min_size=count, max_size=count))
    return option, option if isinstance(option, list) else [option] * count


@given(
    intervals=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    start=st.sampled_from([0, 0.1, 1]),
    nets=st.lists(LINEAR, min_size=1, max_size=25),
    data=st.data(),
)
@settings(max_examples=60)
def test_refresh_follows_the_schedule(intervals, start, nets, data):
    """Periodic policy, in the order of a training loop: forward, optimizer step, refresh."""
    count = len(intervals)
    decay, shares = data.draw(decays(count))
    per_step = data.draw(st.none() | st.integers(1, count))
    first, fresh = data.draw(LINEAR), data.draw(st.lists(LINEAR, min_size=count, max_size=count))
    made = iter(fresh)
    net = linear(first)
    history = ModelHistory(
        net, intervals, decay=decay, start=start, fresh=lambda: linear(next(made)), per_step=per_step
    )
    plain = PlainHistory(
        [[start * f + (1 - start) * n for f, n in zip(one, first, strict=True)] for one in fresh], shares
    )
    assert plain.equals(history)
    queue = list(range(count)) * (len(nets) + 1)
    for iteration, values in enumerate(nets, start=1):
        chosen = range(count)
        if per_step is not None:
            chosen, queue = queue[:per_step], queue[per_step:]
        output = history(torch.tensor([INPUT], dtype=torch.float64))
        assert output.flatten().tolist() == pytest.approx(plain.outputs(chosen), rel=1e-12, abs=1e-12)
        set_linear(net, values)
        due = [k for k in range(count) if iteration % intervals[k] == 0]
        assert history.is_due(iteration) == bool(due)
        history.refresh(net, iteration)
        for k in due:
            plain.refresh(k, values)
        assert plain.equals(history)


@given(
    count=st.integers(1, 4),
    threshold=st.floats(0.1, 3),
    steps=st.lists(
        st.tuples(LINEAR, st.lists(st.lists(FINITE, min_size=4, max_size=4), min_size=1, max_size=3)),
        min_size=1,
        max_size=12,
    ),
    data=st.data(),
)
@settings(max_examples=60)
def test_adaptive_refreshes_follow_the_residual(count, threshold, steps, data):
    """Each step has a network and, for each image, the residual of its four pixels."""
    decay, shares = data.draw(decays(count))
    net = linear()
    history = ModelHistory(net, None, negatives=count, threshold=threshold, decay=decay, start=0)
    plain = PlainHistory([[0.0, 0.0, 0.0]] * count, shares)
    for values, residuals in steps:
        spread = fmean(stdev(2 * residual for residual in image) for image in residuals)
        assume(abs(spread - threshold) > 1e-9)
        set_linear(net, values)
        output = torch.tensor(residuals, dtype=torch.float64).view(-1, 1, 2, 2)
        history.refresh_adaptive(net, output, torch.zeros_like(output))
        if spread > threshold:
            plain.refresh(sum(plain.refreshes) % count, values)
        assert plain.equals(history)


def test_refresh_keeps_infinities_and_moves_complex_weights():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([1.0 + 1.0j]))
            self.register_buffer('mask', torch.tensor([0.0, -torch.inf]))

    net = Masked()
    history = ModelHistory(net, [1], start=0, decay=0.25)
    with torch.no_grad():
        net.weight.fill_(5.0 + 1.0j)
        net.mask[0] = 4.0
    history.refresh(net, 1)
    assert history.negatives[0].weight.tolist() == [4.0 + 1.0j]
    assert history.negatives[0].mask.tolist() == [3.0, -torch.inf]


def test_refresh_carries_buffers():
    net = Scale()
    history = ModelHistory(net, [1], decay=0.25, start=0)
    net.offset += 4.0
    net.count += 3
    history.refresh(net, 1)
    assert history.negatives[0].offset.item() == pytest.approx(3.0)
    assert history.negatives[0].count.item() == 3


def test_forward_is_frozen_and_in_eval_mode():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 3, 1))
    history = ModelHistory(net.train(), [1, 2], start=0)
    history.train()
    lq = torch.rand(2, 3, 5, 6, requires_grad=True)
    out = history(lq)
    assert out.shape == (2, 2, 3, 5, 6)
    assert not out.requires_grad
    assert torch.equal(out[0], copy.deepcopy(net).eval()(lq))
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert not any(p.requires_grad for p in history.parameters())


def test_per_step_takes_the_negatives_in_turn():
    net = Scale()
    history = ModelHistory(net, [1, 1, 1], start=0, per_step=2)
    for k, negative in enumerate(history.negatives):
        negative.weight.fill_(k)
    x = torch.ones(1, 1, 1, 1)
    assert [history(x).flatten().tolist() for _ in range(4)] == [[0, 1], [2, 0], [1, 2], [0, 1]]


@pytest.mark.parametrize('precision', ['bf16', 'fp16'])
def test_lower_precision_stays_near(precision):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1))
    lq = torch.rand(1, 3, 16, 16)
    exact, low = (ModelHistory(net, [1], start=0, precision=p)(lq) for p in ('fp32', precision))
    assert low.dtype == PRECISIONS[precision]
    error = (low - exact).abs().max() / exact.abs().max()
    assert 0 < error < 0.02


class Mixed(nn.Module):
    """Layers that autocast runs in low precision, and a norm and a bare parameter that it does not."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Linear(8, 3)
        self.gain = nn.Parameter(torch.rand(3))

    def forward(self, x):
        return self.linear(self.norm(self.conv(x)).movedim(1, -1)).movedim(-1, 1) * self.gain.view(3, 1, 1)


@pytest.mark.parametrize(('precision', 'dtype'), [('bf16', torch.bfloat16), ('fp16', torch.float16)])
def test_lower_precision_is_autocast_bit_for_bit(precision, dtype):
    torch.manual_seed(0)
    net = Mixed()
    history = ModelHistory(net, [1, 9], decay=0.5, start=0.5, fresh=Mixed, precision=precision)
    net.conv.weight.data += 0.1
    history.refresh(net, 1)
    lq = torch.rand(2, 3, 8, 8)
    with torch.no_grad(), torch.autocast('cpu', dtype):
        expected = torch.stack([negative(lq) for negative in history.negatives])
    assert torch.equal(history(lq), expected.to(dtype))
    stored = history._evaluated[0]
    assert stored.conv.weight.dtype == stored.linear.bias.dtype == dtype
    assert stored.norm.weight.dtype == stored.norm.running_var.dtype == stored.gain.dtype == torch.float32
    assert all(v.dtype != dtype for v in history.state_dict().values() if isinstance(v, torch.Tensor))


def test_a_slow_decay_is_not_rounded_away():
    """Each refresh moves by 1e-4 of the way, a tenth of what bf16 resolves; together by 1 - 0.9999^500 = 4.9 %."""
    net, lq = nn.Conv2d(1, 1, 1, bias=False), torch.ones(1, 1, 1, 1)
    net.weight.data.fill_(1.0)
    history = ModelHistory(net, [1], decay=0.9999, start=0, precision='bf16')
    net.weight.data.fill_(2.0)
    for iteration in range(1, 501):
        history.refresh(net, iteration)
    assert history(lq).item() == pytest.approx(1.049, abs=0.004)
    assert history.negatives[0].weight.item() == pytest.approx(2 - 0.9999**500, rel=1e-5)


def test_lower_precision_follows_a_loaded_state_and_the_device():
    torch.manual_seed(0)
    one, other = (ModelHistory(Mixed(), [1, 2], start=0, precision='bf16') for _ in range(2))
    lq = torch.rand(1, 3, 8, 8)
    assert not torch.equal(one(lq), other(lq))
    outer = nn.ModuleDict({'history': other})
    outer.load_state_dict({f'history.{key}': value for key, value in one.state_dict().items()})
    assert torch.equal(one(lq), other(lq))
    assert {t.device.type for n in other.to('meta')._evaluated for t in n.state_dict().values()} == {'meta'}
    assert torch.equal(copy.deepcopy(one)(lq), one(lq))


def test_residual_spread_is_the_formula():
    output, gt = torch.rand(4, 3, 5, 6), torch.rand(4, 3, 5, 6)
    expected = sum((2 * (o - g)).numpy().std(ddof=1) for o, g in zip(output, gt, strict=True)) / 4
    assert residual_spread(output, gt).item() == pytest.approx(expected, rel=1e-5)


def test_adaptive_policy_refreshes_in_turn_above_the_threshold():
    net = Scale(1.0)
    history = ModelHistory(net, None, negatives=2, threshold=0.5, decay=0.0, start=0)
    gt = torch.zeros(1, 1, 1, 2)
    wide, narrow = torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[0.0, 0.1]]]])  # spreads 2^0.5 and 0.14
    for step, (output, refreshes) in enumerate(
        [(narrow, [0, 0]), (wide, [1, 0]), (narrow, [1, 0]), (wide, [1, 1]), (wide, [2, 1])]
    ):
        net.weight.data.fill_(step)
        history.refresh_adaptive(net, output, gt)
        history.refresh(net, 100)  # the periodic policy's, without effect here
        assert history.refreshes == refreshes
    assert weights(history) == [4.0, 3.0]


def test_the_periodic_policy_ignores_the_residual():
    history = ModelHistory(Scale(), [1], start=0)
    history.refresh_adaptive(Scale(3.0), torch.rand(1, 1, 2, 2) * 100, torch.zeros(1, 1, 2, 2))
    assert history.refreshes == [0]


def test_state_goes_through_a_safe_file(tmp_path):
    def make(start):
        return ModelHistory(Scale(1.0), None, negatives=3, start=start, fresh=lambda: Scale(torch.rand(())), per_step=2)

    history = make(0.5)
    output, gt = torch.rand(1, 1, 4, 4) * 9, torch.zeros(1, 1, 4, 4)
    history.refresh_adaptive(Scale(3.0), output, gt)
    history(gt)
    torch.save(history.state_dict(), tmp_path / 'state')
    other = make(0.0)
    other.load_state_dict(torch.load(tmp_path / 'state', weights_only=True))
    assert weights(other) == weights(history)
    assert other.refreshes == history.refreshes == [1, 0, 0]
    for one in (history, other):
        one.refresh_adaptive(Scale(-2.0), output, gt)
    assert other.refreshes == [1, 1, 0]
    assert torch.equal(other(output), history(output))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'interval': None}, 'Give interval .periodic policy. or negatives'),
        ({'negatives': 2}, 'Give interval'),
        ({'interval': []}, 'at least one negative'),
        ({'interval': [0]}, 'intervals of 1 or more'),
        ({'decay': [0.1, 0.2, 0.3]}, 'decay has 3 values for 2 negatives; give one number or 2'),
        ({'decay': 1.1}, r'decay must be in \[0, 1\], but is 1.1'),
        ({'decay': [0.1, -0.5]}, r'decay must be in \[0, 1\]'),
        ({'start': 2}, r'start must be in \[0, 1\], but is 2'),
        ({'start': 0.1}, 'give fresh'),
        ({'per_step': 3}, r'per_step must be in \[1, 2\], the number of negatives, but is 3'),
        ({'precision': 'fp8'}, "precision must be one of fp32, bf16, fp16, but is 'fp8'"),
        ({'start': 0.1, 'fresh': lambda: nn.Linear(1, 1)}, 'differ in number or shape'),
    ],
)
def test_impossible_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ModelHistory(Scale(), **{'interval': [1, 2], 'start': 0} | arguments)
