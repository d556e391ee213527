"""Option files edited in place: every other byte stays, and faults of the file are named."""

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from option_texts import PLAIN, changed, enabled, load

from mclir_basicsr.commands.enable.option_text import written
from mclir_basicsr.errors import MclirError


@pytest.fixture
def convert(tmp_path):
    return partial(enabled, tmp_path)


def test_every_other_line_stays_to_the_byte(convert):
    gone, new = changed(PLAIN, convert(PLAIN)[0])
    assert gone == ['name: 007_tiny_x2  # unquoted', 'model_type: SRModel']
    assert new[:2] == ['name: 007_tiny_x2_spn  # unquoted', 'model_type: HistoryModel']
    assert all(line.startswith(('  spn_opt:', '  history:', '    ')) for line in new[2:])


def test_untouched_keys_load_to_the_same_values_in_the_same_order(convert):
    before, after = load(PLAIN), convert(PLAIN)[1]
    assert list(after['train']) == [*before['train'], 'spn_opt', 'history']
    del after['train']['spn_opt'], after['train']['history']
    assert list(after) == list(before)
    assert after == before | {'name': '007_tiny_x2_spn', 'model_type': 'HistoryModel'}


@pytest.mark.parametrize('indent', [2, 4])
@pytest.mark.parametrize('newline', ['\n', '\r\n'])
def test_indentation_and_line_ends_are_those_of_the_file(convert, indent, newline):
    source = PLAIN.replace('  ', ' ' * indent).replace('\n', newline)
    text, values, _ = convert(source)
    assert f'{newline}{" " * indent}history:' in text
    assert text.count('\n') == text.count(newline)
    assert values['train']['history']['interval'] == [100, 200, 500, 1000]


def test_a_last_line_without_an_end_and_a_byte_order_mark(convert):
    values = convert('\ufeff' + PLAIN.split('  # of all')[0])[1]
    assert values['train']['pixel_opt'] == {'type': 'L1Loss', 'reduction': 'mean'}
    assert values['train']['history']['start'] == 0.1


@given(
    st.text(alphabet=st.characters(codec='utf-8', exclude_categories=('C', 'Z')), min_size=1)
    | st.floats(0, 1e300)
    | st.booleans()
)
def test_written_values_read_back(value):
    assert load(f'{{key: {written([value])}, next: 1}}')['key'] == [value]


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('scale: 2', 'scale: 2\nscale: 4', r'scale stands in line 4 and again in line 5'),
        ('  ema_decay', '  total_iter: 1\n  ema_decay', r'train\.total_iter stands in line 28 and again in line 37'),
        ('scale: 2', 'scale: [2\nb: 3', r'in\.yml, line 5, column 2: not valid YAML'),
        ('scale: 2', 'scale:\n\t2', 'line 5.*not valid YAML'),
        ('scale: 2', 'scale: \x01', 'not valid YAML'),
        ('model_type: SRModel\n', '', 'no training option file of BasicSR: it has no model_type'),
        ('network_g:', 'network:', 'it has no network_g'),
        ('train:\n  ema', 'training:\n  ema', 'it has no train'),
        ('  pixel_opt:', '  spn_opt: {}\n  pixel_opt:', 'already'),
        ('path:\n', 'path: &p\n', 'line 22.*without'),
        ('name: 007_tiny_x2', 'name: &n tiny', 'line 2.*anchor'),
        ('name: 007_tiny_x2', 'name: >\n  tiny', 'line 2.*plain value'),
    ],
)
def test_faults_in_the_file_are_named(convert, old, new, message):
    assert old in PLAIN
    with pytest.raises(MclirError, match=message):
        convert(PLAIN.replace(old, new))


@pytest.mark.parametrize('text', ['', '- a\n- b\n', 'just words'])
def test_other_yaml_is_refused(convert, text):
    with pytest.raises(MclirError, match='no option file'):
        convert(text)


def test_a_failed_write_leaves_the_former_file(convert, tmp_path, monkeypatch):
    (tmp_path / 'out.yml').write_text('former')

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'replace', full)
    with pytest.raises(MclirError, match='No space left'):
        convert(PLAIN)
    assert (tmp_path / 'out.yml').read_text() == 'former'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in.yml', 'out.yml']
