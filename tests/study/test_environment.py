"""What runs were made with."""

import sys

import basicsr
import torch

from mclir_basicsr.study import environment


def test_this_process():
    found = environment.describe({'num_gpu': 0})
    assert found['python'] == sys.version.split()[0]
    assert found['torch'] == torch.__version__
    assert found['basicsr'] == basicsr.__version__
    assert found['device'].startswith('CPU ')


def test_parts_of_a_run_that_were_made_with_others_are_told(tmp_path):
    files = [tmp_path / 'a.json', tmp_path / 'b.json', tmp_path / 'not there.json']
    environment.note(files[0], {'torch': '2.4', 'device': 'CPU x'})
    environment.note(files[0], {'torch': '2.4', 'device': 'CPU x'})
    environment.note(files[1], {'torch': '2.4', 'device': 'CPU x'})
    assert environment.together(files) == {'torch': '2.4', 'device': 'CPU x'}
    environment.note(files[1], {'torch': '2.5', 'device': 'CPU x'})
    assert environment.together(files) == {'torch': '2.4, 2.5', 'device': 'CPU x'}
