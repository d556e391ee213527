"""Figures per image."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.figures import NAME, Figure, append_figures, read_figures, truncate_figures


def figure(iteration=5, image='baby', value=37.5, weights='params'):
    return Figure(iteration, 'Set5', image, {'psnr': value}, weights)


def test_figures_are_read_back_in_order(tmp_path):
    first, second = [figure(5), figure(5, 'bird ü\n', math.inf)], [figure(10, weights='params_ema')]
    append_figures(tmp_path, first)
    append_figures(tmp_path, second)
    assert read_figures(tmp_path) == first + second
    assert (tmp_path / NAME).read_text(encoding='utf-8').splitlines()[0] == (
        '{"iteration": 5, "dataset": "Set5", "image": "baby", "metrics": {"psnr": 37.5}, "weights": "params"}'
    )


def test_no_file_no_figures(tmp_path):
    truncate_figures(tmp_path, 3)
    assert read_figures(tmp_path) == []
    assert not (tmp_path / NAME).exists()


def test_a_resumed_run_holds_no_figure_twice(tmp_path):
    append_figures(tmp_path, [figure(5), figure(10), figure(15)])
    truncate_figures(tmp_path, 10)
    append_figures(tmp_path, [figure(15)])
    assert [one.iteration for one in read_figures(tmp_path)] == [5, 10, 15]


@given(length=st.integers(0, 230))
def test_a_kill_leaves_whole_lines(tmp_path_factory, length):
    """Wherever the write was cut: reading takes the whole lines, and the next to append goes on behind them."""
    folder = tmp_path_factory.mktemp('run')
    append_figures(folder, [figure(5), figure(10)])
    content = (folder / NAME).read_bytes()[:length]
    (folder / NAME).write_bytes(content)
    whole = [figure(5), figure(10)][: content.count(b'\n')]
    assert read_figures(folder) == whole
    append_figures(folder, [figure(15)])
    assert read_figures(folder) == [*whole, figure(15)]


def test_truncating_takes_off_an_unfinished_line(tmp_path):
    append_figures(tmp_path, [figure(5)])
    before = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(before + b'{"iteration": 1')
    truncate_figures(tmp_path, 5)
    assert (tmp_path / NAME).read_bytes() == before


@pytest.mark.parametrize('line', ['no json', '[]', '{"iteration": 5}', '{"a": 1}', '5', '\xff'])
def test_a_line_that_is_no_figure_is_named(tmp_path, line):
    append_figures(tmp_path, [figure(5)])
    with (tmp_path / NAME).open('ab') as file:
        file.write(line.encode('latin-1') + b'\n')
    append_figures(tmp_path, [figure(6)])
    for read in (read_figures, lambda folder: truncate_figures(folder, 9)):
        with pytest.raises(MclirError, match=r'metrics\.jsonl: .* is no line of figures'):
            read(tmp_path)
