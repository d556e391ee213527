"""``mclir export``: what it writes is read by others."""

import json

import pytest
import torch
import yaml
from conftest import EDSR
from safetensors.torch import load_file
from torch import nn

from mclir_basicsr.commands.evaluate.subjects import Subject, find
from mclir_basicsr.commands.export import onnx_file
from mclir_basicsr.commands.export.export import export
from mclir_basicsr.commands.restore.subject import network_of
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.exported import read_metadata

COMPACT = {'type': 'SRVGGNetCompact', 'num_feat': 8, 'num_conv': 1, 'upscale': 2}


@pytest.fixture
def experiment(tmp_path, write_pairs):
    """A finished run of a study, with EMA weights, a log and figures."""
    from basicsr.archs import build_network

    gt, lq = write_pairs()
    torch.manual_seed(0)
    state = build_network(dict(COMPACT)).state_dict()
    start = tmp_path / 'start.pth'
    torch.save({'params': state}, start)
    folder = tmp_path / 'study' / 'experiments' / 'spn_s0'
    (folder / 'models').mkdir(parents=True)
    content = {'params': {key: value * 0 for key, value in state.items()}, 'params_ema': state}
    torch.save(content, folder / 'models' / 'net_g_latest.pth')
    data = {'name': 'pairs', 'type': 'PairedImageDataset', 'dataroot_gt': str(gt), 'dataroot_lq': str(lq)}
    opt = {
        'name': 'spn_s0', 'scale': 2, 'manual_seed': 5, 'network_g': COMPACT,
        'datasets': {'train': data, 'val': data | {'name': 'Set5', 'dataroot_gt': 'gone'}},
        'path': {'pretrain_network_g': str(start)},
        'train': {'total_iter': 20, 'spn_opt': {'type': 'SPNLoss', 'loss_weight': 0.002}, 'history': {'interval': [5]}},
        'val': {'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 2}}},
    }  # fmt: skip
    (folder / 'spn_s0.yml').write_text(yaml.safe_dump(opt))
    rows = ((10, 'a', 20.0), (20, 'a', 30.0), (20, 'b', 31.0))
    (folder / 'metrics.jsonl').write_text(
        ''.join(
            json.dumps({'iteration': i, 'dataset': 'Set5', 'image': n, 'metrics': {'psnr': v}, 'weights': 'params_ema'})
            + '\n'
            for i, n, v in rows
        )
    )
    (folder / 'train_spn_s0_20260102_030405.log').write_text(
        '2026-01-02 03:04:05,678 INFO: [spn_s0][epoch:  0, iter:      20, lr:(1.000e-04,)] l_pix: 1.0000e-01 '
        'spn_ratio: 2.5000e-02 \n'
    )
    gain = {'Set5': {'psnr': {'verdict': '+0.041 dB on Set5, 95 % 0.012 to 0.068, 5 seeds.'}}}
    results = {'gains': {'spn': gain}, 'gains_over_start': {'plain': gain}}
    (tmp_path / 'study' / 'results.json').write_text(json.dumps(results))
    return folder


def test_the_weights_load_in_basicsr_spandrel_and_restore(experiment, tmp_path):
    import spandrel
    from basicsr.archs import build_network

    said = export(experiment, tmp_path / 'out', onnx=False)
    assert sorted(file.name for file in (tmp_path / 'out').iterdir()) == ['README.md', 'model.safetensors']
    assert 'names no license' in said[-1]
    file, ema = (
        tmp_path / 'out' / 'model.safetensors',
        torch.load(experiment / 'models' / 'net_g_latest.pth')['params_ema'],
    )
    net = build_network(dict(COMPACT)).eval()
    net.load_state_dict(load_file(file))
    assert all(torch.equal(value, ema[key]) for key, value in net.state_dict().items())
    lq = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(spandrel.ModelLoader().load_from_file(file).model(lq), net(lq))
        torch.testing.assert_close(network_of(find(file, None, None)[0])(lq), net(lq))


def test_the_file_says_how_to_build_any_network(experiment, tmp_path):
    """One that no detector knows, in a range of its own."""
    opt = yaml.safe_load((experiment / 'spn_s0.yml').read_text())
    opt['datasets']['train'] |= {'mean': [0.5], 'std': [0.5]}
    (experiment / 'spn_s0.yml').write_text(yaml.safe_dump(opt))
    export(experiment, tmp_path / 'out', onnx=False)
    kept = read_metadata(tmp_path / 'out' / 'model.safetensors')
    assert kept == {'network_g': COMPACT, 'scale': 2, 'datasets': {'train': {'mean': [0.5], 'std': [0.5]}}}
    (subject,) = find(tmp_path / 'out' / 'model.safetensors', None, None)
    assert (subject.network_g, subject.scale, subject.options) == (COMPACT, 2, kept)
    assert read_metadata(experiment / 'models' / 'net_g_latest.pth') is None


def test_the_card(experiment, tmp_path):
    export(experiment, tmp_path / 'out', onnx=False)
    text = (tmp_path / 'out' / 'README.md').read_text()
    head = yaml.safe_load(text.split('---\n')[1])
    assert (head['library_name'], head['pipeline_tag'], head['metrics']) == ('basicsr', 'image-to-image', ['psnr'])
    assert 'license' not in head and 'super-resolution' in head['tags']
    (result,) = head['model-index'][0]['results']
    assert result['dataset'] == {'name': 'Set5', 'type': 'Set5'}
    assert result['metrics'] == [{'type': 'psnr', 'value': 30.5}]
    for part in (
        'num_feat: 8',
        'Start: `start.pth`, SHA-256 ',
        'λ 0.002; spn_ratio 0.025 at iteration 20.',
        'datasets.train.dataroot_gt (pairs): SHA-256 ',
        'datasets.val.dataroot_gt (Set5): not at hand',
        '| Set5 | psnr | 30.5000 |',
        '`calculate_psnr` of BasicSR, crop_border 2',
        '- spn over the first arm: +0.041 dB on Set5, 95 % 0.012 to 0.068, 5 seeds.',
    ):
        assert part in text, part
    code = (
        text.split('```python\n')[1]
        .split('```')[0]
        .replace("'model.safetensors'", f"'{tmp_path}/out/model.safetensors'")
    )
    exec(code, {})


def test_an_unfinished_run_has_no_figures_of_other_weights(experiment, tmp_path):
    (experiment / 'models' / 'net_g_latest.pth').rename(experiment / 'models' / 'net_g_15.pth')
    export(experiment, tmp_path / 'out', onnx=False)
    text = (tmp_path / 'out' / 'README.md').read_text()
    assert '- 15 of 20 iterations, seed 5.' in text
    assert 'measured none at iteration 15' in text
    assert 'model-index' not in text


def test_what_cannot_be_exported_is_named_and_nothing_is_replaced(experiment, tmp_path):
    with pytest.raises(MclirError, match='no experiment folder'):
        export(experiment / 'models' / 'net_g_latest.pth', tmp_path / 'out')
    with pytest.raises(MclirError, match=r'there is no .*results\.json'):
        export(experiment, tmp_path / 'out', onnx=False, study=tmp_path)
    (tmp_path / 'kept').mkdir()
    (tmp_path / 'kept' / 'README.md').write_text('mine')
    with pytest.raises(MclirError, match=r'README\.md exists already'):
        export(experiment, tmp_path / 'kept', onnx=False)
    assert [file.name for file in (tmp_path / 'kept').iterdir()] == ['README.md']


def test_onnx_runtime_makes_the_same_images_of_any_size(experiment, tmp_path, mclir):
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    done = mclir('export', experiment, '-o', tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    assert 'model.onnx written: images of any size; ONNX Runtime differs from torch by at most' in done.stdout
    session = onnxruntime.InferenceSession(str(tmp_path / 'out' / 'model.onnx'))
    lq = torch.rand(1, 3, 37, 21)
    with torch.no_grad():
        own = network_of(find(experiment, None, None)[-1])(lq)
    torch.testing.assert_close(torch.from_numpy(session.run(None, {'lq': lq.numpy()})[0]), own, atol=1e-4, rtol=0)
    assert sorted(file.name for file in (tmp_path / 'out').iterdir()) == [
        'README.md',
        'model.onnx',
        'model.safetensors',
    ]


class Choosing(nn.Module):
    """Goes by the values of the image, which no exporter follows."""

    def forward(self, lq):
        return lq if lq.mean().item() > 0.3 else -lq


def test_why_there_is_no_onnx_file_is_said(tmp_path, monkeypatch):
    subject = Subject('a', tmp_path, None, dict(EDSR), 1)
    if all(onnx_file.find_spec(name) for name in ('onnx', 'onnxscript', 'onnxruntime')):
        made, why = onnx_file.write(Choosing().eval(), subject, tmp_path / 'model.onnx')
        assert made is None and 'Error' in why
    monkeypatch.setattr(onnx_file, 'find_spec', lambda name: None)
    made, why = onnx_file.write(Choosing(), subject, tmp_path / 'model.onnx')
    assert (made, why) == (None, "onnx, onnxscript, onnxruntime is missing: pip install 'mclir-basicsr[onnx]'.")
    assert not list(tmp_path.iterdir())
