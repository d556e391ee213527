"""How train.py reads its flags and whose load_resume_state it calls."""

import ast
import sys
import types
from pathlib import Path

import basicsr.test
import basicsr.train
import pytest
from basicsr.utils import options
from conftest import run

from mclir_basicsr.compat import training

STOCK = ast.unparse(ast.parse(Path(basicsr.train.__file__).read_text()))  # 1.4.2 and 1.4.4 are laid out differently


@pytest.mark.parametrize('flag', ['--local-rank=3', '--local_rank=3'])
def test_local_rank_in_both_spellings(monkeypatch, flag):
    monkeypatch.setattr(sys, 'argv', ['train.py', flag, '--no-such-flag'])
    for module in (options, basicsr.train, basicsr.test):
        with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
            said = []
            patch.setattr(
                'argparse.ArgumentParser.error', lambda self, message, said=said: said.append(message) or sys.exit(2)
            )
            module.parse_options('.')
        assert said == ['the following arguments are required: -opt']


def test_a_parser_that_knows_both_spellings_is_left_alone():
    def parse_options(root_path):
        return root_path, '--local-rank'

    assert training._knows_one_spelling(options.parse_options)
    assert not training._knows_one_spelling(parse_options)


def as_script(monkeypatch, tmp_path, text):
    """Run text as the script of this process, up to the flags, which it lacks."""
    file = tmp_path / 'train.py'
    file.write_text(text)
    module = types.ModuleType('__main__')
    module.__file__ = str(file)
    exec(compile(text.replace("if __name__ == '__main__':", 'if False:'), str(file), 'exec'), module.__dict__)
    monkeypatch.setitem(sys.modules, '__main__', module)
    monkeypatch.setattr(sys, 'argv', ['train.py'])
    with pytest.raises(SystemExit):
        options.parse_options('.')
    return module


@pytest.fixture
def resumed(monkeypatch):
    """The options that our load_resume_state was called with."""
    seen = []
    monkeypatch.setattr('mclir_basicsr.check.start.examine', lambda opt: None)
    monkeypatch.setattr('mclir_basicsr.run.resume.load_resume_state', lambda opt: seen.append(opt) or 'ours')
    return seen


def opt_of(model_type):
    return {'model_type': model_type, 'auto_resume': False, 'path': {'resume_state': None}}


OWN_LOAD = STOCK.replace("osp.join('experiments', opt['name'], 'training_states')", "'/scratch/states'")
OWN_LOAD_WITHOUT_CUDA = 'def train_pipeline(): pass\ndef load_resume_state(opt): return "theirs"'
OWN_CHECK = STOCK + '\n\ndef check_resume(opt, iteration):\n    pass\n'


@pytest.mark.parametrize('text', [OWN_LOAD, OWN_LOAD_WITHOUT_CUDA, OWN_CHECK])
def test_a_projects_own_resume_is_replaced_for_our_models_alone(monkeypatch, tmp_path, resumed, text):
    assert text != STOCK
    script = as_script(monkeypatch, tmp_path, text)
    theirs = script.load_resume_state.__wrapped__(opt_of('SRModel'))
    assert script.load_resume_state(opt_of('SRModel')) == theirs
    assert resumed == []
    assert script.load_resume_state(opt_of('HistoryModel')) == 'ours'
    assert len(resumed) == 1


def test_a_copy_of_basicsrs_script_resumes_without_cuda_whatever_the_model(monkeypatch, tmp_path, resumed):
    script = as_script(monkeypatch, tmp_path, STOCK)
    for load_resume_state in (script.load_resume_state, basicsr.train.load_resume_state):
        assert [load_resume_state(opt_of(model)) for model in ('SRModel', 'HistoryModel')] == ['ours', 'ours']


def test_further_arguments_of_a_projects_own_resume_reach_it(monkeypatch, tmp_path, resumed):
    text = 'def train_pipeline(): pass\ndef load_resume_state(opt, device, *, strict=True): return device, strict'
    script = as_script(monkeypatch, tmp_path, text)
    assert script.load_resume_state(opt_of('SRModel'), 'cpu', strict=False) == ('cpu', False)


def test_a_function_of_that_name_in_another_program_is_left_alone(monkeypatch, tmp_path):
    program = as_script(monkeypatch, tmp_path, 'def load_resume_state(opt): return 1')
    assert program.load_resume_state(None) == 1
    assert not hasattr(program.load_resume_state, '__wrapped__')


PROJECT = """
import sys
from basicsr.utils import options
def load_resume_state(opt):
    print('theirs')
def train_pipeline(root):
    opt, args = options.parse_options(root)
    opt['root_path'] = root
    load_resume_state(opt)
if __name__ == '__main__':
    train_pipeline('.')
"""


def test_a_project_with_a_resume_of_its_own_keeps_it_in_a_process_of_its_own(option_file, tmp_path):
    (tmp_path / 'train.py').write_text('import mclir_basicsr\nmclir_basicsr.register()\n' + PROJECT)
    result = run(sys.executable, 'train.py', '-opt', option_file(model_type='SRModel'), cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.splitlines()[-1] == 'theirs'
