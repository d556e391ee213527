"""Put our classes into BasicSR's registries."""

from collections.abc import Callable
from typing import Any

from mclir_basicsr import compat
from mclir_basicsr.errors import MclirError


def register() -> None:
    """Make every class of ours known to BasicSR by name; harmless when called again, in any import order.

    Networks, losses and data sets that a project registers itself under the same name take precedence, before or after.

    Raises:
        MclirError: Another package holds SPNLoss or HistoryModel; then nothing is registered.
        ImportError: BasicSR cannot be imported.
    """
    compat.before_import()
    import basicsr  # noqa: F401  the whole of it: its parts are complete only then
    from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY

    from mclir_basicsr.archs.dehazeformer_arch import DehazeFormer
    from mclir_basicsr.archs.ffanet_arch import FFANet
    from mclir_basicsr.archs.idt_arch import IDT
    from mclir_basicsr.archs.nafnet_local_arch import NAFNetLocal
    from mclir_basicsr.archs.spandrel_bridge import architecture_names, find_architecture
    from mclir_basicsr.data.pairs_dataset import PairsFileDataset
    from mclir_basicsr.losses import PSNRLoss, SPNLoss, SSIMLoss
    from mclir_basicsr.models.history_model import HistoryModel

    compat.after_import()
    core: list[tuple[Any, Callable[..., Any]]] = [(LOSS_REGISTRY, SPNLoss), (MODEL_REGISTRY, HistoryModel)]
    for registry, kind in core:
        if kind.__name__ in registry and registry.get(kind.__name__).__module__ != kind.__module__:
            raise MclirError(
                f'{kind.__name__} is already registered with BasicSR by {registry.get(kind.__name__).__module__}: '
                'is the MCLIR fork of BasicSR installed? Use BasicSR itself (pip install basicsr).'
            )
    others: list[tuple[Any, Callable[..., Any]]] = [
        *((ARCH_REGISTRY, network) for network in (FFANet, DehazeFormer, IDT, NAFNetLocal)),
        *((LOSS_REGISTRY, loss) for loss in (PSNRLoss, SSIMLoss)),
        (DATASET_REGISTRY, PairsFileDataset),
    ]
    for registry, kind in core + others:
        if kind.__name__ not in registry:  # a class of that name in the user's project comes first
            registry.register(kind)
    compat.fallbacks['arch'], compat.fallback_names['arch'] = find_architecture, architecture_names
