"""Where restored images are saved."""

from pathlib import Path

from mclir_basicsr.models.pictures import Pictures

FOLDER = Path('folder')


def test_basicsrs_places_where_no_name_clashes():
    pictures = Pictures()
    assert pictures.in_training(FOLDER, 'lq/a.png', 'Set5', 7) == FOLDER / 'a' / 'a_7.png'
    assert pictures.in_testing(FOLDER, 'lq/a.png', 'Set5', 'run') == FOLDER / 'Set5' / 'a_run.png'
    assert pictures.in_testing(FOLDER, 'lq/a.png', 'Set14', 'run') == FOLDER / 'Set14' / 'a_run.png'


def test_names_that_clash_within_a_data_set_and_with_others():
    pictures = Pictures()
    for _ in range(2):  # of two validations
        names = [
            pictures.in_training(FOLDER, path, dataset, 7).parent.name
            for path, dataset in (('1/a.png', 'x'), ('2/a.png', 'x'), ('1/a.png', 'y'), ('3/a.png', 'x'))
        ]
        assert names == ['a', 'x_a', 'y_a', 'x_a_2']


def test_ranks_agree_and_the_first_one_has_its_way():
    first, second = Pictures(), Pictures()
    first.in_training(FOLDER, '1/a.png', 'x', 7)
    second.in_training(FOLDER, '2/a.png', 'x', 7)
    second.in_training(FOLDER, '2/b.png', 'x', 7)
    shares = [first.owners, second.owners]
    for pictures in (first, second):
        pictures.agree(shares)
        assert pictures.in_training(FOLDER, '1/a.png', 'x', 7).parent.name == 'a'
        assert pictures.in_training(FOLDER, '2/a.png', 'x', 7).parent.name == 'x_a'
        assert pictures.in_training(FOLDER, 'c/b.png', 'y', 7).parent.name == 'y_b'
