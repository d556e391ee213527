"""BasicSR models."""

from mclir_basicsr.models.history_model import HistoryModel

__all__ = ['HistoryModel']
