"""Bad steps are counted, named, and end the run."""

from unittest import mock

import pytest
import torch
from torch import nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.models.guard import HEEDING, Guard

NAN, ONE = torch.tensor(float('nan')), torch.tensor(1.0)


@pytest.fixture
def guard():
    net = nn.Linear(2, 2)
    return Guard(net, torch.optim.Adam(net.parameters()), limit=3)


def judge(guard, norm, **terms):
    guard.note({'l_pix': ONE, 'l_spn': ONE} | terms)
    return guard.judge(norm)


def test_batches_of_one_step_count_together(guard):
    guard.note({'l_pix': NAN})
    guard.note({'l_pix': ONE})
    assert not guard.judge(ONE)
    assert judge(guard, ONE)


def test_bad_steps_are_told_once_with_their_terms(guard, caplog):
    assert judge(guard, ONE)
    assert guard.report(1, str) == 0
    assert caplog.text == ''
    assert not judge(guard, ONE, l_spn=NAN)  # the gradient of an L1 loss is finite where the loss is not
    assert judge(guard, ONE)
    assert guard.report(3, str) == 1
    assert 'Iteration 3: 1 step(s) left out (l_spn not finite); 0 in a row, 1 in all.' in caplog.text
    assert not judge(guard, torch.tensor(float('inf')))
    assert guard.report(4, str) == 2
    assert 'not finite: the gradient' in caplog.text
    assert caplog.text.count('left out') == 2
    guard.report(4, str)
    assert caplog.text.count('left out') == 2


def test_only_bad_steps_in_a_row_end_the_run(guard):
    for norm in (NAN, NAN, ONE, NAN, NAN):
        judge(guard, norm)
        guard.report(1, str)
    judge(guard, NAN)
    with pytest.raises(MclirError, match=r'Iteration 9: 3 steps in a row .* the hints'):
        guard.report(9, lambda: 'the hints')


def test_counts_go_on_in_a_resumed_run(guard, caplog):
    for norm in (NAN, ONE, NAN, NAN):
        judge(guard, norm)
    guard.report(4, str)
    net = nn.Linear(2, 2)
    resumed = Guard(net, torch.optim.Adam(net.parameters()), limit=3)
    resumed.load_state_dict(guard.state_dict())
    caplog.clear()
    assert resumed.report(4, str) == 3
    assert caplog.text == ''
    judge(resumed, NAN)
    with pytest.raises(MclirError, match='3 steps in a row'):
        resumed.report(5, str)


@pytest.mark.parametrize('kind', HEEDING)
def test_fused_optimizers_leave_bad_steps_out_themselves(monkeypatch, kind):
    """On a GPU the host is not asked; the CPU's fused optimizers heed the same attribute, from the first step on."""
    monkeypatch.setattr(Guard, 'on_device', True)
    ends = []
    for norms in ((NAN, NAN, ONE, NAN, ONE), (ONE, ONE)):
        torch.manual_seed(0)
        net = nn.Linear(2, 2)
        optimizer = kind(net.parameters(), lr=0.1, fused=True)
        optimizer.grad_scale = None
        guard = Guard(net, optimizer, limit=3)
        for norm in norms:
            optimizer.zero_grad()
            (norm * net(torch.ones(1, 2)).square().sum()).backward()
            judge(guard, norm)
            optimizer.step()
        ends.append(net.weight.detach())
    assert torch.equal(*ends)


@pytest.mark.parametrize(
    ('kind', 'arguments', 'heeds'),
    [
        (torch.optim.Adam, {'fused': True}, True),
        (torch.optim.AdamW, {'fused': True}, True),
        (torch.optim.Adam, {}, False),
        (torch.optim.SGD, {'fused': True, 'momentum': 0.9}, False),
    ],
)
def test_who_is_trusted_on_a_gpu(kind, arguments, heeds):
    net = nn.Linear(2, 2)
    guard = Guard(net, kind(net.parameters(), **arguments), limit=3)
    guard._counts = mock.Mock(is_cuda=True)
    assert guard.on_device == heeds
