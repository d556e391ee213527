"""What a study compares, as facts."""

import hashlib
import shutil

import pytest

from mclir_basicsr.study import compared
from mclir_basicsr.study.compared import differing, digest, named_files


def test_options_that_differ_between_arms():
    plain = {'train': {'lr': 1, 'losses': [{'type': 'L1Loss'}]}, 'path': {'pretrain_network_g': None}}
    spn = {'train': {'lr': 1, 'losses': [{'type': 'L1Loss', 'loss_weight': 2}], 'history': {'interval': [1, 2]}}}
    assert differing({'plain': plain, 'spn': spn}) == {
        'train.losses[0].loss_weight': {'spn': 2},
        'path.pretrain_network_g': {'plain': None},
        'train.history.interval': {'spn': [1, 2]},
    }
    assert differing({'a': plain, 'b': plain}) == {}


def test_weights_lists_and_data_folders_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'gt').mkdir()
    (tmp_path / 'EDSR').mkdir()
    for name in ('net.pth', 'list.txt', 'train'):
        (tmp_path / name).touch()
    opt = {
        'name': 'train',  # a file without an ending is no more meant than a folder of that name
        'datasets': {'train': {'dataroot_gt': 'gt', 'dataroot_lq': 'nowhere', 'meta_info_file': 'list.txt'}},
        'network_g': {'type': 'EDSR'},
        'path': {'pretrain_network_g': 'net.pth'},
    }
    assert named_files([opt, opt]) == ['gt', 'list.txt', 'net.pth']


def test_a_copy_has_the_same_digest_and_other_content_another(tmp_path, monkeypatch):
    data = tmp_path / 'data'
    (data / 'sub').mkdir(parents=True)
    (data / 'a.png').write_bytes(b'abc')
    (data / 'sub' / 'b.png').write_bytes(b'de')
    shutil.copytree(data, tmp_path / 'copy')
    (tmp_path / 'copy' / 'lock.mdb').touch()  # of a reader
    whole = digest(data)
    assert whole == digest(tmp_path / 'copy')
    assert whole['of'] == 'names and contents of 2 files'
    assert digest(data / 'a.png') == {'sha256': hashlib.sha256(b'abc').hexdigest(), 'of': 'content'}
    monkeypatch.setattr(compared, '_ALL', 4)
    sizes = digest(data)
    assert sizes['of'] == 'names and sizes of 2 files'
    (data / 'a.png').write_bytes(b'abd')
    assert digest(data) == sizes
    monkeypatch.undo()
    assert digest(data)['sha256'] != whole['sha256']


@pytest.mark.parametrize('change', [lambda d: (d / 'a').rename(d / 'b'), lambda d: (d / 'a').write_bytes(b'12')])
def test_names_and_sizes_count_in_large_folders(tmp_path, monkeypatch, change):
    (tmp_path / 'a').write_bytes(b'1')
    monkeypatch.setattr(compared, '_ALL', 0)
    before = digest(tmp_path)
    change(tmp_path)
    assert digest(tmp_path) != before
