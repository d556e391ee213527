"""`mclir prepare` that was killed goes on to the same result."""

import random
import signal
import sys

import pytest
from conftest import run
from trees import plain, stored, write

from mclir_basicsr.prepare.command import prepare
from mclir_basicsr.prepare.recipes import recipe
from mclir_basicsr.prepare.verify import verify, verify_tree

# `mclir prepare` that is killed a moment after a step of its progress; it saves more often, as its runs are short
KILLED = """
import os, signal, sys, threading
os.environ['TQDM_MININTERVAL'] = '0'  # no step is passed over
from tqdm import tqdm
from mclir_basicsr.commands import cli
from mclir_basicsr.prepare import writer
writer._BATCH_BYTES, writer._BATCH_SECONDS = 10_000, 0.1
update, steps, last_step, delay = tqdm.update, 0, int(sys.argv[1]), float(sys.argv[2])
def counted(bar, n=1):
    global steps
    steps += 1
    if steps == last_step:
        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
    if last_step and steps == last_step + 3:  # no further until the kill, however slow that is
        threading.Event().wait()
    return update(bar, n)
tqdm.update = counted
status = cli.main(['prepare', *sys.argv[3:]])
print(steps)
sys.exit(status)
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='no SIGKILL')
@pytest.mark.parametrize(
    ('form', 'jobs', 'moments'),
    [('lmdb', 1, (0.1, 0.5, 0.7, 0.9)), ('lmdb', 2, (0.2, 0.6, 0.8)), ('folder', 1, (0.3, 0.55, 0.85))],
)
def test_killed_at_ten_moments(form, jobs, moments, tmp_path):
    for i in range(12):
        for side, shade in (('target', 20 * i), ('input', 20 * i + 1)):
            write(tmp_path / f'GoPro/train/{side}/{i:02d}.png', plain(512, 768, shade))

    def command(out, last_step=0, delay=0.0):
        arguments = ('gopro', '--src', 'GoPro', '--out', out, '--format', form, '--jobs', jobs)
        return run(sys.executable, '-c', KILLED, last_step, delay, *arguments, cwd=tmp_path)  # its workers end, too

    whole = command('whole')
    assert whole.returncode == 0, whole.stderr
    steps = int(whole.stdout.splitlines()[-1])
    assert steps >= 4 * 12
    expected = [stored(folder) for folder in image_sets(tmp_path / 'whole')]
    assert [len(images) for images in expected] == [24, 24]
    delays = random.Random(jobs)
    for moment in moments:
        out = tmp_path / f'killed_{moment}'
        kills = [round(moment * steps), *([5] if moment == moments[0] else [])]  # the rerun, too, once
        for last_step in kills:
            assert command(out.name, last_step, delays.uniform(0, 0.02)).returncode == -signal.SIGKILL
            there = image_sets(out)
            assert len(there) < 2
            assert all(verify(folder) == [] for folder in there)
        prepare(recipe('gopro'), tmp_path / 'GoPro', out, form=form, progress=False)
        assert verify_tree(out) == (48, [])
        assert [stored(folder) for folder in image_sets(out)] == expected


def image_sets(out):
    """The databases or folders that have their final names."""
    return [folder for folder in sorted(out.glob('train/*')) if folder.is_dir() and folder.suffix != '.partial']
