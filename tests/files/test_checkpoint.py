"""Files are whole or not there, and damaged ones are named."""

import errno
import os
from types import SimpleNamespace

import pytest
import torch

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files import checkpoint


def test_what_is_saved_is_loaded(tmp_path):
    content = {'params': {'weight': torch.arange(3.0)}, 'iter': 5}
    checkpoint.save(content, tmp_path / 'a.pth')
    loaded = checkpoint.load(tmp_path / 'a.pth', 'it')
    assert torch.equal(loaded['params']['weight'], content['params']['weight'])
    assert loaded['iter'] == 5
    assert [file.name for file in tmp_path.iterdir()] == ['a.pth']


@pytest.mark.parametrize('step', ['save', 'fsync'])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, step):
    file = tmp_path / 'a.pth'
    checkpoint.save({'iter': 1}, file)

    def full(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(*{'save': (torch, 'save', full), 'fsync': (os, 'fsync', full)}[step])
    with pytest.raises(MclirError, match=r'Cannot write .*a\.pth: .*No space left on device.*make room'):
        checkpoint.save({'iter': 2}, file)
    assert [entry.name for entry in tmp_path.iterdir()] == ['a.pth']
    assert checkpoint.load(file, 'it') == {'iter': 1}


def test_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(MclirError, match='Cannot write'):
        checkpoint.save({}, tmp_path / 'gone' / 'a.pth')


class Other:
    """What a safe loader must not make."""


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'EOFError: '),
        (b'PK\x03\x04 half a zip', 'BadZipFile: '),
        (b'text', ''),
        (Other(), r'UnpicklingError: .*Unsupported global: GLOBAL test_checkpoint\.Other was not'),
    ],
)
def test_damaged_and_foreign_files_are_named(tmp_path, content, reason):
    file = tmp_path / '6.state'
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(
        MclirError, match=rf'path\.resume_state: .*6\.state is truncated, damaged or no checkpoint .*\({reason}'
    ) as error:
        checkpoint.load(file, 'path.resume_state')
    assert 'Use another file' in str(error.value)
    assert len(str(error.value)) < 500


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MclirError, match=r'path\.pretrain_network_g: there is no file .*gone\.pth'):
        checkpoint.load(tmp_path / 'gone.pth', 'path.pretrain_network_g')


def test_room_is_checked_before_anything_is_written(tmp_path, monkeypatch):
    content = {'params': {'weight': torch.zeros(1_000_000)}, 'list': [torch.zeros(500_000, dtype=torch.float16)]}
    for free, fits in ((5_000_001, True), (4_999_999, False)):
        monkeypatch.setattr(checkpoint.shutil, 'disk_usage', lambda folder, free=free: SimpleNamespace(free=free))
        monkeypatch.setattr(checkpoint.torch, 'save', lambda content, file: file.write(b'new'))
        if fits:
            checkpoint.save(content, tmp_path / 'a.pth')
            continue
        with pytest.raises(MclirError, match=r'it takes 5 MB, and 5 MB are free\. Earlier checkpoints are intact'):
            checkpoint.save(content, tmp_path / 'b.pth')
    assert [file.name for file in tmp_path.iterdir()] == ['a.pth']
