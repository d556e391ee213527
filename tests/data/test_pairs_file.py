"""One format of the pairs file: what is written is read, and anything else is named."""

import pytest

from mclir_basicsr.data.pairs_file import Pair, read_pairs, write_pairs


def test_what_is_written_is_read(tmp_path):
    pairs = [Pair('1_1', '1', (40, 48)), Pair('1_2', '1')]
    write_pairs(tmp_path / 'pairs.txt', pairs)
    assert (tmp_path / 'pairs.txt').read_text() == '1_1 1 40x48\n1_2 1\n'
    assert read_pairs(tmp_path / 'pairs.txt') == (dict(enumerate(pairs, 1)), [])


@pytest.mark.parametrize('line', ['a', 'a b c', 'a b 40x', 'a b 0x4', 'a b -4x4', 'a b ٤x٤', f'a b {"9" * 5000}x4', ''])
def test_lines_that_are_no_pair(line, tmp_path):
    (tmp_path / 'pairs.txt').write_text(f'1 1\n{line}\n2 2\n', 'utf-8')
    pairs, (bad,) = read_pairs(tmp_path / 'pairs.txt')
    assert list(pairs) == [1, 3]
    assert bad.number == 2
    assert 'is neither LQ GT nor LQ GT HEIGHTxWIDTH' in bad.text
    assert len(bad.text) < 200


def test_a_file_of_windows_and_one_that_is_binary(tmp_path):
    (tmp_path / 'pairs.txt').write_bytes(b'\xef\xbb\xbf1 1\r\n2 2\r\n')
    assert list(read_pairs(tmp_path / 'pairs.txt')[0].values()) == [Pair('1', '1'), Pair('2', '2')]
    (tmp_path / 'pairs.txt').write_bytes(bytes(range(256)) * 40)
    assert all(len(bad.text) < 500 for bad in read_pairs(tmp_path / 'pairs.txt')[1])
