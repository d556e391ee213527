"""The blocks ``spn_opt`` and ``history`` that an option file gains."""

from typing import Any

from ruamel.yaml.nodes import MappingNode

from mclir_basicsr.commands.enable.option_text import entries
from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import read_options

# Plain ASCII: a BasicSR without this plugin opens option files in the encoding of the locale.
COMMENTS = {
    'spn_opt': 'negative term: pushes the output away from those of the negative models',
    'loss_weight': 'weight of the term (lambda)',
    'vgg_type': 'network whose features are compared',
    'layer_weights': 'its layers and their weights',
    'criterion': 'l1, l2 or fro',
    'balance': 'the weight follows, so that spn_ratio in the log stays here',
    'weights': 'imagenet, oxford, or the path of a vgg state dict',
    'history': 'negative models: what the network was some iterations ago',
    'interval': 'iterations between refreshes, one negative model per entry',
    'negatives': 'how many negative models',
    'threshold': 'spread of the residual above which the next negative is refreshed',
    'decay': 'share of itself that a negative keeps at a refresh',
    'start': 'share of random weights in a negative at the start',
}


def defaults(
    given: dict[str, tuple[Any, str]], adaptive: bool, negatives: int | None, notes: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of ``spn_opt`` and ``history``, from what the file gave and the defaults of options.py."""
    values: dict[str, Any] = {key: value for key, (value, _) in given.items() if value}
    interval = values.pop('interval', None)
    count = negatives or len(interval or ()) or 4
    series = [int(f'{(1, 2, 5)[k % 3]}00{"0" * (k // 3)}') for k in range(count)]
    keys: tuple[str, ...] = ('interval',)
    if adaptive:
        values |= {'policy': 'adaptive', 'negatives': count}
        keys = 'policy', 'negatives', 'threshold'
    else:
        values['interval'] = interval if interval and len(interval) == count else series
    decay, start = values.pop('decay', []), values.pop('start', [])
    if len(decay) in (1, count):
        values['decay'] = decay[0] if len(set(decay)) == 1 else decay
    elif decay:
        notes.append(f'neg_decay {decay} does not fit {count} negatives: history.decay is the default.')
    if start:
        values['start'] = start[0]
    if len(set(start)) > 1:
        notes.append(f'neg_start {start}: history.start takes one number, the first was kept.')
    if adaptive and values.get('decay', 0.001) != 0.001:
        notes.append(f'history.decay {values["decay"]} is that of the file; the adaptive reference runs with 0.001.')
    try:
        own = read_options({'train': {'spn_opt': {}, 'history': values}})[0].model_dump()['train']
    except MclirError as error:
        faults = str(error).split('\n  ')[1:]
        raise MclirError('\n  '.join(['neg_iter, neg_decay and neg_start become train.history:', *faults])) from error
    spn_keys = ('type', 'loss_weight', 'vgg_type', 'layer_weights', 'criterion', 'weights')
    history = {key: own['history'][key] for key in (*keys, 'decay', 'start')}
    when = f'above spread {history["threshold"]}' if adaptive else f'every {history["interval"]} iterations'
    notes.append(f'train.history: {count} negative models, refreshed {when}.')
    return {key: own['spn_opt'][key] for key in spn_keys}, history


def loss_to_follow(train: MappingNode) -> str:
    """The key of ``train`` behind which they go."""
    keys = list(entries(train))
    return 'pixel_opt' if 'pixel_opt' in keys else [*keys, *(key for key in keys if key.endswith('_opt'))][-1]
