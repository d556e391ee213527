"""Weights out of checkpoint files: BasicSR's, those of other authors, safetensors."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn, serialization
from torch.jit import ScriptModule

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files import checkpoint

StateDict = dict[str, Tensor]
EMA_FIRST = (
    'params_ema',
    'params',
    None,
)  # the entries that validation measures: averaged weights where there are some

EMA_TAKEN = 'the averaged weights (EMA) of the checkpoint, params_ema, are taken, as validation does.'

_FOREIGN = re.compile(r'GLOBAL (\S+) was not an allowed global')
_BLOCKED = re.compile(r'GLOBAL (\S+) whose module \S+ is blocked')
# Modules that newer versions of torch name as blocked, and 2.4 only as not allowed.
_BLOCKED_MODULES = ('sys.', 'os.', 'posix.', 'nt.')
_IS_SCRIPT = 'is a TorchScript archive, a program with its weights'
_CONVERSION = """\
import torch
file = torch.load({source!r}, map_location='cpu', weights_only=False)
weights = {{}}
for key, part in (file if isinstance(file, dict) else {{'params': file}}).items():
    part = part.state_dict() if isinstance(part, torch.nn.Module) else part
    tensors = part.values() if isinstance(part, dict) else [part]
    if all(isinstance(tensor, torch.Tensor) for tensor in tensors):
        weights[key] = dict(part) if isinstance(part, dict) else part
torch.save(weights, {target!r})
"""
_CONVERSION_OF_SCRIPT = """\
import torch
torch.save({{'params': torch.jit.load({source!r}, map_location='cpu').state_dict()}}, {target!r})
"""


class Weights(NamedTuple):
    """What :func:`read_weights` found.

    Attributes:
        state_dict: Tensors by key, without ``module.`` before it.
        entry: Where in the file they stand (``path.param_key_g``); None where the file is the state dict itself.
    """

    state_dict: StateDict
    entry: str | None


def read_weights(path: Path, what: str, prefer: Sequence[str | None] = ('params',)) -> Weights:
    """Read the weights of a network from a checkpoint, without unpickling anything but tensors and plain types.

    NumPy values beside the weights, such as the metrics in FFANet's published files, are passed over.

    Args:
        path: The file: safetensors where its name ends so, otherwise one of ``torch.save``.
        what: What it is to the user, for messages, e.g. ``path.pretrain_network_g``.
        prefer: Entries to take, the first that is there; None stands for a file that is the state dict itself. Where
            none is there, the only set of weights of the file is taken.

    Returns:
        The weights on the CPU, and their entry.

    Raises:
        MclirError: The file is missing or damaged, needs unpickling of other classes or is a TorchScript archive (the
            message says how to convert it), or holds no weights, or several sets of them and none that is preferred.
    """
    found = _state_dicts(_load(path, what))
    if not found:
        raise MclirError(f'{what}: {path} holds no weights, neither at its top nor in an entry. Use another file.')
    entry = next((key for key in (*prefer, *found) if key in found), None)
    if entry not in prefer and len(found) > 1:
        asked = ' or '.join(dict.fromkeys(key or '~' for key in prefer))
        raise MclirError(
            f'{what}: {path} has no entry {asked}, but several sets of weights: {", ".join(map(str, found))}. '
            'Set path.param_key_g to the right one.'
        )
    return Weights({name.removeprefix('module.'): value for name, value in found[entry].items()}, entry)


def entries_asked(path: Mapping[str, Any]) -> tuple[str | None, ...]:
    """The entries of a checkpoint to take, the first that is there, for :func:`read_weights`.

    Args:
        path: The block ``path`` of the option file of a HistoryModel. Its ``param_key_g`` comes first; without one, the
            weights are those that validation would measure.

    >>> entries_asked({'param_key_g': 'model'}), entries_asked({})
    (('model', 'params'), ('params_ema', 'params', None))
    """
    return (path['param_key_g'], 'params') if 'param_key_g' in path else EMA_FIRST


def misfit(net: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """What keeps weights from loading into a network strictly, in few words; empty where nothing does."""
    own = net.state_dict()
    shapes = (
        f'{key} ({list(weights[key].shape)} instead of {list(value.shape)})'
        for key, value in own.items()
        if key in weights and weights[key].shape != value.shape
    )
    kinds = {
        'it lacks': (key for key in own if key not in weights),
        'it has besides': (key for key in weights if key not in own),
        'of another shape:': shapes,
    }
    parts = {kind: _first(keys) for kind, keys in kinds.items()}
    return '; '.join(f'{kind} {keys}' for kind, keys in parts.items() if keys)


def check_fit(net: nn.Module, weights: Mapping[str, Tensor], what: str, *, strict: bool) -> str:
    """Make sure that weights can be loaded into a network, as ``path.strict_load_g`` asks for.

    Args:
        net: The network.
        weights: Tensors by key.
        what: Key and file, for the message.
        strict: Whether all must fit. Otherwise some must: with none, the network would stay as it was drawn at random.

    Returns:
        What does not fit, see :func:`misfit`, and how many tensors do; empty where all fit.

    Raises:
        MclirError: They do not fit.
    """
    fault, own = misfit(net, weights), net.state_dict()
    if not fault:
        return ''
    if strict:
        raise MclirError(f'{what} does not fit network_g: {fault}')
    # Counters (num_batches_tracked) have the same names in many networks.
    fitting = [
        key for key, value in own.items() if value.dim() and key in weights and weights[key].shape == value.shape
    ]
    if not fitting:
        raise MclirError(
            f'{what} does not fit network_g in any key, which path.strict_load_g: false would pass over: {fault}. '
            'Correct network_g or the path; set path.pretrain_network_g to ~ to train from scratch.'
        )
    return f'{fault}; {len(fitting)} of {len(own)} tensors fit'


def _first(items: Iterable[str], count: int = 3) -> str:
    found = list(items)
    more = f' and {len(found) - count} more' if len(found) > count else ''
    return ', '.join(found[:count]) + more


def _load(path: Path, what: str) -> Any:
    try:
        with _numpy_passed_over():
            content = checkpoint.load(path, what)
    except MclirError as error:
        text = str(error)
        foreign = _FOREIGN.search(text)
        called = _BLOCKED.search(text) or (foreign if foreign and foreign[1].startswith(_BLOCKED_MODULES) else None)
        if called:
            raise MclirError(
                f'{what}: {path} would call {called[1]} on being unpickled, which no checkpoint needs. It is not read: '
                'get the weights from a source that you trust.'
            ) from error
        if foreign:
            raise _not_read(path, what, f'holds more than tensors: an object of {foreign[1]}', _CONVERSION) from error
        if 'TorchScript' in text:
            raise _not_read(path, what, _IS_SCRIPT, _CONVERSION_OF_SCRIPT) from error
        raise
    if isinstance(content, ScriptModule):  # torch 2.4 loads it, newer ones raise
        raise _not_read(path, what, _IS_SCRIPT, _CONVERSION_OF_SCRIPT)
    return content


def _not_read(path: Path, what: str, holds: str, conversion: str) -> MclirError:
    """The refusal of a file whose loading can run code, with a way to its weights."""
    script = conversion.format(source=str(path), target=str(path.with_name(f'{path.stem}_weights.pth')))
    return MclirError(
        f'{what}: {path} {holds}. It is not read, since loading such files can run any code. If you trust the '
        f'file, run this in Python and use the file that it writes, which holds the weights alone:\n{script}'
    )


def _state_dicts(content: Any) -> dict[str | None, StateDict]:
    """Every set of weights in a file, by entry."""
    if _is_state_dict(content):
        return {None: content}
    return {key: part for key, part in content.items() if _is_state_dict(part)} if isinstance(content, dict) else {}


def _is_state_dict(part: Any) -> bool:
    is_filled = isinstance(part, dict) and bool(part)
    return is_filled and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in part.items())


class _PassedOver:
    """Stands in for a NumPy value, whose own unpickling is native code that trusts the file."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


# By the names under which NumPy 1 and 2 pickle values, dtypes and arrays, and the helper that pickles their bytes.
_NUMPY: list[Any] = [
    type(name, (_PassedOver,), {'__module__': module})
    for module, names in {
        'numpy': ('dtype', 'ndarray'),
        'numpy.core.multiarray': ('scalar', '_reconstruct'),
        'numpy._core.multiarray': ('scalar', '_reconstruct'),
        '_codecs': ('encode',),
    }.items()
    for name in names
]


@contextmanager
def _numpy_passed_over() -> Iterator[None]:
    before = list(serialization.get_safe_globals())
    serialization.clear_safe_globals()  # a NumPy class that the program allowed would come before ours
    serialization.add_safe_globals(_NUMPY)
    try:
        yield
    finally:
        serialization.clear_safe_globals()
        serialization.add_safe_globals(before)
