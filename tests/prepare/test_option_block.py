"""What `mclir prepare` says at the end."""

from trees import blocks, noise, plain, read, write

from mclir_basicsr.prepare.command import prepare
from mclir_basicsr.prepare.recipes import own_pairs, recipe


def test_folders_whose_endings_differ_get_a_pairs_file(tmp_path):
    """PairedImageDataset looks for the same ending on both sides."""
    gt, lq = noise(tmp_path / 'gt', ['a.png', 'b.png']), noise(tmp_path / 'lq', ['a.png', 'b.jpg'])
    for form, kind in (('lmdb', 'PairedImageDataset'), ('folder', 'PairsFileDataset')):
        report = prepare(*own_pairs(gt, lq), tmp_path / form, form=form, progress=False)
        ((_, datasets),) = blocks(report)
        assert datasets['train']['type'] == kind
        assert len(read(datasets['train'], 1)) == 2


def test_notes_and_missing_parts_are_comments_of_the_report(tmp_path):
    write(tmp_path / 'Set5/GTmod12/a.png', plain(24, 24, 9)[..., 0])
    write(tmp_path / 'Set5/LRbicx4/a.png', plain(6, 6, 9))
    report = prepare(recipe('sr-benchmarks'), tmp_path, tmp_path / 'out', progress=False)
    comments = [line for line in report.splitlines() if line.startswith('#')]
    assert '# Set5: 1 images are grey; training reads them as colour' in comments
    assert '# missing, left out: Set5: Set5/GTmod12 and Set5/LRbicx2' in comments
    assert any(line.startswith('# missing, left out: Urban100: Urban100/GTmod12 and') for line in comments)
