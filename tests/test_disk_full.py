"""A disk that fills up during a save: earlier checkpoints stay whole, and the run goes on once there is room."""

import errno
import os
import re
import resource
import shutil
import subprocess

import pytest
import torch
import yaml
from test_bad_input import run
from test_resume import flat

from mclir_basicsr import HistoryModel

ITERATIONS, SAVE_EVERY, FULL_AT = 6, 2, 4
BYTES = 2_000_000  # of the file system


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    if shutil.which('mount') is None:
        pytest.skip('there is no command mount')
    command = ['mount', '-t', 'tmpfs', '-o', f'size={BYTES}', 'none', folder]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f'no right to mount a file system: {mounted.stderr.strip()}')
    yield folder
    subprocess.run(['umount', folder], check=True)


@pytest.fixture
def train(option_file):
    """Train in a folder: exit status and standard error."""
    file = option_file(
        train={'total_iter': ITERATIONS},
        logger={'print_freq': 1, 'save_checkpoint_freq': SAVE_EVERY, 'use_tb_logger': False},
    )
    opt = yaml.safe_load(file.read_text())
    del opt['val'], opt['datasets']['val']
    file.write_text(yaml.safe_dump(opt))
    return lambda folder: run(['train', '-opt', str(file), '--auto_resume'], folder)


@pytest.fixture
def before_save(monkeypatch):
    """Have something done right before the save of iteration FULL_AT, in the runs that follow."""

    def set_up(action):
        original = HistoryModel.save

        def save(self, epoch, current_iter):
            if current_iter == FULL_AT:
                action()
            original(self, epoch, current_iter)

        monkeypatch.setattr(HistoryModel, 'save', save)

    return set_up


def files(folder, iteration):
    """Network and state of an iteration."""
    experiment = folder / 'experiments' / 'tiny'
    return experiment / 'models' / f'net_g_{iteration}.pth', experiment / 'training_states' / f'{iteration}.state'


def held(folder, iteration):
    return [flat(torch.load(file, weights_only=True)) for file in files(folder, iteration)]


def fill(folder, leave):
    """Write a file that leaves so many bytes free."""
    there = os.statvfs(folder)
    (folder / 'ballast').write_bytes(bytes(there.f_bavail * there.f_frsize - leave))


def fails_then_goes_on(train, folder, straight, monkeypatch, make_room):
    """Run until the disk is full; look at what is there; make room and go on to the end."""
    status, said = train(folder)
    assert status == 2
    assert said.count('mclir: error: ') == 1
    assert 'Traceback' not in said
    message = said[said.index('mclir: error: ') :]
    assert 'Earlier checkpoints are intact; make room or check the permissions' in message
    assert held(folder, SAVE_EVERY) == held(straight, SAVE_EVERY)
    assert not files(folder, FULL_AT)[1].exists()
    assert not list(folder.rglob('*.tmp'))
    monkeypatch.undo()
    make_room()
    status, said = train(folder)
    assert status == 0, said
    assert re.search(rf'Resuming training from epoch: \d+, iter: {SAVE_EVERY}\.', said)
    assert held(folder, ITERATIONS) == held(straight, ITERATIONS)
    return message


@pytest.mark.parametrize(
    ('leave', 'quota', 'part', 'reason'),
    [
        (0, False, 'models', 'MB are free'),
        (0, True, 'models', os.strerror(errno.ENOSPC)),  # a quota: the space is free, but not for this user
        (60_000, True, 'training_states', ''),  # the network fits, the state does not
    ],
)
def test_a_disk_that_is_full(train, disk, before_save, monkeypatch, tmp_path, leave, quota, part, reason):
    straight = tmp_path / 'straight'
    straight.mkdir()
    assert train(straight)[0] == 0
    before_save(lambda: fill(disk, leave))
    if quota:
        roomy = shutil.disk_usage(tmp_path)
        monkeypatch.setattr('mclir_basicsr.files.checkpoint.shutil.disk_usage', lambda path: roomy)
    message = fails_then_goes_on(train, disk, straight, monkeypatch, (disk / 'ballast').unlink)
    assert f'experiments/tiny/{part}/' in message
    assert reason in message


def test_a_limit_on_the_size_of_files(train, before_save, monkeypatch, tmp_path):
    """The same where nothing may be mounted: the kernel refuses to write on in the middle of the state."""
    straight, limited = tmp_path / 'straight', tmp_path / 'limited'
    for folder in (straight, limited):
        folder.mkdir()
    assert train(straight)[0] == 0
    limit = sum(file.stat().st_size for file in files(straight, SAVE_EVERY)) // 2
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    before_save(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard)))
    message = fails_then_goes_on(train, limited, straight, monkeypatch, lambda: None)
    assert f'training_states/{FULL_AT}.state' in message
