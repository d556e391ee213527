"""Runs as jobs: by submitit's executor for this machine, and by commands that stand in for SLURM's."""

import io
import os
import sys
import time
from pathlib import Path

import pytest
from tqdm import tqdm

from mclir_basicsr.errors import MclirError
from mclir_basicsr.study import slurm
from mclir_basicsr.study.runs import Job, run_all

submitit = pytest.importorskip('submitit')

# A run that counts to its end, and goes on where a signal stopped it, as a training does.
COUNTING = """
import signal, sys, time
from pathlib import Path
file, total, step = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(1))
done = int(file.read_text()) if file.exists() else 0
print(f'begins at {done}', flush=True)
while done < total and not asked:
    time.sleep(step)
    done += 1
    print(f'iter: {done:5,}, lr:(1e-3)', flush=True)
file.write_text(str(done))
sys.exit(75 if done < total else int(sys.argv[4]))
"""

# What submitit asks of SLURM: sbatch takes a script, srun runs the step in it, sacct tells states, scontrol requeues.
COMMANDS = {
    'sbatch': """
import os, subprocess, sys
from pathlib import Path
here = Path(__file__).parent
number = str(100 + len(list(here.glob('*.script'))))
script = here / f'{number}.script'
script.write_text(Path(sys.argv[-1]).read_text())
environment = os.environ | {'SLURM_JOB_ID': number, 'SLURM_NTASKS': '1', 'SLURM_JOB_NUM_NODES': '1',
                            'SLURM_NODEID': '0', 'SLURM_PROCID': '0', 'SLURM_LOCALID': '0'}
child = subprocess.Popen(['bash', script], env=environment, start_new_session=True, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
(here / f'{number}.pid').write_text(str(child.pid))
print(f'Submitted batch job {number}')
""",
    'srun': """
import os, sys
arguments = sys.argv[1:]
while arguments[0].startswith('-'):
    del arguments[: 1 if '=' in arguments[0] or arguments[0] == '--unbuffered' else 2]
os.execvp(arguments[0], arguments)
""",
    'sacct': """
import sys
from pathlib import Path
print('JobID|State|NodeList')
for file in sorted(Path(__file__).parent.glob('*.pid')):
    process = Path('/proc') / file.read_text() / 'stat'
    alive = process.exists() and process.read_text().rpartition(')')[2].split()[0] != 'Z'
    print(f'{file.stem}|{"RUNNING" if alive else "COMPLETED"}|here')
""",
}


@pytest.fixture
def counting(tmp_path, monkeypatch):
    """Runs count instead of training; returns a function that makes one."""
    script = tmp_path / 'counting.py'
    script.write_text(COUNTING)
    (tmp_path / 'study').mkdir()

    def make(name, total=3, step=0.05, status=0):
        return Job(name, tmp_path / f'{name}.yml', total), [str(total), str(step), str(status)]

    made = {}

    def command(job, root):
        return [sys.executable, str(script), str(tmp_path / f'{job.name}.count'), *made[job.name]]

    def jobs(*entries):
        made.update({job.name: arguments for job, arguments in entries})
        return [job for job, _ in entries]

    monkeypatch.setattr(slurm, 'command', command)
    return lambda *names, **settings: jobs(*(make(name, **settings) for name in names))


@pytest.fixture
def bar():
    return tqdm(total=100, file=io.StringIO())


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Commands of SLURM's names, ahead of any others."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name, text in COMMANDS.items():
        (folder / name).write_text(f'#!{sys.executable}\n{text}')
        (folder / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setattr(submitit.SlurmJob.watcher, '_registered', set())
    monkeypatch.setattr(submitit.SlurmJob.watcher, '_finished', set())
    return folder


def local(root, runs, jobs=None):
    return slurm.places(['cluster=local', 'timeout_min=5'], jobs, runs, root)


def test_jobs_run_at_a_time_and_their_iterations_count(tmp_path, counting, bar):
    root, jobs = tmp_path / 'study', counting('plain_s0', 'spn_s0', 'plain_s1')
    run_all(jobs, root, local(root, 3, jobs=2), bar)
    assert bar.n == 9
    assert (root / 'logs' / 'spn_s0.log').read_text().splitlines()[0] == 'begins at 0'


def test_a_job_that_fails_is_named_with_its_last_lines(tmp_path, counting, bar):
    root = tmp_path / 'study'
    with pytest.raises(MclirError, match=r'The run spn_s0 ended with status 3.*\n(.*\n)*.*iter: +3, lr'):
        run_all(counting('spn_s0', status=3), root, local(root, 1), bar)


def test_a_job_that_is_preempted_goes_on_where_it_stopped(tmp_path, counting, bar):
    root, (job,) = tmp_path / 'study', counting('spn_s0', total=30, step=0.1)
    (place,) = local(root, 1)
    (root / 'logs').mkdir()
    process = place.start(job, root)
    log = root / 'logs' / 'spn_s0.log'
    while not (log.exists() and 'iter:     3' in log.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    (task,) = _children(int(process.job.job_id))
    os.kill(task, submitit.JobEnvironment._usr_sig())  # as SLURM does, some time before it takes the node away
    while (status := process.poll()) is None:
        time.sleep(0.1)
    begins = [line for line in log.read_text().splitlines() if line.startswith('begins')]
    assert status == 0
    assert len(begins) == 2 and int(begins[1].split()[-1]) >= 3
    assert log.read_text().count('iter: ') == 30, 'no iteration twice'


def _children(parent):
    return [
        int(folder.name)
        for folder in Path('/proc').iterdir()
        if folder.name.isdecimal() and int((folder / 'stat').read_text().rpartition(')')[2].split()[1]) == parent
    ]


def test_jobs_stay_in_the_queue_when_the_study_is_interrupted(tmp_path, counting, stand_ins, monkeypatch):
    """And the study that is given again waits for them, and submits none twice."""
    root, jobs = tmp_path / 'study', counting('spn_s0', total=20, step=0.2)
    places = slurm.places(['timeout_min=5'], None, 1, root)

    class Interrupted(tqdm):
        def update(self, n=1):
            if n:
                raise KeyboardInterrupt

    first = io.StringIO()
    monkeypatch.setattr(sys, 'stderr', first)
    with pytest.raises(KeyboardInterrupt):
        run_all(jobs, root, places, Interrupted(total=20, file=io.StringIO()))
    assert 'job 100 stays in the queue (scancel 100 ends it). The same command goes on.' in first.getvalue()
    again = tqdm(total=20, file=io.StringIO())
    run_all(jobs, root, slurm.places(['timeout_min=5'], None, 1, root), again)
    assert len(list(stand_ins.glob('*.script'))) == 1
    assert (root / 'logs' / 'spn_s0.log').read_text().count('begins') == 1
    run_all(jobs, root, slurm.places(['timeout_min=5'], None, 1, root), again)
    assert len(list(stand_ins.glob('*.script'))) == 2, 'one that has ended is no longer there'


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        (['gpus'], '--slurm takes KEY=VALUE, such as timeout_min=240, but was given gpus.'),
        (['cluster=mine'], '--slurm: cluster must be slurm or local, but is mine.'),
        (['cluster=local', 'slurm_walltime=4'], "--slurm: Unknown argument 'walltime' for executor 'slurm'"),
        (['cluster=local', 'timeout_min=long'], '--slurm: Parameter "timeout_min" expected type'),
        (['cluster=slurm'], '--slurm: Could not detect "srun"'),
    ],
)
def test_settings_that_cannot_be_are_named(settings, said, monkeypatch):
    monkeypatch.setenv('PATH', '')
    with pytest.raises(MclirError) as caught:
        slurm.check(settings)
    assert str(caught.value).startswith(said)


def test_what_to_install_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, 'submitit', None)
    with pytest.raises(MclirError, match=r'--slurm needs submitit: pip install "mclir-basicsr\[slurm\]"'):
        slurm.check([])
