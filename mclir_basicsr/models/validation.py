"""Validation on whole images, by one process or many."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.models.base_model import BaseModel
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger, img_util, tensor2img
from torch import nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from mclir_basicsr import ranks
from mclir_basicsr.errors import MclirError
from mclir_basicsr.inference import Tile, restore, tiles_change_means
from mclir_basicsr.inference.normalisation import Normalisation
from mclir_basicsr.metrics.directions import direction
from mclir_basicsr.models.board import Board
from mclir_basicsr.models.frames import Frame, frames
from mclir_basicsr.models.measuring import Measured, flat, means, measure
from mclir_basicsr.models.pictures import Pictures
from mclir_basicsr.options import OwnOptions
from mclir_basicsr.run import figures, progress
from mclir_basicsr.stand_in import stand_in


class ValidationModel(SRModel):
    """SRModel whose validation restores whole images with :func:`~mclir_basicsr.inference.restore.restore`.

    The images are dealt to the ranks in turn and every rank ends with the same figures: those of one process, bit for
    bit, since the values are added up in the order of the images. Images that a data set normalises (``mean``,
    ``std``) are measured and saved as they were before.

    Attributes:
        own: Our options; set before SRModel's constructor runs.
        tests_itself: Whether the base has a ``test`` of the user's.
        metric_results: Mean of each metric over the last data set, by name, on every rank.

    Raises:
        MclirError: Two data sets of a validation have the same name, by which figures and pictures are told apart.
    """

    own: OwnOptions
    tests_itself = False
    metric_results: dict[str, float]

    def __init__(self, opt: dict[str, Any]) -> None:
        names = Counter(data.get('name') for phase, data in opt.get('datasets', {}).items() if phase != 'train')
        del names[None]  # BasicSR tells
        if twice := [str(name) for name, count in names.items() if count > 1]:
            raise MclirError(
                f'datasets: several have the name {", ".join(twice)}, by which figures and pictures are told apart: '
                'give each val or test set a name of its own.'
            )
        self._pictures = Pictures()
        self._board: Board | None = None  # of the validation that goes on
        super().__init__(opt)

    @property
    def _validated(self) -> nn.Module:
        """The EMA network, or net_g without EMA."""
        return self.net_g_ema if hasattr(self, 'net_g_ema') else self.get_bare_model(self.net_g)

    def test(self) -> None:
        """Restore ``lq`` into ``output`` with the EMA network, or net_g without EMA, as the ``val`` options say.

        Sequences, and what a class of the user's restores in a way of its own, are left to the base.
        """
        net = self._validated
        if self.lq.dim() == 5 or self.tests_itself:
            with stand_in(self, 'net_g', net):
                super().test()
            net.train(net is not getattr(self, 'net_g_ema', None) and self.opt['is_train'])
            return
        self.output = restore(
            net,
            self.lq,
            pad_multiple=self.own.val.pad_multiple,
            tile=self._tiling(net),
            self_ensemble=self.own.val.self_ensemble,
        )

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

    def validation(
        self, dataloader: DataLoader, current_iter: int | str, tb_logger: Any, save_img: bool = False
    ) -> None:
        """Restore, measure and save what a data set holds, also where the base has a validation of its own."""
        BaseModel.validation(self, dataloader, current_iter, tb_logger, save_img)

    def dist_validation(self, dataloader: DataLoader, current_iter: int | str, tb_logger: Any, save_img: bool) -> None:
        """Validate this rank's share of the images; call it on every rank."""
        rank, count = self.opt['rank'], self.opt['world_size']
        dataset: Any = dataloader.dataset
        for buffer in self._validated.buffers():  # each rank's batch statistics come from batches of its own
            buffer.copy_(ranks.of_first(buffer))
        share = Subset(dataset, range(rank, len(dataset), count))
        loader = DataLoader(share, num_workers=dataloader.num_workers, collate_fn=dataloader.collate_fn)
        with self._picturing(tb_logger, dataset.opt['name'], current_iter):
            values = self._validate_images(loader, dataset.opt, current_iter, save_img)
        if save_img:
            self._pictures.agree(ranks.gathered(self._pictures.owners))
        shares = ranks.gathered(values)
        in_order = [shares[i % count][i // count] for i in range(sum(map(len, shares)))]
        self._conclude(flat(in_order), dataset.opt['name'], current_iter, tb_logger)

    def nondist_validation(
        self, dataloader: DataLoader, current_iter: int | str, tb_logger: Any, save_img: bool
    ) -> None:
        """Validate all images."""
        dataset: Any = dataloader.dataset
        with self._picturing(tb_logger, dataset.opt['name'], current_iter):
            values = self._validate_images(dataloader, dataset.opt, current_iter, save_img)
        self._conclude(flat(values), dataset.opt['name'], current_iter, tb_logger)

    def measure(self, loader: DataLoader) -> list[Measured]:
        """Restore and measure each image of a loader, and leave no other trace."""
        return flat(self._validate_images(loader, loader.dataset.opt, '', save_img=False))  # type: ignore[attr-defined]

    def _validate_images(
        self, loader: DataLoader, dataset: Mapping[str, Any], current_iter: int | str, save_img: bool
    ) -> list[list[Measured]]:
        """Restore, save and measure what a data set with these options gives: an image, or a sequence of frames."""
        name, metrics = dataset['name'], self.opt['val'].get('metrics') or {}
        normalisation = Normalisation(dataset, f'datasets: {name}')
        asked = self.opt['val'].get('pbar')
        silent = self.opt['rank'] != 0 or not (progress.is_shown() if asked is None else asked)
        values: list[list[Measured]] = []
        with stand_in(self, 'is_train', False):  # RealESRNetModel makes its own lq in training
            for data in tqdm(loader, desc=f'Test {name}', unit='image', disable=silent, leave=False):
                self.feed_data(data)
                self.test()
                visuals = self.get_current_visuals()  # (1, C, H, W) or (1, T, C, H, W), on the CPU, as the data set is
                values.append([])
                for frame in frames(data, visuals):
                    images = {key: tensor2img([normalisation.undone(image)]) for key, image in frame.images.items()}
                    if save_img:
                        img_util.imwrite(images['img'], str(self._image_path(frame, name, current_iter)))
                    values[-1].append((frame.name, measure(images, metrics, f'{frame.path} of the data set {name}')))
                if self._board is not None and self._board.wants_more and self.lq.dim() == 4:
                    self._show(self._board, frame.name, normalisation)
                self.__dict__.pop('gt', None)
                del self.lq, self.output, visuals
                torch.cuda.empty_cache()  # the next image may be of another size
        return values

    @contextmanager
    def _picturing(self, tb_logger: Any, dataset: str, current_iter: int | str) -> Iterator[None]:
        """Show the first images of a validation to TensorBoard, where training uses it."""
        if tb_logger is not None and self.opt['is_train']:
            iteration = min(int(current_iter), int(self.opt['train']['total_iter']))
            self._board = Board(tb_logger, dataset, iteration)
        try:
            yield
        finally:
            self._board = None

    def _show(self, board: Board, name: str, normalisation: Normalisation) -> None:
        history = getattr(self, 'history', None)
        negatives = [] if history is None else list(history.negatives)
        board.show(name, self._validated, negatives, self.lq, getattr(self, 'gt', None), normalisation.undone)

    def _image_path(self, frame: Frame, dataset: str, current_iter: int | str) -> Path:
        """Where BasicSR saves a restored image, unless another image is there."""
        folder = Path(self.opt['path']['visualization'])
        if self.opt['is_train']:
            return self._pictures.in_training(folder, frame.path, dataset, current_iter, frame.folder)
        suffix = self.opt['val'].get('suffix') or self.opt['name']
        return self._pictures.in_testing(folder, frame.path, dataset, suffix, frame.folder)

    def _initialize_best_metric_results(self, dataset_name: str) -> None:
        """As BasicSR does, but where smaller values are known to be better, they are also without ``better``."""
        is_new = dataset_name not in getattr(self, 'best_metric_results', {})
        super()._initialize_best_metric_results(dataset_name)
        if is_new:
            for metric, options in self.opt['val']['metrics'].items():
                if direction(options) == 'lower':
                    self.best_metric_results[dataset_name][metric].update(better='lower', val=float('inf'))

    def _conclude(self, values: list[Measured], dataset: str, current_iter: int | str, tb_logger: Any) -> None:
        """Keep the figures of the images, take their means, keep the best, and log them as BasicSR does."""
        metrics = self.opt['val'].get('metrics')
        if metrics is None:
            return
        if not values:
            raise MclirError(f'datasets: {dataset} holds no image to validate with. Check its dataroot_lq.')
        self.metric_results = means(values, metrics, dataset)
        self._initialize_best_metric_results(dataset)
        for name, value in self.metric_results.items():
            self._update_best_metric_result(dataset, name, value, current_iter)
        if self.opt['rank'] == 0:
            if self.opt['is_train'] and 'experiments_root' in self.opt['path']:  # which a loop of one's own lacks
                self._note_figures(values, dataset, current_iter)
            # a base for sequences has one for figures of another form
            SRModel._log_validation_metric_values(self, current_iter, dataset, tb_logger)

    def _note_figures(self, values: list[Measured], dataset: str, current_iter: int | str) -> None:
        iteration = min(int(current_iter), int(self.opt['train']['total_iter']))  # BasicSR counts on behind the last
        weights = 'params_ema' if hasattr(self, 'net_g_ema') else 'params'
        folder = Path(self.opt['path']['experiments_root'])
        figures.append(folder, [figures.Figure(iteration, dataset, image, found, weights) for image, found in values])

    def validate_at_start(self) -> None:
        """Measure the network that training starts from, on every data set of the option file; call it on every rank.

        A run needs no loader for it: BasicSR's loop hands its own over at the validations that it begins.
        """
        get_root_logger().info('Validating before the first iteration.')  # report/log.py goes by this line
        for phase, options in self.opt['datasets'].items():
            if phase.startswith('val'):
                dataset = build_dataset(options)
                loader = build_dataloader(dataset, options, self.opt['num_gpu'], self.opt['dist'])
                self.validation(loader, 0, None, save_img=False)
