"""Networks loaded as BasicSR loads them, and from files that it does not read."""

import numpy as np
import pytest
import torch
from basicsr.models import build_model
from conftest import EDSR

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files import checkpoint


@pytest.fixture
def load(options, tmp_path, caplog):
    """Save content as a file and build a model from it: the model and its log lines on loading."""

    def build(content, model_type='HistoryModel', **path):
        file = tmp_path / 'net.pth'
        if isinstance(content, bytes):
            file.write_bytes(content)
        elif content is not None:
            torch.save(content, file)
        caplog.clear()
        torch.manual_seed(7)
        with caplog.at_level('INFO', 'basicsr'):
            model = build_model(options(model_type, path=options()['path'] | {'pretrain_network_g': str(file)} | path))
        return model, [line for line in caplog.messages if line.startswith(('Loading', 'path.param_key_g'))]

    return build


@pytest.fixture
def states(options):
    """Two states of the network."""
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        made.append(dict(build_model(options('SRModel')).net_g.state_dict()))
    return made


def holds(net, state):
    own = net.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[key], state[key]) for key in state)


@pytest.mark.parametrize('has_ema', [False, True])
@pytest.mark.parametrize('path', [{'param_key_g': 'params'}, {'param_key_g': 'params_ema'}])
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_ordinary_files_load_and_log_as_in_basicsr(load, states, has_ema, path, prefix):
    plain, ema = ({prefix + key: value for key, value in state.items()} for state in states)
    content = {'params': plain} | ({'params_ema': ema} if has_ema else {})
    stock, stock_log = load(content, 'SRModel', **path)
    ours, log = load(content, **path)
    assert log == stock_log
    assert holds(ours.net_g, stock.net_g.state_dict())
    assert holds(ours.net_g_ema, stock.net_g_ema.state_dict())
    assert holds(ours.net_g_ema, states[has_ema])


@pytest.mark.parametrize('has_ema', [False, True])
def test_without_param_key_g_training_starts_from_what_validation_measures(load, states, has_ema):
    content = {'params': states[0]} | ({'params_ema': states[1]} if has_ema else {})
    model, log = load(content)
    assert holds(model.net_g, states[has_ema])
    assert holds(model.net_g_ema, states[has_ema])
    assert any('path.param_key_g is not given: the averaged weights (EMA)' in line for line in log) == has_ema


def test_a_resumed_run_goes_on_with_both_of_its_networks(load, states, tmp_path):
    model, _ = load({'params': states[0], 'params_ema': states[1]}, resume_state=str(tmp_path / '1.state'))
    assert holds(model.net_g, states[0])
    assert holds(model.net_g_ema, states[1])


@pytest.mark.parametrize('path', [{}, {'param_key_g': None}, {'param_key_g': 'model'}, {'param_key_g': 'net'}])
@pytest.mark.parametrize('key', [None, 'model', 'state_dict', 'params_ema'])
def test_files_of_other_forms_start_net_and_ema(load, states, key, path):
    """FFANet's file has model, DehazeFormer's state_dict, IDT's is bare; all prefix their keys."""
    state = states[0]
    prefixed = {f'module.{name}': value for name, value in state.items()}
    model, log = load(prefixed if key is None else {key: prefixed, 'psnrs': [np.float64(30.0)]}, **path)
    assert holds(model.net_g, state)
    assert holds(model.net_g_ema, state)
    asked = path.get('param_key_g', 'params')
    said = f'Loading: {asked or "a bare state dict"} does not exist, use {key or "a bare state dict"}.'
    chosen = not path and key == 'params_ema'
    assert (log[0] == said) == (asked != key and not chosen)
    assert any('param_key_g is not given' in line for line in log) == chosen
    assert all(f'net.pth, with param key: [{key}].' in line for line in log if 'model from' in line)


def test_the_ema_network_starts_as_net_g_does(load, states):
    model, _ = load({'first': states[0], 'second': states[1]}, param_key_g='second')
    assert holds(model.net_g, states[1])
    assert holds(model.net_g_ema, states[1])


def test_a_file_is_read_once_for_each_network(load, states, monkeypatch):
    read = []
    original = torch.load
    monkeypatch.setattr(checkpoint.torch, 'load', lambda *args, **kwargs: read.append(1) or original(*args, **kwargs))
    load({'params': states[0]})
    assert len(read) == 2  # net_g and net_g_ema


@pytest.mark.parametrize('broken', ['missing', 'shape'])
def test_without_strict_the_rest_is_loaded(load, states, broken):
    state = dict(states[0])
    if broken == 'missing':
        del state['conv_last.weight']
    else:
        state['conv_last.weight'] = torch.zeros(1)
    model, _ = load({'params': state}, strict_load_g=False)
    assert torch.equal(model.net_g.conv_first.weight, state['conv_first.weight'])
    assert not torch.equal(model.net_g.conv_last.weight, states[0]['conv_last.weight'])


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, r'path\.pretrain_network_g: there is no file .*net\.pth'),
        (b'PK\x03\x04', 'truncated, damaged'),
        ({'state': 1}, r'path\.pretrain_network_g: .*net\.pth holds no weights'),
        (
            {key: {'w': torch.zeros(1)} for key in ('generator', 'discriminator')},
            r'has no entry params_ema or params or ~, but several sets of weights: generator, discriminator\. Set ',
        ),
        (
            {'model': {'conv_first.weight': torch.zeros(1)}},
            r'path\.pretrain_network_g: .*net\.pth \(entry model\) does not fit network_g: it lacks conv_first\.bias, '
            r'body\.0\.conv1\.weight, body\.0\.conv1\.bias and 8 more; of another shape: conv_first\.weight '
            r'\(\[1\] instead of \[8, 3, 3, 3\]\)\. Correct',
        ),
    ],
)
def test_files_that_do_not_serve_are_named(load, content, message):
    with pytest.raises(ValueError, match=message) as error:
        load(content)
    assert len(str(error.value)) < 600


def test_a_state_of_a_network_of_other_shapes_is_refused(options, tmp_path):
    """Without a history in it, only the optimizer's averages tell: torch compares numbers of parameters."""
    model = build_model(options())
    model.feed_data({'lq': torch.rand(1, 3, 8, 8), 'gt': torch.rand(1, 3, 16, 16)})
    model.optimize_parameters(1)
    model.save(0, 1)
    other = build_model(options(network_g=EDSR | {'num_feat': 4}))
    named = r'does not fit this option file .* optimizers\.0\.state\.0\.exp_avg: it must be a tensor of \[4, 3, 3, 3\]'
    with pytest.raises(MclirError, match=named):
        other.resume_training(torch.load(tmp_path / 'training_states' / '1.state', weights_only=True))


def test_without_strict_a_checkpoint_of_which_no_key_fits_is_refused(load):
    """It would train from scratch without a word."""
    with pytest.raises(MclirError, match=r'net\.pth \(entry params\) does not fit network_g in any key'):
        load({'params': {'other.weight': torch.zeros(2)}}, strict_load_g=False)
