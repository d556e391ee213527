"""Which training state a run goes on from."""

import logging
from pathlib import Path
from typing import Any

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files import checkpoint
from mclir_basicsr.run import position, stop

logger = logging.getLogger('basicsr')


def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """The training state to resume, on the CPU; None for a new run. Stands in for the function of basicsr.train.

    With ``--auto_resume`` it is the latest of this experiment's ``training_states``. A HistoryModel's training data
    will go on behind it, and the run heeds signals.

    Raises:
        MclirError: The file is missing or damaged, there are states but none that serves, or the ranks of a
            HistoryModel do not resume the same one.
    """
    ours = is_ours(opt)
    state = _read_resume_state(opt, ours)
    if ours:
        position.begin(opt, state)
        stop.listen()
    return state


def is_ours(opt: dict[str, Any]) -> bool:
    """Whether the model of these options goes on bit for bit: HistoryModel, and what is derived from it."""
    from basicsr.utils.registry import MODEL_REGISTRY

    model = opt.get('model_type')
    return model in MODEL_REGISTRY and getattr(MODEL_REGISTRY.get(model), 'resumes_exactly', False)


def _read_resume_state(opt: dict[str, Any], ours: bool) -> dict[str, Any] | None:
    from basicsr.utils import check_resume

    if opt['auto_resume']:
        state = _latest_state(opt, ours)
    else:
        path = opt['path'].get('resume_state')
        state = _load(opt, Path(path), 'path.resume_state', ours) if path else None
    if state is not None:
        check_resume(opt, state['iter'])
    return state


def _load(opt: dict[str, Any], path: Path, what: str, ours: bool) -> dict[str, Any]:
    """A whole state; that of a model of ours is compared with the run that is to go on with it."""
    from basicsr.utils.registry import MODEL_REGISTRY

    state = checkpoint.load(path, what)
    if not (isinstance(state, dict) and isinstance(state.get('iter'), int)):
        raise MclirError(f'{what}: {path} is no training state. Give a .state file of training_states.')
    if ours:
        try:
            MODEL_REGISTRY.get(opt['model_type']).check_state(opt, state)
        except MclirError as error:
            raise MclirError(f'{what}: {path} cannot be resumed. {error}') from error
    return state


def _latest_state(opt: dict[str, Any], ours: bool) -> dict[str, Any] | None:
    """The newest whole state of the experiment; damaged ones are passed over with a warning.

    A model of ours is known to need its networks, which must then be there and whole too.
    """
    folder = Path(opt['path']['training_states'])
    opt['path']['resume_state'] = None
    faults: list[MclirError] = []
    for iteration in sorted((int(file.stem) for file in folder.glob('*.state') if file.stem.isdecimal()), reverse=True):
        file = folder / f'{iteration}.state'
        try:
            state = _load(opt, file, 'training_states', ours)
            for network in _networks(opt) if ours else ():
                checkpoint.load(Path(opt['path']['models']) / f'net_{network}_{iteration}.pth', 'models')
            if state['iter'] != iteration:
                raise MclirError(f'training_states: {file} is of iteration {state["iter"]}.')
        except MclirError as error:
            logger.warning('Passed over: %s', error)
            faults.append(error)
            continue
        opt['path']['resume_state'] = str(file)
        return state
    if faults:
        raise MclirError(
            f'--auto_resume: none of the {len(faults)} states in {folder} can be resumed. The newest: {faults[0]}\n'
            'Put back what is missing, or leave out --auto_resume to begin a new run (this one is then put aside).'
        )
    return None


def _networks(opt: dict[str, Any]) -> list[str]:
    """Letters of the networks that a resumed run reads: g, and d of a discriminator."""
    left_out = opt['path'].get('ignore_resume_networks') or ()
    letters = [key.removeprefix('network_') for key in opt if key.startswith('network_') and key not in left_out]
    return list(dict.fromkeys(['g'] * ('network_g' not in left_out) + letters))
