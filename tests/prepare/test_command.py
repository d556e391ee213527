"""`mclir prepare` from the folders as published to what BasicSR reads."""

import random
import re
import shutil
import signal
import sys

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataset
from conftest import run
from trees import TREES, blocks, noise, plain, plant, read, stored, super_resolution, write

from mclir_basicsr.commands import cli
from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare import images as check
from mclir_basicsr.prepare.command import prepare
from mclir_basicsr.prepare.pairing import regex
from mclir_basicsr.prepare.recipes import RECIPES, own_pairs, recipe
from mclir_basicsr.prepare.verify import verify, verify_tree


def test_every_recipe_is_tried():
    assert {name for name, _, _ in TREES.values()} == {entry.name for entry in RECIPES}


@pytest.mark.parametrize('case', TREES)
def test_from_the_published_layout_to_training(case, tmp_path):
    name, pairs, expected = TREES[case]
    plant(tmp_path / 'src', pairs)
    found = {}
    for form in ('lmdb', 'folder'):
        report = prepare(recipe(name), tmp_path / 'src', tmp_path / form, form=form, progress=False)
        found[form] = blocks(report)
    assert len(found['lmdb']) == len(expected)
    for (scale, lmdb), (_, folder), counts in zip(found['lmdb'], found['folder'], expected, strict=True):
        assert lmdb.keys() == folder.keys() == counts.keys()
        for phase in counts:
            ours, theirs = (read(block[phase], scale) for block in (lmdb, folder))
            assert len(ours) == counts[phase]
            for one, other in zip(sorted_pairs(ours), sorted_pairs(theirs), strict=True):
                for side in ('lq', 'gt'):
                    assert torch.equal(one[side], other[side])
                assert one['gt'].shape[1:] == tuple(scale * side for side in one['lq'].shape[1:])
                assert (one['gt'].mean((1, 2)) - one['lq'].mean((1, 2))).abs().max() < 0.01  # the right gt
            assert len({tuple(pair['gt'].mean((1, 2)).mul(50).round().tolist()) for pair in ours}) > 1 or len(ours) == 1
            if phase == 'train':
                entry = lmdb[phase]
                patch = build_dataset(entry | {'phase': 'train', 'scale': scale})[0]['gt']
                assert patch.shape == (3, entry['gt_size'], entry['gt_size'])


def sorted_pairs(samples):
    """In the order of their names: an LMDB gives keys, a folder paths."""
    return sorted(samples, key=lambda sample: re.sub(r'.*/|\.[a-z]+$', '', sample['lq_path']))


def test_a_shared_clear_image_is_stored_once(tmp_path):
    name, pairs, _ = TREES['reside-its']
    plant(tmp_path / 'src', pairs)
    prepare(recipe(name), tmp_path / 'src', tmp_path / 'out', form='folder', progress=False)
    assert len(list((tmp_path / 'out/train/gt').glob('*.png'))) == 3
    assert len(list((tmp_path / 'out/train/lq').glob('*.png'))) == 30
    lines = (tmp_path / 'out/train/pairs.txt').read_text().splitlines()
    assert '1_10_0-91017 1 44x52' in lines
    assert len(lines) == 30


# `mclir prepare` that is killed a moment after a step of its progress, and does not get further than some steps until
# then, however slow the killing is; it saves more often, as its runs are short
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
    if last_step and steps == last_step + 3:
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


@pytest.mark.parametrize('form', ['lmdb', 'folder'])
def test_own_pairs_bit_for_bit(form, tmp_path):
    gt, lq = noise(tmp_path / 'gt', ['a.png', 'b.1.png']), noise(tmp_path / 'lq', ['a.png', 'b.1.png'], seed=1)
    report = prepare(*own_pairs(gt, lq), tmp_path / 'out', form=form, progress=False)
    ((scale, datasets),) = blocks(report)
    assert (scale, datasets['train']['type'], datasets['train']['gt_size']) == (1, 'PairedImageDataset', 24)
    for sample, name in zip(read(datasets['train'], 1), ('a.png', 'b.1.png'), strict=True):
        for side, folder in (('gt', gt), ('lq', lq)):
            image = cv2.imread(str(folder / name))[..., ::-1].transpose(2, 0, 1)
            assert np.array_equal(sample[side].mul(255).round().numpy(), image)


def test_names_of_own_folders_are_no_patterns(tmp_path):
    for folder in ('gx', 'l1', '*'):
        noise(tmp_path / folder / '*', ['other.png'])
    gt, lq = noise(tmp_path / '*/g[x]*', ['a.png']), noise(tmp_path / '*/l{s}', ['a.png'])
    prepare(*own_pairs(gt, lq), tmp_path / 'out', form='folder', progress=False)
    assert (tmp_path / 'out/gt/a.png').samefile(gt / 'a.png')
    assert (tmp_path / 'out/lq/a.png').samefile(lq / 'a.png')


def test_own_pairs_by_a_pattern_may_share_images(tmp_path):
    gt, lq = (
        noise(tmp_path / 'gt', ['1.png', '2.png', '3.png']),
        noise(tmp_path / 'lq', ['1_a.png', '1_b.png', '2_a.png']),
    )
    for _ in range(2):  # found anew, and as remembered
        report = prepare(*own_pairs(gt, lq, 1, regex('([^_]+)(?:_.+)?')), tmp_path / 'out', progress=False)
        assert report.count('# pairs: 1 gt images have no lq image and are left out') == 1
    ((_, datasets),) = blocks(report)
    assert datasets['train']['type'] == 'PairsFileDataset'
    assert (tmp_path / 'out' / 'pairs.txt').read_text() == '1_a 1 24x28\n1_b 1 24x28\n2_a 2 24x28\n'


@pytest.mark.parametrize('form', ['lmdb', 'folder'])
def test_lq_made_from_gt(form, tmp_path):
    noise(tmp_path / 'src/Set5/HR', ['a.png', 'b.jpg'], side=27)
    for scale in (2, 3):
        out = tmp_path / f'out{scale}'
        report = prepare(recipe('sr-benchmarks'), tmp_path / 'src', out, form=form, make_lr=scale, progress=False)
        ((found, datasets),) = blocks(report)
        assert found == scale
        assert re.search(r'LRbicx\d', datasets['val']['dataroot_lq'])[0] == f'LRbicx{scale}'
        for sample in read(datasets['val'], scale):
            assert sample['gt'].shape == (3, 24, 24)  # 27x31 cut to multiples of 12, as GTmod12 says
            assert sample['lq'].shape == (3, 24 // scale, 24 // scale)


def test_lq_subimages_made_from_gt(tmp_path):
    write(tmp_path / 'DIV2K_train_HR/0001.png', plain(483, 725, 50))
    report = prepare(recipe('div2k'), tmp_path, tmp_path / 'out', make_lr=4, progress=False)
    ((_, datasets),) = blocks(report)
    assert datasets['train']['dataroot_lq'].endswith('out/DIV2K_train_LR_bicubic_X4_sub.lmdb')
    samples = read(datasets['train'], 4)
    assert [sample['lq'].shape for sample in samples] == [(3, 120, 120)] * 3  # starts 0, 240 and 244 of 724 columns
    assert {sample['gt'].shape for sample in samples} == {(3, 480, 480)}
    with pytest.raises(MclirError, match='Scale 7 does not divide the subimages'):
        prepare(recipe('div2k'), tmp_path, tmp_path / 'out7', make_lr=7, progress=False)


@pytest.mark.parametrize('make_lr', [1, 2])
def test_lq_is_made_for_super_resolution_only(make_lr, tmp_path):
    with pytest.raises(MclirError, match=f'--make-lr {make_lr}'):
        prepare(recipe('sots'), tmp_path, tmp_path / 'out', make_lr=make_lr)


@pytest.mark.parametrize('form', ['lmdb', 'folder'])
def test_a_second_run_checks_and_writes_nothing(form, tmp_path, monkeypatch):
    name, pairs, _ = TREES['sots']
    plant(tmp_path / 'src', pairs)
    first = prepare(recipe(name), tmp_path / 'src', tmp_path / 'out', form=form, progress=False)
    monkeypatch.setattr(check, 'examine', None)
    second = prepare(recipe(name), tmp_path / 'src', tmp_path / 'out', form=form, progress=False)
    assert blocks(first) == blocks(second)
    assert '10 written, 0 there already' in first
    assert '0 written, 10 there already' in second
    assert 'lq' in second and not re.search(r': [1-9]\d* written', second)


def test_what_was_made_from_other_images_is_refused_before_they_are_checked(tmp_path, monkeypatch):
    gt, lq = noise(tmp_path / 'gt', ['a.png']), noise(tmp_path / 'lq', ['a.png'])
    prepare(*own_pairs(gt, lq), tmp_path / 'out', progress=False)
    noise(lq, ['a.png'], side=12)
    monkeypatch.setattr(check, 'examine', None)
    with pytest.raises(MclirError, match=r'out/lq.lmdb exists already and .* choose another --out'):
        prepare(*own_pairs(gt, lq), tmp_path / 'out', progress=False)


def test_changed_sources_are_checked_again(tmp_path):
    gt, lq = noise(tmp_path / 'gt', ['a.png']), noise(tmp_path / 'lq', ['a.png'])
    prepare(*own_pairs(gt, lq), tmp_path / 'out', progress=False)
    shutil.rmtree(tmp_path / 'out/lq.lmdb')
    noise(lq, ['a.png'], side=12)
    with pytest.raises(MclirError, match=r'lq/a.png 16x12: its gt gt/a.png 28x24 is not 1 times that'):
        prepare(*own_pairs(gt, lq), tmp_path / 'out', progress=False)


def test_all_faults_of_all_parts_in_one_message_and_nothing_written(tmp_path):
    _, pairs, _ = TREES['rain200h']
    plant(tmp_path, pairs)
    train, test = tmp_path / 'Rain200H/train', tmp_path / 'Rain200H/test'
    (train / 'input/1.png').write_bytes(b'')
    write(train / 'target/2.png', np.zeros((40, 48, 3), np.uint16))
    write(train / 'input/3.png', plain(24, 48, 1))
    (test / 'input/2.png').unlink()
    write(test / 'input/ä.png', plain(40, 48, 1))
    (train / 'target/1.png').unlink()
    (train / 'target/1.png').symlink_to('nowhere')
    with pytest.raises(MclirError) as error:
        prepare(recipe('rain200h'), tmp_path, tmp_path / 'out', progress=False)
    heading, *faults = str(error.value).splitlines()
    assert heading == f'6 faults in {tmp_path / "Rain200H"}; nothing was written:'
    assert [re.match(r"  '?((?:train|test)/\w+/\w+\.png)'?:? \S+", line)[1] for line in sorted(faults)] == [
        'test/input/ä.png', 'test/target/2.png', 'train/input/1.png', 'train/input/3.png',
        'train/target/1.png', 'train/target/2.png',
    ]  # fmt: skip
    assert not list(tmp_path.glob('out/**/*.*db')) and not (tmp_path / 'out/train').exists()


def test_many_faults_are_counted_and_stand_in_a_file(tmp_path):
    gt, lq = noise(tmp_path / 'gt', [f'{i:03d}.png' for i in range(60)]), noise(tmp_path / 'lq', ['000.png'])
    with pytest.raises(MclirError) as error:
        prepare(*own_pairs(gt, lq), tmp_path / 'out', progress=False)
    lines = str(error.value).splitlines()
    assert lines[0].startswith('59 faults')
    file = tmp_path / 'out/prepare_faults.txt'
    assert (len(lines), lines[1]) == (52, '  gt/001.png: gt without lq')
    assert lines[-1] == f'  and 9 more; {file} lists all'
    assert file.read_text().splitlines() == [f'gt/{i:03d}.png: gt without lq' for i in range(1, 60)]
    noise(tmp_path / 'lq', [f'{i:03d}.png' for i in range(60)])
    prepare(*own_pairs(gt, lq), tmp_path / 'out', progress=False)
    assert not file.exists()


def test_images_too_small_to_be_cut(tmp_path):
    pairs = super_resolution('DIV2K_train_HR/{}.png', 'DIV2K_train_LR_bicubic/X2/{}x2.png', {'1': (476, 480)}, [2])
    plant(tmp_path, pairs)
    with pytest.raises(MclirError, match=r'DIV2K_train_HR/1.png 480x476 is smaller than 480 pixels'):
        prepare(recipe('div2k'), tmp_path, tmp_path / 'out', progress=False)


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
