"""Each network by its name in an option file: two iterations with SPN, then a whole image of an odd size."""

import pytest
import torch
from basicsr.models import build_model

NETWORKS = {
    'FFANet': ({'blocks': 1, 'normalize': True}, 24),
    'DehazeFormer': ({'variant': 't', 'normalize': True, 'window_size': 8}, 32),
    'IDT': ({'img_size': 64, 'embed_dim': 8, 'num_heads': [1] * 9}, 64),
    'NAFNetLocal': (
        {'width': 8, 'enc_blk_nums': [1, 1], 'middle_blk_num': 1, 'dec_blk_nums': [1, 1], 'train_size': [1, 3, 16, 16]},
        16,
    ),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_it_is_retrained_and_validated(options, name):
    arguments, side = NETWORKS[name]
    spn = {'weights': 'random', 'layer_weights': {'relu1_1': 1.0}, 'loss_weight': 0.1}
    model = build_model(
        options(network_g={'type': name} | arguments, scale=1, train={'spn_opt': spn, 'history': {'interval': [1, 2]}})
    )
    lq = torch.rand(1, 3, side, side)
    for iteration in (1, 2):
        model.feed_data({'lq': lq, 'gt': lq.flip(3)})
        model.optimize_parameters(iteration)
        assert model.get_current_log()['l_spn'] < 0
    assert model.history.refreshes == [2, 1]
    image = torch.rand(1, 3, 37, 53)
    model.feed_data({'lq': image})
    model.test()
    assert model.output.shape == image.shape
    if name != 'IDT':  # in tiles; the others see the whole image as it is, whatever their window_size
        with torch.no_grad():
            assert torch.equal(model.output, model.net_g_ema.eval()(image))
