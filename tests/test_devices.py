"""Which device a run takes. Other GPUs than CUDA's were not at hand: their place is taken by a CPU with a number."""

import sys

import pytest
import torch
from conftest import run

from mclir_basicsr import devices
from mclir_basicsr.errors import MclirError


@pytest.fixture
def seen(monkeypatch):
    """Let torch see these GPUs and no others."""

    def make(*names, old=False):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: 'cuda' in names)
        if old:  # torch 2.4 and 2.5
            monkeypatch.delattr(torch, 'accelerator', raising=False)
            for name, kind in (('mps', torch.backends.mps), ('xpu', torch.xpu)):
                monkeypatch.setattr(kind, 'is_available', lambda name=name: name in names)
            return
        accelerator = pytest.importorskip('torch.accelerator', reason='torch has it from 2.6 on')
        monkeypatch.setattr(accelerator, 'is_available', lambda: bool(names))
        monkeypatch.setattr(accelerator, 'current_accelerator', lambda: torch.device(names[0]))

    return make


@pytest.mark.parametrize('old', [False, True], ids=['torch.accelerator', 'torch 2.4'])
@pytest.mark.parametrize('name', ['cuda', 'mps', 'xpu'])
def test_each_kind_is_found(seen, name, old):
    seen(name, old=old)
    assert devices.gpu() == torch.device(name)
    assert devices.is_other() == (name != 'cuda')
    assert devices.of_run({'num_gpu': 1}) == torch.device(name)
    assert devices.of_run({'num_gpu': 0}) == torch.device('cpu')


def test_without_one(seen):
    seen(old=True)
    assert devices.gpu() is None
    assert not devices.is_other()
    devices.wait()
    with pytest.raises(MclirError, match='num_gpu is 1, but torch sees no GPU: set num_gpu to auto or 0'):
        devices.of_run({'num_gpu': 1})


def test_a_run_uses_one_that_is_not_cudas_and_none_in_several_processes(seen):
    seen('xpu', old=True)
    with pytest.raises(MclirError, match='num_gpu is 2, but a run can use one xpu device: set num_gpu to auto or 1'):
        devices.of_run({'num_gpu': 2})
    assert devices.of_run({'num_gpu': 1, 'dist': True}) == torch.device('cpu')
    seen('cuda', old=True)
    assert devices.of_run({'num_gpu': 2, 'dist': True}) == torch.device('cuda')


WITH_ANOTHER_GPU = """
import sys, torch
from mclir_basicsr import devices
devices.gpu = lambda: torch.device('cpu', 0)
import mclir_basicsr
mclir_basicsr.register()
from basicsr.models.sr_model import SRModel
from mclir_basicsr.commands.cli import main
original = SRModel.optimize_parameters
def optimize(self, iteration):
    print(iteration, self.opt['num_gpu'], self.device, {str(p.device) for p in self.net_g.parameters()}, flush=True)
    return original(self, iteration)
SRModel.optimize_parameters = optimize
sys.exit(main(['train', '-opt', *sys.argv[1:]]))
"""


@pytest.mark.parametrize(('num_gpu', 'taken'), [('auto', '1 cpu:0'), (0, '0 cpu')])
def test_auto_takes_it_in_a_run(option_file, tmp_path, num_gpu, taken):
    """BasicSR counts and takes CUDA's alone; SRModel, too, is put onto what there is."""
    train = {'spn_opt': None, 'history': None}
    file = option_file(model_type='SRModel', num_gpu=num_gpu, train=train)
    result = run(sys.executable, '-c', WITH_ANOTHER_GPU, file, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    steps = {line for line in result.stdout.splitlines() if line[:2] in ('1 ', '2 ')}  # of the trial before it, too
    assert steps == {f"{iteration} {taken} {{'cpu'}}" for iteration in (1, 2)}
