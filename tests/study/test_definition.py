"""Arms and seeds of an option file."""

import copy

import pytest
import yaml

from mclir_basicsr.errors import MclirError
from mclir_basicsr.study.definition import DEFAULT_ARMS, Arm, define, read_study_file, stretch


def test_the_default_arms_of_an_option_file(option_file):
    definition = define(option_file(train={'total_iter': 10, 'warmup_iter': 3}))
    plain, longer, spn = (definition.run_options(arm, 4, {'plain_time': 2.5}) for arm in DEFAULT_ARMS)
    assert [opt['name'] for opt in (plain, longer, spn)] == ['plain_s4', 'plain_time_s4', 'spn_s4']
    assert {opt['manual_seed'] for opt in (plain, longer, spn)} == {4}
    assert not {'spn_opt', 'history'} & (plain['train'].keys() | longer['train'].keys())
    assert spn['train'] == definition.options['train']
    assert [opt['train']['total_iter'] for opt in (plain, longer, spn)] == [10, 25, 10]
    assert longer['train']['scheduler']['milestones'] == [10]
    assert longer['train']['warmup_iter'] == 8


def test_an_arm_sets_and_takes_out(option_file):
    arm = Arm('strong', ('train:spn_opt:loss_weight=~', 'train:spn_opt:balance=0.5', 'scale=3'))
    definition = define(option_file(), [Arm('as_is'), arm])
    before = copy.deepcopy(definition.options)
    opt = definition.run_options(arm, 0, {})
    assert opt['train']['spn_opt']['balance'] == 0.5
    assert 'loss_weight' not in opt['train']['spn_opt']
    assert opt['scale'] == 3
    assert definition.options == before


@pytest.mark.parametrize(
    ('scheduler', 'stretched'),
    [
        ({'type': 'CosineAnnealingRestartLR', 'periods': [4, 6], 'restart_weights': [1, 1]}, {'periods': [12, 18]}),
        ({'type': 'OneCycleLR', 'total_steps': 10, 'max_lr': 3}, {'total_steps': 30}),
        ({'type': 'MultiStepRestartLR', 'milestones': [2], 'restarts': [5]}, {'milestones': [6], 'restarts': [15]}),
        (None, {}),
    ],
)
def test_schedules_are_stretched(scheduler, stretched):
    train = {'total_iter': 10, 'warmup_iter': -1, 'scheduler': copy.deepcopy(scheduler)}
    stretch(train, 3)
    assert train['total_iter'] == 30
    assert train['warmup_iter'] == -1
    if scheduler is not None:
        assert train['scheduler'] == scheduler | stretched


@pytest.mark.parametrize(
    ('arms', 'message'),
    [
        ([Arm('a')], 'at least two arms, but there is a'),
        ([Arm('a'), Arm('a')], 'Two arms are called a'),
        ([Arm('a'), Arm('b c')], "'b c' must have a name of letters"),
        ([Arm('a'), Arm('b', as_long_as='c')], 'as long as c, which is no other arm'),
        ([Arm('a'), Arm('b', as_long_as='b')], 'as long as b, which is no other arm'),
        ([Arm('a'), Arm('b', ('train:spn:x=1',))], 'Arm b: train:spn:x=1: write block:key=value'),
        ([Arm('a'), Arm('b', ('train:ema_decay',))], 'Arm b: train:ema_decay: write block:key=value'),
        ([Arm('a'), Arm('b', ('train:ema_decay=[1',))], 'the value is no YAML'),
    ],
)
def test_arms_that_cannot_be_compared_are_named(option_file, arms, message):
    with pytest.raises(MclirError, match=message):
        define(option_file(), arms)


@pytest.mark.parametrize(
    ('blocks', 'message'),
    [
        ({'model_type': 'SRModel'}, 'model_type is SRModel, but a study needs HistoryModel.*mclir enable'),
        ({'val': None}, r'no val\.metrics'),
        ({'val': {'val_freq': 1, 'save_img': False}}, r'no val\.metrics'),
        ({'datasets': {'train': {}}}, r'no datasets\.val'),
    ],
)
def test_what_cannot_be_studied_is_named(option_file, blocks, message):
    with pytest.raises(MclirError, match=message):
        define(option_file(**blocks))


def test_a_study_file(tmp_path):
    file = tmp_path / 'study.yml'
    content = {
        'option_file': 'a.yml',
        'seeds': 4,
        'arms': {
            'plain': ['train:spn_opt=~'],
            'longer': {'changes': ['train:history=~'], 'as_long_as': 'spn'},
            'spn': [],
        },
    }
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    option_file, seeds, arms = read_study_file(file)
    assert (str(option_file), seeds) == ('a.yml', 4)
    assert arms == (Arm('plain', ('train:spn_opt=~',)), Arm('longer', ('train:history=~',), 'spn'), Arm('spn'))
    file.write_text('option_file: a.yml\n')
    assert read_study_file(file)[1:] == (None, None)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('seeds: 3\n', 'option_file: Field required'),
        ('option_file: a.yml\nseeds: 0\n', 'seeds: .*greater than or equal to 1'),
        ('option_file: a.yml\nseed: 3\n', 'seed: Extra inputs'),
        ('option_file: a.yml\narms: {a: {change: [x]}}\n', 'arms'),
    ],
)
def test_faults_of_a_study_file_are_named(tmp_path, text, message):
    file = tmp_path / 'study.yml'
    file.write_text(text)
    with pytest.raises(MclirError, match=message):
        read_study_file(file)
