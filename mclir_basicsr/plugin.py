"""Put our classes into BasicSR's registries."""

from collections.abc import Callable
from typing import Any

from mclir_basicsr import compat
from mclir_basicsr.errors import MclirError


def register() -> None:
    """Make every class of ours known to BasicSR by name; harmless when called again, in any import order.

    Raises:
        MclirError: Another package holds one of the names; then none of ours is registered.
        ImportError: BasicSR cannot be imported.
    """
    compat.before_import()
    import basicsr  # noqa: F401  the whole of it: its parts are complete only then
    from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY

    from mclir_basicsr.archs.dehazeformer_arch import DehazeFormer
    from mclir_basicsr.archs.ffanet_arch import FFANet
    from mclir_basicsr.archs.idt_arch import IDT
    from mclir_basicsr.archs.nafnet_local_arch import NAFNetLocal
    from mclir_basicsr.archs.spandrel_bridge import find_architecture
    from mclir_basicsr.losses import PSNRLoss, SPNLoss, SSIMLoss
    from mclir_basicsr.models.history_model import HistoryModel

    compat.after_import()
    ours: list[tuple[Any, Callable[..., Any]]] = [
        *((ARCH_REGISTRY, network) for network in (FFANet, DehazeFormer, IDT, NAFNetLocal)),
        *((LOSS_REGISTRY, loss) for loss in (SPNLoss, PSNRLoss, SSIMLoss)),
        (MODEL_REGISTRY, HistoryModel),
    ]
    missing = [(registry, kind) for registry, kind in ours if kind.__name__ not in registry]
    for registry, kind in ours:
        if (registry, kind) not in missing and registry.get(kind.__name__).__module__ != kind.__module__:
            raise MclirError(
                f'{kind.__name__} is already registered with BasicSR by {registry.get(kind.__name__).__module__}: '
                'is the MCLIR fork of BasicSR installed? Use BasicSR itself (pip install basicsr).'
            )
    for registry, kind in missing:
        registry.register(kind)
    compat.fallbacks['arch'] = find_architecture
