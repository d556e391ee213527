"""The final network of an experiment as files that others can load: safetensors, a model card, ONNX."""

import hashlib
from pathlib import Path

from safetensors.torch import save
from torch import nn

from mclir_basicsr.commands.evaluate.subjects import Subject
from mclir_basicsr.commands.export import onnx_file
from mclir_basicsr.commands.export.card import card
from mclir_basicsr.commands.replacing import refuse_to_replace
from mclir_basicsr.commands.restore.subject import network_of, subject_of
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.exported import WEIGHTS, metadata
from mclir_basicsr.files.whole_file import whole_file

CARD, ONNX = 'README.md', 'model.onnx'


def export(
    experiment: Path, out: Path, *, study: Path | None = None, onnx: bool = True, force: bool = False
) -> list[str]:
    """Write ``model.safetensors``, ``README.md`` (a model card) and, where it can be, ``model.onnx``.

    Args:
        experiment: Folder of a finished run; EMA weights where it has some.
        out: Folder for the files.
        study: Folder of a study, or its results.json, whose verdict the card tells; None for that of which the
            experiment is a run.
        onnx: Whether to try ONNX.
        force: Replace files.

    Returns:
        What was written, and why something was not.

    Raises:
        MclirError: There is no finished experiment, or a file is there already.
    """
    from mclir_basicsr.plugin import register

    if not experiment.is_dir():
        raise MclirError(f'{experiment} is no experiment folder, which the model card tells of.')
    names = [WEIGHTS, CARD, *([ONNX] if onnx else [])]
    refuse_to_replace([out / name for name in names], '-o', force=force)
    register()
    subject = subject_of(experiment)
    net = network_of(subject)
    weights = _weights(net, subject)
    out.mkdir(parents=True, exist_ok=True)
    _write(weights, out / WEIGHTS)
    made, missing = onnx_file.write(net, subject, out / ONNX) if onnx else (None, None)
    text = card(experiment, subject, hashlib.sha256(weights).hexdigest(), study, made)
    _write(text.encode(), out / CARD)
    said = [subject.told(), f'{out / WEIGHTS} and {out / CARD} written.']
    said += [f'{out / ONNX} written: {made}'] if made else [f'No ONNX file: {missing}'] if missing else []
    return [*said, f'{out / CARD} names no license: add one ("license: ..." in its first block) before you share it.']


def _weights(net: nn.Module, subject: Subject) -> bytes:
    """As safetensors, with what it takes to build the network; copies, as tensors may share memory."""
    state = {key: value.detach().cpu().contiguous().clone() for key, value in net.state_dict().items()}
    return save(state, metadata(subject.network_g, subject.scale, subject.options or {}))


def _write(content: bytes, file: Path) -> None:
    with whole_file(file) as stream:
        stream.write(content)
