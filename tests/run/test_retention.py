"""Which checkpoints stay."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclir_basicsr.run.retention import is_best, sweep, trim, write_record


@given(st.sets(st.integers(1, 20), max_size=8), st.integers(1, 5), st.integers(1, 20))
def test_the_newest_saves_stay_whole_and_nothing_else_is_touched(tmp_path_factory, iterations, last, current):
    folder = tmp_path_factory.mktemp('saves')
    iterations |= {current}
    for iteration in iterations:
        for name in (f'{iteration}.state', f'net_g_{iteration}.pth', f'net_d_{iteration}.pth'):
            (folder / name).touch()
    others = {'net_g_latest.pth', 'net_g_best.pth', 'net_g_best.json', 'notes.state', 'net_g_5000000.pth'}
    for name in others:
        (folder / name).touch()
    trim(folder, folder, last, current)
    kept = [*sorted(i for i in iterations if i <= current)[-last:], *(i for i in iterations if i > current)]
    expected = {name for i in kept for name in (f'{i}.state', f'net_g_{i}.pth', f'net_d_{i}.pth')}
    assert {file.name for file in folder.iterdir()} == expected | others


@pytest.mark.parametrize(('higher', 'better', 'worse'), [(True, 31.0, 29.0), (False, 0.1, 50.0)])
def test_best_by_the_record(tmp_path, higher, better, worse):
    record = tmp_path / 'net_g_best.json'
    assert is_best(record, 30.0, higher)
    write_record(record, value=30.0, iteration=5)
    assert is_best(record, better, higher)
    assert not is_best(record, worse, higher)
    assert not is_best(record, 30.0, higher)
    assert not is_best(record, math.nan, higher)
    for no_figure in ('{"val', '{"value": NaN}'):
        record.write_text(no_figure)
        assert is_best(record, worse, higher)
        assert not is_best(record, math.nan, higher)


@pytest.mark.parametrize(
    'other', [{'metric': 'niqe'}, {'dataset': 'b'}, {'options': {'type': 'calculate_psnr', 'crop_border': 4}}]
)
def test_a_record_of_another_metric_or_data_set_is_not_compared_with(tmp_path, caplog, other):
    measured = {'metric': 'psnr', 'dataset': 'a', 'options': {'type': 'calculate_psnr', 'crop_border': 2}}
    record = tmp_path / 'net_g_best.json'
    write_record(record, value=30.0, iteration=5, **measured)
    assert not is_best(record, 29.0, True, **measured)
    assert not is_best(record, math.nan, True, **measured | other)
    assert caplog.text == ''
    assert is_best(record, 29.0, True, **measured | other)
    assert f'is of another {next(iter(other))}' in caplog.text
    write_record(record, value=30.0, iteration=5, metric='psnr', dataset='a')  # as versions before wrote it
    assert not is_best(record, 29.0, True, **measured)


def test_what_a_kill_left_is_swept_away(tmp_path):
    for name in ('5.state', '6.state.123.tmp', 'net_g_6.pth.123.tmp'):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ['5.state']
