"""Option files of the MCLIR reference before and after `enable`."""

from functools import partial

import pytest
from option_texts import REFERENCE, changed, enabled

from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import HistoryOptions, SPNOptions, read_options


@pytest.fixture
def convert(tmp_path):
    return partial(enabled, tmp_path)


def test_reference_blocks_become_ours_in_place(convert):
    text, values, notes = convert(REFERENCE)
    gone, new = changed(REFERENCE, text)
    assert values['train']['spn_opt'] == {
        'type': 'SPNLoss',
        'layer_weights': {'relu1_2': 0.25, 'relu3_3': 0.75},
        'loss_weight': 0.003,
        'use_input_norm': True,
        'criterion': 'l2',
        'vgg_type': 'vgg19',  # what PerceptualLoss takes when none is named
        'weights': 'imagenet',
    }
    assert values['train']['history'] == {'interval': [50, 75, 80], 'decay': 0.2, 'start': 0.3}
    assert list(values['train']) == ['use_grad_norm', 'pixel_opt', 'spn_opt', 'history']
    read_options(values)
    for kept in (
        '  # of BasicSR',
        '  # lambda',
        '  # when',
        "'relu1_2': 0.25  # early",
        '    # what to stay away from',
    ):
        assert kept in text
    assert not [line for line in gone + new if line.strip().startswith("'relu")]
    assert 'style_weight' not in notes


def test_reference_model_names_and_keys_without_effect(convert):
    for name in ('SRNegModel', 'SRNegModel_Multi', 'ImageRestorationModel_FFANet_Neg_Any'):
        _, values, notes = convert(REFERENCE.replace('ImageRestorationModel_FFANet_Neg_Multi', name))
        assert values['model_type'] == 'HistoryModel'
        assert values['complie'] is False
        assert values['train']['use_grad_norm'] is True
        assert 'use_grad_norm' in notes
        assert 'complie' in notes
        assert 'train.grad_clip_norm' in notes


@pytest.mark.parametrize('where', ['top', 'block', 'perceptual_opt'])
def test_reference_keys_are_found_elsewhere(convert, where):
    lines = ['neg_iter:', '- 10', '- 20', 'neg_decay: [0.2, 0.4]', 'neg_start: [0.3, 0.3]']
    source = ''.join(line for line in REFERENCE.splitlines(keepends=True) if 'neg_' not in line)
    if where == 'top':
        source += '\n'.join(lines)
    elif where == 'block':
        source = source.replace('val:', '    negs:\n' + ''.join(f'        {line}\n' for line in lines) + 'val:')
    else:
        source = source.replace('        style', ''.join(f'        {line}\n' for line in lines) + '        style')
    text, values, _ = convert(source)
    assert values['train']['history'] == {'interval': [10, 20], 'decay': [0.2, 0.4], 'start': 0.3}
    assert 'neg' not in text.split('history:  #')[0].replace('negative', '')
    assert list(values['train']) == ['use_grad_norm', 'pixel_opt', 'spn_opt', 'history']


def test_reference_adaptive(convert):
    adaptive = REFERENCE.replace('Neg_Multi', 'Neg_Adaptive').replace('    neg_decay: !!float 2e-1\n', '')
    history = {'policy': 'adaptive', 'negatives': 3, 'threshold': 0.022, 'decay': 0.001, 'start': 0.3}
    assert convert(adaptive)[1]['train']['history'] == history
    assert convert(adaptive, negatives=5)[1]['train']['history'] == history | {'negatives': 5}
    read_options(convert(adaptive)[1])
    kept = convert(REFERENCE.replace('Neg_Multi', 'Neg_aDAPTIVE'))
    assert kept[1]['train']['history'] == history | {'decay': 0.2}
    assert '0.001' in kept[2]


def test_arguments_go_before_the_reference_file(convert):
    train = convert(REFERENCE, negatives=2, loss_weight=0.5)[1]['train']
    assert train['spn_opt']['loss_weight'] == 0.5
    assert train['history']['interval'] == [100, 200]


def test_what_a_reference_file_loses_is_said(convert):
    source = REFERENCE.replace('style_weight: 0', 'style_weight: 7\n        loss_weight: 9\n        margin: 1')
    source = source.replace('neg_start: 0.3', 'neg_start: [0.3, 0.2, 0.1]').replace('!!float 2e-1', '[0.1, 0.2]')
    _, values, notes = convert(source)
    assert values['train']['spn_opt']['loss_weight'] == 0.003
    assert values['train']['history'] == {'interval': [50, 75, 80], 'decay': 0.1, 'start': 0.3}
    for said in ('style_weight 7', 'margin', 'neg_start', 'neg_decay'):
        assert said in notes
    read_options(values)


def test_reference_without_a_negative_term_gets_ours(convert):
    source = REFERENCE.replace('perceptual_opt:', 'perceptual_opt: ~\n    unused:')
    options, _ = read_options(convert(source)[1])
    assert options.train.spn_opt == SPNOptions()
    assert options.train.history.interval == [50, 75, 80]


def test_empty_reference_keys_give_the_defaults(convert):
    source = REFERENCE.replace('[50, 75, 80]', '').replace('!!float 2e-1', '  # ?') + 'neg_start:'
    text, values, _ = convert(source)
    assert read_options(values)[0].train.history == HistoryOptions()
    assert '# ?' in text


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('neg_start: 0.3', 'neg_start: some', r'line 25: neg_start must be a number'),
        (
            'neg_iter: [50, 75, 80]',
            'neg_iter: [50, 0]',
            'neg_iter, neg_decay and neg_start become train.history:\n.*history.interval',
        ),
        ('neg_start: 0.3', 'neg_start: 3', 'history.start'),
        ('neg_start: 0.3', 'neg_start: {a: 1}', 'neg_start must be a number'),
        ('neg_start: 0.3', 'neg_start: &s 0.3\n    other: *s', 'after the edit.*alias'),
        ('neg_start: 0.3', 'negs: {neg_start: 0.3, more: 1}', 'line 25.*one per line'),
    ],
)
def test_faults_in_a_reference_file_are_named(convert, old, new, message):
    assert old in REFERENCE
    with pytest.raises(MclirError, match=message):
        convert(REFERENCE.replace(old, new))
