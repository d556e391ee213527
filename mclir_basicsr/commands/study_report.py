"""What the page of a study shows besides its results: curves from the logs, and pictures by the final networks."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mclir_basicsr.errors import MclirError
from mclir_basicsr.metrics.directions import direction
from mclir_basicsr.report import Picture, read_run
from mclir_basicsr.report.study_page import write_study_page
from mclir_basicsr.study.definition import run_name
from mclir_basicsr.study.folder import Folder
from mclir_basicsr.study.results import Results

_SETS = 3  # of which pictures are shown
_SEED = 0


def write_page(folder: Folder, results: Results, compared: Mapping[str, Any]) -> Path:
    """Write ``index.html`` into a study's folder; what cannot be shown is named on it.

    Args:
        folder: Of the study, whose runs are finished.
        results: Of all of them.
        compared: What was compared.
    """
    notes: list[str] = []
    runs = []
    for arm in results.figures:
        for seed in range(compared['seeds']):
            try:
                runs.append(read_run(folder.root / 'experiments' / run_name(arm, seed), arm))
            except MclirError as error:
                notes.append(f'No curve: {error}')
    try:
        pictures = _pictures(folder, results)
        notes.append(
            f'Pictures are restored by the networks of seed {_SEED} at their end: of each data set the image with the '
            f'least gain of {list(results.figures)[-1]}, and one with a typical gain.'
        )
    except Exception as error:  # whatever a network or a data set raises: the results stand without pictures
        pictures = []
        notes.append(f'No pictures, since the final networks could not restore any here: {error}')
    return write_study_page(folder.root, results, compared, runs, pictures, notes)


def _pictures(folder: Folder, results: Results) -> list[Picture]:
    from mclir_basicsr.plugin import register

    register()
    from mclir_basicsr.commands.evaluate.evaluate import model_of
    from mclir_basicsr.commands.evaluate.subjects import find

    opt = folder.definition.options
    shown = list(_shown(opt, results))
    found: dict[tuple[str, str], dict[str, dict[str, np.ndarray]]] = {}
    for arm in results.figures:
        experiment = folder.root / 'experiments' / run_name(arm, _SEED)
        subject = next(one for one in find(experiment, None, None) if one.label == experiment.name)
        model = model_of(subject, opt['val'])
        for dataset, image, _ in shown:
            position = list(next(iter(results.figures[arm][dataset].values()))[str(_SEED)]).index(image)
            found.setdefault((dataset, image), {})[arm] = _restored(model, _block(opt, dataset), position, image)
    return [
        Picture(
            f'{dataset}: {image}, {which}',
            {arm: images['result'] for arm, images in found[dataset, image].items()},
            *(next(iter(found[dataset, image].values())).get(part) for part in ('lq', 'gt')),
        )
        for dataset, image, which in shown
    ]


def _shown(opt: Mapping[str, Any], results: Results) -> Iterator[tuple[str, str, str]]:
    """Data set, image and why it is shown, by the gain of the last arm over the first in the first metric."""
    first, *_, last = results.figures
    for dataset in list(results.figures[first])[:_SETS]:
        metric = next(iter(results.figures[first][dataset]))
        sides = [results.figures[arm][dataset][metric] for arm in (first, last)]
        images = set.intersection(*(set(seed) for side in sides for seed in side.values()))
        of = {i: np.mean([[seed[i] for seed in side.values()] for side in sides], axis=1) for i in images}
        sign = -1 if direction(opt['val']['metrics'].get(metric) or {}) == 'lower' else 1
        ranked = sorted(images, key=lambda image: (sign * (of[image][1] - of[image][0]), image))
        if ranked:
            yield dataset, ranked[0], 'least gain'
        if len(ranked) > 1:
            yield dataset, ranked[max(1, len(ranked) // 2)], 'typical'


def _block(opt: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    blocks = (block for phase, block in opt['datasets'].items() if phase.startswith('val'))
    found = next(block for block in blocks if block['name'] == dataset)
    return {**found, 'phase': 'val', 'scale': opt.get('scale', 1)}


def _restored(model: Any, block: dict[str, Any], position: int, image: str) -> dict[str, np.ndarray]:
    """``lq``, ``result`` and, where the data set has it, ``gt`` of an image: (H, W, 3), uint8, RGB."""
    from basicsr.data import build_dataset
    from basicsr.utils import tensor2img
    from torch.utils.data import default_collate

    from mclir_basicsr.inference.normalisation import Normalisation

    normalisation = Normalisation(block, f'datasets: {block["name"]}')
    data = default_collate([build_dataset(block)[position]])
    if Path(data['lq_path'][0]).stem != image:
        raise MclirError(f'{block["name"]} is in another order than it was validated in.')
    model.feed_data(data)
    model.test()
    visuals = {part: tensor2img([normalisation.undone(value)]) for part, value in model.get_current_visuals().items()}
    if hasattr(model, 'gt'):
        del model.gt  # the next data set may have none
    return {part: _rgb(value) for part, value in visuals.items()}


def _rgb(image: np.ndarray) -> np.ndarray:
    """Of BGR or grey."""
    return np.stack([image] * 3, axis=-1) if image.ndim == 2 else image[..., ::-1]
