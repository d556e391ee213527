"""``mclir restore`` on folders of photographs."""

import json
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
import yaml
from conftest import EDSR
from PIL import Image

from mclir_basicsr.commands.evaluate.subjects import Subject
from mclir_basicsr.commands.restore.picture import Picture, read
from mclir_basicsr.commands.restore.restore import restore_all
from mclir_basicsr.commands.restore.subject import Restorer, subject_of
from mclir_basicsr.errors import MclirError


@pytest.fixture
def network(tmp_path):
    """A checkpoint with EMA weights."""
    from basicsr.archs import build_network

    torch.manual_seed(0)
    state = build_network(dict(EDSR)).state_dict()
    file = tmp_path / 'net.pth'
    torch.save({'params': {key: value * 0 for key, value in state.items()}, 'params_ema': state}, file)
    return file


@pytest.fixture
def photographs(tmp_path):
    """Of every kind, in a folder with another in it."""
    random = np.random.default_rng(0)
    colour = cv2.resize(random.integers(0, 256, (5, 6, 3), dtype=np.uint8), (24, 20), interpolation=cv2.INTER_CUBIC)
    folder = tmp_path / 'my photographs' / 'été'
    folder.mkdir(parents=True)
    image = Image.fromarray(colour)
    image.save(folder.parent / 'plain.png')
    image.save(folder.parent / 'plain.jpg')
    image.convert('L').save(folder / 'grey one.png')
    image.quantize(8).save(folder / 'palette.png')
    image.convert('CMYK').save(folder / 'cmyk.jpg')
    Image.fromarray(np.dstack([colour, colour[..., 0]])).save(folder / 'alpha.png')
    Image.new('RGB', (1, 1), 'red').save(folder / 'dot.png')
    cv2.imwrite(str(folder / 'deep.png'), colour.astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / 'turned.jpg', exif=exif)
    return folder.parent


def test_all_kinds_keep_name_size_depth_and_channels(network, photographs, tmp_path):
    said, is_whole = restore_all(network, photographs, tmp_path / 'out')
    assert is_whole
    assert said[0] == f'net: EDSR from {network}, entry params_ema.'
    assert said[-1] == f'9 of 9 images restored into {tmp_path / "out"}.'
    for file in photographs.rglob('*.*'):
        before, after = read(file), read(tmp_path / 'out' / file.relative_to(photographs))
        assert after.pixels.shape == (2 * before.pixels.shape[0], 2 * before.pixels.shape[1], before.pixels.shape[2])
        assert after.bits == before.bits
        assert (after.alpha is None) == (before.alpha is None)
    assert read(photographs / 'été' / 'turned.jpg').pixels.shape == (24, 20, 3)


def test_a_picture_is_what_the_network_makes_of_it(network):
    """Grey as three channels, alpha by itself: against the network in a plain loop."""
    from basicsr.archs import build_network

    net = build_network(dict(EDSR)).eval()
    net.load_state_dict(torch.load(network)['params_ema'])
    restorer = Restorer(subject_of(network))
    random = np.random.default_rng(1)
    alpha, grey = random.random((12, 9), np.float32), random.random((12, 9, 1), np.float32)
    with torch.no_grad():
        by_hand = [net(torch.from_numpy(plane).expand(1, 3, -1, -1)).mean(1)[0] for plane in (grey[..., 0], alpha)]
    after = restorer(Picture(grey, alpha, 16, b'profile'))
    assert (after.bits, after.profile) == (16, b'profile')
    torch.testing.assert_close(torch.from_numpy(after.pixels[..., 0]), by_hand[0])
    torch.testing.assert_close(torch.from_numpy(after.alpha), by_hand[1])


def test_tiles_equal_the_whole_where_the_network_sees_no_further(network):
    """EDSR of one block sees 6 pixels around; a quarter of the overlap is 8."""
    pixels = np.random.default_rng(2).random((90, 130, 3), np.float32)
    whole, tiled = (Restorer(subject_of(network), tile)(Picture(pixels)).pixels for tile in (200, 128))
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_a_network_of_one_channel_and_one_with_a_range_of_its_own(tmp_path):
    from basicsr.archs import build_network

    torch.manual_seed(0)
    grey = {'type': 'SRVGGNetCompact', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 8, 'num_conv': 1, 'upscale': 2}
    net = build_network(dict(grey)).eval()
    torch.save(net.state_dict(), tmp_path / 'grey.pth')
    pixels = np.random.default_rng(3).random((8, 9, 3), np.float32)
    restorer = Restorer(Subject('grey', tmp_path / 'grey.pth', None, grey, 2))
    with torch.no_grad():
        by_hand = [net(torch.from_numpy(pixels[..., c].copy())[None, None])[0, 0] for c in range(3)]
    torch.testing.assert_close(torch.from_numpy(restorer(Picture(pixels)).pixels), torch.stack(by_hand, -1))
    opt = {'datasets': {'train': {'mean': [0.5], 'std': [0.25]}}}
    moved = Restorer(Subject('grey', tmp_path / 'grey.pth', None, grey, 2, opt))
    with torch.no_grad():
        one = net((torch.from_numpy(pixels[..., 0].copy())[None, None] - 0.5) / 0.25)[0, 0] * 0.25 + 0.5
    torch.testing.assert_close(torch.from_numpy(moved(Picture(pixels)).pixels[..., 0]), one)


def test_an_experiment_gives_its_final_network(mclir, network, photographs, tmp_path):
    folder = tmp_path / 'experiments' / 'tiny'
    (folder / 'models').mkdir(parents=True)
    network.rename(folder / 'models' / 'net_g_latest.pth')
    (folder / 'tiny.yml').write_text(yaml.safe_dump({'scale': 2, 'network_g': EDSR, 'datasets': {}}))
    done = mclir('restore', folder, '-i', photographs / 'plain.png', '--suffix', '_x2')
    assert done.returncode == 0, done.stderr
    assert 'tiny: EDSR from' in done.stdout
    assert read(tmp_path / 'restored' / 'plain_x2.png').pixels.shape == (40, 48, 3)


def test_damaged_files_are_named_and_passed_over(mclir, network, photographs, tmp_path):
    (photographs / 'bad.png').write_bytes((photographs / 'plain.png').read_bytes()[:80])
    done = mclir('restore', network, '-i', photographs, '-o', tmp_path / 'out')
    assert done.returncode == 1
    assert 'bad.png cannot be read' in done.stdout
    assert '9 of 10 images restored' in done.stdout
    assert not (tmp_path / 'out' / 'bad.png').exists()


def test_results_of_other_origin_are_not_replaced(network, photographs, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'plain.png').write_text('mine')
    with pytest.raises(MclirError, match=r'plain\.png exists already'):
        restore_all(network, photographs, out)
    assert [file.name for file in out.iterdir()] == ['plain.png']
    restore_all(network, photographs, out, force=True)
    said, _ = restore_all(network, photographs, out)
    assert said[-1].startswith('0 of 9 images restored') and said[-1].endswith('9 were there already.')
    with pytest.raises(MclirError, match='exists already'):
        restore_all(network, photographs, out, self_ensemble=True)
    with pytest.raises(MclirError, match='would be replaced: give another folder'):
        restore_all(network, photographs, photographs)


def test_a_folder_without_images_and_a_missing_one_are_named(network, tmp_path):
    (tmp_path / 'empty').mkdir()
    for source, said in (('empty', 'holds no image'), ('missing', 'there is no image or folder')):
        with pytest.raises(MclirError, match=said):
            restore_all(network, tmp_path / source, tmp_path / 'out')


def test_it_goes_on_where_it_was_killed(network, photographs, tmp_path):
    """At three moments; every result is whole, and none is made twice."""
    out = tmp_path / 'out'
    for i in range(12):
        (photographs / f'{i}.png').write_bytes((photographs / 'plain.png').read_bytes())
    command = [sys.executable, '-m', 'mclir_basicsr', 'restore', network, '-i', photographs, '-o', out]
    for count in (1, 6, 12):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(_done(out)) < count:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for name in _done(out):
            read(out / name)
    first = {name: (out / name).stat().st_mtime_ns for name in _done(out)}
    said, is_whole = restore_all(network, photographs, out)
    assert is_whole and len(_done(out)) == 21
    assert {name: (out / name).stat().st_mtime_ns for name in first} == first
    assert not list(out.rglob('*.tmp')) or said


def _done(out):
    file = out / 'restored.json'
    return json.loads(file.read_text())['done'] if file.is_file() else []
