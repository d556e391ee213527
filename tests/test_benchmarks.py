"""The benchmarks of the training step run, and say what they cannot do."""

import importlib
import json
import logging
import os
import re
import sys
from pathlib import Path

import pytest
import torch
from basicsr.archs.edsr_arch import EDSR
from conftest import run

from mclir_basicsr.losses import streamed

BENCHMARKS = Path(__file__).parents[1] / 'benchmarks'
# As BasicSR's models are written.
OTHER = """
import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY


@MODEL_REGISTRY.register()
class Twice(SRModel):
    def optimize_parameters(self, current_iter):
        for _ in range(2):
            super().optimize_parameters(current_iter)


@MODEL_REGISTRY.register()
class Hungry(SRModel):
    def optimize_parameters(self, current_iter):
        raise torch.OutOfMemoryError('CUDA out of memory.\\nTried to allocate 1 GiB.')
"""


def test_a_table_with_other_classes_one_of_which_fails(tmp_path):
    file = tmp_path / 'other.py'
    file.write_text(OTHER)
    twice, hungry = f'{file}:Twice', f'{file}:Hungry'
    done = run(
        sys.executable, BENCHMARKS / 'step_time.py', '--networks', 'edsr_tiny', '--settings', 'K=4 per_step 1',
        '--steps', 1, '--other', hungry, twice, '--out', tmp_path / 'table', cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / 'table.json').read_text())['networks']['edsr_tiny']
    rows = {row.pop('setting'): row for row in found['rows']}
    assert list(rows) == ['SRModel', 'K=4 per_step 1', hungry, twice]
    assert rows[hungry] == {'error': 'OutOfMemoryError: CUDA out of memory.'}
    assert f'| {hungry} | OutOfMemoryError: CUDA out of memory. | - |' in done.stdout
    assert {key for key, value in rows[twice].items() if value is not None} == {'ms', 'ratio', 'memory_mib'}
    plain, spn = rows['SRModel'], rows['K=4 per_step 1']
    assert all(value > 0 for value in (*spn.values(), rows[twice]['ratio']))
    assert plain['ratio'] == plain['memory_ratio'] == 1 < spn['memory_ratio']
    with torch.device('meta'):
        parameters = sum(p.numel() for p in EDSR(3, 3, num_feat=64, num_block=2, upscale=2).parameters())
    assert spn['copies_mib'] == pytest.approx(4 * 4 * parameters / 2**20, rel=1e-3)
    assert (tmp_path / 'table.png').stat().st_size > 1000


def benchmark(name, arguments, monkeypatch):
    """The module of a benchmark, as if its script had been called."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
    log = logging.getLogger('basicsr')
    level = log.level
    module = importlib.import_module(name)  # silences BasicSR
    log.setLevel(level)
    return module


def test_another_memory_layout_is_faithful(monkeypatch, capsys):
    fidelity = benchmark('fidelity', ['--iterations', 2, '--batches', 1], monkeypatch)
    monkeypatch.setattr(fidelity, 'SETTINGS', {fidelity.NCHW: {}})
    fidelity.main()
    *_, angle, _, _, error = (cell.strip(' °') for cell in capsys.readouterr().out.splitlines()[-1].split('|')[1:-1])
    assert float(angle) < 1
    assert float(error) < 0.01


def test_negatives_take_no_memory_for_each_image(monkeypatch, capsys):
    """With enough images for the VGG to have no more of them at a time than of fewer."""
    arguments = ['--networks', 'edsr_tiny', '--settings', 'SRModel', 'K=4', '--batch', 8]
    memory = benchmark('memory', arguments, monkeypatch)
    monkeypatch.setattr(streamed, 'PART', 48 * 48)
    memory.main()
    rows = [line.split('|') for line in capsys.readouterr().out.splitlines()[-2:]]
    (plain_fixed, plain), (fixed, per_image) = ([float(cell) for cell in row[4:6]] for row in rows)
    assert fixed > plain_fixed
    assert per_image <= plain + 1  # rounded
    assert all(int(cell) > 0 for row in rows for cell in row[6:9])


def test_the_coverage_of_intervals(monkeypatch, capsys):
    intervals = benchmark('interval_coverage', ['--count', 200], monkeypatch)
    intervals.main()
    once, looked, odd = capsys.readouterr().out.split('\n\n')[1:4]
    assert (len(once.splitlines()), len(looked.splitlines()), len(odd.splitlines())) == (10, 25, 10)
    means = [float(line.split()[5]) for line in once.splitlines()[1:]]
    assert all(93 <= mean <= 97 for mean in means)


def test_plain_against_plain(monkeypatch, capfd):
    """Two runs of an arm differ, as their seeds do, and are compared by image."""
    plain = benchmark('plain_against_plain', ['--pairs', 1, '--seeds', 2, '--iterations', 2], monkeypatch)
    monkeypatch.setattr(plain, 'BASE_ITERATIONS', 2)
    plain.main()
    said = capfd.readouterr().out
    assert re.search(r'(?m)^ 1: [+-]\d+\.\d+ dB on held-out, 95 % -?[\d.]+ to -?[\d.]+, 2 seeds', said)
    assert not re.search(r'(?m)^ 1: [+-]0\.0+ dB', said), 'the same run twice'
    assert re.search(r'\n[01] of 1 called different\.', said)


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='the benchmark forks')
def test_option_files_are_counted_and_a_failure_is_told(tmp_path, monkeypatch, capfd):
    text = 'name: a\nmodel_type: {}\npath:\n  resume_state: ~\ntrain:\n  total_iter: 9\n'
    (tmp_path / 'below').mkdir()
    (tmp_path / 'below' / 'faces.yml').write_text(text.format('StyleGAN2Model'))
    (tmp_path / 'other.yml').write_text(text.format('NoSuchModel'))
    files = benchmark('option_files', [tmp_path], monkeypatch)
    with pytest.raises(SystemExit) as ended:
        files.main()
    said = capfd.readouterr().out
    assert ended.value.code == 1
    assert re.search(r'(?m)^below/faces\.yml: enable: .* generates images', said)
    assert re.search(r'(?m)^other\.yml: enable: .* NoSuchModel cannot become HistoryModel', said)
    assert said.endswith('\nenable: 0 of 2\ncheck: 0 of 2\ntrain: 0 of 2\nvalidate: 0 of 2\nresume: 0 of 2\n0 passed, '
                         '1 left out, 1 failed\n')  # fmt: skip
    monkeypatch.setattr(sys, 'argv', ['option_files', str(tmp_path / 'below')])
    with pytest.raises(SystemExit) as ended:
        files.main()
    assert ended.value.code == 0


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--other', 'nowhere.py:Model'], "nowhere.py:Model: there is no file 'nowhere.py'. Give FILE.py:CLASS."),
        (['--other', 'model.py:Model'], "model.py:Model: model.py has no class 'Model'."),
        (['--other', 'broken.py:Model'], 'broken.py cannot be imported: ModuleNotFoundError: '),
        (['--other-train', 'no.yml'], '--other-train: no.yml cannot be read: '),
        (['--out', 'nowhere/table'], '--out: there is no folder nowhere.'),
    ],
)
def test_what_cannot_be_measured_is_said_at_once(arguments, message, tmp_path, monkeypatch):
    (tmp_path / 'model.py').write_text('Model = None')
    (tmp_path / 'broken.py').write_text('import of_no_such_name')
    monkeypatch.chdir(tmp_path)
    step_time = benchmark('step_time', arguments, monkeypatch)
    with pytest.raises(SystemExit) as stopped:
        step_time.main()
    assert str(stopped.value).startswith(message) and '\n' not in str(stopped.value)
