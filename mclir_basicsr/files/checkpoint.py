"""Checkpoints: written whole or not at all, read safely, and named where they are damaged."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files import integrity
from mclir_basicsr.files.whole_file import whole_file


def save(content: Any, path: Path) -> None:
    """``torch.save`` into a :func:`~mclir_basicsr.files.whole_file.whole_file`.

    Raises:
        MclirError: It could not be written (a full disk, say); whatever stood under the name is untouched.
    """
    try:
        needed, free = _tensor_bytes(content), shutil.disk_usage(path.parent).free
        if needed > free:
            raise OSError(f'it takes {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free')
        with whole_file(path) as file:
            torch.save(content, file)
    except (OSError, RuntimeError) as error:  # torch reports a short write as a RuntimeError
        raise MclirError(
            f'Cannot write {path}: {error}. Earlier checkpoints are intact; make room or check the permissions, '
            'then go on with --auto_resume.'
        ) from error


def _tensor_bytes(content: Any) -> int:
    if isinstance(content, torch.Tensor):
        return content.numel() * content.element_size()
    if isinstance(content, Mapping):
        return sum(map(_tensor_bytes, content.values()))
    return sum(map(_tensor_bytes, content)) if isinstance(content, (list, tuple)) else 0


def load(path: Path, what: str) -> Any:
    """``torch.load`` onto the CPU, of tensors and plain types only; ``*.safetensors`` are read as what they are.

    Before, the file is compared with the checksums that it holds (:mod:`mclir_basicsr.files.integrity`).

    Args:
        path: The file.
        what: What it is to the user, for the message, e.g. ``path.pretrain_network_g``.

    Raises:
        MclirError: There is no such file, it is truncated or does not fit its checksums, or it holds other objects.
    """
    if not path.is_file():
        raise MclirError(f'{what}: there is no file {path}. Correct the path in the option file.')
    try:
        integrity.check(path)
        if path.suffix.lower() == '.safetensors':
            return load_file(path)
        return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # a zip error, a pickle error or EOFError, as the damage may be
        raise MclirError(
            f'{what}: {path} is truncated, damaged or no checkpoint of tensors and plain types '
            f'({type(error).__name__}: {_reason(error)}). Use another file.'
        ) from error


def _reason(error: Exception) -> str:
    """What is wrong with the file: torch says it first, or last behind advice to unpickle all the same."""
    text = str(error).partition('\n\nCheck the documentation')[0].strip()
    lines = text.splitlines() or ['empty file']
    line = lines[-1] if text.startswith('Weights only') else lines[0]
    return line.split('. ')[0].strip().rstrip('.')
