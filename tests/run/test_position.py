"""The samples of a run, stopped anywhere and read by any number of workers and ranks."""

import random

import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.data.prefetch_dataloader import CPUPrefetcher
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from mclir_basicsr import ranks
from mclir_basicsr.errors import MclirError
from mclir_basicsr.run import resume
from mclir_basicsr.run.position import Position, begin, resumed_epoch
from mclir_basicsr.run.random_streams import begin_step, sample_stream


class Noisy(Dataset):
    """Each sample is its index and one random number of each kind."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if not 0 <= index < self.length:
            raise IndexError(index)
        return {'index': index, 'noise': (random.random(), np.random.rand(), torch.rand(1).double().item())}


def run_loop(length, batches, *, done=0, rank=0, ranks=1, ratio=1, seed=3, gpus=0, **options):
    """Samples of the iterations after `done` as BasicSR's loop meets them: (index, three numbers), in batches."""
    dataset = Noisy(length)
    options = {'phase': 'train', 'batch_size_per_gpu': 2, 'num_worker_per_gpu': 0} | options
    opt = {'datasets': {'train': options}, 'manual_seed': seed, 'dist': False}
    begin(opt, {'iter': done} if done else None)
    sampler = EnlargedSampler(dataset, ranks, rank, ratio)
    loader = build_dataloader(dataset, options, num_gpu=gpus, dist=False, sampler=sampler, seed=seed)
    prefetcher, met, epoch = CPUPrefetcher(loader), [], resumed_epoch(opt, 4711)
    while len(met) < batches - done:
        sampler.set_epoch(epoch)
        prefetcher.reset()
        while (data := prefetcher.next()) is not None:
            met.append(list(zip(data['index'].tolist(), *(values.tolist() for values in data['noise']), strict=True)))
        epoch += 1
    return met[: batches - done]


def plain_indices(length, batches, *, rank, ranks, ratio, batch):
    """What EnlargedSampler's documentation says, batch by batch, for as many whole batches as BasicSR counts."""
    met, epoch = [], 0
    per_rank = batch * -(-length * ratio // (batch * ranks))
    while len(met) < batches:
        order = torch.randperm(per_rank * ranks, generator=torch.Generator().manual_seed(epoch)).tolist()
        mine = [place % length for place in order][rank::ranks]
        met += [mine[i : i + batch] for i in range(0, len(mine), batch)]
        epoch += 1
    return met[:batches]


@settings(max_examples=60)
@given(st.data())
def test_behind_any_iteration_the_samples_are_those_of_a_run_that_did_not_stop(data):
    length, ratio, ranks = (data.draw(st.integers(1, most), name) for most, name in ((9, 'n'), (3, 'ratio'), (3, 'P')))
    rank = data.draw(st.integers(0, ranks - 1), 'rank')
    batch = data.draw(st.integers(1, 12), 'batch')
    done = data.draw(st.integers(0, 12), 'done')
    arguments = {'rank': rank, 'ranks': ranks, 'ratio': ratio, 'batch_size_per_gpu': batch}
    straight = run_loop(length, 15, **arguments)
    expected = plain_indices(length, 15, rank=rank, ranks=ranks, ratio=ratio, batch=batch)
    assert [[index for index, *_ in samples] for samples in straight] == expected
    assert run_loop(length, 15, done=done, **arguments) == straight[done:]


@pytest.mark.parametrize(
    'options',
    [
        {'num_worker_per_gpu': 2},
        {'num_worker_per_gpu': 1, 'persistent_workers': True},
        {'prefetch_mode': 'cpu'},
        {'prefetch_mode': 'cpu', 'num_worker_per_gpu': 1, 'persistent_workers': True},
    ],
)
def test_workers_and_prefetching_change_nothing(options):
    assert run_loop(6, 7, done=1, **options) == run_loop(6, 7, done=1)


@pytest.mark.parametrize('length', [8, 9])
def test_ranks_share_the_samples_of_one_process_with_the_whole_batch(length):
    one = run_loop(length, 6, batch_size_per_gpu=4)
    ranks = [run_loop(length, 6, rank=rank, ranks=2, batch_size_per_gpu=2) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*ranks, strict=True)] == [sorted(samples) for samples in one]


def test_several_gpus_in_one_process_take_as_many_iterations_as_one():
    """Three iterations of an epoch, with twice the batch."""
    batches = run_loop(6, 6, gpus=2, batch_size_per_gpu=2)
    assert [len(batch) for batch in batches] == [4] * 6
    noise = {sample[1:] for batch in batches for sample in batch}
    assert len(noise) == 24  # no draw is made twice
    assert [sorted(index for batch in batches[i : i + 3] for index, *_ in batch) for i in (0, 3)] == [
        sorted([*range(6), *range(6)])
    ] * 2


def test_random_numbers_differ_by_sample_epoch_and_seed():
    """Stock BasicSR repeats NumPy's and Python's in every epoch, and in a second rank's first worker."""
    samples = [sample for seed in (0, 1) for batch in run_loop(4, 6, seed=seed, num_worker_per_gpu=1)
               for sample in batch]  # fmt: skip
    for kind in (1, 2, 3):
        assert len({sample[kind] for sample in samples}) == len(samples) == 24


def states():
    return random.getstate()[1], tuple(np.random.get_state()[1]), tuple(torch.get_rng_state().tolist())


def test_reading_in_this_process_leaves_its_random_states_alone():
    before = states()
    with pytest.raises(IndexError), sample_stream(0, 0, 0):
        assert states() != before
        Noisy(1)[5]
    assert states() == before


def test_steps_and_samples_have_streams_of_their_own():
    drawn = set()
    for number in range(3):
        with sample_stream(0, 0, number):
            drawn.add((random.random(), np.random.rand(), torch.rand(1).item()))
        for rank in (0, 1):
            begin_step(0, rank, number)
            drawn.add((random.random(), np.random.rand(), torch.rand(1).item()))
    assert all(len({values[kind] for values in drawn}) == 9 for kind in range(3))


@pytest.mark.parametrize(('state', 'done', 'seed'), [(None, 0, 5), ({'iter': 7}, 7, 5), ({'iter': 7, 'seed': 9}, 7, 9)])
def test_where_a_run_begins(state, done, seed):
    opt = {'datasets': {'train': {}}, 'manual_seed': 5, 'dist': False}
    begin(opt, state)
    assert (opt['datasets']['train']['position'], opt['manual_seed']) == (Position(done), seed)
    assert resumed_epoch(opt, 3) == 3, 'no loader has been built yet'
    assert resumed_epoch({}, 3) == 3, "a loop of one's own"


@pytest.fixture
def second_rank(monkeypatch):
    """Options of rank 1; rank 0 begins a new run with another seed."""

    monkeypatch.setattr(ranks, 'gathered', lambda own: [(0, 4711), own])
    path = {'training_states': 'experiments/x/training_states'}
    return {'datasets': {'train': {}}, 'manual_seed': 5, 'dist': True, 'world_size': 2, 'path': path}


def test_without_manual_seed_ranks_take_that_of_rank_0(second_rank):
    begin(second_rank, None)
    assert second_rank['manual_seed'] == 4711


def test_ranks_that_see_other_states_do_not_begin(second_rank):
    with pytest.raises(MclirError, match=r'\(rank 0 0, rank 1 7; 0 is a new run\).* same experiments/x/train'):
        begin(second_rank, {'iter': 7})


@pytest.mark.parametrize(('model', 'ours'), [('HistoryModel', True), ('SRModel', False), ('NoSuchModel', False)])
def test_only_runs_of_historymodel_are_read_so(model, ours):
    opt = {
        'model_type': model, 'auto_resume': False, 'path': {}, 'dist': False, 'manual_seed': 0,
        'datasets': {
            'train': {'phase': 'train', 'batch_size_per_gpu': 1, 'num_worker_per_gpu': 0, 'prefetch_mode': 'cpu'}
        },
    }  # fmt: skip
    assert resume.load_resume_state(opt) is None
    dataset = Noisy(2)
    sampler = EnlargedSampler(dataset, 1, 0)
    loader = build_dataloader(dataset, opt['datasets']['train'], num_gpu=0, dist=False, sampler=sampler, seed=0)
    assert (loader.dataset is not dataset) == ours
    assert (loader.sampler is not sampler) == ours
    assert (type(loader) is DataLoader) == ours, 'a thread that reads ahead'
