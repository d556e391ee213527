"""`mclir prepare` and `mclir verify` as they are typed."""

import os
import re
import sys

import pytest
from conftest import run
from trees import blocks, noise, plain, write

from mclir_basicsr.commands import cli
from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare import images as check
from mclir_basicsr.prepare.command import prepare
from mclir_basicsr.prepare.recipes import own_pairs, recipe


@pytest.mark.parametrize('make_lr', [1, 2])
def test_lq_is_made_for_super_resolution_only(make_lr, tmp_path):
    with pytest.raises(MclirError, match=f'--make-lr {make_lr}'):
        prepare(recipe('sots'), tmp_path, tmp_path / 'out', make_lr=make_lr)


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ('div2', "no recipe 'div2'; did you mean div2k?"),
        ('div2k', '--src must name the folder'),
        ('div2k --src nowhere', '--src must name the folder in which div2k lies; it is nowhere'),
        ('div2k --src . --gt . --scale 2', '--gt, --scale: only for pairs'),
        ('div2k --src .', 'holds no part of div2k'),
        ('pairs --src .', 'pairs takes --gt DIR and --lq DIR, and no --src'),
        ('pairs --gt .', 'pairs takes either --lq DIR or --make-lr S'),
        ('pairs --gt . --lq . --make-lr 2', 'either --lq DIR or --make-lr S'),
        ('pairs --gt . --make-lr 2 --scale 2', 'leave out --scale'),
        ('pairs --gt . --lq . --scale 99999999999', '--scale must lie in 1 to 1024, but is 99999999999'),
        ('pairs --gt . --make-lr 17', 'must lie in 1 to 16, but is 17'),
        ('pairs --gt . --lq nowhere', 'There is no folder nowhere'),
        ('pairs --gt . --lq . --template x', "--template 'x' needs exactly one"),
        ('pairs --gt . --lq . --regex (', 'is no regular expression'),
    ],
)
def test_arguments_that_cannot_be_used(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['prepare', *arguments.split(), '--out', 'out']) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize('out', ['file', 'file/below', 'link', 'closed/below', 'out\udcff'])
def test_an_output_that_cannot_be_written_to_is_refused_before_the_check(out, tmp_path, monkeypatch):
    gt, lq = noise(tmp_path / 'gt', ['a.png']), noise(tmp_path / 'lq', ['a.png'])
    (tmp_path / 'file').touch()
    (tmp_path / 'link').symlink_to('nowhere')
    (tmp_path / 'closed').mkdir()
    access = os.access  # root may write anywhere
    monkeypatch.setattr(os, 'access', lambda path, mode: 'closed' not in str(path) and access(path, mode))
    monkeypatch.setattr(check, 'examine', None)
    with pytest.raises(MclirError, match='--out'):
        prepare(*own_pairs(gt, lq), tmp_path / out, progress=False)


def test_folders_whose_name_is_no_utf_8(tmp_path):
    if sys.platform != 'linux':
        pytest.skip('file systems elsewhere refuse such names')
    gt, lq = noise(tmp_path / 'gt', ['a.png']), noise(tmp_path / 'lq', ['a.png'])
    gt = gt.rename(tmp_path / 'gt\udcff')  # afterwards: OpenCV crashes where it is to write to such a path
    prepare(*own_pairs(gt, lq), tmp_path / 'out', progress=False)
    (tmp_path / 'out/lq.lmdb/meta_info.txt').unlink()
    (tmp_path / 'out').rename(tmp_path / 'out\udcff')
    result = run(
        sys.executable, '-m', 'mclir_basicsr', 'verify', 'out\udcff', cwd=tmp_path, PYTHONIOENCODING='utf-8:strict'
    )
    assert (result.returncode, result.stderr) == (1, '')
    assert result.stdout.endswith('2 images read, 1 faults\n')


@pytest.mark.parametrize('value', ['0', '-1', 'x'])
def test_numbers_that_are_none(value, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(['prepare', 'div2k', '--out', 'out', '--jobs', value])
    assert stop.value.code == 2
    assert '--jobs' in capsys.readouterr().err


def test_the_command_prepares_and_verifies_without_torch(tmp_path):
    noise(tmp_path / 'gt', ['a.png', 'b.png'])
    for name in ('a', 'b'):
        write(tmp_path / 'lq' / f'{name}x2.png', plain(12, 14, 5))
    command = (sys.executable, '-X', 'importtime', '-m', 'mclir_basicsr')
    arguments = ['prepare', 'pairs', '--gt', 'gt', '--lq', 'lq', '--scale', '2', '--template', '{}x2']
    arguments += ['--out', 'out', '--jobs', '2', '--format', 'folder']
    result = run(*command, *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert '%' in result.stderr  # the progress bar
    assert not re.search(r'\| +(torch|basicsr)$', result.stderr, re.MULTILINE)
    ((scale, datasets),) = blocks(result.stdout)
    assert (scale, datasets['train']['dataroot_lq']) == (2, 'out/lq')

    result = run(*command[:1], *command[3:], 'verify', 'out', cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, '4 images read, 0 faults\n')
    (tmp_path / 'out/lq/b.png').unlink()
    (tmp_path / 'out/lq/b.png').write_bytes(b'x')
    result = run(*command[:1], *command[3:], 'verify', 'out', cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout == 'out/lq: b.png: cannot be decoded\n4 images read, 1 faults\n'
    assert run(*command[:1], *command[3:], 'verify', 'gt', cwd=tmp_path).returncode == 2
