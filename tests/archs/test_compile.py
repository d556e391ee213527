"""Networks traced by torch.compile, as a whole, give what they give untraced, forward and backward.

IDT does too, but takes a minute to trace.
"""

import pytest
import torch
from basicsr.archs import build_network
from spandrel.architectures.NAFNet.__arch.arch_util import LayerNorm2d
from torch import nn

from mclir_basicsr.models.compiler import make_traceable

_NAFNET = {'width': 8, 'enc_blk_nums': [1, 1], 'middle_blk_num': 1, 'dec_blk_nums': [1, 1]}
NETWORKS = {
    'EDSR': {'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'upscale': 2},
    'SwinIR': {'img_size': 64, 'window_size': 8, 'depths': [2], 'embed_dim': 12, 'num_heads': [2], 'mlp_ratio': 2},
    'FFANet': {'blocks': 1, 'normalize': True},
    'DehazeFormer': {'depths': [1, 1, 2, 1, 1], 'normalize': True},
    'NAFNet': _NAFNET,
    'NAFNetLocal': _NAFNET | {'train_size': [1, 3, 32, 32]},
}  # fmt: skip


@pytest.mark.parametrize('kind', NETWORKS)
def test_compiled_and_plain_agree(kind, monkeypatch):
    """Traced and differentiated as by the default backend, but run without its code generator, which takes minutes."""
    monkeypatch.setattr(LayerNorm2d, 'forward', LayerNorm2d.forward)  # put back what make_traceable replaces
    torch.manual_seed(0)
    net = build_network({'type': kind} | NETWORKS[kind]).eval()
    for name, parameter in net.named_parameters():
        if name.endswith(('beta', 'gamma')):  # of NAFNet, which starts as the identity
            nn.init.normal_(parameter)
    lq = torch.rand(1, 3, 64, 64)
    results = []
    for compiled in (False, True):
        if compiled:
            make_traceable(net)
            forward = torch.compile(net, backend='aot_eager', fullgraph=True)
        else:
            forward = net
        x = lq.clone().requires_grad_()
        out = forward(x)
        out.square().mean().backward()
        results.append((out.detach(), x.grad))
    for plain, traced in zip(*results, strict=True):
        torch.testing.assert_close(traced, plain, rtol=1e-4, atol=1e-5 * plain.abs().max().item())
