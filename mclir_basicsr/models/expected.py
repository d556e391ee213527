"""What a run is made of, known from its options alone: before its model, its folders and its log file are made."""

import logging
from copy import deepcopy
from typing import Any

from basicsr.models.base_model import BaseModel
from basicsr.utils import logger
from basicsr.utils.registry import ARCH_REGISTRY

from mclir_basicsr.options import HistoryOptions, read_options
from mclir_basicsr.run.random_streams import sample_stream
from mclir_basicsr.run.training_state import Expected
from mclir_basicsr.stand_in import stand_in


def expected(kind: type, opt: dict[str, Any]) -> Expected | None:
    """Make network, optimizers and schedules of a run, and nothing else.

    Args:
        kind: The class of its model.
        opt: Its options, as BasicSR's parser gives them.

    Returns:
        What a state to resume must fit; None where the options do not allow to make it, of which the model will tell.
    """
    model: Any = object.__new__(kind)
    said = logging.getLogger('basicsr')
    try:
        # BasicSR sets its logger up at the first use, and to the run's log file only then: it must not see this one.
        with (
            sample_stream(0, 0, 0),
            stand_in(logger, 'initialized_logger', {'basicsr': True}),
            stand_in(said, 'disabled', True),
        ):
            BaseModel.__init__(model, {**opt, 'num_gpu': 0, 'dist': False, 'train': deepcopy(opt['train'])})
            for key in [key for key in opt if key.startswith('network_')]:
                network = deepcopy(opt[key])
                setattr(model, f'net_{key[8:]}', ARCH_REGISTRY.get(network.pop('type'))(**network))
            model.setup_optimizers()
            model.setup_schedulers()
            own = read_options(opt)[0]
    except Exception:  # whatever a network or an optimizer raises on its arguments
        return None
    schedulers = None if own.path.resume_settings == 'file' else model.schedulers
    return Expected(model.optimizers, schedulers, model.net_g, _negatives(own.train.history))


def _negatives(history: HistoryOptions | None) -> int:
    return 0 if history is None else history.negatives or len(history.interval or ())
