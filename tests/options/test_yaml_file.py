"""Option files as text: keys that stand twice, and the encoding of the locale."""

import locale
import sys
from pathlib import Path

import basicsr
import pytest
from basicsr.utils import options as basicsr_options
from conftest import run

from mclir_basicsr.compat.text_files import option_file
from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import force, parse_file
from mclir_basicsr.options.yaml_file import open_option_file

TRAIN = Path(basicsr.__file__).parent / 'train.py'
# A locale whose encoding is ASCII; Python would take UTF-8 in place of it.
ASCII = {'LC_ALL': 'C', 'PYTHONCOERCECLOCALE': '0', 'PYTHONUTF8': '0'}


@pytest.fixture
def parsed(tmp_path):
    def of(text):
        file = tmp_path / 'run.yml'
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return parse_file(file)

    return of


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('name: a\nscale: 2\nname: b\n', ['name stands in line 1 and again in line 3.']),
        ('train:\n  a: 1\nval: {}\ntrain:\n  b: 2\n', ['train stands in line 1 and again in line 4.']),
        ('train: {optim_g: {lr: 1, lr: 2}}\n', ['train.optim_g.lr stands in line 1 and again in line 1.']),
        ('a:\n- {x: 1}\n- x: 1\n  x: 2\n', ['a.1.x stands in line 3 and again in line 4.']),
        (
            "a: 1\n'a': 2\na: 3\n",
            ['a stands in line 1 and again in line 2.', 'a stands in line 1 and again in line 3.'],
        ),
        ('a: &x {b: 1, b: 2}\nc: *x\n', ['a.b stands in line 1 and again in line 1.']),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_both_lines(parsed, text, said):
    with pytest.raises(MclirError, match='a key can stand only once in its block') as error:
        parsed(text)
    assert sorted(str(error.value).split('\n  ')[1:]) == said


def test_keys_that_only_look_alike_are_left_alone(parsed):
    text = "a: {x: 1}\nb: &m {x: 2}\nc: {<<: *m, x: 3}\n1: d\n'1': e\n[1, 2]: f\n"
    with pytest.raises(MclirError, match='no YAML: while constructing a mapping'):  # of a list as a key
        parsed(text)
    assert parsed(text.replace('[1, 2]: f\n', '')) == {'a': {'x': 1}, 'b': {'x': 2}, 'c': {'x': 3}, 1: 'd', '1': 'e'}


def test_a_value_forced_with_a_key_twice():
    with pytest.raises(MclirError, match=r'--force_yml a=\{x: 1, x: 2\}: a key can'):
        force({'a': {}}, ['a={x: 1, x: 2}'])


def test_a_file_that_is_no_utf8_is_named_with_its_line(parsed):
    with pytest.raises(MclirError, match=r'no YAML in UTF-8: line 2 has the byte 0xfc\. Save it as UTF-8'):
        parsed('name: a\n# für\n'.encode('latin-1'))


def test_a_byte_order_mark_is_no_part_of_the_first_key(parsed):
    assert parsed('\ufeffname: a\n') == {'name': 'a'}


def test_basicsr_opens_option_files_by_our_function():
    assert basicsr_options.open is option_file


def test_a_run_of_a_history_model_by_basicsrs_own_script_is_refused_for_a_key_that_stands_twice(option_file, tmp_path):
    file = option_file()
    file.write_text(file.read_text() + 'scale: 4\n')
    script = tmp_path / 'train.py'
    script.write_text(TRAIN.read_text(encoding='utf-8'))
    result = run(sys.executable, script, '-opt', file, cwd=tmp_path)
    assert 'a key can stand only once in its block' in result.stderr
    assert 'scale stands in line' in result.stderr
    assert not list(tmp_path.parent.glob('experiments/tiny')) and not (tmp_path / 'experiments').exists()


def test_the_file_of_another_model_is_opened_as_before(option_file, monkeypatch):
    monkeypatch.setattr(locale, 'getpreferredencoding', lambda *_: 'latin-1')
    file = option_file(model_type='SRModel')
    file.write_bytes(file.read_bytes() + 'scale: 2  # für\n'.encode())
    with open_option_file(str(file)) as stream:
        assert 'für' in stream.read()
    with open_option_file(str(file), 'r+') as stream:
        assert stream.encoding == 'utf-8'


@pytest.mark.parametrize('own_script', [True, False])
def test_a_file_with_other_letters_runs_in_a_locale_that_lacks_them(option_file, tmp_path, own_script):
    file = option_file()
    text = file.read_text(encoding='utf-8').replace('name: held-out', 'name: Köln')
    file.write_text('# λ ½ ü\n' + text, encoding='utf-8')
    script = tmp_path / 'scripts' / 'train.py'
    script.parent.mkdir()
    script.write_text(TRAIN.read_text(encoding='utf-8'), encoding='utf-8')
    command = [script] if own_script else ['-m', 'mclir_basicsr', 'train']
    result = run(sys.executable, *command, '-opt', file, cwd=tmp_path, **ASCII)
    assert result.returncode == 0, result.stderr[-3000:]
    assert 'Error' not in result.stderr
    (log,) = tmp_path.glob('experiments/tiny/train_tiny_*.log')
    assert 'Validation Köln' in log.read_text(encoding='utf-8')
    assert (tmp_path / 'experiments' / 'tiny' / file.name).read_text(encoding='utf-8').endswith(text)


def test_help_is_printed_in_a_locale_that_lacks_its_letters(tmp_path):
    for command in ('enable', 'train', 'prepare', 'demo', 'compare'):
        result = run(sys.executable, '-m', 'mclir_basicsr', command, '--help', cwd=tmp_path, **ASCII)
        assert result.returncode == 0, result.stderr
