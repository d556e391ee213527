"""Process groups without a GPU, and how they end."""

import sys

import pytest
import torch
from basicsr.utils import dist_util
from conftest import run

NEEDS_NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason='this repair is made only where there is no GPU')


@NEEDS_NO_GPU
@pytest.mark.parametrize('launcher', ['pytorch', 'slurm'])
def test_process_group_on_a_cpu_uses_gloo(monkeypatch, launcher):
    for name, value in {'RANK': '0', 'SLURM_PROCID': '0', 'SLURM_NTASKS': '1', 'SLURM_NODELIST': 'n'}.items():
        monkeypatch.setenv(name, value)
    started = []
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda backend, **kwargs: started.append(backend))
    monkeypatch.setattr('subprocess.getoutput', lambda command: 'localhost')
    for name in ('MASTER_PORT', 'MASTER_ADDR', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.setenv(name, '1')  # so that what the call sets is undone
    dist_util.init_dist(launcher)
    assert started == ['gloo']
    assert torch.cuda.device_count() == 0


ONE_RANK = """
import os
os.environ |= {'RANK': '0', 'WORLD_SIZE': '1', 'MASTER_ADDR': 'localhost', 'MASTER_PORT': '0'}
import torch
import mclir_basicsr
mclir_basicsr.register()
from basicsr.utils import options
end = torch.distributed.destroy_process_group
torch.distributed.destroy_process_group = lambda: (end(), print('ended'))
options.init_dist('pytorch')  # as the parser calls it
assert torch.distributed.is_initialized()
"""


@NEEDS_NO_GPU
def test_the_process_group_is_ended_at_exit(tmp_path):
    result = run(sys.executable, '-c', ONE_RANK, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, 'ended\n'), result.stderr[-3000:]
