"""The keys that something reads, block by block, and what is said of those that nothing reads."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mclir_basicsr.errors import did_you_mean
from mclir_basicsr.options.bases import OF_A_GAN, BaseKeys
from mclir_basicsr.options.structs import TOP_KEYS, PathOptions, TrainOptions, ValOptions

# What BasicSR 1.4.2 reads of the option file of a HistoryModel, beside our keys.
TOP = {
    'name', 'model_type', 'scale', 'num_gpu', 'manual_seed', 'datasets', 'network_g', 'path', 'train', 'val', 'logger',
    'dist_params', 'find_unused_parameters',
}  # fmt: skip
PATH = {'pretrain_network_g', 'strict_load_g', 'param_key_g', 'resume_state', 'ignore_resume_networks'}
TRAIN = {'ema_decay', 'optim_g', 'scheduler', 'total_iter', 'warmup_iter', 'pixel_opt', 'perceptual_opt'}
VAL = {'val_freq', 'save_img', 'suffix', 'metrics', 'pbar'}
LOGGER = {'print_freq', 'save_checkpoint_freq', 'use_tb_logger', 'wandb'}
_LOADER = {
    'name', 'type', 'batch_size_per_gpu', 'num_worker_per_gpu', 'dataset_enlarge_ratio', 'prefetch_mode',
    'num_prefetch_queue', 'pin_memory', 'persistent_workers',
}  # fmt: skip
_IMAGES = {'dataroot_lq', 'io_backend', 'mean', 'std', 'color'}
_PAIRS = _LOADER | _IMAGES | {'dataroot_gt', 'gt_size', 'use_hflip', 'use_rot'}
DATA_SETS = {
    'PairedImageDataset': _PAIRS | {'meta_info_file', 'filename_tmpl'},
    'PairsFileDataset': _PAIRS | {'pairs_file'},
    'SingleImageDataset': _LOADER | _IMAGES | {'meta_info_file'},
}
DATA_SETS['MixedDataset'] = {'parts', 'dataroots_gt', 'dataroots_lq', 'shares'} | set().union(*DATA_SETS.values())
OF_TRAINING = {'gt_sizes', 'mini_batch_sizes', 'iters'}  # what we read of datasets.train: data/progressive.py
# What BasicSR's parser and our training data put into the options.
_ADDED = {
    '': {'is_train', 'dist', 'rank', 'world_size', 'auto_resume', 'root_path'},
    'path': {'experiments_root', 'results_root', 'models', 'training_states', 'log', 'visualization'},
    'datasets': {'phase', 'scale', 'position'},
}
# Keys of published option files that nothing reads and that stand for no other key.
_OF_FORKS = {'complie', 'use_shuffle', 'use_grad_clip'}
# Words in keys of other projects, and the key that has this sense here.
_MEANT = {
    '': {'seed': 'manual_seed'},
    'path': {
        'pretrain': 'pretrain_network_g', 'checkpoint': 'pretrain_network_g', 'ckpt': 'pretrain_network_g',
        'strict': 'strict_load_g', 'resume': 'resume_state', 'param_key': 'param_key_g',
    },
}  # fmt: skip
_IN_MANY_BLOCKS = {'name', 'scale'}


class Block(NamedTuple):
    """A block of an option file.

    Attributes:
        path: Where it stands; empty for the whole file.
        given: Its keys and values.
        read: The keys that BasicSR reads there.
        own: The keys that we read there.
        is_open: Whether a class of the user's may read other keys there.
    """

    path: str
    given: Mapping[Any, Any]
    read: set[str]
    own: set[str] = set()  # noqa: RUF012  of a named tuple, which nobody changes
    is_open: bool = False

    def at(self, key: str) -> str:
        """The path of a key."""
        return f'{self.path}.{key}'.lstrip('.')

    def unread(self) -> list[str]:
        """The keys that nothing reads, but for those of a discriminator."""
        added = _ADDED.get(self.path.split('.')[0], set())
        passed_over = self.read | self.own | added | OF_A_GAN.get(self.path, set())
        return sorted(map(str, self.given.keys() - passed_over))

    def question(self, key: str, likeness: float = 0.75) -> str:
        """Asks for the key that was meant, where one is spelt alike or has the same sense."""
        of_another_class = self.path.startswith('datasets') and any(key in keys for keys in DATA_SETS.values())
        if key in _OF_FORKS | OF_TRAINING or of_another_class:
            return ''
        all_keys = {*self.own, *self.read}
        near = did_you_mean(key, all_keys, most=1, cutoff=likeness) or did_you_mean(key, self.own, most=1, cutoff=0.7)
        meant = [name for word, name in _MEANT.get(self.path, {}).items() if word in key.lower()]
        return near or (f'did you mean {meant[0]}?' if meant else '')


def unread_keys(opt: Mapping[str, Any], *, ours: bool) -> tuple[list[str], list[str]]:
    """Judge the keys that nothing reads.

    Args:
        opt: An option file, as YAML gives it or as BasicSR's parser completed it.
        ours: Whether it is of a HistoryModel. Of other models only ``path``, ``logger`` and data sets are judged, since
            they may read more.

    Returns:
        A fault for each key that was meant to be another one or to stand in another block, for each loss that nothing
        reads, and one for all keys of a discriminator; a note for each other key without effect. Of a data set of an
        unknown class, which may read any key, near misspellings of the usual ones are notes.
    """
    blocks, notes = list(_blocks(opt, ours)), []
    faults = _of_a_gan(opt) if ours else []
    for block in blocks:
        for key in block.unread():
            near = block.question(key, 0.85 if block.is_open else 0.75)
            if question := _as_term(block, key) or near or _elsewhere(block, key, blocks):
                faults.append(f'{block.at(key)}: unknown key; {question}')
            elif block.path == 'path' and not isinstance(block.given.get(key), str):
                faults.append(f'path.{key}: unknown key; BasicSR would make a folder of it, but its value is no text.')
            else:
                if block.is_open:
                    continue
                made = ' BasicSR makes an empty folder of that name.' if block.path == 'path' else ''
                notes.append(f'{block.at(key)} is read by neither BasicSR nor mclir_basicsr: it has no effect.{made}')
    for phase, data in _data_sets(opt):
        block = Block(f'datasets.{phase}', data, _PAIRS)
        if data.get('type') not in DATA_SETS:
            questions = {block.at(key): block.question(key, 0.85) for key in block.unread()}
            notes += [f'{path}: {question}' for path, question in questions.items() if question]
    return faults, notes


def _blocks(opt: Mapping[str, Any], ours: bool) -> Iterator[Block]:
    """The blocks of which all keys that are read are known."""
    train, val, path, logger = (_mapping(opt, key) for key in ('train', 'val', 'path', 'logger'))
    if ours:
        base = BaseKeys(opt)
        may_have_more = not base.is_of_basicsr
        yield Block('', opt, TOP | base.of(''), {*TOP_KEYS}, may_have_more)
        yield Block('train', train, TRAIN | base.of('train'), {*TrainOptions.model_fields}, may_have_more)
        yield Block('val', val, VAL | base.of('val'), {*ValOptions.model_fields}, may_have_more)
        yield Block('path', path, PATH | base.of('path'), {*PathOptions.model_fields})
    else:
        nets = {key.removeprefix('network_') for key in map(str, opt) if key.startswith('network_')}
        of_nets = {f'{key}_{net}' for key in ('pretrain_network', 'strict_load', 'param_key') for net in nets}
        yield Block('path', path, PATH | of_nets)
    yield Block('logger', logger, LOGGER)
    yield Block('logger.wandb', _mapping(logger, 'wandb'), {'project', 'resume_id'})
    for phase, data in _data_sets(opt):
        own = OF_TRAINING if ours and phase == 'train' else set()
        if data.get('type') in DATA_SETS:
            yield Block(f'datasets.{phase}', data, DATA_SETS[data['type']], own)
        for name, part in _mapping(data, 'parts').items():
            if isinstance(part, Mapping) and part.get('type') in DATA_SETS:
                yield Block(f'datasets.{phase}.parts.{name}', part, DATA_SETS[part['type']] | {'share'})


def _mapping(opt: Mapping[str, Any], key: str) -> Mapping[Any, Any]:
    block = opt.get(key)
    return block if isinstance(block, Mapping) else {}


def _data_sets(opt: Mapping[str, Any]) -> list[tuple[str, Mapping[Any, Any]]]:
    return [(phase, data) for phase, data in _mapping(opt, 'datasets').items() if isinstance(data, Mapping)]


def _of_a_gan(opt: Mapping[str, Any]) -> list[str]:
    base = BaseKeys(opt)
    if base.has_discriminator or not base.is_of_basicsr:
        return []
    blocks = [Block(path, _mapping(opt, path) if path else opt, keys) for path, keys in OF_A_GAN.items()]
    found = [block.at(key) for block in blocks for key in sorted(block.read) if block.given.get(key) is not None]
    advice = (
        f'{opt.get("base_model") or "SRModel"} (base_model) trains without a discriminator. Take these keys out, or '
        'set base_model to the class that they are for: SRGANModel, ESRGANModel, RealESRGANModel, VideoGANModel, ...'
    )
    return [f'{", ".join(found)}: {advice}'] if found else []


def _as_term(block: Block, key: str) -> str:
    """Says where a loss that another project reads there has its place; empty for one that is misspelt."""
    loss = block.given.get(key)
    if block.path != 'train' or not key.endswith('_opt') or not isinstance(loss, Mapping) or 'type' not in loss:
        return ''
    losses = [known.removesuffix('_opt') for known in block.read | block.own if known.endswith('_opt')]
    if did_you_mean(key.removesuffix('_opt'), losses, cutoff=0.7):
        return ''
    return f'a loss beside pixel_opt and perceptual_opt is an entry of train.losses, "- {{type: {loss["type"]}, ...}}".'


def _elsewhere(block: Block, key: str, blocks: list[Block]) -> str:
    """Names the block in which a key would act, where that has no such key."""
    if key in _IN_MANY_BLOCKS:
        return ''
    homes = [
        other.path or 'the top of the file'
        for other in blocks
        if key in other.read | other.own and key not in other.given and not other.path.startswith('datasets')
    ]
    return f'it has its place in {homes[0]}.' if homes else ''
