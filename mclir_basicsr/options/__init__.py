"""Option files: the keys that are ours as typed structs, how a file is read, and what is said of its faults."""

from mclir_basicsr.options.contrast import ContrastOptions
from mclir_basicsr.options.page import reference_page
from mclir_basicsr.options.reading import read_options
from mclir_basicsr.options.structs import (
    HistoryOptions,
    KeepOptions,
    OwnOptions,
    PathOptions,
    SPNOptions,
    TileOptions,
    TrainOptions,
    ValOptions,
)
from mclir_basicsr.options.yaml_file import force, parse_file

__all__ = [
    'ContrastOptions',
    'HistoryOptions',
    'KeepOptions',
    'OwnOptions',
    'PathOptions',
    'SPNOptions',
    'TileOptions',
    'TrainOptions',
    'ValOptions',
    'force',
    'parse_file',
    'read_options',
    'reference_page',
]
