"""Published option files become SPN retrainings that run: those of a folder that the environment names.

BasicSR's own are in options/train of its repository: MCLIR_OPTION_FILES=BasicSR/options/train pytest FILE -n 0.
"""

import os
import sys
from pathlib import Path

import pytest
from conftest import run

FOLDER = os.environ.get('MCLIR_OPTION_FILES')
BENCHMARK = Path(__file__).parents[1] / 'benchmarks' / 'option_files.py'
WITHOUT = pytest.mark.skip(reason='MCLIR_OPTION_FILES names no folder of option files')


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='forks the runs that it kills')
@pytest.mark.parametrize(
    'file',
    sorted(Path(FOLDER).resolve().rglob('*.yml')) if FOLDER else [pytest.param(None, marks=WITHOUT)],
    ids=lambda file: file and file.stem,
)
def test_it_is_converted_trains_and_goes_on_after_a_kill(file, tmp_path):
    done = run(sys.executable, BENCHMARK, file, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
