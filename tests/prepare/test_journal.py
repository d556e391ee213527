"""What a folder says about itself is believed only where it is sound."""

import pytest

from mclir_basicsr.prepare.inventory import Prepared, read_prepared
from mclir_basicsr.prepare.journal import read_journal
from mclir_basicsr.prepare.verify import verify_tree

DAMAGED = ['', '[]', '{', 'null', '7', '"x"', '{"plan": "p", "other": 1}', '[' * 100_000, '\0\xff']


@pytest.mark.parametrize(
    'text',
    [
        *DAMAGED,
        '{"plan": 1}',
        '{"plan": "p", "images": "3"}',
        '{"plan": "p", "images": null}',
        '{"plan": "p", "sources": 1.5}',
        '{"plan": "p", "sources": true}',
        '{"plan": "p", "images": -1}',
    ],
)
def test_a_damaged_journal_is_none(text, tmp_path):
    (tmp_path / '.mclir.json').write_text(text, 'latin-1')
    assert read_journal(tmp_path) is None


@pytest.mark.parametrize(
    'text',
    [
        *DAMAGED,
        '{"targets": null}',
        '{"targets": [1]}',
        '{"targets": ["a\\u0000b"]}',
        '{"pairs": []}',
        '{"pairs": {"pairs.txt": null}}',
        '{"pairs": {"pairs.txt": ["lq"]}}',
        '{"pairs": {"pairs.txt": ["lq", 3]}}',
    ],
)
def test_a_damaged_inventory_is_empty(text, tmp_path):
    (tmp_path / '.prepared.json').write_text(text, 'latin-1')
    assert read_prepared(tmp_path) == Prepared()
    assert verify_tree(tmp_path)[0] == 0
