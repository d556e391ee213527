"""Networks of ours traced by torch.compile give what they give untraced, forward and backward.

IDT does too, but takes a minute to trace.
"""

import pytest
import torch
from basicsr.archs import build_network

NETWORKS = {
    'FFANet': {'blocks': 1, 'normalize': True},
    'DehazeFormer': {'variant': 't', 'normalize': True},
    'NAFNetLocal': {
        'width': 8, 'enc_blk_nums': [1, 1], 'middle_blk_num': 1, 'dec_blk_nums': [1, 1], 'train_size': [1, 3, 32, 32]
    },
}  # fmt: skip

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.mark.parametrize('kind', NETWORKS)
def test_compiled_and_plain_agree(kind):
    """Traced and differentiated as by the default backend, but run without its code generator, which takes minutes."""
    torch.manual_seed(0)
    net = build_network({'type': kind} | NETWORKS[kind]).eval()
    compiled = torch.compile(net, backend='aot_eager')
    lq = torch.rand(1, 3, 64, 64)
    results = []
    for forward in (net, compiled):
        x = lq.clone().requires_grad_()
        out = forward(x)
        out.square().mean().backward()
        results.append((out.detach(), x.grad))
    for plain, traced in zip(*results, strict=True):
        torch.testing.assert_close(traced, plain, rtol=1e-4, atol=1e-5 * plain.abs().max().item())
