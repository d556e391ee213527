"""Put our classes into BasicSR's registries."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from mclir_basicsr import compat
from mclir_basicsr.errors import MclirError
from mclir_basicsr.served import RELEASE, is_served

_Entry = tuple[Any, Callable[..., Any]]  # a registry and a class


def register() -> None:
    """Make every class of ours known to BasicSR by name; harmless when called again, in any import order.

    Networks, losses and data sets that a project registers itself under the same name take precedence, before or after.
    Everything is looked up first, then BasicSR is repaired, then the classes are registered. Where a step fails, those
    before it are undone.

    Raises:
        MclirError: Another package holds SPNLoss or HistoryModel, or this is a basicsr that the plugin does not serve.
        ImportError: BasicSR cannot be imported.

    >>> register()
    >>> from basicsr.utils.registry import MODEL_REGISTRY
    >>> MODEL_REGISTRY.get('HistoryModel').__name__
    'HistoryModel'
    """
    with ExitStack() as undo:
        undo.callback(compat.before_import())
        entries = _look_up()
        undo.callback(compat.after_import())
        for registry, kind in entries:
            if kind.__name__ not in registry:  # a class of that name in the user's project comes first
                registry.register(kind)
                undo.callback(registry._obj_map.pop, kind.__name__)
        undo.pop_all()  # nothing failed: all of it stays


def _look_up() -> list[_Entry]:
    """Import BasicSR and our classes, and see whether the names that must be ours are free."""
    import basicsr  # the whole of it: its parts are complete only then

    if not is_served(basicsr.__path__):
        raise MclirError(
            f'{basicsr.__path__[0]} is not BasicSR 1.4.2 or newer, but an older one or a part of it, as '
            f'other projects bring. Use BasicSR itself (pip install {RELEASE}) where that copy does not come first.'
        )
    from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

    from mclir_basicsr import losses
    from mclir_basicsr.archs.dehazeformer_arch import DehazeFormer
    from mclir_basicsr.archs.ffanet_arch import FFANet
    from mclir_basicsr.archs.idt_arch import IDT
    from mclir_basicsr.archs.nafnet_local_arch import NAFNetLocal
    from mclir_basicsr.data.mixed_dataset import MixedDataset
    from mclir_basicsr.data.pairs_dataset import PairsFileDataset
    from mclir_basicsr.metrics.perceptual import calculate_dists, calculate_lpips
    from mclir_basicsr.models.history_model import HistoryModel

    core: list[_Entry] = [(LOSS_REGISTRY, losses.SPNLoss), (MODEL_REGISTRY, HistoryModel)]
    for registry, kind in core:
        holder = registry._obj_map.get(kind.__name__, kind)
        if holder.__module__ != kind.__module__:
            raise MclirError(
                f'{kind.__name__} is already registered with BasicSR by {holder.__module__}: '
                f'is the MCLIR fork of BasicSR installed? Use BasicSR itself (pip install {RELEASE}).'
            )
    return [
        *core,
        *((ARCH_REGISTRY, network) for network in (FFANet, DehazeFormer, IDT, NAFNetLocal)),
        *((LOSS_REGISTRY, getattr(losses, name)) for name in losses.__all__ if name != 'SPNLoss'),
        *((DATASET_REGISTRY, data) for data in (MixedDataset, PairsFileDataset)),
        *((METRIC_REGISTRY, metric) for metric in (calculate_lpips, calculate_dists)),
    ]
