"""CUDA graphs without a GPU: the operations of a capture, made again on the very tensors that it saw."""

import math

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Recorder(TorchDispatchMode):
    """Takes down every operation with the tensors that go in and come out."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **kwargs or {})
        self.operations.append((func, args, kwargs or {}, out))
        return out


class Graph:
    """What torch.cuda.CUDAGraph and torch.cuda.graph are used for."""

    replays = 0

    def replay(self):
        """Make the operations again; what other graphs with the same pool returned is lost."""
        Graph.replays += 1
        for other in self.pool:
            for tensor in other.made() if other is not self else ():
                if tensor.is_floating_point():
                    tensor.fill_(math.nan)
        with torch.no_grad(), torch.autocast('cpu', enabled=False):
            for func, args, kwargs, out in self.recorder.operations:
                again = func(*args, **kwargs)
                for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)

    def made(self):
        """Tensors of the graph's own memory: neither weights nor what it was given."""
        given = {id(leaf) for _, args, kwargs, _ in self.recorder.operations for leaf in tree_leaves((args, kwargs))}
        outs = [leaf for *_, out in self.recorder.operations for leaf in tree_leaves(out)]
        return [out for out in outs if isinstance(out, torch.Tensor) and id(out) not in given]


class Capture:
    """The context manager torch.cuda.graph."""

    def __init__(self, graph, pool=None, capture_error_mode='global'):
        self.graph, graph.pool, graph.recorder = graph, [] if pool is None else pool, Recorder()
        graph.pool.append(graph)

    def __enter__(self):
        self.graph.recorder.__enter__()

    def __exit__(self, *error):
        self.graph.recorder.__exit__(*error)


def emulate(monkeypatch):
    """Let cuda_graph.py find these in torch.cuda; returns Graph, whose ``replays`` counts from 0."""
    monkeypatch.setattr(Graph, 'replays', 0)
    for name, stand_in in {
        'CUDAGraph': Graph,
        'graph': Capture,
        'graph_pool_handle': list,
        'Stream': torch.cpu.Stream,
        'stream': torch.cpu.stream,
        'current_stream': torch.cpu.current_stream,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return Graph
