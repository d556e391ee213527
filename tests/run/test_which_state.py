"""Which state a run goes on from."""

import pytest
import torch

from mclir_basicsr.errors import MclirError
from mclir_basicsr.run import resume

STATE = {'epoch': 0, 'optimizers': [], 'schedulers': []}


def resume_options(tmp_path, **path):
    states, models = tmp_path / 'training_states', tmp_path / 'models'
    states.mkdir()
    models.mkdir()
    for iteration in (5, 20, 100):
        torch.save(STATE | {'iter': iteration}, states / f'{iteration}.state')
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
    torch.save(STATE | {'iter': 40}, states / '40.state')
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


def test_the_discriminator_must_be_there_too(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr('mclir_basicsr.run.stop.listen', lambda: None)
    monkeypatch.setattr('mclir_basicsr.models.history_model.HistoryModel.check_state', lambda *_: None)
    opt = resume_options(tmp_path) | {
        'model_type': 'HistoryModel', 'base_model': 'ESRGANModel', 'manual_seed': 0, 'dist': False,
        'datasets': {'train': {}}, 'network_g': {}, 'network_d': {},
    }  # fmt: skip
    models = tmp_path / 'models'
    for name in ('net_g_100', 'net_g_20', 'net_d_20'):
        torch.save({'params': {}}, models / f'{name}.pth')
    assert resume.load_resume_state(opt)['iter'] == 20
    assert opt['path']['pretrain_network_d'] == str(models / 'net_d_20.pth')
    assert 'net_d_100.pth' in caplog.text
