"""HistoryModel against SRModel, the reference implementation's training run, and itself resumed."""

import copy
import math
from unittest import mock

import numpy as np
import pytest
import torch
from basicsr.data import build_dataset
from basicsr.models import build_model
from conftest import golden
from recipe import example_input, fill_

from mclir_basicsr.models import spn_term

SPN = {
    'spn_opt': {'weights': 'random', 'layer_weights': {'relu1_1': 1.0}, 'loss_weight': 0.1},
    'history': {'interval': [2, 3]},
}


def step(model, iteration, lq=None, gt=None):
    """One iteration as BasicSR's train_pipeline makes it, on images made from the iteration's number."""
    model.update_learning_rate(iteration, warmup_iter=model.opt['train'].get('warmup_iter', -1))
    lq = example_input([2, 3, 12, 12], 100 + iteration) if lq is None else lq
    gt = example_input([2, 3, 24, 24], 200 + iteration) if gt is None else gt
    model.feed_data({'lq': lq, 'gt': gt})
    model.optimize_parameters(iteration)
    return model.get_current_log()


def equal(a, b):
    """Whether two nested structures of tensors and plain values are the same, bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.mark.parametrize('same_layout', [True, False])
def test_training_matches_the_reference(options, vgg_file, monkeypatch, same_layout):
    """In the reference's memory layout, and in ours.

    Twelve steps of Adam amplify rounding, which is that of a processor's kernels: within 2e-7 on one, 7e-5 on another.
    """
    if same_layout:
        monkeypatch.setattr(spn_term, '_channels_last', lambda tensor: tensor)
    arrays, meta = golden('spn_training_edsr_x2')
    opt = options(
        network_g=meta['network_g'],
        train={
            'ema_decay': meta['ema_decay'],
            'optim_g': copy.deepcopy(meta['optim_g']),
            'scheduler': {'type': 'MultiStepLR', 'milestones': [6], 'gamma': 0.5},
            'spn_opt': {
                'loss_weight': meta['loss_weight'],
                'layer_weights': meta['layer_weights'],
                'vgg_type': meta['vgg_type'],
                'criterion': meta['criterion'],
                'weights': vgg_file(meta['vgg_type']),
            },
            'history': {'interval': meta['interval'], 'decay': meta['decay'], 'start': 0.0},
        },
    )
    model = build_model(opt)
    fill_(model.net_g, meta['net_salt'])
    model.model_ema(0)
    with torch.no_grad():
        for k, negative in enumerate(model.history.negatives):
            fill_(negative, f'negative_{k}')
            for mine, theirs in zip(negative.parameters(), model.net_g.parameters(), strict=True):
                mine.mul_(0.3).add_(theirs, alpha=0.7)

    shape, scale = meta['lq_shape'], meta['scale']
    for t, (expected, refreshed) in enumerate(zip(meta['log'], meta['refreshed'], strict=True), start=1):
        before = list(model.history.refreshes)
        lq = example_input(shape, 3000 + t)
        gt = example_input([*shape[:2], shape[2] * scale, shape[3] * scale], 4000 + t)
        log = step(model, t, lq, gt)
        assert log['l_pix'] == pytest.approx(expected['l_pix'], rel=1e-4)
        assert -log['l_spn'] == pytest.approx(expected['spn_weighted_distance'], rel=1e-4)
        assert log['spn_dist'] == pytest.approx(expected['spn_weighted_distance'] / meta['loss_weight'], rel=1e-4)
        assert [now > then for now, then in zip(model.history.refreshes, before, strict=True)] == refreshed

    lq = example_input(shape, meta['test_seed'])
    with torch.no_grad():
        found = {'out': model.net_g(lq), 'out_ema': model.net_g_ema(lq), 'out_negatives': model.history(lq)}
    for name, value in found.items():
        want = arrays[name]
        assert np.linalg.norm(value.numpy() - want) < 1e-4 * np.linalg.norm(want), name


def test_without_spn_it_is_srmodel_bit_for_bit(options, write_pairs):
    gt, lq = write_pairs(2, side=24)
    dataset = build_dataset(
        {'name': 'two', 'type': 'PairedImageDataset', 'phase': 'val', 'scale': 2, 'io_backend': {'type': 'disk'},
         'dataroot_gt': str(gt), 'dataroot_lq': str(lq)}
    )  # fmt: skip
    models = []
    for model_type in ('SRModel', 'HistoryModel'):
        torch.manual_seed(0)
        model = build_model(options(model_type))
        logs = [dict(step(model, t)) for t in range(1, 9)]
        model.validation(torch.utils.data.DataLoader(dataset), 8, None)
        states = [net.state_dict() for net in (model.net_g, model.net_g_ema)] + [model.optimizer_g.state_dict()]
        models.append((logs, states, model.metric_results, model.get_current_learning_rate()))
    assert equal(*models)
    assert math.isfinite(models[0][2]['psnr'])


def test_log_names_and_their_relations(options):
    model = build_model(options(train=SPN, logger={'print_freq': 2, 'save_checkpoint_freq': 9}))
    first, second = (dict(step(model, t)) for t in (1, 2))
    assert list(first) == ['l_pix', 'l_spn', 'spn_dist', 'neg_refresh']
    assert list(second) == ['l_pix', 'l_spn', 'spn_dist', 'spn_ratio', 'neg_refresh']
    assert first['l_spn'] == pytest.approx(-0.1 * first['spn_dist'])
    assert first['l_spn'] < 0 < second['spn_ratio']
    assert (first['neg_refresh'], second['neg_refresh']) == (0, 1)


def test_spn_ratio_is_measured_at_the_output(options, monkeypatch):
    model = build_model(options(train=SPN))
    model.feed_data({'lq': example_input([2, 3, 12, 12], 1), 'gt': example_input([2, 3, 24, 24], 2)})
    output = model.net_g(model.lq).detach().requires_grad_()
    by_spn = torch.autograd.grad(model.cri_spn(output, model.history(model.lq)), output)[0].norm()
    by_pix = torch.autograd.grad(model.cri_pix(output, model.gt), output)[0].norm()
    model.optimize_parameters(1)
    assert model.get_current_log()['spn_ratio'] == pytest.approx((by_spn / by_pix).item(), rel=1e-5)


def test_start_iter_holds_the_term_back(options):
    history = {'interval': [1], 'start_iter': 3}
    model = build_model(options(train=SPN | {'history': history}))
    assert ['l_spn' in step(model, t) for t in range(1, 5)] == [False, False, True, True]
    assert model.history.refreshes == [4]


def test_adaptive_policy_and_one_negative_per_step(options):
    history = {'policy': 'adaptive', 'negatives': 3, 'threshold': 1e-6, 'per_step': 1}
    model = build_model(options(train=SPN | {'history': history}))
    for t in range(1, 5):
        step(model, t)
    assert model.history.refreshes == [2, 1, 1]
    assert set(model.history.decay) == {0.001}


def test_adaptive_refresh_uses_the_network_before_the_step(options):
    history = {'policy': 'adaptive', 'negatives': 1, 'threshold': 1e-6, 'decay': 0.0}
    model = build_model(options(train=SPN | {'history': history}))
    before = copy.deepcopy(model.net_g.state_dict())
    step(model, 1)
    assert equal(dict(model.history.negatives[0].state_dict()), dict(before))
    assert not equal(dict(model.net_g.state_dict()), dict(before))


def test_perceptual_terms_stay_beside_the_spn_term(options, monkeypatch):
    class Perceptual(torch.nn.Module):
        def forward(self, output, gt):
            return (output - gt).square().mean(), None

    model = build_model(options(train=SPN))
    model.cri_perceptual = Perceptual()
    log = step(model, 1)
    assert list(log)[:3] == ['l_pix', 'l_percep', 'l_spn']


def test_grad_clip_norm_is_applied_and_logged(options):
    opt = options(train=SPN | {'grad_clip_norm': 1e-3, 'optim_g': {'type': 'SGD', 'lr': 1.0}})
    model = build_model(opt)
    before = [p.detach().clone() for p in model.net_g.parameters()]
    log = step(model, 1)
    moved = torch.stack([(p - b).norm() for p, b in zip(model.net_g.parameters(), before, strict=True)]).norm().item()
    assert log['grad_norm'] > 1e-3
    assert moved == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize('amp', ['bf16', 'fp16'])
def test_mixed_precision_stays_near_fp32(options, amp):
    logs = []
    for extra in ({}, {'amp': amp}):
        torch.manual_seed(0)
        model = build_model(options(train=copy.deepcopy(SPN) | extra))
        logs.append([step(model, t) for t in range(1, 4)])
        assert model.net_g.conv_first.weight.dtype == torch.float32
    for exact, low in zip(*logs, strict=True):
        assert low['l_pix'] == pytest.approx(exact['l_pix'], rel=0.02)
        assert low['l_pix'] != exact['l_pix']
        # signs of differences near zero are decided by rounding, so this one moves most (l1 criterion)
        assert 0.5 < low['spn_ratio'] / exact['spn_ratio'] < 2


def test_resumed_run_equals_an_uninterrupted_one(options, tmp_path):
    train = SPN | {'history': {'interval': [2, 5], 'per_step': 1}, 'amp': 'fp16'}

    def state_of(model):
        nets = {'net_g': model.net_g, 'net_g_ema': model.net_g_ema, 'history': model.history}
        return {name: dict(net.state_dict()) for name, net in nets.items()} | {
            'optimizer': model.optimizer_g.state_dict(),
            'scheduler': model.schedulers[0].state_dict(),
            'scaler': model.scaler.state_dict(),
        }

    torch.manual_seed(1)
    straight = build_model(options(train=train))
    for t in range(1, 7):
        step(straight, t)
    straight.save(0, 6)
    logs = [dict(step(straight, t)) for t in range(7, 13)]

    torch.manual_seed(2)
    state = tmp_path / 'training_states' / '6.state'
    path = {'pretrain_network_g': str(tmp_path / 'models' / 'net_g_6.pth'), 'resume_state': str(state)}
    resumed = build_model(options(train=train, path=options()['path'] | path))
    resumed.resume_training(torch.load(state, weights_only=True))
    assert [dict(step(resumed, t)) for t in range(7, 13)] == logs
    assert equal(state_of(resumed), state_of(straight))
    assert straight.history.refreshes == [6, 2]


def test_a_plain_state_starts_a_fresh_history_and_says_so(options, tmp_path, caplog):
    plain = build_model(options('SRModel'))
    step(plain, 1)
    plain.save(0, 1)
    path = options()['path'] | {'pretrain_network_g': str(tmp_path / 'models' / 'net_g_1.pth')}
    model = build_model(options(train=SPN, path=path))
    with caplog.at_level('WARNING', 'basicsr'):
        model.resume_training(torch.load(tmp_path / 'training_states' / '1.state', weights_only=True))
    assert 'iteration 1 holds no history: a fresh one starts' in caplog.text
    assert model.history.refreshes == [0, 0]
    assert step(model, 2)['l_spn'] < 0


def test_checkpoints_are_ordinary_ones(options, tmp_path):
    """SRModel loads what HistoryModel saved, weights only, the same output."""
    model = build_model(options(train=SPN))
    step(model, 1)
    model.save(0, 1)
    model.save(-1, -1)
    files = sorted(file.name for file in tmp_path.rglob('*.*') if file.is_file())
    assert files == ['1.state', 'net_g_1.pth', 'net_g_latest.pth']
    content = torch.load(tmp_path / 'models' / 'net_g_1.pth', weights_only=True)
    assert list(content) == ['params', 'params_ema']
    path = options()['path'] | {
        'pretrain_network_g': str(tmp_path / 'models' / 'net_g_1.pth'),
        'param_key_g': 'params_ema',
    }
    plain = build_model(options('SRModel', path=path, is_train=False))
    for one in (model, plain):
        one.feed_data({'lq': example_input([1, 3, 9, 7], 5)})
        one.test()
    assert torch.equal(model.output, plain.output)


def test_a_failed_save_leaves_the_earlier_file(options, tmp_path, monkeypatch):
    model = build_model(options(train=SPN))
    model.save(0, 1)
    before = {file: file.read_bytes() for file in tmp_path.rglob('*.*') if file.is_file()}

    def full(content, file):
        file.write(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('mclir_basicsr.files.checkpoint.torch.save', full)
    step(model, 1)
    with pytest.raises(
        ValueError, match=r'Cannot write .*net_g_1\.pth: .*No space left.*Earlier checkpoints are intact'
    ):
        model.save(0, 1)
    assert {file: file.read_bytes() for file in tmp_path.rglob('*.*') if file.is_file()} == before


SWINIR = {
    'type': 'SwinIR', 'upscale': 2, 'in_chans': 3, 'img_size': 16, 'window_size': 8, 'img_range': 1.0, 'depths': [2],
    'embed_dim': 8, 'num_heads': [2], 'mlp_ratio': 2, 'upsampler': 'pixelshuffledirect', 'resi_connection': '1conv',
}  # fmt: skip


@pytest.mark.parametrize('ema', [0, 0.9])
def test_windows_are_padded_as_swinirmodel_does(options, ema):
    outputs = []
    for model_type in ('SwinIRModel', 'HistoryModel'):
        torch.manual_seed(0)
        model = build_model(options(model_type, network_g=SWINIR, train={'ema_decay': ema}))
        model.feed_data({'lq': example_input([1, 3, 13, 21], 5)})
        model.test()
        assert model.net_g.training
        outputs.append(model.output)
    assert outputs[0].shape == (1, 3, 26, 42)
    assert torch.equal(*outputs)


def test_validation_in_tiles_and_with_self_ensemble(options):
    outputs = []
    for val in ({}, {'tile': {'size': 32, 'overlap': 24}}, {'self_ensemble': True}):
        torch.manual_seed(0)
        model = build_model(options(val=val))
        model.feed_data({'lq': example_input([1, 3, 40, 30], 5)})
        model.test()
        outputs.append(model.output)
    plain, tiled, ensemble = outputs
    torch.testing.assert_close(tiled, plain, rtol=0, atol=1e-5)
    assert 0 < (ensemble - plain).abs().max() < 0.5


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_gpus_that_are_not_there(options):
    with pytest.raises(ValueError, match='num_gpu is 2, but torch sees no GPU: set num_gpu to auto or 0'):
        build_model(options(num_gpu=2))


def test_a_batch_on_a_gpu_outlives_the_prefetchers_refill(options, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda: 'mine')
    model, lq, gt = build_model(options()), mock.Mock(torch.Tensor), mock.Mock(torch.Tensor)
    model.feed_data({'lq': lq, 'gt': gt})
    for batch in (lq, gt):
        batch.to().record_stream.assert_called_once_with('mine')


def test_weights_of_any_number_of_dimensions(options):
    """FFTformer has some of five."""
    network = {'type': 'FFTformer', 'dim': 16, 'num_blocks': [1, 1, 1]}
    model = build_model(options(train=SPN, network_g=network, scale=1))
    assert any(p.dim() == 5 for p in model.net_g.parameters())
    images = [example_input([1, 3, 32, 32], seed) for seed in (1, 2)]
    assert step(model, 1, *images)['l_spn'] < 0


def test_unknown_keys_stop_before_anything_is_built(options, monkeypatch):
    monkeypatch.setattr('basicsr.models.sr_model.build_network', lambda _: pytest.fail('a network was built'))
    with pytest.raises(ValueError, match=r'train\.spn_opt\.loss_wieght: unknown key; did you mean loss_weight\?'):
        build_model(options(train={'spn_opt': {'loss_wieght': 1}, 'history': {}}))


@pytest.mark.parametrize(
    'other',
    [{'history': {'interval': [2]}}, {'optim_g': {'type': 'Adam', 'lr': 1e-3}, 'network_g': {'num_feat': 4}}],
)
def test_a_state_of_other_settings_is_refused(options, tmp_path, other):
    model = build_model(options(train=SPN))
    step(model, 1)
    model.save(0, 1)
    opt = options(train=SPN | {k: v for k, v in other.items() if k != 'network_g'})
    opt['network_g'] |= other.get('network_g', {})
    model = build_model(opt)
    with pytest.raises(ValueError, match='does not fit this option file'):
        model.resume_training(torch.load(tmp_path / 'training_states' / '1.state', weights_only=True))
