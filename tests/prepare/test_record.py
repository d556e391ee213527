"""What the check found is kept for the same images only."""

import numpy as np
import pytest

from mclir_basicsr.prepare.record import Record


@pytest.fixture
def record(tmp_path):
    record = Record(tmp_path / 'out' / 'x.npz', 'these')
    assert record.recall([2, 4]) is None
    record.keep({2: np.array([[3, 4]]), 4: np.array([[1, 2]])}, ['a note'])
    return record


def test_a_record_is_valid_for_its_images_only(record):
    found, notes = record.recall([2, 4])
    assert {scale: pixels.tolist() for scale, pixels in found.items()} == {2: [[3, 4]], 4: [[1, 2]]}
    assert notes == ['a note']
    assert record.recall([2, 3]) is None
    assert Record(record.file, 'others').recall([2, 4]) is None


def test_a_damaged_record_is_none(record):
    content = record.file.read_bytes()
    record.file.write_bytes(content[: int(len(content) * 0.6)])
    assert record.recall([2, 4]) is None
    random = np.random.default_rng(0)
    for place in random.integers(0, len(content), 300):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(0, 8))
        record.file.write_bytes(damaged)
        recalled = record.recall([2, 4])
        assert recalled is None or {scale: pixels.tolist() for scale, pixels in recalled[0].items()} == {
            2: [[3, 4]], 4: [[1, 2]],
        }  # fmt: skip
