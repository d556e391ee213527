"""``mclir study`` as a user runs it."""

import json
import signal
import subprocess
import sys
import time

import pytest
import yaml

from mclir_basicsr.commands.study import study
from mclir_basicsr.errors import MclirError
from mclir_basicsr.study.definition import Arm, define
from mclir_basicsr.study.folder import Folder

ARMS = [Arm('plain', ('train:spn_opt=~', 'train:history=~')), Arm('spn')]


@pytest.fixture
def option_path(option_file, write_pairs):
    write_pairs(2)
    logger = {'print_freq': 1, 'save_checkpoint_freq': 1, 'use_tb_logger': False}
    return option_file(train={'total_iter': 6}, logger=logger)


def start(option_path, out, tmp_path):
    code = (
        'from pathlib import Path\n'
        'from mclir_basicsr.commands.study import study\n'
        'from mclir_basicsr.study.definition import Arm\n'
        f'arms = [Arm("plain", ("train:spn_opt=~", "train:history=~")), Arm("spn")]\n'
        f'print(study(Path({str(option_path)!r}), Path({str(out)!r}), seeds=1, arms=arms, jobs=2))\n'
    )
    return subprocess.Popen(
        [sys.executable, '-c', code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def has_a_state(out):
    return any(out.glob('experiments/*/training_states/*.state'))


def test_a_killed_study_ends_as_one_that_never_stopped(option_path, tmp_path):
    whole = start(option_path, tmp_path / 'whole', tmp_path)
    said = whole.communicate()
    assert whole.returncode == 0, said[1]
    killed = start(option_path, tmp_path / 'killed', tmp_path)
    while killed.poll() is None and not has_a_state(tmp_path / 'killed'):
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    again = start(option_path, tmp_path / 'killed', tmp_path)
    said = again.communicate()
    assert again.returncode == 0, said[1]
    results = [json.loads((tmp_path / name / 'results.json').read_text()) for name in ('whole', 'killed')]
    assert results[0] == results[1]
    assert results[0]['gains']['spn']['held-out']['psnr']['seeds'] == 1
    assert 'spn: ' in said[0]
    assert 'one seed says nothing about chance' in said[0]


def test_ctrl_c_saves_every_run(option_path, tmp_path):
    opt = yaml.safe_load(option_path.read_text())
    opt['train']['total_iter'] = 100_000
    option_path.write_text(yaml.safe_dump(opt, sort_keys=False))
    out = tmp_path / 'out'
    process = start(option_path, out, tmp_path)
    while not has_a_state(out):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert 'every run saves its state. The same command goes on' in error
    logs = [file.read_text() for file in (out / 'logs').glob('*.log')]
    assert len(logs) == 2
    assert any('is saved. The same command with --auto_resume goes on from it' in log for log in logs)
    assert process.returncode not in (0, None)


def test_a_run_that_fails_is_named_with_its_last_lines(option_path, tmp_path):
    arms = [*ARMS, Arm('broken', ('train:optim_g:lr=1000000000', 'train:max_bad_steps=1'))]
    with pytest.raises(MclirError, match=r'The run broken_s0 ended with status 2.*broken_s0\.log:\n') as caught:
        study(option_path, tmp_path / 'out', seeds=1, arms=arms, jobs=1)
    assert 'had no finite gradient' in str(caught.value)
    assert 'The same command goes on with the other runs.' in str(caught.value)


def test_a_folder_holds_one_study(option_path, tmp_path):
    Folder(tmp_path / 'out', define(option_path, ARMS))
    Folder(tmp_path / 'out', define(option_path, ARMS))
    with pytest.raises(MclirError, match='holds another study: its arms differ'):
        Folder(tmp_path / 'out', define(option_path, [*ARMS, Arm('more', ('scale=2',))]))
    with pytest.raises(MclirError, match='is not empty and holds no study'):
        Folder(tmp_path / 'pairs', define(option_path, ARMS))


def test_the_time_of_steps_is_measured_once(option_path, tmp_path, monkeypatch):
    arms = [*ARMS, Arm('longer', ARMS[0].changes, as_long_as='spn')]
    ratio = Folder(tmp_path / 'out', define(option_path, arms)).time_ratios['longer']
    assert ratio >= 1
    monkeypatch.setattr(Folder, '_measure', lambda *_: pytest.fail('measured again'))
    folder = Folder(tmp_path / 'out', define(option_path, arms))
    assert folder.total_iters() == {'plain': 6, 'spn': 6, 'longer': round(6 * ratio)}
    assert Folder(tmp_path / 'given', define(option_path, arms), 3.0).total_iters()['longer'] == 18


@pytest.mark.parametrize('numbers', [{'seeds': 0}, {'time_ratio': 0}, {'jobs': 0}])
def test_numbers_out_of_range_are_named(option_path, tmp_path, numbers):
    with pytest.raises(MclirError, match=f'--{next(iter(numbers)).replace("_", "-")}.* must be at least 1|above 0'):
        study(option_path, tmp_path / 'out', arms=ARMS, **numbers)
    assert not (tmp_path / 'out').exists()
