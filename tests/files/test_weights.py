"""Weights out of files as BasicSR, other authors and safetensors write them."""

import argparse
import os
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn, serialization

from mclir_basicsr.archs.ffanet_arch import FFANet
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.weights import check_fit, misfit, read_weights

STATE = {'conv.weight': torch.arange(6.0).view(2, 3), 'conv.bias': torch.ones(2), 'steps': torch.tensor(4)}
PREFIXED = {f'module.{key}': value for key, value in STATE.items()}
ADAM = {'state': {0: {'exp_avg': torch.zeros(2)}}, 'param_groups': [{'lr': 1e-4}]}


def same(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize('state', [STATE, PREFIXED])
@pytest.mark.parametrize('entry', ['params', 'params_ema', 'state_dict', 'model', 'net', 'generator', None])
def test_every_form_of_file_is_read(tmp_path, entry, state):
    content = state if entry is None else {entry: state, 'epoch': 7, 'optimizer': ADAM, 'names': ['a'], 'empty': {}}
    torch.save(content, tmp_path / 'net.pth')
    found = read_weights(tmp_path / 'net.pth', 'it')
    assert found.entry == entry
    assert same(found.state_dict, STATE)


def test_safetensors(tmp_path):
    state = {key: value.bfloat16() for key, value in STATE.items()}
    for name in ('net.safetensors', 'NET.SAFETENSORS'):
        save_file(state, tmp_path / name)
        found = read_weights(tmp_path / name, 'it')
        assert found.entry is None
        assert same(found.state_dict, state)
    (tmp_path / 'net.safetensors').write_bytes(b'no such thing')
    with pytest.raises(MclirError, match=r'it: .*net\.safetensors is truncated, damaged'):
        read_weights(tmp_path / 'net.safetensors', 'it')


KEYS = st.sampled_from(['params', 'params_ema', 'model', 'generator'])


@given(st.sets(KEYS, min_size=1), st.lists(KEYS, min_size=1))
def test_the_first_preferred_entry_counts_else_the_only_one(tmp_path_factory, held, prefer):
    file = tmp_path_factory.getbasetemp() / 'entries.pth'
    torch.save({key: {key: torch.zeros(1)} for key in held}, file)
    wanted = [key for key in prefer if key in held]
    if wanted or len(held) == 1:
        found = read_weights(file, 'it', prefer)
        assert found.entry == [*wanted, *held][0]
        assert list(found.state_dict) == [found.entry]
    else:
        with pytest.raises(MclirError, match=f'has no entry {prefer[0]}.*, but several sets of weights: '):
            read_weights(file, 'it', prefer)


def test_a_bare_state_dict_that_is_preferred_is_not_taken_from_several(tmp_path):
    torch.save({'g': STATE, 'd': STATE}, tmp_path / 'gan.pth')
    with pytest.raises(MclirError, match=r'no entry ~, but several sets of weights: g, d\. Set path\.param_key_g'):
        read_weights(tmp_path / 'gan.pth', 'it', (None,))


@pytest.mark.parametrize(
    'content',
    [{}, [STATE['steps']], {'params': {}}, {'epoch': 3}, {'model': {'w': [1.0]}}, {3: STATE['steps']}, 'text'],
)
def test_files_without_weights_are_refused(tmp_path, content):
    torch.save(content, tmp_path / 'net.pth')
    with pytest.raises(MclirError, match=r'it: .*net\.pth holds no weights'):
        read_weights(tmp_path / 'net.pth', 'it')


@pytest.mark.parametrize('form', ['zip', 'old', 'old, NumPy 1'])
def test_ffanets_published_form_with_numpy_scalars_loads(tmp_path, form):
    """The published files (2019) are of torch's old format and of NumPy 1."""
    net = nn.DataParallel(FFANet(blocks=1))
    content = {
        'step': 500000, 'max_psnr': np.float64(36.4), 'max_ssim': np.float32(0.98), 'losses': [0.1, 0.2],
        'ssims': [np.float64(0.9), np.float64(0.98)], 'psnrs': [np.float64(30.0)], 'array': np.arange(3),
        'model': net.state_dict(),
    }  # fmt: skip
    file = tmp_path / 'its_train_ffa_3_19.pk'
    torch.save(content, file, _use_new_zipfile_serialization=form == 'zip')
    if form == 'old, NumPy 1':
        file.write_bytes(file.read_bytes().replace(b'numpy._core.multiarray', b'numpy.core.multiarray'))
    found = read_weights(file, 'it')
    assert found.entry == 'model'
    assert same(found.state_dict, net.module.state_dict())


def test_what_the_program_allows_stays_as_it_is(tmp_path):
    """The stand-ins for NumPy are gone after reading: elsewhere torch.load gives NumPy values."""
    serialization.add_safe_globals([argparse.Namespace])
    before = set(serialization.get_safe_globals())
    torch.save({'params': STATE, 'arguments': argparse.Namespace(lr=1)}, tmp_path / 'net.pth')
    try:
        for file in ('net.pth', 'gone.pth'):
            with pytest.raises(MclirError, match=r'argparse\.Namespace|no file'):
                read_weights(tmp_path / file, 'it')
            assert set(serialization.get_safe_globals()) == before
    finally:
        serialization.clear_safe_globals()


class Trap:
    """Unpickling it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('is_zip', [False, True])
def test_foreign_functions_are_not_called(tmp_path, is_zip):
    file, sprung = tmp_path / 'n.pth', tmp_path / 'sprung'
    for trap, message in [
        (
            Trap(shutil.copyfile, str(file), str(sprung)),
            r'it: .*n\.pth holds more than tensors: an object of shutil\.copyf',
        ),
        (Trap(os.mkdir, str(sprung)), r'it: .*n\.pth would call \w+\.mkdir .* from a source that you trust\.$'),
    ]:
        torch.save({'params': STATE, 'x': trap}, file, _use_new_zipfile_serialization=is_zip)
        with pytest.raises(MclirError, match=message):
            read_weights(file, 'it')
        assert not sprung.exists()
        torch.load(file, weights_only=False)
        assert sprung.exists()  # the trap works
        sprung.unlink() if sprung.is_file() else sprung.rmdir()


@pytest.mark.parametrize('kind', ['beside', 'module', 'modules', 'script'])
@pytest.mark.filterwarnings('ignore:.*TorchScript archive', 'ignore:.*torch.jit')
def test_the_conversion_that_is_offered_works(tmp_path, kind):
    net = nn.Linear(3, 2)
    content = {
        'beside': {'params': net.state_dict(), 'arguments': argparse.Namespace(lr=1), 'epoch': 3},
        'module': net,
        'modules': {'params': net, 'arguments': argparse.Namespace()},
        'script': None,
    }[kind]
    file = tmp_path / "it's a net.pk"
    torch.jit.script(net).save(str(file)) if kind == 'script' else torch.save(content, file)
    with pytest.raises(MclirError, match='If you trust the file, run this in Python') as error:
        read_weights(file, 'it')
    named = {
        'beside': 'an object of argparse.Namespace', 'script': 'is a TorchScript archive, a program with its weights',
    }.get(kind, 'an object of torch.nn.modules.linear.Linear')  # fmt: skip
    assert f'{named}. It is not read' in str(error.value)
    script = str(error.value).partition('alone:\n')[2]
    exec(script, {})
    found = read_weights(tmp_path / "it's a net_weights.pth", 'it')
    assert same(found.state_dict, net.state_dict())


def test_misfit_names_the_first_few_keys():
    net = nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))
    weights = dict(net.state_dict())
    assert misfit(net, weights) == ''
    weights['0.weight'] = torch.zeros(3, 2)
    weights['extra'] = torch.zeros(1)
    for key in ('1.weight', '1.bias', '2.weight', '2.bias'):
        del weights[key]
    assert misfit(net, weights) == (
        'it lacks 1.weight, 1.bias, 2.weight and 1 more; it has besides extra; '
        'of another shape: 0.weight ([3, 2] instead of [2, 2])'
    )


def test_without_strict_some_key_must_fit():
    """Otherwise the network would train from scratch as one that "fits in part"."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    other = {
        'conv.weight': torch.zeros(2, 1, 1, 1),
        '0.weight': torch.zeros(3),
        '1.num_batches_tracked': torch.tensor(1),
    }
    with pytest.raises(MclirError, match=r'key: net\.pth does not fit network_g in any key, .*it lacks 0\.bias'):
        check_fit(net, other, 'key: net.pth', strict=False)
    some = {'0.bias': torch.zeros(2)}
    assert check_fit(net, some, 'key: net.pth', strict=False).endswith('; 1 of 7 tensors fit')
    with pytest.raises(MclirError, match=r'net\.pth does not fit network_g: it lacks'):
        check_fit(net, some, 'key: net.pth', strict=True)
    assert check_fit(net, net.state_dict(), 'key: net.pth', strict=True) == ''
