"""Finding the parts of a data set in the folders they are published in."""

import pytest

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.published import locate
from mclir_basicsr.prepare.recipes import RECIPES, recipe


def folders(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
    return root


@pytest.mark.parametrize('below', ['', 'DIV2K'])
def test_scales_that_are_there_and_the_rest_named(below, tmp_path):
    folders(tmp_path / below, 'DIV2K_train_HR', 'DIV2K_train_LR_bicubic/X4', 'DIV2K_train_LR_bicubic/X2')
    (found,), missing = locate(recipe('div2k'), tmp_path)
    assert (found.part.name, found.root, found.scales) == ('DIV2K_train', tmp_path / below, (2, 4))
    assert missing == [
        'DIV2K_train: DIV2K_train_HR and DIV2K_train_LR_bicubic/X3',
        'DIV2K_valid: DIV2K_valid_HR and DIV2K_valid_LR_bicubic/X{s}',
    ]


def test_gt_alone_is_enough_where_lq_is_made(tmp_path):
    folders(tmp_path, 'DIV2K_train_HR')
    (found,), missing = locate(recipe('div2k'), tmp_path, make_lr=8)
    assert found.scales == (8,)
    assert len(missing) == 1


def test_a_set_of_two_needs_both(tmp_path):
    folders(tmp_path, 'DIV2K/DIV2K_train_HR', 'DIV2K/DIV2K_train_LR_bicubic/X4')
    with pytest.raises(MclirError, match='Flickr2K/Flickr2K_HR'):
        locate(recipe('df2k'), tmp_path)
    folders(tmp_path, 'Flickr2K/Flickr2K_HR', 'Flickr2K/Flickr2K_LR_bicubic/X4')
    (found,), _ = locate(recipe('df2k'), tmp_path)
    assert len(found.layouts) == 2


@pytest.mark.parametrize('entry', RECIPES, ids=lambda entry: entry.name)
def test_nothing_there_shows_every_folder_expected(entry, tmp_path):
    with pytest.raises(MclirError) as error:
        locate(entry, tmp_path)
    message = str(error.value)
    assert f'{tmp_path} holds no part of {entry.name}' in message
    for part in entry.parts:
        assert all(layout.gt in message and layout.lq in message for layout in part.layouts)
