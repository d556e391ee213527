"""Finding the parts of a data set in the folders they are published in."""

import pytest

from mclir_basicsr.data.recipes import RECIPES, locate, own_pairs, recipe
from mclir_basicsr.errors import MclirError

OF_THE_PAPER = [
    'div2k', 'df2k', 'reside-its', 'reside-ots', 'sots', 'reside6k', 'rain200l', 'rain200h', 'ddn', 'did', 'spa',
    'rain100', 'gopro', 'sr-benchmarks',
]  # fmt: skip


def folders(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
    return root


def test_every_data_set_of_the_paper_has_a_recipe():
    assert sorted(entry.name for entry in RECIPES) == sorted(OF_THE_PAPER)


@pytest.mark.parametrize('entry', RECIPES, ids=lambda entry: entry.name)
def test_no_two_image_sets_of_a_recipe_are_written_to_the_same_place(entry):
    names = [
        name.replace('{name}', part.name).replace('{s}', str(scale))
        for part in entry.parts
        for name, scales in ((part.gt_out, (1,)), (part.lq_out, part.scales))
        for scale in scales
    ]
    assert len(set(names)) == len(names)
    assert not any('{' in name or name.startswith('/') for name in names)


@pytest.mark.parametrize('name', ['rain200', 'DIV2K', 'sot', 'pair', 'reside6'])
def test_an_unknown_recipe_is_answered_with_the_nearest(name):
    near = {'rain200': 'rain200l', 'DIV2K': 'div2k', 'sot': 'sots', 'pair': 'pairs', 'reside6': 'reside6k'}[name]
    with pytest.raises(MclirError, match=f"no recipe '{name}'; did you mean {near}.* Recipes: div2k, .* and pairs"):
        recipe(name)


def test_an_unknown_recipe_like_no_other():
    with pytest.raises(MclirError, match=r"no recipe 'xyz'\. Recipes: "):
        recipe('xyz')


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


def test_own_pairs_begin_where_both_folders_lie(tmp_path):
    folders(tmp_path, 'a/gt', 'b/lq')
    entry, root = own_pairs(tmp_path / 'a/gt', tmp_path / 'b/lq', 3)
    (found,), _ = locate(entry, root)
    assert (root, found.layouts[0].gt, found.layouts[0].lq, found.scales) == (tmp_path, 'a/gt', 'b/lq', (3,))
    with pytest.raises(MclirError, match=r'There is no folder .*c'):
        own_pairs(tmp_path / 'a/gt', tmp_path / 'c')
