"""Pictures of a comparison and their most telling part."""

import numpy as np
import pytest
from experiment_log import head, noise, training, write_image, write_log
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from mclir_basicsr.errors import MclirError
from mclir_basicsr.report import Picture, load_pictures, read_run
from mclir_basicsr.report.pictures import psnr, telling_patch


@pytest.fixture
def experiment(tmp_path):
    """Make a run with the given validation images."""

    def make(name, label=None, **images):
        folder = write_log(tmp_path / name, head(), training(100, l_pix=1))
        for image, array in images.items():
            write_image(folder, image, 100, array)
        return read_run(folder, label)

    return make


def test_images_that_all_runs_have_are_loaded(experiment, tmp_path):
    plain = experiment('plain', b=noise(1), a=noise(2), only=noise(3), other=noise(4))
    spn = experiment('spn', a=noise(5), b=noise(6), other=noise(4, 8, 8))
    gt = write_image(tmp_path, 'b', 0, noise(7))
    pictures = load_pictures([plain, spn], gt=gt.rename(gt.with_name('b.png')).parent)
    assert [picture.name for picture in pictures] == ['a', 'b']
    assert np.array_equal(pictures[1].results['spn'], noise(6))
    assert np.array_equal(pictures[1].gt, noise(7))
    assert pictures[0].gt is None and pictures[0].lq is None
    assert len(load_pictures([plain, spn], limit=1)) == 1


def test_repetitions_show_the_first_and_runs_without_images_nothing(experiment):
    runs = [experiment('none'), *(experiment(f'plain_{i}', 'plain', a=noise(i)) for i in (1, 2))]
    (picture,) = load_pictures(runs)
    assert list(picture.results) == ['plain']
    assert np.array_equal(picture.results['plain'], noise(1))
    assert load_pictures(runs[:1]) == load_pictures([]) == []


def test_an_image_that_is_not_whole_is_named(experiment):
    run = experiment('plain', a=noise(1))
    run.images['a'].write_bytes(run.images['a'].read_bytes()[:500])
    with pytest.raises(MclirError, match=r'a_100.png cannot be read as an image'):
        load_pictures([run])


@given(st.integers(0, 10), st.integers(0, 15), st.sampled_from([1, 2, 4]))
def test_the_patch_is_where_results_differ(row, column, scale):
    plain = np.kron(noise(0, 152 // scale, 200 // scale), np.ones((scale, scale, 1), np.uint8))
    spn = plain.copy()
    spn[row * 8 : row * 8 + 64, column * 8 : column * 8 + 64] ^= 255
    gt = np.pad(plain, ((0, 3), (0, 1), (0, 0)))
    picture = Picture('a', {'plain': plain, 'between': noise(9, 152, 200), 'spn': spn}, plain[::scale, ::scale], gt)
    patch = telling_patch(picture, side=64)
    assert patch.size == (64, 64)
    assert np.array_equal(patch.results['spn'], patch.results['plain'] ^ 255)
    assert np.array_equal(patch.gt, patch.results['plain'])
    assert np.array_equal(np.kron(patch.lq, np.ones((scale, scale, 1), np.uint8)), patch.results['plain'])


def test_without_a_difference_the_patch_has_most_detail():
    image = np.full((100, 100, 3), 128, np.uint8)
    image[48:80, 8:40] = noise(0, 32, 32)
    for results in ({'plain': image}, {'plain': image, 'spn': image}):
        assert np.array_equal(telling_patch(Picture('a', results), side=32).results['plain'], noise(0, 32, 32))


def test_an_image_smaller_than_the_patch_is_shown_at_its_shorter_side():
    assert telling_patch(Picture('a', {'plain': noise(1, 30, 50), 'spn': noise(2, 30, 50)})).size == (30, 30)


def test_psnr_agrees_with_skimage():
    assert psnr(noise(1), noise(2)) == pytest.approx(peak_signal_noise_ratio(noise(2), noise(1)))


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"results must be of one size but are .*'spn': \(40, 40\)"):
        Picture('a', {'plain': noise(1), 'spn': noise(2, 40, 40)})
    with pytest.raises(ValueError, match=r'Picture a: gt \(40, 47\) is smaller than the results \(40, 48\)'):
        Picture('a', {'plain': noise(1)}, gt=noise(2, 40, 47))
