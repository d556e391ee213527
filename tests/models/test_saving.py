"""Which saves stay, and runs that end on a signal."""

import json
import signal
from typing import ClassVar

import pytest
import torch
from basicsr.models import build_model
from test_history_model import SPN, step
from torch.utils.data import DataLoader, Dataset

from mclir_basicsr.errors import MclirError
from mclir_basicsr.run import stop

VALIDATED = {'datasets': {'train': {'name': 'train'}, 'val_1': {'name': 'a'}, 'val_2': {'name': 'b'}}}


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_saves_are_kept(options, tmp_path):
    model = build_model(options(train=SPN | {'keep': {'last': 2}}))
    for iteration in range(1, 6):
        step(model, iteration)
        model.save(0, iteration)
    model.save(-1, -1)
    assert files(tmp_path / 'training_states') == ['4.state', '5.state']
    assert files(tmp_path / 'models') == ['net_g_4.pth', 'net_g_5.pth', 'net_g_latest.pth']


def test_a_save_that_fails_removes_nothing(options, tmp_path, monkeypatch):
    model = build_model(options(train=SPN | {'keep': {'last': 1}}))
    step(model, 1)
    model.save(0, 1)
    monkeypatch.setattr(
        'mclir_basicsr.files.checkpoint.torch.save', lambda *_: (_ for _ in ()).throw(OSError(28, 'No space'))
    )
    with pytest.raises(MclirError, match='No space'):
        model.save(0, 2)
    assert files(tmp_path / 'training_states') == ['1.state']
    assert files(tmp_path / 'models') == ['net_g_1.pth']


@pytest.mark.parametrize(('kind', 'best'), [('calculate_psnr', 2), ('calculate_niqe', 3)])
def test_the_best_network_is_that_of_the_first_data_set(options, tmp_path, kind, best):
    """Without `better`: smaller values of niqe are known to be better."""
    metric = {'type': kind, 'crop_border': 2}
    val = {'metrics': {'psnr': metric}}
    model = build_model(options(train=SPN | {'keep': {'best': 'psnr'}}, val=val, **VALIDATED))
    networks = []
    for iteration, figures in enumerate(({'psnr': 30.0}, {'psnr': 31.0}, {'psnr': 29.0}), start=1):
        step(model, iteration)
        networks.append({key: value.clone() for key, value in model.net_g_ema.state_dict().items()})
        model._conclude([('x', figures)], 'a', iteration, None)
        model._conclude([('x', {'psnr': 60.0 - figures['psnr']})], 'b', iteration, None)
    saved = torch.load(tmp_path / 'models' / 'net_g_best.pth', weights_only=True)
    assert set(saved) == {'params', 'params_ema'}
    assert all(torch.equal(value, networks[best - 1][key]) for key, value in saved['params_ema'].items())
    record = json.loads((tmp_path / 'models' / 'net_g_best.json').read_text())
    assert record == {
        'value': [30, 31, 29][best - 1], 'iteration': best, 'metric': 'psnr', 'dataset': 'a', 'options': metric
    }  # fmt: skip
    assert model.best_metric_results['a']['psnr']['iter'] == best

    # a resumed run knows it
    resumed = build_model(options(train=SPN | {'keep': {'best': 'psnr'}}, val=val, **VALIDATED))
    resumed._conclude([('x', {'psnr': 30.5})], 'a', 9, None)
    assert json.loads((tmp_path / 'models' / 'net_g_best.json').read_text()) == record


@pytest.mark.parametrize(
    ('options_of_metric', 'message'),
    [
        ({'type': 'sharpness'}, 'whether a higher or a lower sharpness is better is not known'),
        ({'type': 'calculate_niqe', 'better': 'higher'}, 'of calculate_niqe the lower is better'),
    ],
)
def test_a_best_of_unknown_direction_is_asked_for(options, options_of_metric, message):
    opt = options(train=SPN | {'keep': {'best': 'm'}}, val={'metrics': {'m': options_of_metric}}, **VALIDATED)
    with pytest.raises(MclirError, match=rf'train\.keep\.best: .*{message}'):
        build_model(opt)


def test_a_data_set_all_nan_is_never_the_best(options, tmp_path):
    model = build_model(options(train=SPN | {'keep': {'best': 'psnr'}}, **VALIDATED))
    step(model, 1)
    model._conclude([('x', {'psnr': float('nan')})], 'a', 1, None)
    assert files(tmp_path / 'models') == []


def test_a_metric_that_is_not_measured_cannot_be_best(options):
    with pytest.raises(MclirError, match=r'train\.keep\.best: ssim is none of val\.metrics, which are psnr'):
        build_model(options(train=SPN | {'keep': {'best': 'ssim'}}))


class Images(Dataset):
    """Three images, of which the second comes with a signal."""

    opt: ClassVar = {'name': 'a'}

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 1:
            stop._asked = 'SIGTERM'
        return {'lq': torch.rand(3, 12, 12), 'gt': torch.rand(3, 24, 24), 'lq_path': 'x'}


@pytest.mark.parametrize('before', ['step', 'validation'])
def test_a_signal_saves_and_ends_after_the_step(options, tmp_path, monkeypatch, caplog, before):
    model = build_model(options(train=SPN | {'total_iter': 2}))
    for iteration in (1, 2):
        step(model, iteration)
    (tmp_path / 'training_states' / '2.state').touch()  # damaged
    monkeypatch.setattr(stop, '_asked', 'SIGTERM')
    monkeypatch.setattr(stop, 'pass_over', lambda: None)
    with pytest.raises(SystemExit) as end:
        if before == 'step':
            step(model, 3)
        else:
            monkeypatch.setattr(stop, '_asked', None)
            restored = []
            monkeypatch.setattr(model, 'test', lambda: restored.append(1) or type(model).test(model))
            model.validation(DataLoader(Images()), 3, None, False)  # behind the last of 2 iterations
    assert before == 'step' or len(restored) == 1
    assert end.value.code == stop.REQUEUE == 75
    assert 'SIGTERM: iteration 2 is saved' in caplog.text
    assert files(tmp_path / 'training_states') == ['2.state']
    resumed = build_model(options(train=SPN))
    resumed.resume_training(torch.load(tmp_path / 'training_states' / '2.state', weights_only=True))
    assert resumed.history.refreshes == model.history.refreshes


def test_a_stop_waits_for_the_accumulated_step(options, monkeypatch):
    model = build_model(options(train=SPN | {'accumulate': 2}))
    monkeypatch.setattr(stop, '_asked', signal.SIGUSR1.name)
    monkeypatch.setattr(stop, 'pass_over', lambda: None)
    step(model, 1)
    model._heed_signal(1)  # as a validation does
    step(model, 2)
    with pytest.raises(SystemExit):
        step(model, 3)
