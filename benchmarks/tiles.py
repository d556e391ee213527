"""What tiles cost: the metrics of val.metrics with whole images and with tiles of several sizes.

    python benchmarks/tiles.py FILE.yml --checkpoint net_g.pth --tiles 64/16 64/32 32/8

Network, scale, data sets (all but train) and metrics are those of the option file, and so are the weights without
``--checkpoint``. A tile is written SIZE/OVERLAP, in lq pixels.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from basicsr.archs import build_network
from basicsr.data import build_dataset
from basicsr.metrics import calculate_metric
from basicsr.utils import tensor2img
from torch import nn
from torch.utils.data import Dataset

from mclir_basicsr.files.weights import read_weights
from mclir_basicsr.inference import Tile, restore
from mclir_basicsr.options import parse_file


def tile(text: str) -> Tile:
    """Read SIZE/OVERLAP."""
    size, _, overlap = text.partition('/')
    return Tile(int(size), int(overlap))


def load(opt: Mapping[str, Any], checkpoint: str | None) -> nn.Module:
    """The network of an option file with its weights, on a GPU if there is one."""
    net = build_network(opt['network_g']).eval()
    file = checkpoint or opt['path']['pretrain_network_g']
    keys = (opt['path'].get('param_key_g', 'params'), 'params')
    net.load_state_dict(read_weights(Path(file), '--checkpoint', keys).state_dict)
    return net.to('cuda' if torch.cuda.is_available() else 'cpu')


def measure(net: nn.Module, pairs: Dataset, metric: Mapping[str, Any], tiles: Tile | None) -> float:
    """Mean of a metric over pairs, of images restored in tiles, or whole."""
    device, values = next(net.parameters()).device, []
    for pair in pairs:  # type: ignore[attr-defined]
        output = restore(net, pair['lq'].unsqueeze(0).to(device), tile=tiles)
        images = {'img': tensor2img(output.cpu()), 'img2': tensor2img(pair['gt'])}
        values.append(calculate_metric(images, dict(metric)))
    return fmean(values)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', type=Path, help='option file')
    parser.add_argument('--checkpoint', help='weights, in place of path.pretrain_network_g')
    parser.add_argument('--tiles', nargs='+', type=tile, metavar='SIZE/OVERLAP', required=True)
    arguments = parser.parse_args()

    opt = parse_file(arguments.file)
    net = load(opt, arguments.checkpoint)
    sets = [
        build_dataset(block | {'phase': 'val', 'scale': opt['scale']})
        for phase, block in opt['datasets'].items()
        if phase != 'train'
    ]
    columns = [(pairs, name, metric) for pairs in sets for name, metric in opt['val']['metrics'].items()]
    print('| tiles |' + ''.join(f' {pairs.opt["name"]} {name} |' for pairs, name, _ in columns))
    print('|---|' + '---|' * len(columns))
    for tiles in (None, *arguments.tiles):
        values = [measure(net, pairs, metric, tiles) for pairs, _, metric in columns]
        label = f'{tiles.size}/{tiles.overlap}' if tiles else 'whole images'
        print(f'| {label} |' + ''.join(f' {value:.4f} |' for value in values), flush=True)


if __name__ == '__main__':
    main()
