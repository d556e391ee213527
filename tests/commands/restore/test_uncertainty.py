"""``mclir restore --uncertainty``: maps and figures against what they are defined as."""

import json

import cv2
import numpy as np
import pytest
import torch
import yaml
from conftest import EDSR

from mclir_basicsr.commands.restore.restore import restore_all
from mclir_basicsr.errors import MclirError
from mclir_basicsr.history import ModelHistory
from mclir_basicsr.metrics.calibration import calibration


@pytest.fixture
def trained(tmp_path):
    """An experiment with a state of two negatives, its network and history."""
    from basicsr.archs import build_network

    torch.manual_seed(0)
    net = build_network(dict(EDSR)).eval()
    history = ModelHistory(net, interval=[2, 3], start=0.2, fresh=lambda: build_network(dict(EDSR)))
    folder = tmp_path / 'experiments' / 'tiny'
    for part in ('models', 'training_states'):
        (folder / part).mkdir(parents=True)
    torch.save({'params': net.state_dict()}, folder / 'models' / 'net_g_latest.pth')
    torch.save({'iter': 9}, folder / 'training_states' / '9.state')
    torch.save({'iter': 10, 'history': history.state_dict()}, folder / 'training_states' / '10.state')
    (folder / 'tiny.yml').write_text(yaml.safe_dump({'scale': 2, 'network_g': EDSR, 'datasets': {}}))
    return folder, net, history


def test_maps_and_figures(trained, write_pairs, tmp_path, mclir):
    folder, net, history = trained
    gt, lq = write_pairs(2)
    out = tmp_path / 'out'
    done = mclir('restore', folder, '-i', lq, '-o', out, '--uncertainty', '--gt', gt)
    assert done.returncode == 0, done.stderr
    assert 'the network and 2 negatives of 10.state' in done.stdout and 'means over 2 images' in done.stdout
    image = torch.from_numpy(cv2.imread(str(lq / '000.png'))[..., ::-1].copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        members = torch.cat([net(image), *history(image)]).permute(0, 2, 3, 1).numpy()  # (3, H, W, C)
    apart = members.std(0).mean(2)
    stored = cv2.imread(str(out / '000.png_spread.png'), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    np.testing.assert_allclose(stored / 65535 * 0.1, apart.clip(0, 0.1), atol=1e-6)
    figures = json.loads((out / 'uncertainty.json').read_text())
    truth = cv2.imread(str(gt / '000.png'))[..., ::-1] / 255
    found = calibration(apart, np.abs(members[0].clip(0, 1) - truth).mean(2))
    assert figures['images']['000.png']['spearman'] == pytest.approx(found.spearman, abs=1e-3)
    assert figures['images']['000.png']['ause'] == pytest.approx(found.ause, abs=1e-3)
    assert set(figures['images']) == {'000.png', '001.png'}
    assert figures['mean']['ause'] == pytest.approx(np.mean([image['ause'] for image in figures['images'].values()]))


def test_it_goes_on_with_its_figures_and_names_what_is_missing(trained, write_pairs, tmp_path):
    folder, _, _ = trained
    gt, lq = write_pairs(3)
    (gt / '001.png').rename(gt / 'kept.png')
    said, is_whole = restore_all(folder, lq, tmp_path / 'out', uncertainty=True, gt=gt)
    assert not is_whole and any('has no image 001' in line for line in said)
    (gt / 'kept.png').rename(gt / '001.png')
    said, is_whole = restore_all(folder, lq, tmp_path / 'out', uncertainty=True, gt=gt)
    assert is_whole and said[-1].startswith('1 of 3 images restored')
    assert len(json.loads((tmp_path / 'out' / 'uncertainty.json').read_text())['images']) == 3


def test_a_map_never_takes_the_place_of_a_result(trained, write_pairs, tmp_path):
    folder, _, _ = trained
    _, lq = write_pairs(2)
    (lq / '001.png').rename(lq / '000.png_spread.png')
    with pytest.raises(MclirError, match='would be a map and a result'):
        restore_all(folder, lq, tmp_path / 'out', uncertainty=True)


def test_runs_without_negatives_are_named(trained, write_pairs, tmp_path):
    folder, _, _ = trained
    _, lq = write_pairs()
    with pytest.raises(MclirError, match='--gt goes with --uncertainty'):
        restore_all(folder, lq, tmp_path / 'out', gt=lq)
    (folder / 'training_states' / '10.state').unlink()
    with pytest.raises(MclirError, match=r'9\.state holds no negatives'):
        restore_all(folder, lq, tmp_path / 'out', uncertainty=True)
    (folder / 'training_states' / '9.state').unlink()
    for place in (folder, folder / 'models' / 'net_g_latest.pth'):
        with pytest.raises(MclirError, match='needs the negatives of a training state, but there is none'):
            restore_all(place, lq, tmp_path / 'out', uncertainty=True)
    assert not (tmp_path / 'out').exists()
