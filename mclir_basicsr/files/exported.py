"""What an exported network's safetensors file says of it, so that it can be built without its option file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

WEIGHTS = 'model.safetensors'
_KEY = 'mclir_basicsr'


def metadata(network_g: Mapping[str, Any], scale: int, options: Mapping[str, Any]) -> dict[str, str]:
    """For the header of a safetensors file: the network, its scale, the range of values and the sides that it takes.

    Args:
        network_g: The block of the option file.
        scale: Sides of its output over those of its input.
        options: The option file.

    >>> metadata({'type': 'EDSR'}, 2, {})
    {'format': 'pt', 'mclir_basicsr': '{"network_g": {"type": "EDSR"}, "scale": 2}'}
    """
    blocks = options.get('datasets') or {}
    data: Mapping[str, Any] = blocks.get('train') or next(iter(blocks.values()), {})
    kept: dict[str, Any] = {'network_g': dict(network_g), 'scale': scale}
    if values := {key: data[key] for key in ('mean', 'std') if data.get(key) is not None}:
        kept['datasets'] = {'train': values}
    if isinstance(pad := (options.get('val') or {}).get('pad_multiple'), int):
        kept['val'] = {'pad_multiple': pad}
    return {'format': 'pt', _KEY: json.dumps(kept)}


def read_metadata(file: Path) -> dict[str, Any] | None:
    """``network_g``, ``scale`` and the parts of ``datasets`` and ``val`` of such a file; None where it has none."""
    if file.suffix.lower() != '.safetensors':
        return None
    try:
        with safe_open(file, framework='pt') as stream:
            kept = json.loads((stream.metadata() or {}).get(_KEY, 'null'))
    except (OSError, SafetensorError, ValueError):  # the weights' own reading names the damage
        return None
    known = isinstance(kept, dict) and isinstance(kept.get('network_g'), dict) and isinstance(kept.get('scale'), int)
    return kept if known else None
