"""Repairs of how BasicSR's train.py reads its flags, resumes and reads its data."""

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable
from types import CodeType
from typing import Any

from mclir_basicsr.compat.repair import Repair, is_wrapped, wrap
from mclir_basicsr.errors import MclirError

# load_resume_state of basicsr 1.4.2 to 1.4.4, however its source is laid out; a test compares it.
_STOCK_RESUME = 'dd9ff5cedf922fa74a81ae33e82dc6c36b8a2cce894f7736b0e8505c9ea21f3f'


def launch_option(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """torch.distributed.launch passes --local-rank since torch 2; BasicSR's parser knows --local_rank only."""
    flags = (
        arg.replace('--local-rank', '--local_rank', 1) if arg.startswith('--local-rank') else arg for arg in sys.argv
    )
    sys.argv = list(flags)
    return original(*args, **kwargs)


def _knows_one_spelling(parse_options: Any) -> bool:
    code: CodeType = inspect.unwrap(parse_options).__code__
    return '--local-rank' not in code.co_consts


def script(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A script run as `python basicsr/train.py` has functions of its own beside those of basicsr.train."""
    main = sys.modules['__main__']
    function = getattr(main, 'load_resume_state', None)
    # The function that this script's loop calls, not one that has nothing to do with BasicSR.
    if getattr(function, '__globals__', {}).get('train_pipeline') is not None and not is_wrapped(function, resume):
        main.load_resume_state = wrap(function, resume)  # type: ignore[attr-defined, arg-type]
    return original(*args, **kwargs)


def resume(original: Callable[..., Any], opt: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    """load_resume_state fails without CUDA, looks in ./experiments only and does not name a damaged file."""
    from mclir_basicsr.run.resume import is_ours, load_resume_state

    if is_ours(opt):
        from mclir_basicsr.check.start import examine

        examine(opt)  # here, for what BasicSR does next is to put a former experiment aside
        return load_resume_state(opt)
    if _is_stock(original):
        return load_resume_state(opt)
    return original(opt, *args, **kwargs)  # a project's own, for a model that is not ours


def _is_stock(function: Callable[..., Any]) -> bool:
    """Whether this is load_resume_state as basicsr 1.4.2 to 1.4.4 has it, and calls BasicSR's check_resume."""
    from basicsr.utils import check_resume

    try:
        source = ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, TypeError, SyntaxError):  # made without a file, or within an expression
        return False
    own = getattr(function, '__globals__', {}).get('check_resume')
    return hashlib.sha256(source.encode()).hexdigest() == _STOCK_RESUME and own is check_resume


def resumed_data(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A resumed run begins its epoch anew, and workers repeat one random stream every epoch; HistoryModel's go on."""
    from mclir_basicsr.run.position import build_loader

    return build_loader(original, *args, **kwargs)


def run_end(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A run that heeds signals would go on doing so in the process that it leaves; the former handlers come back."""
    from mclir_basicsr.run import stop

    return stop.run(original, *args, **kwargs)


def unreadable_pair(original: Callable[..., Any], self: Any, index: int, *args: Any, **kwargs: Any) -> Any:
    """PairedImageDataset does not name an image that is damaged or missing."""
    try:
        return original(self, index, *args, **kwargs)
    except KeyError:  # of the options
        raise
    except Exception as error:
        pair = ' and '.join(f'{side} {self.paths[index][f"{side}_path"]}' for side in ('lq', 'gt'))
        none = isinstance(error, (AttributeError, TypeError))  # OpenCV and LMDB give None where there is no image
        raise MclirError(
            f'The pair {pair} (of {self.lq_folder} and {self.gt_folder}) cannot be used: an image is missing, '
            f'damaged or of the wrong size{"" if none else f" ({error})"}. Replace it or take it out.'
        ) from error


def unwritable_name(original: Callable[..., Any], image: Any, file_path: str, *args: Any, **kwargs: Any) -> Any:
    """OpenCV ends the process by signal 11 where the name of a file is no UTF-8; Python writes such an image."""
    from mclir_basicsr.files.image_file import is_plain, write

    if is_plain(file_path):
        return original(image, file_path, *args, **kwargs)
    return write(image, file_path, *args, **kwargs)


def log_line(original: Callable[..., Any], self: Any, log_vars: Any, *args: Any, **kwargs: Any) -> Any:
    """The log's time left ends at -1 day, names are cut to five letters, whole numbers are written as fractions."""
    from mclir_basicsr.run.log_line import say

    return say(self, log_vars)


def _cuts_names(call: Any) -> bool:
    return '..][epoch:' in inspect.unwrap(call).__code__.co_consts


def wandb_id(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """BasicSR names a run by wandb.util.generate_id, which current releases of wandb keep elsewhere."""
    import wandb.util

    if not hasattr(wandb.util, 'generate_id'):
        from wandb.sdk.lib.runid import generate_id

        wandb.util.generate_id = generate_id
    return original(*args, **kwargs)


def blur(original: Callable[..., Any], img: Any, *args: Any, **kwargs: Any) -> Any:
    """RealESRNetModel blurs no image on a CPU that JPEG compression gave another memory layout, which padding keeps."""
    return original(img.contiguous(), *args, **kwargs)


REPAIRS = (
    Repair('basicsr.utils.options', 'parse_options', launch_option, _knows_one_spelling),
    Repair('basicsr.utils.options', 'parse_options', script),
    Repair('basicsr.train', 'load_resume_state', resume),
    Repair('basicsr.train', 'train_pipeline', run_end),
    Repair('basicsr.utils.logger', 'init_wandb_logger', wandb_id),
    Repair('basicsr.utils.logger:MessageLogger', '__call__', log_line, _cuts_names),
    Repair('basicsr.data', 'build_dataloader', resumed_data),
    Repair('basicsr.data.paired_image_dataset:PairedImageDataset', '__getitem__', unreadable_pair),
    Repair('basicsr.utils.img_util', 'imwrite', unwritable_name),
    Repair('basicsr.utils.img_process_util', 'filter2D', blur),
)
