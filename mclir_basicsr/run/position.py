"""The position of a run: where its training data go on, told by the state to the loader and by the loader to the model.

BasicSR's loop keeps no position within an epoch. It resumes at the epoch that the state names and begins it anew, so
that samples come twice, and its workers repeat one stream of NumPy's random numbers in every epoch. Nor has the loop a
place for a position: ``train_pipeline`` calls, one after the other and with nothing in common but the options,

1. ``load_resume_state(opt)``, which knows the iteration of the state,
2. ``build_dataloader(..., opt['datasets']['train'], ..., sampler)``, which knows how many batches make an epoch,
3. ``model.resume_training(state)``, behind which the loop reads the epoch to begin with from ``state['epoch']``,
4. ``sampler.set_epoch(epoch)`` and the loader, in every epoch from there on.

So one :class:`Position` travels in the options of the training set: :func:`begin` puts it there in the first step,
:func:`build_loader` fills in the epoch in the second, and :func:`resumed_epoch` reads it in the third. In the fourth
the sampler of :class:`Draws` leaves out what the first epoch has used before. No other module knows the key.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from basicsr.data.data_sampler import EnlargedSampler
from basicsr.utils import get_root_logger
from torch.utils.data import DataLoader, Dataset, Sampler

from mclir_basicsr import ranks
from mclir_basicsr.data.progressive import Stages, read_stages
from mclir_basicsr.errors import MclirError
from mclir_basicsr.run import workers
from mclir_basicsr.run.random_streams import sample_stream

_KEY = 'position'


@dataclass
class Position:
    """Where the training data of a HistoryModel go on.

    Attributes:
        iteration: The last one that is done; 0 for a new run.
        epoch: In which the next one lies, counted from 0; None until the loader is built.
    """

    iteration: int
    epoch: int | None = None


class Draw(NamedTuple):
    """One sample of an epoch.

    Attributes:
        epoch: Counted from 0.
        place: In the order of the epoch, over all ranks.
        image: Its index in the data set.
    """

    epoch: int
    place: int
    image: int


class Draws(Sampler[Draw]):
    """The indices of BasicSR's sampler, which keeps the epoch, as draws.

    Attributes:
        start_epoch: The epoch in which a resumed run goes on.
        skip: How many draws of that epoch were used before.
    """

    def __init__(self, sampler: EnlargedSampler) -> None:
        self.sampler = sampler
        self.start_epoch = self.skip = 0

    def __len__(self) -> int:
        """Draws of a whole epoch for this rank."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Draw]:
        rank, ranks, epoch = self.sampler.rank, self.sampler.num_replicas, self.sampler.epoch
        skip = self.skip if epoch == self.start_epoch else 0
        for i, image in islice(enumerate(self.sampler), skip, None):
            yield Draw(epoch, rank + i * ranks, image)


class SeededDataset(Dataset):
    """A data set to be asked for draws, whose random numbers follow from the draw alone."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, draw: Draw) -> Any:
        with sample_stream(self.seed, draw.epoch, draw.place):
            return self.dataset[draw.image]


class StagedDataset(SeededDataset):
    """One whose samples are those of the stage in which they are used; None for one that its batch leaves out.

    The iteration in which a sample is used follows from its draw, whatever the workers read ahead.

    Attributes:
        iterations: Of an epoch; known when the loader is built.
        batch: Samples of a whole batch on this rank.
    """

    def __init__(self, dataset: Dataset, seed: int, stages: Stages, ranks: int) -> None:
        super().__init__(dataset, seed)
        self.stages, self.ranks = stages, ranks
        self.iterations = self.batch = 1

    def __getitem__(self, draw: Draw) -> Any:
        place = draw.place // self.ranks  # in the order of this rank
        iteration = draw.epoch * self.iterations + place // self.batch + 1
        if not self.stages.takes(place % self.batch, iteration):
            return None
        with sample_stream(self.seed, draw.epoch, draw.place):
            return self.stages.cut(self.dataset[draw.image], iteration)


class _Kept:
    """Puts the samples of a batch together that its stage takes."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self._collate = collate

    def __call__(self, samples: list[Any]) -> Any:
        return self._collate([sample for sample in samples if sample is not None])


def begin(opt: dict[str, Any], state: dict[str, Any] | None) -> None:
    """Note in the options of a run where its data go on, and settle its seed: the state's, else that of rank 0.

    Args:
        opt: The options of the run; ``manual_seed`` and ``datasets.train`` are written to.
        state: The training state to resume; None for a new run.

    Raises:
        MclirError: Not every rank resumes the same iteration.
    """
    done, seed = state['iter'] if state else 0, (state or {}).get('seed', opt['manual_seed'])
    if opt['dist']:
        seen_by = ranks.gathered((done, seed))
        seed = seen_by[0][1]  # without manual_seed, BasicSR draws one on each rank
        if len({iteration for iteration, _ in seen_by}) > 1:
            seen = ', '.join(f'rank {rank} {iteration}' for rank, (iteration, _) in enumerate(seen_by))
            raise MclirError(
                f'The ranks do not resume the same iteration ({seen}; 0 is a new run). Every node must see the same '
                f'{opt["path"]["training_states"]}: keep the experiments folder on storage that all of them share.'
            )
    opt['datasets']['train'][_KEY], opt['manual_seed'] = Position(done), seed


def resumed_epoch(opt: dict[str, Any], of_state: int) -> int:
    """The epoch in which a resumed run goes on.

    Args:
        opt: The options of the run, whose loader is built.
        of_state: The epoch that the state names. It counts where no loader of ours was built, as in a loop of one's
            own. Otherwise the batch or the number of ranks may be others than those of the state.
    """
    position = opt.get('datasets', {}).get('train', {}).get(_KEY)
    return of_state if position is None or position.epoch is None else position.epoch


def build_loader(
    build: Callable[..., DataLoader], dataset: Dataset, dataset_opt: dict[str, Any], *args: Any, **kwargs: Any
) -> DataLoader:
    """BasicSR's ``build_dataloader``; for the training data of a HistoryModel, one that goes on at their position.

    Args:
        build: BasicSR's own.
        dataset: Its argument, as those that follow.
        dataset_opt: With a position where :func:`begin` left one.
        *args: ``num_gpu``, ``dist``, ``sampler`` and ``seed``.
        **kwargs: The same by name.
    """
    position = dataset_opt.get(_KEY)
    if position is None:
        return build(dataset, dataset_opt, *args, **kwargs)
    return _resumable(build, position, dataset, dataset_opt, *args, **kwargs)


def _resumable(
    build: Callable[..., DataLoader],
    position: Position,
    dataset: Dataset,
    dataset_opt: dict[str, Any],
    num_gpu: int,
    dist: bool,
    sampler: EnlargedSampler,
    seed: int,
) -> DataLoader:
    """A loader that goes on behind the iteration of a position, and fills in its epoch.

    Both follow from the iteration and this loader's batches per epoch, whatever those were before. The last batch of an
    epoch is filled with images of it, so that a run of BasicSR's loop reaches its ``total_iter``.
    """
    draws, options = Draws(sampler), dict(dataset_opt)
    if options.get('prefetch_mode') == 'cpu':
        # BasicSR's thread would share persistent workers with a thread left over from the start, share the random
        # generators with training where there is no worker, and let the run wait forever where a worker fails.
        get_root_logger().info('prefetch_mode: cpu is left out: the workers of num_worker_per_gpu read ahead.')
        options['prefetch_mode'] = None
    stages = read_stages(options, options.get('scale', 1))
    seeded = SeededDataset(dataset, seed)
    if stages is not None:
        seeded = StagedDataset(dataset, seed, stages, sampler.num_replicas)
        get_root_logger().info(f'datasets.train: {stages}.')
    loader = build(seeded, options, num_gpu, dist, draws, seed)
    workers.care_for(loader)
    # BasicSR takes as many epochs as this many iterations each ask for. It then drops an incomplete batch, and with
    # several GPUs in one process has batches of all of them, so that its runs end before total_iter (BasicSR #518).
    iterations = math.ceil(sampler.num_samples / options['batch_size_per_gpu'])
    sampler.num_samples = iterations * loader.batch_size
    sampler.total_size = sampler.num_samples * sampler.num_replicas
    if isinstance(seeded, StagedDataset):
        seeded.iterations, seeded.batch = len(loader), loader.batch_size or 1
        loader.collate_fn = _Kept(loader.collate_fn)
    draws.start_epoch, batches = divmod(position.iteration, len(loader))
    draws.skip = batches * loader.batch_size  # type: ignore[operator]
    position.epoch = draws.start_epoch
    return loader
