"""``--import``: files and modules of a user's own, which register networks, losses or data sets with BasicSR."""

import importlib
import sys
import traceback
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from mclir_basicsr.errors import MclirError

_KINDS = {'arch': 'network', 'model': 'model', 'dataset': 'data set', 'loss': 'loss', 'metric': 'metric'}


def import_all(names: Sequence[str]) -> list[str]:
    """Import files and modules, each once, behind ours: a name that they register goes before one of ours.

    Args:
        names: Each a path to a ``.py`` file, whose folder goes to the front of ``sys.path`` as that of a script does,
            or the name of a module, also of one in the current folder.

    Returns:
        A sentence for each on what it registered.

    Raises:
        MclirError: There is no such file or module, another module has its name, or its code fails; the message then
            has the file and the line.
    """
    if not names:
        return []
    from mclir_basicsr.plugin import register

    register()
    return [_told(name, _new_names(name)) for name in names]


def _new_names(name: str) -> list[str]:
    before = _registered()
    _import(name)
    return [entry for entry in _registered() if entry not in before]


def _registered() -> list[str]:
    """What BasicSR's registries hold, by kind and name, with the module that it is of."""
    from basicsr.utils import registry

    found = []
    for each in vars(registry).values():
        if isinstance(each, registry.Registry):
            kind = _KINDS.get(each._name, each._name)
            found += [f'{kind} {key} ({thing.__module__})' for key, thing in each]
    return found


def _told(name: str, new: list[str]) -> str:
    if new:
        return f'--import {name}: {", ".join(new)}.'
    return (
        f'--import {name} registered nothing new with BasicSR. A class is found by name where it stands below '
        '@ARCH_REGISTRY.register() (of basicsr.utils.registry; LOSS_REGISTRY, DATASET_REGISTRY, ... likewise).'
    )


def _import(name: str) -> None:
    module = _module_of_file(name) if _is_file(name) else _module_in_reach(name)
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's code raises; a script may end by sys.exit()
        raise MclirError(f'--import {name}: {_place(error)}{type(error).__name__}: {error}') from error


def _is_file(name: str) -> bool:
    return name.endswith('.py') or '/' in name or '\\' in name


def _module_of_file(name: str) -> str:
    """The name under which a file can be imported, here and in the processes that read data."""
    file = Path(name).expanduser().resolve()
    if not file.is_file():
        raise MclirError(f'--import: there is no file {name} (seen from {Path.cwd()}).')
    if file.suffix != '.py' or '.' in file.stem:
        raise MclirError(f'--import {name}: it must be a .py file without another dot in its name, or a module.')
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
        importlib.invalidate_caches()
    found = _origin(file.stem)
    if found is None or not Path(found).exists() or not Path(found).samefile(file):
        raise MclirError(
            f'--import {name}: another module is called {file.stem} already ({found or "part of Python"}): rename '
            'the file.'
        )
    return file.stem


def _module_in_reach(name: str) -> str:
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # the script mclir does not have it there
        importlib.invalidate_caches()
    top = name.partition('.')[0]
    if not all(part.isidentifier() for part in name.split('.')) or _origin(top) is None:
        raise MclirError(
            f'--import: there is no module {name} that Python finds, also not in {Path.cwd()}. Give a .py file or an '
            'installed module.'
        )
    return name


def _origin(module: str) -> str | None:
    """Where a module lies; None where there is none, or where it is built in."""
    try:
        spec = find_spec(module)
    except ValueError:  # it is __main__, or was made by hand
        return None
    if spec is None:
        return None
    return str(spec.origin) if spec.has_location else next(iter(spec.submodule_search_locations or ()), None)


def _place(error: BaseException) -> str:
    """File and line where code outside of Python's import machinery failed, with the line itself."""
    if isinstance(error, SyntaxError) and error.filename:
        return f'{error.filename}, line {error.lineno}: '
    frames = _frames(error.__traceback__)
    return f'{frames[-1].filename}, line {frames[-1].lineno} ({frames[-1].line}): ' if frames else ''


def _frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """Of the user's code, where it has a part in the failure: what installed packages do follows from it."""
    code = [frame for frame in traceback.extract_tb(trace) if not _is_machinery(frame.filename)]
    return [frame for frame in code if 'site-packages' not in frame.filename] or code


def _is_machinery(file: str) -> bool:
    return file.startswith(('<frozen', str(Path(__file__).parent))) or file == importlib.__file__
