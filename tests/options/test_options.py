"""The keys that are ours: what is accepted, and how every fault is named."""

import math
import re
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import (
    HistoryOptions,
    KeepOptions,
    SPNOptions,
    TileOptions,
    force,
    parse_file,
    read_options,
    reference_page,
)

BOTH = {'spn_opt': {}, 'history': {}}


def read(train=None, val=None, path=None):
    return read_options({'train': train, 'val': val, 'path': path})[0]


def faults(train=None, val=None):
    with pytest.raises(MclirError) as error:
        read(train, val)
    head, *lines = str(error.value).split('\n  ')
    assert head == 'The option file cannot be used:'
    return lines


def test_the_published_settings_are_the_defaults():
    train = read(BOTH).train
    assert train.spn_opt.loss_weight == 1e-3
    assert train.spn_opt.layer_weights == {'relu1_2': 0.2, 'relu2_2': 0.3, 'relu3_3': 0.5}
    assert (train.spn_opt.vgg_type, train.spn_opt.criterion, train.spn_opt.use_input_norm) == ('vgg16', 'l1', True)
    assert (train.history.interval, train.history.decay, train.history.start) == ([100, 200, 500, 1000], 0.1, 0.1)


@pytest.mark.parametrize(('accumulate', 'total', 'lost'), [(4, 10, 2), (3, 2, 2), (4, 12, 0), (1, 7, 0)])
def test_iterations_at_the_end_that_make_no_step_are_told_of(accumulate, total, lost):
    _, notes = read_options({'train': {'accumulate': accumulate, 'total_iter': total}})
    assert [f'the last {lost} iteration(s) make no optimizer step' in note for note in notes] == [True] * bool(lost)
    if lost:
        assert f'{total - lost} or {total - lost + accumulate} loses none' in notes[0]


def test_the_vocabulary_of_the_documentation_is_read(tmp_path):
    """Every key once, as an option file writes it."""
    file = tmp_path / 'all.yml'
    file.write_text("""
train:
  spn_opt: {type: SPNLoss, loss_weight: !!float 1e-3, vgg_type: vgg16, layer_weights: {relu1_2: 0.2, conv5_3: 1},
            criterion: fro, use_input_norm: false, range_norm: true, weights: random, seed: 3}
  history: {interval: [100, 200], decay: [0.1, 0], start: 0, policy: periodic, start_iter: !!float 5e3, per_step: 1,
            precision: bf16}
  grad_clip_norm: 0.01
  amp: fp16
val: {pad_multiple: 8, tile: {size: 128, overlap: 32}, self_ensemble: true}
""")
    own, warnings = read_options(parse_file(file))
    assert warnings == []
    assert own.train.history.start_iter == 5000
    assert own.train.spn_opt.layer_weights == {'relu1_2': 0.2, 'conv5_3': 1.0}
    assert own.val.tile.overlap == 32
    neutral = {'grad_clip_norm': None, 'amp': None, 'history': {'per_step': 'all', 'precision': 'fp32', 'decay': None}}
    assert read(neutral | {'spn_opt': {}}, {'pad_multiple': 'auto', 'tile': None}) == read(BOTH)


def test_yaml_numbers_that_yaml_reads_as_words():
    """YAML 1.1 reads 1e-3 as a string; BasicSR's users write it all the same."""
    assert read({'spn_opt': {'loss_weight': '1e-3'}, 'history': {}}).train.spn_opt.loss_weight == 1e-3


@pytest.mark.parametrize(
    ('path', 'value'),
    [
        ('train.spn_opt.use_input_norm', 'off'),
        ('train.compile', 1),
        ('val.self_ensemble', 'true'),
        ('train.spn_opt.seed', True),
        ('train.spn_opt.loss_weight', True),
        ('train.spn_opt.layer_weights', {'relu1_1': True}),
        ('train.history.interval', ['2', 1]),
        ('train.history.interval', [2, True]),
        ('train.history.decay', True),
        ('train.history.decay', [0.1, True, 0, 0]),
        ('train.history.start', True),
        ('train.history.start_iter', '7'),
        ('train.history.per_step', True),
        ('train.keep.last', True),
        ('val.pad_multiple', '8'),
        ('val.tile.size', True),
    ],
)
def test_values_of_another_type_are_not_turned_into_the_right_one(path, value):
    (line,) = faults(**nest(path, value))
    assert re.match(rf'{path}[.\w]*: Input should be a valid (boolean|integer|number), but it is', line), line


def test_a_number_that_yaml_reads_as_text_says_how_to_write_it():
    lines = faults({'spn_opt': {}, 'history': {'start_iter': '5e3', 'per_step': '2'}})
    assert lines[0].endswith("but it is '5e3', text to YAML: write 5000 without quotes")
    assert lines[1].endswith("but it is '2', text to YAML: write 2 without quotes")


def test_keys_that_are_no_text():
    opt = {'train': BOTH | {5: 'x', 'ema_decay': 0.9}, 'val': None}
    assert read_options(opt)[1] == ['train.5 is read by neither BasicSR nor mclir_basicsr: it has no effect.']


def test_adaptive_defaults_are_those_of_the_reference():
    history = read({'spn_opt': {}, 'history': {'policy': 'adaptive', 'negatives': 3}}).train.history
    assert (history.threshold, history.decay, history.interval) == (0.022, 0.001, None)


def test_all_faults_come_in_one_message():
    spn = {'loss_wieght': 1, 'loss_weight': 0, 'criterion': 'cos'}
    history = {'intervall': [1], 'decay': [0.1, 2], 'per_step': 0, 'interval': [5, 'x']}
    val = {'tile': {'size': 4, 'overlap': 4}, 'self_ensemble': 2}
    assert faults({'spn_opt': spn, 'history': history, 'histroy': {}}, val) == [
        'train.histroy: unknown key; did you mean history?',
        'train.spn_opt.loss_weight: Input should be greater than 0, but it is 0',
        "train.spn_opt.criterion: Input should be 'l1', 'l2' or 'fro', but it is 'cos'",
        'train.spn_opt.loss_wieght: unknown key; did you mean loss_weight?',
        "train.history.interval.1: Input should be a valid integer, but it is 'x'",
        'train.history.decay.1: Input should be less than or equal to 1, but it is 2',
        'train.history.per_step: Input should be greater than 0, but it is 0',
        'train.history.intervall: unknown key; did you mean interval?',
        'val.tile: overlap 4 must be below size 4',
        'val.self_ensemble: Input should be a valid boolean, but it is 2',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('train', 'said'),
    [
        ({'spn_opt': {}}, 'train: spn_opt needs history beside it'),
        ({'history': {}}, 'train: history needs spn_opt beside it'),
        (BOTH | {'history': {'interval': [1, 2, 3], 'decay': [0.1, 0.2]}}, 'decay has 2 values for 3 negatives'),
        (BOTH | {'history': {'decay': [0.1]}}, 'decay has 1 values for 4 negatives'),
        (
            BOTH | {'history': {'decay': -0.1}},
            'history.decay: Input should be greater than or equal to 0, but it is -0.1',
        ),
        (BOTH | {'history': {'start': 1.01}}, 'history.start: Input should be less than or equal to 1'),
        (BOTH | {'history': {'per_step': 5}}, 'per_step is 5, but there are 4 negatives'),
        (BOTH | {'history': {'negatives': 2}}, 'policy periodic takes interval and neither negatives nor threshold'),
        (BOTH | {'history': {'policy': 'adaptive'}}, 'policy adaptive takes negatives'),
        (BOTH | {'history': {'policy': 'adaptive', 'negatives': 2, 'interval': [1, 2]}}, 'and no interval'),
        (BOTH | {'spn_opt': {'vgg_type': 'vgg17'}}, "vgg_type must be one of vgg11, .* but is 'vgg17'"),
        (BOTH | {'spn_opt': {'layer_weights': {'relu9_1': 1}}}, 'vgg16 has no layer relu9_1'),
        (
            BOTH | {'spn_opt': {'weights': 'oxford', 'vgg_type': 'vgg19'}},
            'train.spn_opt: weights: oxford is vgg16 up to',
        ),
        (BOTH | {'spn_opt': {'layer_weights': {}}}, 'layer_weights: Dictionary should have at least 1 item'),
        (BOTH | {'spn_opt': {'loss_weight': float('nan')}}, 'loss_weight: Input should be a finite number'),
        (BOTH | {'spn_opt': []}, 'train.spn_opt: Input should be a valid dictionary'),
        (BOTH | {'grad_clip_norm': 0}, 'grad_clip_norm: Input should be greater than 0'),
        (BOTH | {'amp': 'fp8'}, "amp: Input should be 'bf16' or 'fp16'"),
        (BOTH | {'spn_opts': {}}, r'train\.spn_opts: unknown key; did you mean spn_opt\?'),
    ],
)
def test_each_fault_is_named(train, said):
    (line,) = faults(train)
    assert re.search(said, line), line


def test_keys_that_forks_leave_behind_are_a_warning():
    """Keys of forks that BasicSR never read."""
    _, warnings = read_options(
        {'train': {'use_grad_clip': True, 'complie': True, 'total_iter': 5}, 'val': {'max_minibatch': 8}}
    )
    assert [line.split()[0] for line in warnings] == ['train.complie', 'train.use_grad_clip', 'val.max_minibatch']


STRUCTS = {
    'train.spn_opt': SPNOptions,
    'train.history': HistoryOptions,
    'train.keep': KeepOptions,
    'val.tile': TileOptions,
}


def nest(path, value):
    """Blocks train and val with a value at a dotted path, and what it needs beside it."""
    opt = {'train': deepcopy(BOTH), 'val': {'tile': {'size': 8, 'overlap': 2}}}
    *blocks, key = path.split('.')
    block = opt
    for name in blocks:
        block = block.setdefault(name, {})
    block[key] = value
    return opt


SLIPS = (
    lambda key, i: key[:i] + key[i : i + 2][::-1] + key[i + 2 :],  # two letters swapped
    lambda key, i: key[:i] + key[i + 1 :],  # one left out
    lambda key, i: key[:i] + key[i] + key[i:],  # one twice
)


@given(
    st.sampled_from([(block, key) for block, struct in STRUCTS.items() for key in struct.model_fields]),
    st.sampled_from(SLIPS),
    st.data(),
)
def test_a_key_with_one_slip_is_traced_to_the_right_one(place, slip, data):
    block, key = place
    slipped = slip(key, data.draw(st.integers(0, len(key) - 2)))
    assume(slipped not in STRUCTS[block].model_fields)
    assert f'{block}.{slipped}: unknown key; did you mean {key}?' in faults(**nest(f'{block}.{slipped}', 1))


COUNTS, SHARES, POSITIVE = st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1e6, exclude_min=True)
LAYERS = st.sampled_from(['conv1_1', 'relu1_2', 'relu2_2', 'pool3', 'conv5_3'])


@st.composite
def histories(draw):
    """Any history that is allowed."""
    count = draw(st.integers(1, 5))
    size = {'min_size': count, 'max_size': count}
    shared = {
        'decay': SHARES | st.lists(SHARES, **size), 'start': SHARES, 'start_iter': st.integers(0, 10**6),
        'per_step': st.integers(1, count) | st.just('all'), 'precision': st.sampled_from(['fp32', 'bf16', 'fp16']),
    }  # fmt: skip
    periodic = st.fixed_dictionaries({'interval': st.lists(COUNTS, **size)}, optional={'policy': st.just('periodic')})
    adaptive = st.fixed_dictionaries(
        {'policy': st.just('adaptive'), 'negatives': st.just(count)}, optional={'threshold': POSITIVE}
    )
    return draw(periodic | adaptive) | draw(st.fixed_dictionaries({}, optional=shared))


@st.composite
def spn_terms(draw):
    """Any SPN term that is allowed."""
    keys = {
        'type': st.just('SPNLoss'), 'vgg_type': st.sampled_from(['vgg16', 'vgg19']),
        'layer_weights': st.dictionaries(LAYERS, POSITIVE, min_size=1),
        'criterion': st.sampled_from(['l1', 'l2', 'fro']), 'use_input_norm': st.booleans(), 'range_norm': st.booleans(),
        'weights': st.text(min_size=1), 'seed': st.integers(), 'margin': st.none() | POSITIVE,
        draw(st.sampled_from(['loss_weight', 'balance'])): POSITIVE,
    }  # fmt: skip
    return draw(st.fixed_dictionaries({}, optional=keys))


@st.composite
def tiles(draw):
    """Any tile that is allowed."""
    size = draw(COUNTS)
    return {'size': size, 'overlap': draw(st.integers(0, size - 1))}


TRAIN = st.fixed_dictionaries(
    {'spn_opt': spn_terms(), 'history': histories()},
    optional={
        'grad_clip_norm': st.none() | POSITIVE, 'accumulate': COUNTS, 'amp': st.sampled_from([None, 'bf16', 'fp16']),
        'compile': st.booleans(), 'max_bad_steps': COUNTS, 'keep': st.none() | st.builds(dict, last=COUNTS),
    },
)  # fmt: skip
VAL = st.fixed_dictionaries(
    {},
    optional={
        'pad_multiple': COUNTS | st.just('auto'), 'tile': st.none() | tiles(), 'self_ensemble': st.booleans(),
    },
)  # fmt: skip


def without_words(block):
    return {key: None if value in ('all', 'auto') else value for key, value in block.items()}


@given(TRAIN, VAL)
def test_all_that_is_allowed_is_kept(train, val):
    """Through a YAML file and back, with every value that was given, and none besides but the policy's defaults."""
    own = read(train, val)
    assert read(**yaml.safe_load(yaml.safe_dump({'train': train, 'val': val}))) == own
    kept = own.model_dump(exclude_unset=True)
    assert read(**kept) == own
    history = {key: kept['train']['history'][key] for key in train['history']}
    assert kept['train'] | {'history': history} == train | {'history': without_words(train['history'])}
    assert kept['val'] == without_words(val)


NOT_POSITIVE = st.floats(max_value=0) | st.sampled_from([math.nan, math.inf])
NOT_COUNTS = st.integers(max_value=0) | st.floats(0.1, 0.9)
NOT_SHARES = st.floats(max_value=0, exclude_max=True) | st.floats(min_value=1, exclude_min=True) | st.just(math.nan)
OUT_OF_BOUNDS = {
    **dict.fromkeys(('train.spn_opt.loss_weight', 'train.spn_opt.margin', 'train.spn_opt.balance'), NOT_POSITIVE),
    'train.spn_opt.layer_weights': st.builds(dict, relu1_1=NOT_POSITIVE),
    'train.history.threshold': NOT_POSITIVE,
    'train.history.interval': st.lists(NOT_COUNTS, min_size=1),
    'train.history.negatives': NOT_COUNTS,
    'train.history.decay': NOT_SHARES | st.lists(NOT_SHARES, min_size=1),
    'train.history.start': NOT_SHARES,
    'train.history.start_iter': st.integers(max_value=-1),
    'train.history.per_step': NOT_COUNTS,
    'train.grad_clip_norm': NOT_POSITIVE,
    **dict.fromkeys(('train.accumulate', 'train.max_bad_steps', 'train.keep.last'), NOT_COUNTS),
    'val.pad_multiple': NOT_COUNTS,
    'val.tile.size': NOT_COUNTS,
    'val.tile.overlap': st.integers(max_value=-1),
}  # fmt: skip


@given(st.sampled_from(sorted(OUT_OF_BOUNDS)), st.data())
def test_what_is_out_of_bounds_is_refused_by_its_name(path, data):
    lines = faults(**nest(path, data.draw(OUT_OF_BOUNDS[path])))
    assert all(re.match(rf'{path}(\.\w+)?: Input should ', line) for line in lines), lines


def test_the_reference_page_is_up_to_date():
    page = Path(__file__).parents[2] / 'docs' / 'options.md'
    assert page.read_text(encoding='utf-8') == reference_page(), (
        'write it again from mclir_basicsr.options.reference_page()'
    )


def test_values_forced_on_the_command_line():
    opt = {'name': 'a', 'train': {'ema_decay': 0.9, 'scheduler': {'gamma': 1}}}
    assert force(opt, ['train:ema_decay=0.99', 'train:scheduler:milestones=[1, 2]', 'name=b']) == {
        'name': 'b',
        'train': {'ema_decay': 0.99, 'scheduler': {'gamma': 1, 'milestones': [1, 2]}},
    }
    for entry in ('train:ema_decay', 'trian:ema_decay=1', 'name:x=1'):
        with pytest.raises(MclirError, match=f'--force_yml {entry}: write block:key=value'):
            force(opt, [entry])
