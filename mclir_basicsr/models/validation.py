"""Validation on whole images, by one process or many."""

from pathlib import Path
from typing import Any

import torch
from basicsr.metrics import calculate_metric
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger, img_util, tensor2img
from torch import nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from mclir_basicsr import ranks
from mclir_basicsr.errors import MclirError
from mclir_basicsr.inference import Tile, restore, tiles_change_means
from mclir_basicsr.options import OwnOptions


class ValidationModel(SRModel):
    """SRModel whose validation restores whole images with :func:`~mclir_basicsr.inference.restore.restore`.

    The images are dealt to the ranks in turn and every rank ends with the same figures: those of one process, bit for
    bit, since the values are added up in the order of the images.

    Attributes:
        own: Our options; set before SRModel's constructor runs.
        metric_results: Mean of each metric over the last data set, by name, on every rank.
    """

    own: OwnOptions
    metric_results: dict[str, float]

    def test(self) -> None:
        """Restore ``lq`` into ``output`` with the EMA network, or net_g without EMA, as the ``val`` options say."""
        net = self.net_g_ema if hasattr(self, 'net_g_ema') else self.get_bare_model(self.net_g)
        training = net.training
        net.eval()
        self.output = restore(
            net,
            self.lq,
            pad_multiple=self.own.val.pad_multiple,
            tile=self._tiling(net),
            self_ensemble=self.own.val.self_ensemble,
        )
        net.train(training)

    def _tiling(self, net: nn.Module) -> Tile | None:
        """Tiles as ``val.tile`` asks for; None for what the network needs."""
        asked = self.own.val.tile
        if asked is None:
            return None
        if tiles_change_means(net, asked.size) and not hasattr(self, '_warned_of_tiles'):
            self._warned_of_tiles = True
            get_root_logger().warning(
                f'val.tile: {type(net).__name__} goes by means over more than a tile, which tiles change: the figures '
                'are not those of whole images.'
            )
        return Tile(asked.size, asked.overlap)

    def dist_validation(self, dataloader: DataLoader, current_iter: int | str, tb_logger: Any, save_img: bool) -> None:
        """Validate this rank's share of the images; call it on every rank."""
        rank, count = self.opt['rank'], self.opt['world_size']
        share = Subset(dataloader.dataset, range(rank, len(dataloader.dataset), count))  # type: ignore[arg-type]
        loader = DataLoader(share, num_workers=dataloader.num_workers, collate_fn=dataloader.collate_fn)
        values = self._validate_images(loader, dataloader.dataset.opt['name'], current_iter, save_img)  # type: ignore[attr-defined]
        shares = ranks.gathered(values)
        in_order = [shares[i % count][i // count] for i in range(sum(map(len, shares)))]
        self._conclude(in_order, dataloader.dataset.opt['name'], current_iter, tb_logger)  # type: ignore[attr-defined]

    def nondist_validation(
        self, dataloader: DataLoader, current_iter: int | str, tb_logger: Any, save_img: bool
    ) -> None:
        """Validate all images."""
        name = dataloader.dataset.opt['name']  # type: ignore[attr-defined]
        values = self._validate_images(dataloader, name, current_iter, save_img)
        self._conclude(values, name, current_iter, tb_logger)

    def _validate_images(
        self, loader: DataLoader, dataset: str, current_iter: int | str, save_img: bool
    ) -> list[dict[str, float]]:
        """Restore, save and measure each image: metrics by name for each."""
        metrics = self.opt['val'].get('metrics') or {}
        silent = not self.opt['val'].get('pbar', False) or self.opt['rank'] != 0
        values = []
        for data in tqdm(loader, desc=f'Test {dataset}', unit='image', disable=silent):
            self.feed_data(data)
            self.test()
            visuals = self.get_current_visuals()
            images = {'img': tensor2img([visuals['result']])}
            if 'gt' in visuals:
                images['img2'] = tensor2img([visuals['gt']])
                del self.gt
            del self.lq, self.output, visuals
            torch.cuda.empty_cache()  # the next image may be of another size
            if save_img:
                img_util.imwrite(
                    images['img'], str(self._image_path(Path(data['lq_path'][0]).stem, dataset, current_iter))
                )
            values.append({name: calculate_metric(images, options) for name, options in metrics.items()})
        return values

    def _image_path(self, image: str, dataset: str, current_iter: int | str) -> Path:
        """Where BasicSR saves a restored image."""
        folder = Path(self.opt['path']['visualization'])
        if self.opt['is_train']:
            return folder / image / f'{image}_{current_iter}.png'
        return folder / dataset / f'{image}_{self.opt["val"].get("suffix") or self.opt["name"]}.png'

    def _conclude(self, values: list[dict[str, float]], dataset: str, current_iter: int | str, tb_logger: Any) -> None:
        """Take the means, keep the best, and log them as BasicSR does."""
        metrics = self.opt['val'].get('metrics')
        if metrics is None:
            return
        if not values:
            raise MclirError(f'datasets: {dataset} holds no image to validate with. Check its dataroot_lq.')
        self.metric_results = {name: sum(image[name] for image in values) / len(values) for name in metrics}
        self._initialize_best_metric_results(dataset)
        for name, value in self.metric_results.items():
            self._update_best_metric_result(dataset, name, value, current_iter)
        if self.opt['rank'] == 0:
            self._log_validation_metric_values(current_iter, dataset, tb_logger)
