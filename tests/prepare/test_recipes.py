"""The recipes of published data sets, and of any two folders."""

import pytest

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.published import locate
from mclir_basicsr.prepare.recipes import RECIPES, own_pairs, recipe

OF_THE_PAPER = [
    'div2k', 'df2k', 'reside-its', 'reside-ots', 'sots', 'reside6k', 'rain200l', 'rain200h', 'ddn', 'did', 'spa',
    'rain100', 'gopro', 'sr-benchmarks',
]  # fmt: skip


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


def test_own_pairs_begin_where_both_folders_lie(tmp_path):
    for name in ('a/gt', 'b/lq'):
        (tmp_path / name).mkdir(parents=True)
    entry, root = own_pairs(tmp_path / 'a/gt', tmp_path / 'b/lq', 3)
    (found,), _ = locate(entry, root)
    assert (root, found.layouts[0].gt, found.layouts[0].lq, found.scales) == (tmp_path, 'a/gt', 'b/lq', (3,))
    with pytest.raises(MclirError, match=r'There is no folder .*c'):
        own_pairs(tmp_path / 'a/gt', tmp_path / 'c')
