"""Give `mclir` every kind of bad input of tests/test_bad_input.py, and write what it says to benchmarks/bad_input.md.

    python benchmarks/bad_input.py

It runs the tests of the cases; where one fails, the page stays as it is.
"""

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'benchmarks' / 'bad_input.md'
HEAD = '| input | exit status | message |\n|---|---|---|\n'
WORDS = 25  # of a message


class Table:
    """Collects what the test of each case records."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the row of a case that has been run."""
        case: Any = dict(report.user_properties).get('case')
        if case is not None and report.when == 'call':
            name, status, message = case
            self.rows.append(f'| {name} | {status} | {shown(message)} |\n')


def shown(message: str) -> str:
    """The first words of a message as code in a table."""
    words = message.split()
    text = ' '.join(words[:WORDS]) + (' ...' if len(words) > WORDS else '')
    return '`' + text.replace('|', '\\|').replace('`', "'") + '`'


def main() -> int:
    """Run the cases and replace the table of the page, which is its end."""
    table = Table()
    cases = [str(ROOT / 'tests' / 'test_bad_input.py'), '-k', 'status_and_message']
    status = pytest.main([*cases, '-q', '-n', '0'], plugins=[table])  # one process keeps their order
    if status == 0:
        text, _, _ = PAGE.read_text(encoding='utf-8').partition(HEAD)
        PAGE.write_text(text + HEAD + ''.join(table.rows), encoding='utf-8')
    return int(status)


if __name__ == '__main__':
    sys.exit(main())
