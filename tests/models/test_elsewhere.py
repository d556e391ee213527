"""What HistoryModel saves loads in spandrel too, with the same output."""

import torch
from basicsr.models import build_model
from recipe import example_input
from spandrel import ModelLoader

SWINIR = {
    'type': 'SwinIR', 'upscale': 2, 'in_chans': 3, 'img_size': 64, 'window_size': 8, 'img_range': 1.0, 'depths': [2, 2],
    'embed_dim': 16, 'num_heads': [2, 2], 'mlp_ratio': 2, 'upsampler': 'pixelshuffledirect', 'resi_connection': '1conv',
}  # fmt: skip


def test_spandrel_reads_a_retrained_swinir(options, tmp_path):
    spn = {'weights': 'random', 'layer_weights': {'relu1_1': 1.0}}
    model = build_model(options(network_g=SWINIR, train={'spn_opt': spn, 'history': {'interval': [1]}}))
    model.feed_data({'lq': example_input([1, 3, 16, 16], 1), 'gt': example_input([1, 3, 32, 32], 2)})
    model.optimize_parameters(1)
    model.save(0, 1)
    loaded = ModelLoader(device='cpu').load_from_file(tmp_path / 'models' / 'net_g_1.pth').eval()
    assert (loaded.architecture.id, loaded.scale) == ('SwinIR', 2)
    image = example_input([1, 3, 24, 16], 3)
    model.feed_data({'lq': image})
    model.test()  # by net_g_ema, which spandrel takes as well
    torch.testing.assert_close(loaded.model(image), model.output, rtol=1e-5, atol=1e-6)
