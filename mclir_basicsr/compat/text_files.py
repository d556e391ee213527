"""Repairs of how BasicSR reads option files and writes logs, whatever the locale."""

import logging
from collections.abc import Callable
from typing import IO, Any

from mclir_basicsr.compat.repair import Repair, Shadow


def option_file(*args: Any, **kwargs: Any) -> IO[str]:
    """Option files are opened in the encoding of the locale, and of a key that stands twice the last is taken."""
    from mclir_basicsr.options.yaml_file import open_option_file

    return open_option_file(*args, **kwargs)


def log_file(original: Callable[..., logging.Logger], *args: Any, **kwargs: Any) -> logging.Logger:
    """The log is written in the encoding of the locale, which may lack letters of paths and messages."""
    root = original(*args, **kwargs)
    for handler in root.handlers:
        if isinstance(handler, logging.FileHandler) and handler.stream is not None:
            handler.stream.reconfigure(encoding='utf-8')  # report reads it as that
    return root


REPAIRS = (
    Shadow('basicsr.utils.options', 'open', option_file),
    Repair('basicsr.utils.logger', 'get_root_logger', log_file),
)
