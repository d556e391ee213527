"""HistoryModel on BasicSR's other model classes."""

import copy

import pytest
import torch
from base_cases import CASES, GAN, RRDB, SPN, UNET
from basicsr.models import build_model
from basicsr.models.esrgan_model import ESRGANModel
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY
from recipe import example_input
from spandrel import ModelLoader
from test_history_model import equal
from torch import nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.models import bases
from mclir_basicsr.run.random_streams import begin_step

GANS = [name for name in CASES if 'GAN' in name]


@pytest.fixture
def build(options):
    """Build a HistoryModel on a base, or the base itself (own=False), always from the same random numbers."""

    def make(base, train=None, own=True, **blocks):
        _, of_base, of_train = copy.deepcopy(CASES[base])
        model_type = 'HistoryModel' if own else base
        opt = options(model_type, scale=4, train=of_train | (train or {}), **of_base | blocks)
        opt |= {'base_model': base} if own else {}
        begin_step(7, 0, 0)
        with bases.staying_on(torch.device('cpu')):  # BasicSR's RealESRNetModel asks for a GPU
            return build_model(opt)

    return make


def steps(model, base, first, last):
    """Iterations as BasicSR's loop makes them; returns their logs."""
    logs = []
    for t in range(first, last + 1):
        model.update_learning_rate(t)
        begin_step(0, 0, t)  # HistoryModel has done so; for its base, which draws from what was drawn before
        with bases.staying_on(torch.device('cpu')):
            model.feed_data(CASES[base][0](t))
        model.optimize_parameters(t)
        logs.append(dict(model.get_current_log()))
    return logs


def nets_of(model):
    return {name: net for name, net in vars(model).items() if name.startswith('net_') and isinstance(net, nn.Module)}


def parts(model):
    """Everything that training moves."""
    nets = {name: dict(net.state_dict()) for name, net in nets_of(model).items()}
    nets |= {'optimizers': [optimizer.state_dict() for optimizer in model.optimizers]}
    return copy.deepcopy(nets | {'history': model.history.state_dict()} if getattr(model, 'history', None) else nets)


@pytest.mark.parametrize('base', CASES)
def test_without_spn_it_trains_as_its_base_bit_for_bit(build, base):
    trained = []
    for own in (False, True):
        model = build(base, own=own)
        trained.append((steps(model, base, 1, 3), parts(model)))
    assert equal(*trained)


@pytest.mark.parametrize('base', ['RealESRNetModel', 'RealESRGANModel'])
def test_without_spn_a_queue_gives_the_batches_that_it_gives_its_base(build, base):
    plain, model = (build(base, own=own, queue_size=2) for own in (False, True))
    assert equal(steps(plain, base, 1, 3), steps(model, base, 1, 3))
    assert equal(parts(plain), parts(model))
    assert model.queue_ptr == model.queue_size == 2, 'it is full from the second batch on'
    assert torch.equal(model.lq, plain.lq)


@pytest.mark.parametrize('base', CASES)
def test_a_resumed_run_with_spn_goes_on_bit_for_bit(build, base, tmp_path):
    whole = build(base, SPN)
    logs = steps(whole, base, 1, 5)
    broken = build(base, SPN)
    steps(broken, base, 1, 3)
    broken.save(0, 3)
    state = torch.load(tmp_path / 'training_states' / '3.state', weights_only=True)
    letters = ('g', 'd') if base in GANS else ('g',)
    files = {f'pretrain_network_{n}': str(tmp_path / 'models' / f'net_{n}_3.pth') for n in letters}
    folders = {name: str(tmp_path / name) for name in ('models', 'training_states')}
    resumed = build(base, SPN, path=folders | files | {'resume_state': '3.state'})
    resumed.check_state(resumed.opt | build(base, SPN).opt, state)
    resumed.resume_training(state)
    assert steps(resumed, base, 4, 5) == logs[3:]
    assert equal(parts(resumed), parts(whole))
    assert whole.history.refreshes == [2, 1]
    assert all(torch.isfinite(torch.tensor(log['spn_ratio'])) for log in logs if 'spn_ratio' in log)


@pytest.mark.parametrize('base', GANS)
def test_the_term_pushes_net_g_alone(build, base):
    """The first steps of both networks are made of what net_g made at the start, with the term and without."""
    without, model = build(base), build(base, SPN)
    last = model.opt['train'].get('net_d_iters', 1)  # the first iteration that trains net_g
    plain, log = steps(without, base, 1, last)[-1], steps(model, base, 1, last)[-1]
    with_term, without_term = parts(model), parts(without)
    assert equal(with_term['net_d'], without_term['net_d'])
    assert equal(with_term['optimizers'][1], without_term['optimizers'][1]), 'its gradient, in the moments of Adam'
    assert not equal(with_term['net_g'], without_term['net_g'])
    assert {name: log[name] for name in plain} == plain
    assert log['l_spn'] == pytest.approx(-0.1 * log['spn_dist'])


def test_the_ratio_is_that_to_all_other_terms_of_net_g(build):
    model = build('SRGANModel', SPN | {'net_d_iters': 1})
    model.feed_data(CASES['SRGANModel'][0](1))
    output = model.net_g(model.lq).detach().requires_grad_()
    spn = model.cri_spn(output, model.history(model.lq))
    others = model.cri_pix(output, model.gt) + model.cri_gan(model.net_d(output), True, is_disc=False)
    by_spn, by_others = (torch.autograd.grad(term, output)[0].norm().item() for term in (spn, others))
    (log,) = steps(model, 'SRGANModel', 1, 1)
    # the discriminator's spectral norm goes on with every pass
    assert log['spn_ratio'] == pytest.approx(by_spn / by_others, rel=1e-2)


def test_a_balance_reaches_its_ratio_in_the_step_that_measures(build):
    spn = {'spn_opt': {'weights': 'random', 'layer_weights': {'relu1_1': 1.0}, 'balance': 0.3}}
    model = build('ESRGANModel', SPN | spn)
    (first,) = steps(model, 'ESRGANModel', 1, 1)
    assert first['spn_ratio'] == pytest.approx(0.3, rel=1e-3)
    assert first['spn_weight'] == pytest.approx(model.cri_spn.loss_weight)
    twin = build('ESRGANModel', SPN | {'spn_opt': SPN['spn_opt'] | {'loss_weight': first['spn_weight']}})
    steps(twin, 'ESRGANModel', 1, 1)
    for mine, theirs in zip(model.net_g.parameters(), twin.net_g.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_every_counts_the_steps_of_net_g(build):
    spn = {'spn_opt': SPN['spn_opt'] | {'every': 2}}
    model = build('SRGANModel', SPN | spn | {'net_d_iters': 2}, logger={'print_freq': 5, 'save_checkpoint_freq': 100})
    calls = []
    model.cri_spn.register_forward_hook(lambda *_: calls.append(model._iteration))
    logs = steps(model, 'SRGANModel', 1, 8)
    assert calls == [4, 8]
    assert 'spn_ratio' in logs[4]  # measured at 4 for the log of 5


@pytest.mark.parametrize('base', ['ESRGANModel', 'VideoRecurrentModel'])
def test_a_step_that_is_not_finite_is_left_out(build, base):
    model = build(base, SPN)
    steps(model, base, 1, 1)
    before = parts(model)
    model.update_learning_rate(2)
    batch = CASES[base][0](2)
    model.feed_data(batch | {'lq': batch['lq'] * float('nan')})
    model.optimize_parameters(2)
    after = parts(model)
    assert all(equal(before[name], after[name]) for name in before if name in ('net_g', 'optimizers'))
    assert model.get_current_log()['bad_steps'] == (2 if hasattr(model, 'net_d') else 1)
    if hasattr(model, 'net_d'):
        weights = [name for name, _ in model.net_d.named_parameters()]
        assert all(torch.equal(before['net_d'][name], after['net_d'][name]) for name in weights)
    assert all(map(torch.isfinite, map(torch.tensor, steps(model, base, 3, 3)[0].values())))


@pytest.mark.parametrize('base', ['ESRGANModel', 'VideoRecurrentGANModel', 'VideoRecurrentModel'])
def test_terms_of_train_losses_push_net_g_too(build, base):
    losses = [{'type': 'MSELoss', 'loss_weight': 2.0}]
    model, without = build(base, {'losses': losses}), build(base)
    (log,), (plain,) = steps(model, base, 1, 1), steps(without, base, 1, 1)
    (name,) = {key for key in log if key.startswith('l_')} - plain.keys()
    images = CASES[base][0](1)
    with torch.no_grad():
        error = 2 * (build(base).net_g(images['lq']) - images['gt']).square().mean()
    assert log[name] == pytest.approx(error.item(), rel=1e-5)
    assert {key: log[key] for key in plain} == plain
    assert not equal(parts(model)['net_g'], parts(without)['net_g'])


def test_gradients_are_clipped_and_the_adaptive_policy_refreshes_in_a_step_of_the_base(build):
    history = {'policy': 'adaptive', 'negatives': 2, 'threshold': 1e-6}
    model = build('ESRGANModel', SPN | {'history': history, 'grad_clip_norm': 1e-4})
    logs = steps(model, 'ESRGANModel', 1, 3)
    assert model.history.refreshes == [2, 1]
    assert all(log['grad_norm'] > 1e-4 for log in logs)


def test_what_a_base_cannot_have_is_refused_by_name(build):
    with pytest.raises(MclirError, match=r'train\.amp, train\.accumulate: ESRGANModel has a training step of its own'):
        build('ESRGANModel', {'amp': 'bf16', 'accumulate': 2})
    val = {'val_freq': 1, 'save_img': False, 'tile': {'size': 8, 'overlap': 0}}
    with pytest.raises(MclirError, match=r'val\.tile: EDVRModel restores sequences'):
        build('EDVRModel', val=val)


@pytest.mark.parametrize(
    ('name', 'said'),
    [
        ('StyleGAN2Model', 'StyleGAN2Model is not derived from SRModel'),
        ('HistoryModel', 'HistoryModel is a HistoryModel itself'),
        ('EDVRModl', 'did you mean EDVRModel'),
    ],
)
def test_a_base_that_cannot_be_one_is_refused(options, name, said):
    with pytest.raises((MclirError, KeyError), match=said):
        build_model(options(base_model=name))


def test_the_queue_of_realesrnet_is_said_not_to_be_saved(build, caplog):
    build('RealESRNetModel')
    assert 'the queue of pairs of RealESRNetModel (queue_size) is not saved' in caplog.text


def test_a_retrained_gan_loads_in_plain_basicsr_and_in_spandrel(build, options, tmp_path):
    network = RRDB | {'num_grow_ch': 32}  # spandrel takes no other
    model = build('ESRGANModel', SPN, network_g=network)
    steps(model, 'ESRGANModel', 1, 2)
    model.save(0, 2)
    path = {f'pretrain_network_{n}': str(tmp_path / 'models' / f'net_{n}_2.pth') for n in ('g', 'd')}
    plain = build_model(
        options('ESRGANModel', scale=4, network_g=dict(network), network_d=dict(UNET), path=path, train=dict(GAN))
    )
    assert isinstance(plain, ESRGANModel)
    assert equal(dict(plain.net_g.state_dict()), dict(model.net_g.state_dict()))
    assert equal(dict(plain.net_d.state_dict()), dict(model.net_d.state_dict()))
    found = ModelLoader().load_from_file(path['pretrain_network_g'])
    image = example_input([1, 3, 8, 8], 1)
    with torch.no_grad():
        torch.testing.assert_close(found.model(image), model.net_g_ema(image), rtol=1e-5, atol=1e-6)


@pytest.fixture
def registered():
    """Register a model class as a user does, for one test."""
    names = []

    def register(kind):
        MODEL_REGISTRY.register(kind)
        names.append(kind.__name__)
        return kind

    yield register
    for name in names:
        MODEL_REGISTRY._obj_map.pop(name)


def test_a_class_of_the_users_keeps_what_is_its_own(options, registered):
    @registered
    class Darker(SRModel):
        def feed_data(self, data):
            super().feed_data({key: value * self.opt['factor'] for key, value in data.items()})

        def test(self):
            self.output = self.net_g(self.lq).detach() * 0

    model = build_model(options(base_model='Darker', scale=4, network_g=dict(RRDB), factor=0.5, train=SPN))
    images = CASES['SRModel'][0](1)
    model.feed_data(images)
    assert torch.equal(model.lq, images['lq'] / 2)
    model.optimize_parameters(1)
    assert model.get_current_log()['spn_ratio'] > 0
    model.test()
    assert not model.output.any()
    with pytest.raises(MclirError, match=r'val\.self_ensemble: Darker has a test\(\) of its own'):
        build_model(options(base_model='Darker', val={'self_ensemble': True}, factor=0.5))


def test_a_validation_of_the_base_is_not_used(options, registered, monkeypatch):
    """As HiFaceGANModel has one, which would measure without metrics.jsonl."""

    @registered
    class Measuring(SRModel):
        def validation(self, dataloader, current_iter, tb_logger, save_img=False):
            raise AssertionError

    model, calls = build_model(options(base_model='Measuring', scale=4, network_g=dict(RRDB))), []
    monkeypatch.setattr(type(model), 'nondist_validation', lambda self, *given: calls.append(given))
    model.validation('loader', 3, None, save_img=True)
    assert calls == [('loader', 3, None, True)]


def test_a_step_that_never_shows_the_output_to_the_pixel_loss_is_refused(options, registered):
    @registered
    class Elsewhere(SRModel):
        def optimize_parameters(self, current_iter):
            self.optimizer_g.zero_grad()
            self.output = self.net_g(self.lq)
            self.cri_pix(self.output * 1, self.gt).backward()
            self.optimizer_g.step()

    model = build_model(options(base_model='Elsewhere', scale=4, network_g=dict(RRDB), train=SPN))
    model.feed_data(CASES['SRModel'][0](1))
    with pytest.raises(MclirError, match=r'Elsewhere trains net_g without cri_pix\(self\.output'):
        model.optimize_parameters(1)


def test_a_missing_key_is_named(build):
    model = build('RealESRNetModel')
    with pytest.raises(MclirError, match='RealESRNetModel reads kernel1, but neither the option file has it'):
        model.feed_data({'gt': torch.rand(1, 3, 64, 64)})
