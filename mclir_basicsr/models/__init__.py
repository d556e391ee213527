"""BasicSR models."""

from mclir_basicsr import compat

# All of BasicSR comes first: where the start-up hook is on, its import registers our classes, which needs this
# package importable by then.
compat.before_import()
import basicsr  # noqa: E402, F401

from mclir_basicsr.models.history_model import HistoryModel  # noqa: E402

__all__ = ['HistoryModel']
