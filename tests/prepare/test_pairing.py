"""Names of images: which belong together, and under which keys."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.listing import Name
from mclir_basicsr.prepare.pairing import key_of, pair, regex, template
from mclir_basicsr.prepare.recipes import BEFORE_UNDERSCORE, RAIN, SAME, SCALED


def images(*files):
    """Names as `names` finds them for files in one folder."""
    return [Name(Path(file).stem, file) for file in files]


def linked(pairing):
    """The pairs as (lq file, gt file)."""
    return [(lq.path, pairing.gt[place].path) for lq, place in zip(pairing.lq, pairing.links, strict=True)]


@pytest.mark.parametrize(
    ('rule', 'lq', 'gt', 'lq_key', 'gt_key'),
    [
        (SAME, 'baby.png', 'baby.png', 'baby', 'baby'),
        (SAME, 'a b.v2.png', 'a b.v2.jpg', 'a_b-v2', 'a_b-v2'),
        (SCALED, '0801x4.png', '0801.png', '0801', '0801'),
        (RAIN, 'rain-12.png', 'norain-12.png', '12', '12'),
        (RAIN, '12.png', '12.png', '12', '12'),
        (template('{}_LR'), '7_LR.png', '7.png', '7', '7'),
        (template('(in) {}'), '(in) 7.png', '7.png', '7', '7'),
        (regex('(?:GT|LQ)_(.+)'), 'LQ_7.png', 'GT_7.png', '7', '7'),
    ],
)
def test_rules_of_one_to_one_sets(rule, lq, gt, lq_key, gt_key):
    found = pair(images(gt), images(lq), rule)
    assert found.faults == []
    assert (linked(found), found.lq[0].key, found.gt[0].key) == ([(lq, gt)], lq_key, gt_key)


def test_shared_gt_images_stand_once_and_keep_their_names():
    """RESIDE: ITS `1_1_0.90179.png` to `1.png`, OTS `0005_0.8_0.2.jpg` to `0005.jpg`; clear images may be unused."""
    hazy = images('1_1_0.90179.png', '1_2_0.97842.png', '10_1_0.74031.png', '0005_0.8_0.2.jpg')
    found = pair(images('1.png', '10.png', '0005.jpg', '11.png'), hazy, BEFORE_UNDERSCORE)
    assert found.faults == []
    assert found.unused == 1
    assert linked(found) == [
        ('0005_0.8_0.2.jpg', '0005.jpg'),
        ('10_1_0.74031.png', '10.png'),
        ('1_1_0.90179.png', '1.png'),
        ('1_2_0.97842.png', '1.png'),
    ]
    assert [item.key for item in found.lq] == ['0005_0-8_0-2', '10_1_0-74031', '1_1_0-90179', '1_2_0-97842']
    assert sorted(item.key for item in found.gt) == ['0005', '1', '10']


@pytest.mark.parametrize('own_keys', [False, True])
def test_images_of_nested_folders_pair_within_their_folder_whatever_the_rule(own_keys):
    gt = [Name('1', 'gt/a_b/1.png', 'a_b'), Name('1', 'gt/c/1.png', 'c')]
    lq = [Name('1_x', 'lq/a_b/1_x.png', 'a_b'), Name('1_y', 'lq/c/1_y.png', 'c')]
    found = pair(gt, lq, BEFORE_UNDERSCORE, own_keys)
    assert found.faults == []
    assert linked(found) == [('lq/a_b/1_x.png', 'gt/a_b/1.png'), ('lq/c/1_y.png', 'gt/c/1.png')]
    assert [item.key for item in found.lq] == (['a_b-1_x', 'c-1_y'] if own_keys else ['a_b-1', 'c-1'])


def test_nested_names_that_give_the_same_key_are_refused():
    both = [Name('b-c', 'a/b-c.png', 'a'), Name('c', 'a-b/c.png', 'a-b')]
    faults = pair(both, both, SAME).faults
    assert "a/b-c.png, a-b/c.png: more than one gt image for 'a-b-c'" in faults


def test_own_keys_though_no_gt_image_is_shared():
    found = pair(images('1.png'), images('1_1.png'), BEFORE_UNDERSCORE, own_keys=True)
    assert (found.lq[0].key, found.gt[0].key) == ('1_1', '1')


@pytest.mark.parametrize(
    ('rule', 'gt', 'lq', 'fault'),
    [
        (SAME, ['a.png', 'b.png'], ['a.png'], 'b.png: gt without lq'),
        (SAME, ['a.png'], ['a.png', 'c.png'], 'c.png: lq without gt'),
        (SAME, ['a.png', 'a.jpg'], ['a.png'], "a.png, a.jpg: more than one gt image for 'a'"),
        (SAME, ['a.png'], ['a.png', 'a.bmp'], "a.png, a.bmp: more than one lq image for 'a'"),
        (SCALED, ['1.png'], ['1.png'], "1.png: lq name does not fit the rule '(.+)x[2348]'"),
        (SAME, ['a.b.png', 'a-b.png'], ['a.b.png', 'a-b.png'], "give the same key 'a-b', rename them"),
        (SAME, ['é.png'], ['é.png'], "'é.png': name is not up to 200 printable ASCII"),
        (SAME, ['a\nb.png'], ['a\nb.png'], "'a\\nb.png': name is not up to 200 printable ASCII"),
        (SAME, ['a\\b.png'], ['a\\b.png'], 'without backslash, rename it'),
        (SAME, ['a' * 201 + '.png'], ['a' * 201 + '.png'], 'name is not up to 200'),
        (BEFORE_UNDERSCORE, ['1.png'], ['2_1.png'], '2_1.png: lq without gt'),
        (BEFORE_UNDERSCORE, ['1.png'], ['1_1.png', '1_1.jpg'], "give the same key '1_1', rename them"),
    ],
)
def test_faults_name_the_files(rule, gt, lq, fault):
    assert any(fault in line for line in pair(images(*gt), images(*lq), rule).faults)


@pytest.mark.parametrize(
    ('make', 'argument', 'said'),
    [
        (template, 'x2', "--template 'x2' needs exactly one {}"),
        (template, '{}{}', 'exactly one'),
        (regex, '(', 'is no regular expression'),
        (regex, '.+', 'needs a group'),
    ],
)
def test_rules_that_cannot_be(make, argument, said):
    with pytest.raises(MclirError) as error:
        make(argument)
    assert said in str(error.value)


STEMS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='/\\'), min_size=1, max_size=6)


@given(STEMS)
def test_keys_survive_basicsr_and_a_pairs_file(stem):
    key = key_of(stem)
    assert f'{key}.png (1,1,3) 1\n'.split('.')[0] == key  # how BasicSR reads meta_info.txt
    assert f'{key} {key}'.split() == [key, key]


@given(st.sets(STEMS, min_size=1, max_size=8))
def test_every_name_is_paired_with_itself_or_named_in_a_fault(stems):
    files = [Name(stem, f'{stem}.png') for stem in sorted(stems)]
    found = pair(files, reversed(files), SAME)
    keys = [item.key for item in found.lq]
    if found.faults:
        assert len(set(keys)) < len(keys)
    else:
        assert len(set(keys)) == len(keys) == len(stems)
        assert all(lq == gt for lq, gt in linked(found))
        assert keys == [found.gt[place].key for place in found.links]


@given(st.dictionaries(st.integers(0, 99).map(str), st.integers(1, 4), min_size=1), st.randoms())
def test_many_to_one_whatever_the_order(hazy_per_clear, random):
    clear = images(*(f'{name}.png' for name in hazy_per_clear))
    hazy = images(*(f'{name}_{i}_0.5.png' for name, count in hazy_per_clear.items() for i in range(count)))
    random.shuffle(clear)
    random.shuffle(hazy)
    found = pair(clear, hazy, BEFORE_UNDERSCORE)
    assert found.faults == []
    assert len(found.lq) == sum(hazy_per_clear.values())
    assert len(found.gt) == len(hazy_per_clear)
    assert all(lq.split('_')[0] == gt.removesuffix('.png') for lq, gt in linked(found))


@given(st.sampled_from(['{}x2', 'a{}', '[{}]', '{}.+', '{}']), STEMS)
def test_a_template_finds_the_name_put_into_it(text, stem):
    found = pair([Name(stem, 'gt')], [Name(text.replace('{}', stem), 'lq')], template(text))
    assert found.faults == []
    assert len(found.links) == 1
