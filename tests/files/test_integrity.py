"""Bit rot: of the bytes that turn in a file, none may change what is loaded."""

import hashlib
import random

import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files import checkpoint, integrity
from mclir_basicsr.losses.features import VGGFeatures


def flipped(data, generator):
    """The bytes with one bit turned."""
    turned, place = bytearray(data), generator.randrange(len(data))
    turned[place] ^= 1 << generator.randrange(8)
    return bytes(turned)


def same(a, b):
    """Whether two nested values are equal, bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def network_and_state():
    """What a network file and a training state hold."""
    net = nn.Conv2d(8, 8, 3)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.rand(1, 8, 8, 8)).sum().backward()
    optimizer.step()
    state = {'iter': 4, 'epoch': 0, 'seed': 3, 'optimizers': [optimizer.state_dict()], 'guard': {'in_all': 0}}
    return {'params': net.state_dict(), 'params_ema': net.state_dict()}, state


@pytest.mark.parametrize('which', [0, 1])
def test_no_flipped_byte_of_a_checkpoint_loads_other_content(tmp_path, which):
    """With torch.load alone, about 230 of 300 do so without a word."""
    file, content = tmp_path / '4.state', network_and_state()[which]
    checkpoint.save(content, file)
    data, generator, refused = file.read_bytes(), random.Random(0), 0
    for _ in range(300):
        file.write_bytes(flipped(data, generator))
        try:
            loaded = checkpoint.load(file, 'it')
        except MclirError as error:
            assert 'it: ' in str(error)
            refused += 1
        else:
            assert same(loaded, content)
    assert refused > 200


def test_damaged_content_is_named(tmp_path):
    file = tmp_path / 'net.pth'
    torch.save({'w': torch.zeros(4096)}, file)
    data = file.read_bytes()
    file.write_bytes(data[:8000] + b'\x01' + data[8001:])
    with pytest.raises(MclirError, match=r'net\.pth is truncated, damaged .*checksum of net/data/0 does not fit'):
        checkpoint.load(file, 'it')
    with pytest.raises(MclirError, match=r'weights: .*checksum'):
        VGGFeatures(['relu1_1'], weights=str(file))


def test_torchs_old_format_has_no_checksum(tmp_path):
    file = tmp_path / 'net.pth'
    torch.save({'w': torch.zeros(4)}, file, _use_new_zipfile_serialization=False)
    assert torch.equal(checkpoint.load(file, 'it')['w'], torch.zeros(4))


@pytest.mark.parametrize('form', ['{}', '0x{}'])
def test_a_digest_in_the_metadata_of_safetensors_is_compared(tmp_path, form):
    state, file = {'w': torch.rand(500)}, tmp_path / 'net.safetensors'
    data = save(state)
    digest = hashlib.sha256(data[8 + int.from_bytes(data[:8], 'little') :]).hexdigest()
    save_file(state, file, {'modelspec.hash_sha256': form.format(digest)})
    assert same(checkpoint.load(file, 'it'), state)
    data = file.read_bytes()
    file.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    with pytest.raises(MclirError, match=r'digest modelspec\.hash_sha256 of its metadata does not fit its tensors'):
        checkpoint.load(file, 'it')


@pytest.mark.parametrize('metadata', [None, {'format': 'pt'}, {'modelspec.hash_sha256': ''}])
def test_safetensors_without_a_digest_are_read(tmp_path, metadata):
    file = tmp_path / 'net.safetensors'
    save_file({'w': torch.ones(3)}, file, metadata)
    assert torch.equal(checkpoint.load(file, 'it')['w'], torch.ones(3))


@pytest.mark.parametrize('data', [b'', b'\xff' * 9, b'\x02\x00\x00\x00\x00\x00\x00\x00[]'])
def test_headers_that_are_none_are_left_to_safetensors(tmp_path, data):
    file = tmp_path / 'net.safetensors'
    file.write_bytes(data)
    integrity.check(file)
    with pytest.raises(MclirError, match='truncated, damaged'):
        checkpoint.load(file, 'it')
