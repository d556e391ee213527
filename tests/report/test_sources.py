"""Where the lq and gt of validation images lie, and why there are none."""

import pytest
from experiment_log import noise, real_head, training, write_image, write_log
from PIL import Image

from mclir_basicsr.report import compare, load_pictures, read_run
from mclir_basicsr.report.pictures import explain_pictures
from mclir_basicsr.report.sources import find_sources


def options(root, lq='val/lq', gt='val/gt', **more):
    return {
        'datasets': {'val': {'name': 'Set5', 'dataroot_lq': lq, 'dataroot_gt': gt, **more}},
        'root_path': str(root),
    }


def save(file, image):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(file)


@pytest.fixture
def experiment(tmp_path):
    """Two runs with a validation image each, its lq named by a template."""
    save(tmp_path / 'val' / 'lq' / 'a_x2.png', noise(1, 20, 24))
    save(tmp_path / 'val' / 'gt' / 'a.png', noise(2, 41, 49))
    folders = []
    for seed, name in enumerate(('plain', 'spn')):
        opt = {'name': name, 'manual_seed': 0, **options(tmp_path, filename_tmpl='{}_x2')}
        folders.append(write_log(tmp_path / name, real_head(opt), training(100, l_pix=seed + 1)))
        write_image(folders[-1], 'a_x2', 100, noise(seed))
    return folders


def test_compare_shows_lq_gt_and_psnr_of_the_option_files_data(experiment, tmp_path, monkeypatch):
    runs = [read_run(folder) for folder in experiment]
    (picture,) = load_pictures(runs)
    assert (picture.lq == noise(1, 20, 24)).all() and (picture.gt == noise(2, 41, 49)).all()
    assert explain_pictures(runs, [picture]) == []
    compare(experiment, tmp_path / 'out')
    assert 'Pictures without' not in (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')


def test_why_pictures_lack_gt_is_said(experiment, tmp_path):
    (tmp_path / 'val' / 'gt').rename(tmp_path / 'gone')
    compare(experiment, tmp_path / 'out')
    page = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert 'Pictures without gt and PSNR: datasets.val.dataroot_gt: val/gt is not there.' in page


def test_a_gt_smaller_than_the_result_is_not_shown(experiment, tmp_path):
    save(tmp_path / 'val' / 'gt' / 'a.png', noise(2, 39, 48))
    runs = [read_run(folder) for folder in experiment]
    pictures = load_pictures(runs)
    assert pictures[0].gt is None and pictures[0].lq is not None
    assert explain_pictures(runs, pictures) == ['Pictures without gt and PSNR: no file of that name and size.']


def test_why_there_are_no_pictures_is_said(experiment, tmp_path):
    image = next((tmp_path / 'spn').rglob('*.png'))
    write_image(tmp_path / 'spn', 'b', 100, noise(5))
    image.unlink()
    compare(experiment, tmp_path / 'out')
    page = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert 'No pictures: of no name and size did all runs save an image.' in page
    (tmp_path / 'spn' / 'visualization' / 'b' / 'b_100.png').unlink()
    compare(experiment, tmp_path / 'out')
    page = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert 'No pictures of spn: no validation image was saved (val.save_img: true does).' in page


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'lq': 'None'}, 'datasets.val.dataroot_lq is not set'),
        ({'lq': 'set.lmdb'}, 'datasets.val.dataroot_lq: set.lmdb is an LMDB, of which no picture is read'),
    ],
)
def test_sources_that_are_not_at_hand(tmp_path, changes, reason):
    (tmp_path / 'set.lmdb').mkdir()
    (tmp_path / 'val' / 'gt').mkdir(parents=True)
    assert find_sources(options(tmp_path, **changes)).missing == [reason]
    assert find_sources({}).missing == []


def test_images_of_one_name_in_two_data_sets_are_told_apart(tmp_path):
    opt = options(tmp_path)
    opt['datasets']['val_2'] = {'name': 'Set14', 'dataroot_lq': '2/lq', 'dataroot_gt': '2/gt'}
    for file in ('val/lq/a.png', 'val/gt/a.png', '2/lq/a.png', '2/gt/a.png', '2/lq/b.png', '2/gt/b.png'):
        save(tmp_path / file, noise(0))
    found = find_sources(opt)
    assert {name: file.relative_to(tmp_path).as_posix() for name, file in found.gt.items()} == {
        'a': 'val/gt/a.png',
        'Set14_a': '2/gt/a.png',
        'b': '2/gt/b.png',
    }
    assert sorted(found.lq) == ['Set14_a', 'a', 'b']
