"""``mclir study`` as a user runs it."""

import json
import signal
import subprocess
import time

import pytest
import yaml
from own_texts import use_own_code

from mclir_basicsr.commands.study import Until, study
from mclir_basicsr.errors import MclirError
from mclir_basicsr.run import figures
from mclir_basicsr.run.figures import Figure
from mclir_basicsr.study.definition import Arm, define
from mclir_basicsr.study.folder import Folder

ARMS = [Arm('plain', ('train:spn_opt=~', 'train:history=~')), Arm('spn')]


@pytest.fixture
def option_path(option_file, write_pairs):
    write_pairs(2)
    logger = {'print_freq': 1, 'save_checkpoint_freq': 1, 'use_tb_logger': False}
    return option_file(train={'total_iter': 6}, logger=logger)


def flags(option_path, out):
    arms = ['--arm', 'plain', 'train:spn_opt=~', 'train:history=~', '--arm', 'spn']
    return ['study', '-opt', str(option_path), '-o', str(out), '--seeds', '1', *arms]


def start(option_path, out, tmp_path, *more):
    command = ['mclir', *flags(option_path, out), '--jobs', '2', *more]
    return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def has_a_state(out):
    return any(out.glob('experiments/*/training_states/*.state'))


def test_a_killed_study_ends_as_one_by_jobs_that_never_stopped(mclir, option_path, tmp_path):
    """With code of the user's own, which every process of it imports."""
    pytest.importorskip('submitit')
    use_own_code(option_path)
    own = ('--import', 'code/own_code.py')
    whole = mclir(*flags(option_path, tmp_path / 'whole'), *own, '--slurm', 'cluster=local', 'timeout_min=10')
    assert whole.returncode == 0, whole.stderr
    killed = start(option_path, tmp_path / 'killed', tmp_path, *own)
    while killed.poll() is None and not has_a_state(tmp_path / 'killed'):
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    again = mclir(*flags(option_path, tmp_path / 'killed'), *own, '--jobs', '2')
    assert again.returncode == 0, again.stderr
    results = [json.loads((tmp_path / name / 'results.json').read_text()) for name in ('whole', 'killed')]
    assert results[0] == results[1]
    assert results[0]['gains']['spn']['held-out']['psnr']['seeds'] == 1
    differing = results[0]['compared']['differing']
    assert differing['train.history.interval'] == {'spn': [1, 2]} and 'train.total_iter' not in differing
    assert results[0]['compared']['made_with']['device'].startswith('CPU')
    files = results[0]['compared']['files']
    assert set(files) == {'code/own_code.py', *(str(tmp_path / 'pairs' / part) for part in ('gt', 'lq'))}
    assert files['code/own_code.py']['of'] == 'content'
    page = (tmp_path / 'killed' / 'index.html').read_text()
    assert page.count('data:image/png;base64,') == 3, 'forest, curves, pictures'
    assert 'No pictures' not in page and 'No curve' not in page
    assert 'spn: ' in again.stdout
    assert 'one seed says nothing about chance' in again.stdout


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
    assert process.returncode == 130


def test_a_run_that_fails_is_named_with_its_last_lines(option_path, tmp_path):
    arms = [Arm('broken', ('train:optim_g:lr=1000000000', 'train:max_bad_steps=1')), *ARMS]
    with pytest.raises(MclirError, match=r'The run broken_s0 ended with status 2.*broken_s0\.log:\n') as caught:
        study(option_path, tmp_path / 'out', seeds=1, arms=arms, jobs=1)
    assert 'had no finite gradient' in str(caught.value)
    assert 'The same command goes on with the other runs.' in str(caught.value)


def test_faults_of_all_arms_are_named_before_anything_starts(option_path, tmp_path):
    narrow = Arm('narrow', ('network_g:num_feats=8',))
    unknown = Arm('unknown', ('train:pixel_opt:type=L3Loss',))
    with pytest.raises(MclirError) as caught:
        study(option_path, tmp_path / 'out', seeds=1, arms=[*ARMS, narrow, unknown])
    message = str(caught.value)
    assert message.startswith('Nothing was started.\nArm narrow: ')
    assert 'num_feats' in message and '\nArm unknown: ' in message and 'L3Loss' in message
    assert 'Arm plain' not in message and 'Arm spn' not in message
    assert not (tmp_path / 'out').exists()


def test_data_that_changed_since_a_study_began_are_named(option_path, tmp_path):
    Folder(tmp_path / 'out', define(option_path, ARMS)).prepare()
    (tmp_path / 'pairs' / 'gt' / '000.png').write_bytes((tmp_path / 'pairs' / 'gt' / '001.png').read_bytes())
    with pytest.raises(MclirError, match=r'pairs/gt: not what it was when the study in .*out began'):
        Folder(tmp_path / 'out', define(option_path, ARMS))


def test_a_folder_holds_one_study(option_path, tmp_path):
    Folder(tmp_path / 'out', define(option_path, ARMS)).prepare()
    Folder(tmp_path / 'out', define(option_path, ARMS))
    with pytest.raises(MclirError, match='holds another study: its arms differ'):
        Folder(tmp_path / 'out', define(option_path, [*ARMS, Arm('more', ('scale=2',))]))
    with pytest.raises(MclirError, match='is not empty and holds no study'):
        Folder(tmp_path / 'pairs', define(option_path, ARMS))


def test_the_time_of_steps_is_measured_once(option_path, tmp_path, monkeypatch):
    arms = [*ARMS, Arm('longer', ARMS[0].changes, as_long_as='spn')]
    measured = Folder(tmp_path / 'out', define(option_path, arms))
    measured.prepare()
    ratio = measured.time_ratios['longer']
    assert ratio >= 1
    monkeypatch.setattr(Folder, '_measure', lambda *_: pytest.fail('measured again'))
    folder = Folder(tmp_path / 'out', define(option_path, arms))
    folder.prepare()
    assert folder.total_iters() == {'plain': 6, 'spn': 6, 'longer': round(6 * ratio)}
    given = Folder(tmp_path / 'given', define(option_path, arms), 3.0)
    given.prepare()
    assert given.total_iters()['longer'] == 18
    with pytest.raises(MclirError, match=r'--time-ratio 4 cannot act: .*given has longer 3 already'):
        Folder(tmp_path / 'given', define(option_path, arms), 4.0)


@pytest.mark.parametrize('numbers', [{'seeds': 0}, {'time_ratio': 0}, {'jobs': 0}])
def test_numbers_out_of_range_are_named(option_path, tmp_path, numbers):
    with pytest.raises(MclirError, match=f'--{next(iter(numbers)).replace("_", "-")}.* must be at least 1|above 0'):
        study(option_path, tmp_path / 'out', arms=ARMS, **numbers)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ([], 'study takes STUDY (a study.yml) or -opt FILE, or both.'),
        (['study.yml', '-opt', 'other.yml'], 'other.yml'),
        (['-opt', 'tiny.yml', '--until', '0'], '--until must be above 0'),
        (['-opt', 'tiny.yml', '--until', '0.1', '--metric', 'fid'], '--metric fid is none of val.metrics: psnr.'),
        (['-opt', 'tiny.yml', '--arm', 'plain'], 'at least two arms, but there is plain'),
        (['-opt', 'tiny.yml', '--max-seeds', '5'], '--metric and --max-seeds act with --until only.'),
        (['-opt', 'tiny.yml', '--arm', 'a', '--arm', 'b', '--time-ratio', '2'], '--time-ratio 2 cannot act: no arm'),
        (['-opt', 'tiny.yml', '--until', '0.1', '--max-seeds', '2'], '--seeds is 3; it must be'),
        (['-opt', 'tiny.yml', '--slurm', 'cluster=local'], '--slurm: how much longer plain_time trains cannot be mea'),
        (['-opt', 'tiny.yml', '--slurm', 'gpus'], '--slurm takes KEY=VALUE, such as timeout_min=240'),
    ],
)
def test_what_is_asked_amiss_is_named(mclir, option_path, tmp_path, arguments, said):
    (tmp_path / 'study.yml').write_text('option_file: tiny.yml\n')
    done = mclir('study', *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / 'study').exists()


def test_seeds_are_added_until_it_is_settled(option_path, tmp_path, monkeypatch):
    """Without training: the figures of each run are written as if it had been."""
    figures_of = {'plain': 30.0, 'spn': 30.1}
    asked = []

    def train(jobs, root, places, bar):
        for job in jobs:
            arm, seed = job.name.rsplit('_s', 1)
            asked.append(int(seed))
            (root / 'experiments' / job.name / 'models').mkdir(parents=True)
            (root / 'experiments' / job.name / 'models' / 'net_g_latest.pth').touch()
            value = figures_of[arm] + (0.02 * int(seed) if arm == 'spn' else 0.0)
            figure = Figure(6, 'held-out', '000', {'psnr': value}, 'params')
            figures.append(root / 'experiments' / job.name, [figure])

    monkeypatch.setattr('mclir_basicsr.commands.study.run_all', train)
    monkeypatch.setattr('mclir_basicsr.commands.study.examine', lambda *_, **__: None)
    study(option_path, tmp_path / 'wide', seeds=2, arms=ARMS, until=Until(1.0, 'psnr', 6))
    assert max(asked) + 1 < 6
    asked.clear()
    text = study(option_path, tmp_path / 'narrow', seeds=2, arms=ARMS, until=Until(1e-6, 'psnr', 4))
    assert sorted(set(asked)) == [0, 1, 2, 3]
    assert 'not settled' in text
    found = json.loads((tmp_path / 'narrow' / 'results.json').read_text())
    assert found['compared']['seeds'] == 4
    gain = found['gains']['spn']['held-out']['psnr']
    assert gain['gain'] == pytest.approx(0.13)
    assert gain['level'] > 0.95, 'later looks leave less than 5 %'
