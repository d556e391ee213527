"""Repairs that basicsr 1.4.2, the last release, needs today; each is made only where it is needed.

Nothing is changed on disk. ``active()`` tells which are in force.
"""

import atexit
import functools
import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest import mock

logger = logging.getLogger('basicsr')
_active: dict[str, str] = {}

# Where a registry, by its name, may look for a name that it does not hold; plugin.py fills it.
fallbacks: dict[str, Callable[[str], type | None]] = {}
# Names that it finds there, for the message.
fallback_names: dict[str, Callable[[], list[str]]] = {}


def active() -> dict[str, str]:
    """Repairs made so far in this process: name and reason."""
    return dict(_active)


def before_import() -> None:
    """Repairs without which ``import basicsr`` fails."""
    for repair in (_functional_tensor, _distutils):
        repair()


def after_import() -> None:
    """Repairs of an imported basicsr; harmless when called again."""
    for repair in (
        _launch_option,
        _option_file,
        _log_file,
        _resume,
        _resumed_data,
        _unreadable_pair,
        _cpu_process_group,
        _process_group_end,
        _cpu_data_parallel,
        _registry_message,
        _registry_yields,
    ):
        repair()


def _note(repair: Callable[[], None]) -> None:
    _active[repair.__name__.strip('_')] = (repair.__doc__ or '').splitlines()[0].rstrip('.')


def _functional_tensor() -> None:
    """Torchvision 0.17 removed transforms.functional_tensor, which basicsr.data.degradations imports."""
    name = 'torchvision.transforms.functional_tensor'
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        return
    from torchvision.transforms.functional import rgb_to_grayscale

    module = ModuleType(name, 'The one function of the removed module that BasicSR uses.')
    module.rgb_to_grayscale = rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules[name] = module
    _note(_functional_tensor)


def _distutils() -> None:
    """Python 3.12 removed distutils, whose LooseVersion basicsr.archs.arch_util imports; setuptools has its own."""
    if 'distutils' in sys.modules or importlib.util.find_spec('distutils') is not None:
        return
    importlib.import_module('setuptools')  # puts its distutils in place of the missing one
    _note(_distutils)


def _launch_option() -> None:
    """torch.distributed.launch passes --local-rank since torch 2; BasicSR's parser knows --local_rank only."""
    from basicsr.utils import options

    if hasattr(options.parse_options, '__wrapped__'):
        return
    original = options.parse_options

    @functools.wraps(original)
    def parse_options(root_path: str, is_train: bool = True) -> Any:
        sys.argv = [
            arg.replace('--local-rank', '--local_rank', 1) if arg.startswith('--local-rank') else arg
            for arg in sys.argv
        ]
        # A script run as `python basicsr/train.py` has functions of its own beside those of basicsr.train.
        _use_our_resume(sys.modules['__main__'])
        return original(root_path, is_train)

    _replace(original, parse_options)
    _note(_launch_option)


def _option_file() -> None:
    """Option files are opened in the encoding of the locale, and of a key that stands twice the last is taken."""
    from basicsr.utils import options

    from mclir_basicsr.options.yaml_file import open_option_file

    options.open = open_option_file
    _note(_option_file)


def _log_file() -> None:
    """The log is written in the encoding of the locale, which may lack letters of paths and messages."""
    from basicsr.utils import logger as module

    original = module.get_root_logger
    if hasattr(original, '__wrapped__'):
        return

    @functools.wraps(original)
    def get_root_logger(*args: Any, **kwargs: Any) -> Any:
        root = original(*args, **kwargs)
        for handler in root.handlers:
            if isinstance(handler, logging.FileHandler) and handler.stream is not None:
                handler.stream.reconfigure(encoding='utf-8')  # report reads it as that
        return root

    _replace(original, get_root_logger)
    _note(_log_file)


def _resume() -> None:
    """load_resume_state fails without CUDA, looks in ./experiments only and does not name a damaged file."""
    import basicsr.train

    _use_our_resume(basicsr.train)
    _note(_resume)


def _use_our_resume(module: ModuleType) -> None:
    stock = getattr(module, 'load_resume_state', None)
    if stock is not None and getattr(stock, '__globals__', {}).get('train_pipeline') is not None:
        from mclir_basicsr.run.resume import load_resume_state

        module.load_resume_state = load_resume_state  # type: ignore[attr-defined]


def _resumed_data() -> None:
    """A resumed run begins its epoch anew, and workers repeat one random stream every epoch; HistoryModel's go on."""
    from basicsr import data

    original = data.build_dataloader
    if hasattr(original, '__wrapped__'):
        return

    @functools.wraps(original)
    def build_dataloader(
        dataset: Any,
        dataset_opt: dict[str, Any],
        num_gpu: int = 1,
        dist: bool = False,
        sampler: Any = None,
        seed: Any = None,
    ) -> Any:
        from mclir_basicsr.run.position import resumable_loader

        if 'iterations_done' in dataset_opt:  # load_resume_state noted it: the training set of a HistoryModel
            return resumable_loader(original, dataset, dataset_opt, num_gpu, dist, sampler, seed)
        return original(dataset, dataset_opt, num_gpu, dist, sampler, seed)

    _replace(original, build_dataloader)
    _note(_resumed_data)


def _unreadable_pair() -> None:
    """PairedImageDataset does not name an image that is damaged or missing."""
    from basicsr.data.paired_image_dataset import PairedImageDataset

    from mclir_basicsr.errors import MclirError

    original = PairedImageDataset.__getitem__
    if hasattr(original, '__wrapped__'):
        return

    @functools.wraps(original)
    def __getitem__(self: Any, index: int) -> Any:  # noqa: N807  the name in tracebacks
        try:
            return original(self, index)
        except KeyError:  # of the options
            raise
        except Exception as error:
            pair = ' and '.join(f'{side} {self.paths[index][f"{side}_path"]}' for side in ('lq', 'gt'))
            none = isinstance(error, (AttributeError, TypeError))  # OpenCV and LMDB give None where there is no image
            raise MclirError(
                f'The pair {pair} (of {self.lq_folder} and {self.gt_folder}) cannot be used: an image is missing, '
                f'damaged or of the wrong size{"" if none else f" ({error})"}. Replace it or take it out.'
            ) from error

    PairedImageDataset.__getitem__ = __getitem__
    _note(_unreadable_pair)


def _cpu_process_group() -> None:
    """Starting a process group divides by the number of GPUs and asks for NCCL; without GPUs gloo serves."""
    import torch
    from basicsr.utils import dist_util

    if torch.cuda.is_available():
        return
    for name in ('_init_dist_pytorch', '_init_dist_slurm'):
        original = getattr(dist_util, name)
        if not hasattr(original, '__wrapped__'):
            setattr(dist_util, name, _on_gloo(original))
    _note(_cpu_process_group)


def _on_gloo(original: Callable[..., None]) -> Callable[..., None]:
    import torch

    @functools.wraps(original)
    def start(backend: str, **arguments: Any) -> None:
        with mock.patch.multiple(torch.cuda, device_count=lambda: 1, set_device=lambda _: None):
            original('gloo', **arguments)

    return start


def _process_group_end() -> None:
    """A process group is never ended: its threads can abort the process while Python ends, which fails the job."""
    from basicsr.utils import dist_util

    original = dist_util.init_dist
    if hasattr(original, '__wrapped__'):
        return

    @functools.wraps(original)
    def init_dist(launcher: str, *arguments: Any, **named: Any) -> None:
        original(launcher, *arguments, **named)
        atexit.register(_end_process_group)

    _replace(original, init_dist)
    _note(_process_group_end)


def _end_process_group() -> None:
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def _cpu_data_parallel() -> None:
    """DistributedDataParallel is given a CUDA device; on a CPU it takes none."""
    import torch
    from basicsr.models.base_model import BaseModel

    original = BaseModel.model_to_device
    if torch.cuda.is_available() or hasattr(original, '__wrapped__'):
        return

    @functools.wraps(original)
    def model_to_device(self: Any, net: torch.nn.Module) -> torch.nn.Module:
        if not self.opt['dist']:
            return original(self, net)
        unused = self.opt.get('find_unused_parameters', False)
        return torch.nn.parallel.DistributedDataParallel(net.to(self.device), find_unused_parameters=unused)

    BaseModel.model_to_device = model_to_device
    _note(_cpu_data_parallel)


def _registry_message() -> None:
    """A name that is not registered is reported without the names that are."""
    from basicsr.utils.registry import Registry

    from mclir_basicsr.errors import UnknownNameError, did_you_mean

    if hasattr(Registry.get, '__wrapped__'):
        return
    original = Registry.get

    @functools.wraps(original)
    def get(self: Any, name: str, suffix: str = 'basicsr') -> Any:
        if name in self or f'{name}_{suffix}' in self:
            return original(self, name, suffix)
        found = fallbacks[self._name](name) if self._name in fallbacks else None
        if found is not None:
            return found
        if self._name == 'arch' and name == 'auto':
            raise UnknownNameError(
                'type: auto is for `mclir enable FILE --pretrain CKPT -o OUT`, which finds the network of CKPT.'
            )
        known = fallback_names[self._name]() if self._name in fallback_names else []
        question = did_you_mean(name, [*known, *self.keys()])
        raise UnknownNameError(
            f"There is no {self._name} named '{name}' in BasicSR's registry; "
            + (question or f'it holds {", ".join(sorted(self.keys()))}.')
            + f' (The plugin mclir_basicsr is {_loaded()}.)'
        )

    Registry.get = get
    _note(_registry_message)


def _registry_yields() -> None:
    """A project that registers a network of its own under a name of ours must not stop with "already registered"."""
    from basicsr.utils.registry import Registry

    if hasattr(Registry._do_register, '__wrapped__'):
        return
    original = Registry._do_register

    @functools.wraps(original)
    def _do_register(self: Any, name: str, obj: Any, suffix: str | None = None) -> None:
        held = self._obj_map.get(name)
        if held is not None and _is_ours(held) and not _is_ours(obj):
            logger.warning(
                f'{self._name} {name}: that of {obj.__module__} takes the place of the one of mclir_basicsr.'
            )
            del self._obj_map[name]
        original(self, name, obj, suffix)

    Registry._do_register = _do_register
    _note(_registry_yields)


def _is_ours(kind: Any) -> bool:
    return str(kind.__module__).split('.')[0] == 'mclir_basicsr'


def _loaded() -> str:
    from basicsr.utils.registry import MODEL_REGISTRY

    from mclir_basicsr import __version__

    return f'loaded, version {__version__}' if 'HistoryModel' in MODEL_REGISTRY else 'not loaded: see `mclir doctor`'


def _replace(original: Any, new: Any) -> None:
    """Put new where modules of basicsr hold original under its name."""
    attribute = original.__name__
    for name, module in list(sys.modules.items()):
        if name.split('.')[0] == 'basicsr' and getattr(module, attribute, None) is original:
            setattr(module, attribute, new)
