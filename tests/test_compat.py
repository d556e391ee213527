"""Each repair of basicsr 1.4.2, named after the row of complaints that it ends."""

import sys
import types
from pathlib import Path

import pytest
import torch
from basicsr.models.base_model import BaseModel
from basicsr.utils import dist_util, options
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY
from conftest import run

import mclir_basicsr
from mclir_basicsr import compat
from mclir_basicsr.errors import MclirError
from mclir_basicsr.run import resume

NEEDS_NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason='this repair is made only where there is no GPU')


def test_every_repair_says_why_and_repeating_them_changes_nothing():
    before = options.parse_options, BaseModel.model_to_device, type(MODEL_REGISTRY).get, dist_util._init_dist_pytorch
    compat.before_import()
    compat.after_import()
    assert before == (
        options.parse_options,
        BaseModel.model_to_device,
        type(MODEL_REGISTRY).get,
        dist_util._init_dist_pytorch,
    )
    assert {'launch_option', 'resume', 'registry_message'} <= compat.active().keys()
    assert all(len(reason) > 30 for reason in compat.active().values())


def test_functional_tensor_of_torchvision_0_17(monkeypatch):
    name = 'torchvision.transforms.functional_tensor'
    monkeypatch.delitem(sys.modules, name, raising=False)
    compat._functional_tensor()
    from torchvision.transforms.functional_tensor import rgb_to_grayscale

    image = torch.rand(3, 4, 4)
    expected = 0.2989 * image[0] + 0.587 * image[1] + 0.114 * image[2]  # ITU-R 601-2, as torchvision documents it
    torch.testing.assert_close(rgb_to_grayscale(image)[0], expected, rtol=1e-3, atol=1e-3)
    present = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, present)
    compat._functional_tensor()
    assert sys.modules[name] is present, 'an older torchvision has its own module: leave it'


def test_distutils_of_python_3_12(tmp_path):
    """In a Python of its own, whose distutils is hidden as 3.12 has none."""
    code = (
        'import sys, importlib.util as util\n'
        'for name in [name for name in sys.modules if name.split(".")[0] in ("distutils", "_distutils_hack")]:\n'
        '    del sys.modules[name]\n'
        'find = util.find_spec\n'
        'util.find_spec = lambda name, *rest: None if name == "distutils" else find(name, *rest)\n'
        'from mclir_basicsr import compat\n'
        'compat._distutils()\n'
        'from distutils.version import LooseVersion\n'
        'print(LooseVersion("1.10") > LooseVersion("1.9"), LooseVersion.__module__, compat.active().keys())\n'
    )
    environment = {'PYTHONPATH': str(Path(mclir_basicsr.__file__).parents[1])}
    result = run(sys.executable, '-c', code, cwd=tmp_path, MCLIR_AUTOLOAD='0', **environment)
    assert result.stdout.split()[0] == 'True', result.stderr
    assert "dict_keys(['distutils'])" in result.stdout


@pytest.mark.parametrize('flag', ['--local-rank=3', '--local_rank=3'])
def test_local_rank_in_both_spellings(monkeypatch, flag):
    import basicsr.test
    import basicsr.train

    monkeypatch.setattr(sys, 'argv', ['train.py', flag, '--no-such-flag'])
    for module in (options, basicsr.train, basicsr.test):
        with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
            said = []
            patch.setattr(
                'argparse.ArgumentParser.error', lambda self, message, said=said: said.append(message) or sys.exit(2)
            )
            module.parse_options('.')
        assert said == ['the following arguments are required: -opt']


def test_a_script_of_a_source_tree_resumes_by_our_function(monkeypatch):
    script = types.ModuleType('__main__')
    exec('def train_pipeline(): pass\ndef load_resume_state(opt): 1 / 0', script.__dict__)
    monkeypatch.setitem(sys.modules, '__main__', script)
    monkeypatch.setattr(sys, 'argv', ['train.py'])
    with pytest.raises(SystemExit):
        options.parse_options('.')
    assert script.load_resume_state is resume.load_resume_state


def test_a_function_of_that_name_in_another_program_is_left_alone(monkeypatch):
    program = types.ModuleType('__main__')
    exec('def load_resume_state(opt): return 1', program.__dict__)
    compat._use_our_resume(program)
    assert program.load_resume_state(None) == 1


def resume_options(tmp_path, **path):
    states, models = tmp_path / 'training_states', tmp_path / 'models'
    states.mkdir()
    models.mkdir()
    for iteration in (5, 20, 100):
        torch.save({'epoch': 0, 'iter': iteration}, states / f'{iteration}.state')
        torch.save({'params': {}}, models / f'net_g_{iteration}.pth')
    (states / '200.state.tmp').write_bytes(b'a save that was cut off')
    (states / 'notes.state').write_bytes(b'no iteration')
    return {
        'auto_resume': True,
        'network_g': {},
        'path': {'training_states': str(states), 'models': str(models)} | path,
    }


def test_auto_resume_takes_the_latest_state_of_this_experiment_on_a_cpu(tmp_path):
    opt = resume_options(tmp_path)
    assert resume.load_resume_state(opt)['iter'] == 100
    assert opt['path']['pretrain_network_g'] == str(tmp_path / 'models' / 'net_g_100.pth')


def test_auto_resume_passes_over_what_does_not_serve(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr('mclir_basicsr.run.stop.listen', lambda: None)
    opt = resume_options(tmp_path) | {
        'model_type': 'HistoryModel', 'manual_seed': 0, 'dist': False, 'datasets': {'train': {}},
    }  # fmt: skip
    states, models = tmp_path / 'training_states', tmp_path / 'models'
    (states / '100.state').write_bytes((states / '100.state').read_bytes()[:-200])  # cut off
    (states / '5.state').rename(states / '60.state')  # of another iteration
    (models / 'net_g_20.pth').rename(models / 'net_g_60.pth')
    (states / '50.state').write_bytes(b'foreign')
    torch.save({'epoch': 0, 'iter': 40}, states / '40.state')
    (models / 'net_g_40.pth').write_bytes(b'')
    with pytest.raises(MclirError, match=r'none of the 5 states .*\. The newest: .*100\.state is trun'):
        resume.load_resume_state(opt)
    for reason in (
        '100.state is truncated',
        '60.state is of iteration 5',
        '50.state is truncated',
        'net_g_40.pth is trun',
    ):
        assert reason in caplog.text
    assert 'there is no file' in caplog.text  # net_g_20.pth

    torch.save({'params': {}}, models / 'net_g_20.pth')
    assert resume.load_resume_state(opt)['iter'] == 20


def test_auto_resume_without_a_state_is_a_new_run(tmp_path):
    opt = resume_options(tmp_path)
    for iteration in (5, 20, 100):
        (tmp_path / 'training_states' / f'{iteration}.state').unlink()
    assert resume.load_resume_state(opt) is None
    assert opt['path']['resume_state'] is None


def test_the_networks_of_a_model_of_basicsr_are_not_known(tmp_path):
    opt = resume_options(tmp_path)
    for network in (tmp_path / 'models').iterdir():
        network.unlink()
    assert resume.load_resume_state(opt)['iter'] == 100


def test_resume_state_by_path_and_none(tmp_path):
    opt = resume_options(tmp_path) | {'auto_resume': False}
    assert resume.load_resume_state(opt) is None
    opt['path']['resume_state'] = str(tmp_path / 'training_states' / '5.state')
    assert resume.load_resume_state(opt)['iter'] == 5
    opt['path']['resume_state'] = str(tmp_path / 'gone.state')
    with pytest.raises(MclirError, match=r'path\.resume_state: there is no file'):
        resume.load_resume_state(opt)


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


def test_a_name_in_no_registry_brings_the_near_ones(capsys):
    for registry, name, near in (
        (MODEL_REGISTRY, 'HistroyModel', 'did you mean HistoryModel'),
        (LOSS_REGISTRY, 'SPNLos', 'did you mean SPNLoss'),
        (ARCH_REGISTRY, 'SwinIr', 'did you mean SwinIR'),
        (ARCH_REGISTRY, 'Q', 'it holds BasicVSR, '),
    ):
        with pytest.raises(KeyError) as error:
            registry.get(name)
        assert near in str(error.value)
        assert f"named '{name}'" in str(error.value)
        assert 'The plugin mclir_basicsr is loaded, version' in str(error.value)
    assert capsys.readouterr().out == ''


def test_names_that_are_registered_are_found_as_before():
    assert ARCH_REGISTRY.get('EDSR').__name__ == 'EDSR'
    # BasicSR registers some with the suffix _basicsr, to be found without it
    assert ARCH_REGISTRY.get('SRVGGNetCompact').__name__ == 'SRVGGNetCompact'
    assert compat._loaded().startswith('loaded')
