"""What a retraining brought: tables, curves and pictures from BasicSR experiment folders."""

from mclir_basicsr.report.page import compare, write_report
from mclir_basicsr.report.pictures import Picture, load_pictures
from mclir_basicsr.report.runs import Run, Series, read_run
from mclir_basicsr.report.table import table

__all__ = ['Picture', 'Run', 'Series', 'compare', 'load_pictures', 'read_run', 'table', 'write_report']
