"""Option dicts of the runs of a study."""

import copy

import pytest
import yaml

from mclir_basicsr.errors import MclirError
from mclir_basicsr.study.arms import changed, plain, seeded, stretched

OPT = {
    'name': 'net_spn',
    'manual_seed': 0,
    'path': {'pretrain_network_g': 'x.pth', 'resume_state': 'old.state'},
    'train': {
        'total_iter': 1000,
        'warmup_iter': -1,
        'scheduler': {'type': 'MultiStepLR', 'milestones': [500, 800], 'gamma': 0.5},
        'spn_opt': {'type': 'SPNLoss', 'loss_weight': 1e-3},
        'history': {'interval': [50]},
    },
}


@pytest.fixture(autouse=True)
def unchanged():
    """Whatever is made of it, the option file stays as it is."""
    before = copy.deepcopy(OPT)
    yield
    assert before == OPT


def test_plain_is_the_file_without_spn_opt_and_history():
    train = {key: value for key, value in OPT['train'].items() if key not in ('spn_opt', 'history')}
    assert plain(OPT) == OPT | {'train': train}
    with pytest.raises(MclirError, match=r'no train\.spn_opt'):
        plain(plain(OPT))


def test_plain_time_stretches_the_schedule():
    train = stretched(plain(OPT), 2.5)['train']
    assert (train['total_iter'], train['warmup_iter']) == (2500, -1)
    assert train['scheduler'] == {'type': 'MultiStepLR', 'milestones': [1250, 2000], 'gamma': 0.5}


@pytest.mark.parametrize(
    ('schedule', 'longer'),
    [
        ({'type': 'TrueCosineAnnealingLR', 'T_max': 1000, 'eta_min': 1e-7}, {'T_max': 1500}),
        (
            {'type': 'CosineAnnealingRestartLR', 'periods': [400, 600], 'restart_weights': [1, 1]},
            {'periods': [600, 900]},
        ),
        (
            {'type': 'MultiStepRestartLR', 'milestones': [3], 'restarts': [0, 500]},
            {'milestones': [4], 'restarts': [0, 750]},
        ),
    ],
)
def test_schedules_are_stretched_where_they_count_iterations(schedule, longer):
    opt = OPT | {'train': OPT['train'] | {'scheduler': schedule, 'warmup_iter': 10}}
    train = stretched(opt, 1.5)['train']
    assert train['scheduler'] == schedule | longer
    assert train['warmup_iter'] == 15


def test_what_cannot_be_stretched_is_named():
    opt = OPT | {'train': OPT['train'] | {'scheduler': {'type': 'ExponentialLR', 'gamma': 0.9}}}
    with pytest.raises(MclirError, match='how to stretch ExponentialLR is not known'):
        stretched(opt, 2.0)
    for factor in (0.0, -1.0, float('nan'), float('inf')):
        with pytest.raises(MclirError, match='must be above 0'):
            stretched(OPT, factor)


def test_an_arm_changes_values_makes_blocks_and_takes_out():
    entries = ['train.spn_opt.loss_weight=0.01', 'train.ema_decay=0.9', 'new.block.key=[1, 2]', 'train.history=null']
    new = changed(OPT, entries, yaml.safe_load)
    assert new['train']['spn_opt'] == {'type': 'SPNLoss', 'loss_weight': 0.01}
    assert new['train']['ema_decay'] == 0.9 and new['new'] == {'block': {'key': [1, 2]}}
    assert 'history' not in new['train']


@pytest.mark.parametrize('entry', ['train.total_iter', 'name.inner=1', '=3', 'train.total_iter.more=1'])
def test_an_entry_that_cannot_be_used_is_named(entry):
    with pytest.raises(MclirError, match=f'--arm {entry}: write KEY=VALUE'):
        changed(OPT, [entry], yaml.safe_load)


def test_a_run_has_its_name_and_seed_and_starts_anew():
    new = seeded(OPT, 'spn', 3)
    assert (new['name'], new['manual_seed']) == ('spn_s3', 3)
    assert new['path'] == {'pretrain_network_g': 'x.pth', 'resume_state': None}
    for name in ('', 'a/b', '..', '.hidden', 'a b'):
        with pytest.raises(MclirError, match='the name of an arm'):
            seeded(OPT, name, 0)
