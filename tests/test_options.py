"""The keys that are ours: what is accepted, and how every fault is named."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import HistoryOptions, SPNOptions, force, parse_file, read_options, reference_page

BOTH = {'spn_opt': {}, 'history': {}}


def read(train=None, val=None):
    return read_options({'train': train, 'val': val})[0]


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
        'train.history.interval.1: Input should be a valid integer, unable to parse string as an integer, '
        "but it is 'x'",
        'train.history.decay.1: Input should be less than or equal to 1, but it is 2',
        'train.history.per_step: Input should be greater than 0, but it is 0',
        'train.history.intervall: unknown key; did you mean interval?',
        'val.tile: overlap 4 must be below size 4',
        'val.self_ensemble: Input should be a valid boolean, unable to interpret input, but it is 2',
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
    assert __import__('re').search(said, line), line


def test_keys_that_forks_leave_behind_are_a_warning():
    """Keys of forks that BasicSR never read."""
    _, warnings = read_options(
        {'train': {'use_grad_clip': True, 'complie': True, 'total_iter': 5}, 'val': {'max_minibatch': 8}}
    )
    assert [line.split()[0] for line in warnings] == ['train.complie', 'train.use_grad_clip', 'val.max_minibatch']


@given(st.sampled_from(sorted({*SPNOptions.model_fields, *HistoryOptions.model_fields} - {'type', 'seed'})), st.data())
def test_a_key_with_one_slip_is_traced_to_the_right_one(key, data):
    """Swapping two neighbouring letters is the commonest misspelling."""
    i = data.draw(st.integers(0, len(key) - 2))
    slip = key[:i] + key[i + 1] + key[i] + key[i + 2 :]
    if slip == key:
        return
    block = 'spn_opt' if key in SPNOptions.model_fields else 'history'
    assert faults(BOTH | {block: {slip: 1}}) == [f'train.{block}.{slip}: unknown key; did you mean {key}?']


def test_the_reference_page_is_up_to_date():
    page = Path(__file__).parents[1] / 'docs' / 'options.md'
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
