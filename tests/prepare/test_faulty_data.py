"""All faults of a data set come in one message, and nothing is written."""

import re
import shutil

import numpy as np
import pytest
from trees import TREES, noise, plain, plant, super_resolution, write

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare import images as check
from mclir_basicsr.prepare.command import prepare
from mclir_basicsr.prepare.recipes import own_pairs, recipe


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
