"""The image files of a data set's folders, flat or nested."""

import os

import pytest

from mclir_basicsr.prepare.listing import list_images


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def listed(root, pattern, **others):
    """Whole names, paths and notes."""
    names, notes = list_images(root, pattern, **others)
    return [(name.whole, name.path) for name in names], [note.removeprefix(f'{root / pattern}: ') for note in notes]


def test_names_of_a_folder(tmp_path):
    touch(tmp_path / 'gt', 'b.PNG', 'a.1.jpg', '.hidden.png', '._a.1.jpg', '.git/c.png')
    assert listed(tmp_path, 'gt') == ([('a.1', 'gt/a.1.jpg'), ('b', 'gt/b.PNG')], [])
    assert listed(tmp_path / 'gt', '.') == ([('a.1', 'a.1.jpg'), ('b', 'b.PNG')], [])
    assert listed(tmp_path, 'nowhere') == ([], [])


def test_names_below_a_star_carry_the_folder(tmp_path):
    """GoPro as its makers publish it: one folder per film, the same file names in each."""
    touch(tmp_path / 'train', 'GOPR2/blur/000047.png', 'GOPR1/blur/000047.png')
    names, notes = listed(tmp_path, 'train/*/blur')
    assert notes == []
    assert names == [
        ('GOPR1-000047', 'train/GOPR1/blur/000047.png'),
        ('GOPR2-000047', 'train/GOPR2/blur/000047.png'),
    ]


def test_nested_folders_without_images_beside_them_are_read(tmp_path):
    touch(tmp_path / 'gt', 'a/1.png', 'a/deep/1.png', 'b/1.png', 'empty/list.txt')
    names, notes = listed(tmp_path, 'gt')
    assert names == [('a-1', 'gt/a/1.png'), ('a-deep-1', 'gt/a/deep/1.png'), ('b-1', 'gt/b/1.png')]
    assert notes == [
        'the images of 3 folders below it are taken (a, a/deep, b); their keys begin with the folder',
        'left out: 1 files .txt',
    ]


def test_what_is_left_out_is_named(tmp_path):
    touch(
        tmp_path / 'gt', '1.png', 'old/1.png', 'old/2.png', 'x/a.png', 'y/a.png', 'z/a.png', '2.gif', '3.GIF', 'README'
    )
    names, notes = listed(tmp_path, 'gt')
    assert names == [('1', 'gt/1.png')]
    assert notes == [
        '5 images in folders below it (old, x, y, and more) are left out, since there are images beside those folders; '
        'move these into a folder of their own to have all taken',
        'left out: 2 files .gif, 1 files without ending',
    ]


def test_links_to_folders_are_followed_but_not_in_circles_nor_into_the_output(tmp_path):
    touch(tmp_path, 'disk/1.png', 'gt/out/gt/1.png')
    (tmp_path / 'gt/part').symlink_to(tmp_path / 'disk', target_is_directory=True)
    (tmp_path / 'disk/back').symlink_to(tmp_path / 'gt', target_is_directory=True)
    assert listed(tmp_path, 'gt', apart=tmp_path / 'gt/out')[0] == [('part-1', 'gt/part/1.png')]


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    touch(tmp_path, 'gt/a/1.png')
    scandir = os.scandir

    def refuse(folder):
        if folder.name == 'a':
            raise PermissionError(13, 'Permission denied', str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, 'scandir', refuse)
    with pytest.raises(PermissionError):
        list_images(tmp_path, 'gt')
