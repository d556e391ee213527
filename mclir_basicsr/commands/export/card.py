"""The model card of an exported network, in the form that the Hugging Face hub reads.

Its first block is YAML: https://huggingface.co/docs/hub/model-cards, with the figures as a ``model-index``.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from mclir_basicsr.commands.evaluate.subjects import Subject
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.exported import WEIGHTS
from mclir_basicsr.report.log import read_log
from mclir_basicsr.run import figures
from mclir_basicsr.study.compared import digest, named_files

Means = dict[str, dict[str, float]]
"""Mean over the images, by data set and metric."""


def card(experiment: Path, subject: Subject, sha256: str, study: Path | None, onnx: str | None) -> str:
    """The text of a model card.

    Args:
        experiment: The folder of the run.
        subject: Its network, with its options.
        sha256: Of the exported weights.
        study: See :func:`~mclir_basicsr.commands.export.export.export`.
        onnx: What is to be said of the ONNX file; None where there is none.

    Raises:
        MclirError: The study that was given has no results.
    """
    opt: Mapping[str, Any] = subject.options or {}
    total = int((opt.get('train') or {}).get('total_iter') or 0)
    saved = subject.checkpoint.stem.removeprefix('net_g_')
    iteration = int(saved) if saved.isdecimal() else total  # net_g_latest.pth is that of the end
    means = _means(experiment, iteration)
    head = yaml.safe_dump(_head(experiment.name, subject, means), sort_keys=False, allow_unicode=True)
    parts = [
        f'---\n{head}# license: left out; choose the one under which you share these weights\n---',
        f'# {experiment.name}',
        f'{_task(subject.scale)} with {subject.network_g["type"]}, trained by mclir_basicsr in BasicSR.',
        '## Use',
        _use(subject, sha256, onnx),
        '## Network',
        _block({'scale': subject.scale, 'network_g': dict(subject.network_g)}),
        '## Training',
        '\n'.join(f'- {line}' for line in _training(experiment, subject, opt, iteration)),
        '## Figures',
        _figures(means, iteration, (opt.get('val') or {}).get('metrics') or {}),
    ]
    if verdicts := list(_verdicts(experiment, study)):
        parts += ['## Study', '\n'.join(verdicts)]
    return '\n\n'.join(parts) + '\n'


def _head(name: str, subject: Subject, means: Means) -> dict[str, Any]:
    tags = ['basicsr', 'image-restoration', *(['super-resolution'] if subject.scale > 1 else []), 'spn']
    head: dict[str, Any] = {'library_name': 'basicsr', 'pipeline_tag': 'image-to-image', 'tags': tags}
    metrics = list(dict.fromkeys(metric for found in means.values() for metric in found))
    if metrics:
        task = {'type': 'image-to-image', 'name': _task(subject.scale)}
        results = [
            {
                'task': task,
                'dataset': {'name': dataset, 'type': dataset},
                'metrics': [{'type': metric, 'value': round(value, 4)} for metric, value in found.items()],
            }
            for dataset, found in means.items()
        ]
        head |= {'metrics': metrics, 'model-index': [{'name': name, 'results': results}]}
    return head


def _task(scale: int) -> str:
    return f'Super-resolution x{scale}' if scale > 1 else 'Image restoration'


def _use(subject: Subject, sha256: str, onnx: str | None) -> str:
    by_name = ', '.join(f'{key}={value!r}' for key, value in subject.network_g.items() if key != 'type')
    text = (
        f'`{WEIGHTS}` (SHA-256 {sha256}) holds the weights, entry {subject.entry or "~"} of the checkpoint.\n\n'
        f'    mclir restore {WEIGHTS} -i photographs\n\nor, in BasicSR:\n\n'
        '```python\nfrom basicsr.archs import build_network\nfrom safetensors.torch import load_file\n\n'
        f'net = build_network(dict(type={subject.network_g["type"]!r}, {by_name}))\n'
        f"net.load_state_dict(load_file('{WEIGHTS}'))\nnet.eval()  # lq (N, C, h, w), RGB\n```"
    )
    return text + (f'\n\n`model.onnx` takes and gives RGB in [0, 1]: {onnx}' if onnx else '')


def _block(content: Mapping[str, Any]) -> str:
    return f'```yaml\n{yaml.safe_dump(dict(content), sort_keys=False)}```'


def _training(experiment: Path, subject: Subject, opt: Mapping[str, Any], iteration: int) -> Iterator[str]:
    train = opt.get('train') or {}
    spn, history = train.get('spn_opt'), train.get('history')
    yield f'{iteration} of {train.get("total_iter")} iterations, seed {opt.get("manual_seed")}.'
    start = (opt.get('path') or {}).get('pretrain_network_g')
    if start:
        yield f'Start: `{Path(start).name}`, {_digest_of(start)}.'
    else:
        yield 'Start: random.'
    if spn is None:
        yield 'Without the SPN term.'
    else:
        weight = spn.get('loss_weight', 1e-3)
        asked = f'λ follows spn_ratio {spn["balance"]}' if spn.get('balance') else f'λ {weight}'
        yield f'SPN term (Wu et al., AAAI 2024, arXiv 2309.06023): {asked}{_last_ratio(experiment)}.'
        yield f'Its settings: `{json.dumps({"spn_opt": spn, "history": history})}`.'
    named = named_files([opt])
    for phase, data in (opt.get('datasets') or {}).items():
        for key in ('dataroot_gt', 'dataroot_lq', 'pairs_file', 'meta_info_file'):
            place = data.get(key)
            if isinstance(place, str) and (place in named or not Path(place).expanduser().exists()):
                yield f'datasets.{phase}.{key} ({data.get("name", phase)}): {_digest_of(place)}.'


def _digest_of(place: str) -> str:
    path = Path(place).expanduser()
    if not path.exists():
        return 'not at hand when this was written, so without a digest'
    found = digest(path)
    return f'SHA-256 {found["sha256"]} of {found["of"]}'


def _last_ratio(experiment: Path) -> str:
    """What the newest log with a measured ratio says last."""
    for file in sorted(experiment.glob('train_*.log'), reverse=True):
        values = read_log(file.read_text(encoding='utf-8', errors='replace')).training
        if ratios := values.get('spn_ratio'):
            last = max(ratios)
            weight = f', λ {values["spn_weight"][last]:.3g}' if last in values.get('spn_weight', {}) else ''
            return f'; spn_ratio {ratios[last]:.3g}{weight} at iteration {last}'
    return ''


def _means(experiment: Path, iteration: int) -> Means:
    """Of the weights that are exported, and of no others: those before the training, say."""
    return {
        dataset: {metric: sum(images.values()) / len(images) for metric, images in metrics.items()}
        for dataset, metrics in figures.of_iteration(experiment, iteration).items()
    }


def _figures(means: Means, iteration: int, metrics: Mapping[str, Any]) -> str:
    if not means:
        return f'The run measured none at iteration {iteration}, from which these weights are.'
    lines = [f'Means over the images, at iteration {iteration}.', '', '| data set | metric | mean |', '|---|---|---|']
    for dataset, found in means.items():
        lines += [f'| {dataset} | {name} | {value:.4f} |' for name, value in found.items()]
    lines.append('')
    for name, options in metrics.items():
        how = [f'{key} {value}' for key, value in options.items() if key not in ('type', 'better')]
        lines.append(f'- {name}: `{options.get("type")}` of BasicSR{"".join(f", {part}" for part in how)}')
    return '\n'.join(lines)


def _verdicts(experiment: Path, study: Path | None) -> Iterator[str]:
    """What a study found, a line for each gain."""
    place = experiment.resolve().parent.parent if study is None else study
    file = place if place.is_file() else place / 'results.json'
    if not file.is_file():
        if study is not None:
            raise MclirError(f'--study: there is no {file}: give the folder of a study that has finished.')
        return
    try:
        results = json.loads(file.read_text(encoding='utf-8'))
        found = {key: results[key] for key in ('gains', 'gains_over_start')}
    except (KeyError, TypeError, ValueError) as error:
        raise MclirError(f'{file} is no results.json of mclir study ({error!r}).') from error
    for key, over in (('gains', 'the first arm'), ('gains_over_start', 'the network before training')):
        for arm, datasets in found[key].items():
            for metrics in datasets.values():
                yield from (f'- {arm} over {over}: {gain["verdict"]}' for gain in metrics.values())
