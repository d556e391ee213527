"""Figures of networks on data sets, by the same code as a HistoryModel's validation."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mclir_basicsr.commands.evaluate.subjects import Subject, find
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.options import parse_file

Found = dict[str, dict[str, dict[str, dict[str, float]]]]
"""By subject, data set, metric and image."""


def evaluate(
    places: Sequence[Path],
    *,
    option_file: Path | None = None,
    gt: Path | None = None,
    lq: Path | None = None,
    output: Path | None = None,
) -> str:
    """Measure networks on data sets.

    Args:
        places: Checkpoints and experiment folders.
        option_file: Its data sets (``val*`` and ``test*``), ``val`` block and network count; None for those of the
            first experiment folder.
        gt: Folder of ground truth, in place of the option file's data sets; with ``lq``.
        lq: Folder of the inputs, with the same names.
        output: JSON file for the figures of each image.

    Returns:
        What was taken, and a table of the means, for the terminal.

    Raises:
        MclirError: Something is missing or does not fit.
    """
    from mclir_basicsr.plugin import register

    register()
    opt = parse_file(option_file) if option_file is not None else None
    network, scale = (opt.get('network_g'), opt.get('scale', 1)) if opt is not None else (None, None)
    subjects = _distinct(subject for place in places for subject in find(place, network, scale))
    settings = opt or next((subject.options for subject in subjects if subject.options), None) or {}
    scales = {subject.scale for subject in subjects}
    if len(scales) > 1:
        raise MclirError(f'Networks of different scales ({sorted(scales)}) cannot be measured on the same pairs.')
    datasets = _datasets(settings, gt, lq, option_file)
    val = dict(settings.get('val') or {})
    val['metrics'] = val.get('metrics') or _default_metrics(scales.pop())
    found = {subject.label: _measure(subject, datasets, val) for subject in subjects}
    if output is not None:
        told = {s.label: {'checkpoint': str(s.checkpoint), 'entry': s.entry} for s in subjects}
        with whole_file(output) as file:
            file.write((json.dumps({'subjects': told, 'metrics': val['metrics'], 'figures': found}, indent=1)).encode())
    return '\n'.join([*(subject.told() for subject in subjects), '', *_table(found)])


def _distinct(subjects: Iterable[Subject]) -> list[Subject]:
    """Each set of weights once: repetitions of a training begin with the same ones. Labels become distinct too."""
    found: dict[tuple[Path, str | None], Subject] = {}
    for subject in subjects:
        found.setdefault((subject.checkpoint.resolve(), subject.entry), subject)
    kept = list(found.values())
    labels = [subject.label for subject in kept]
    return [replace(s, label=str(s.checkpoint)) if labels.count(s.label) > 1 else s for s in kept]


def _datasets(settings: Mapping[str, Any], gt: Path | None, lq: Path | None, file: Path | None) -> list[dict[str, Any]]:
    if (gt is None) != (lq is None):
        raise MclirError('--gt and --lq go together: give both folders.')
    if gt is not None and lq is not None:
        folders = {'dataroot_gt': str(gt), 'dataroot_lq': str(lq)}
        return [
            {'name': gt.parent.name or gt.name, 'type': 'PairedImageDataset', **folders, 'io_backend': {'type': 'disk'}}
        ]
    blocks = settings.get('datasets') or {}
    found = [dict(block) for phase, block in blocks.items() if phase.split('_')[0] in ('val', 'test')]
    if not found:
        where = f'{file} has no data set val or test' if file else 'A checkpoint says nothing of data sets'
        raise MclirError(f'{where}: give -opt FILE with some, or --gt DIR and --lq DIR.')
    return found


def _default_metrics(scale: int) -> dict[str, Any]:
    """PSNR and SSIM in RGB, without a border of the scale."""
    kinds = {'psnr': 'calculate_psnr', 'ssim': 'calculate_ssim'}
    border = scale if scale > 1 else 0
    return {name: {'type': kind, 'crop_border': border, 'test_y_channel': False} for name, kind in kinds.items()}


def model_of(subject: Subject, val: Mapping[str, Any]) -> Any:
    """A HistoryModel with the network of a subject, for measuring.

    Args:
        subject: What was found.
        val: Of the option file.
    """
    from basicsr.models import build_model

    from mclir_basicsr import devices

    return build_model(
        {
            **{'name': subject.label, 'model_type': 'HistoryModel', 'scale': subject.scale, 'is_train': False},
            **{'num_gpu': int(devices.gpu() is not None), 'dist': False, 'rank': 0, 'world_size': 1},
            'network_g': dict(subject.network_g),
            'path': {
                'pretrain_network_g': str(subject.checkpoint),
                'param_key_g': subject.entry,
                'strict_load_g': True,
            },
            'val': {**val, 'save_img': False},
        }
    )


def _measure(
    subject: Subject, datasets: Sequence[Mapping[str, Any]], val: Mapping[str, Any]
) -> dict[str, dict[str, dict[str, float]]]:
    """Figures of one network by data set, metric and image."""
    from basicsr.data import build_dataloader, build_dataset

    model = model_of(subject, val)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for block in datasets:
        options = {**block, 'phase': 'val', 'scale': subject.scale}
        loader = build_dataloader(build_dataset(options), options, num_gpu=0, dist=False)
        for image, values in model.measure(loader):
            for metric, value in values.items():
                found.setdefault(options['name'], {}).setdefault(metric, {})[image] = value
    return found


def _table(found: Found) -> list[str]:
    """Rows of means: one for each subject, columns for each data set and metric."""
    first = next(iter(found.values()))
    columns = [(dataset, metric) for dataset, metrics in first.items() for metric in metrics]
    width = max(map(len, found))
    heads = [f'{dataset} {metric}' for dataset, metric in columns]
    lines = [f'{"":{width}}  ' + '  '.join(heads)]
    for label, datasets in found.items():
        cells = []
        for (dataset, metric), head in zip(columns, heads, strict=True):
            values = datasets[dataset][metric].values()
            cells.append(f'{sum(values) / len(values):{len(head)}.4f}')
        lines.append(f'{label:{width}}  ' + '  '.join(cells))
    return lines
