"""Which values of a metric are the better ones."""

import pytest

from mclir_basicsr.metrics.directions import direction, direction_fault


@pytest.mark.parametrize('kind', ['calculate_psnr', 'calculate_ssim', 'calculate_psnr_pt', 'MS_SSIM'])
def test_higher_is_better(kind):
    assert direction({'type': kind}) == direction({'type': kind, 'better': 'higher'}) == 'higher'


@pytest.mark.parametrize('kind', ['calculate_niqe', 'calculate_lpips', 'LPIPS', 'DISTS', 'calculate_fid'])
def test_lower_is_better(kind):
    assert direction({'type': kind}) == direction({'type': kind, 'better': 'lower'}) == 'lower'


@pytest.mark.parametrize('better', ['higher', 'lower'])
def test_the_option_file_tells_of_others(better):
    assert direction({'type': 'calculate_sharpness', 'better': better}) == better
    assert direction_fault('sharp', {'type': 'calculate_sharpness', 'better': better}) == ''


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'type': 'sharpness'},
            'whether a higher or a lower sharpness is better is not known: set val.metrics.m.better',
        ),
        ({'type': 'sharpness', 'better': 'big'}, "val.metrics.m.better must be higher or lower, but is 'big'."),
        ({'type': 'psnr_of_niqe'}, 'is not known'),
        ({'type': 'calculate_psnr', 'better': 'lower'}, 'of calculate_psnr the higher is better'),
        ({'type': 'calculate_niqe', 'better': 'higher'}, 'of calculate_niqe the lower is better'),
    ],
)
def test_an_unknown_direction_or_a_contradiction_is_asked_for(options, message):
    assert direction(options) is None
    assert message in direction_fault('m', options)
