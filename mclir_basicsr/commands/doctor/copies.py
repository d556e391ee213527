"""Which basicsr is imported, and the copies of it that lie beside."""

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from mclir_basicsr.commands.doctor.findings import Finding
from mclir_basicsr.served import is_served

TESTED_BASICSR = '1.4.2'
_NOT_SERVED = (
    'The plugin leaves it alone: it is an older BasicSR or a part of it, as other projects bring. Take it out of\n'
    f'PYTHONPATH, or uninstall the project that brought it, and: pip install basicsr=={TESTED_BASICSR}'
)

# basicsr's setup.py reads locals() after exec; Python 3.13 (PEP 667) keeps the two apart.
_INSTALL_BASICSR_313 = """\
pip install basicsr fails on Python 3.13 and later (KeyError: '__version__' in its setup.py). Build its wheel with an
older Python, it fits every version, then install it here:
    python3.12 -m pip install setuptools wheel
    python3.12 -m pip wheel --no-deps --no-build-isolation basicsr==1.4.2
    pip install basicsr-1.4.2-py3-none-any.whl
Without an older Python: unpack the source archive basicsr-1.4.2.tar.gz from PyPI, write return '1.4.2' in
place of return locals()['__version__'] in its setup.py, then
    pip install setuptools wheel && pip install --no-build-isolation ./basicsr-1.4.2"""
_INSTALL_BASICSR = """\
pip install basicsr==1.4.2
Where that fails for want of tb-nightly (not on every mirror), leave it out:
    pip install setuptools wheel && pip install --no-deps --no-build-isolation basicsr==1.4.2
    pip install {needed}
    pip install --no-deps mclir-basicsr"""
_NEEDED_BY_BASICSR = (
    'addict', 'future', 'lmdb', 'numpy', 'opencv-python-headless', 'pillow', 'pyyaml', 'requests', 'scikit-image',
    'scipy', 'tensorboard', 'torch', 'torchvision', 'tqdm', 'yapf',
)  # fmt: skip


def basicsr() -> Iterator[Finding]:
    """The basicsr that is imported, whether the plugin serves it, and its other copies."""
    home, here = _find_basicsr(), Path.cwd() / 'basicsr'
    if home is None:
        advice = _INSTALL_BASICSR_313 if sys.version_info >= (3, 13) else _INSTALL_BASICSR.format(needed=_needed())
        seen = f'not installed, only {here}' if (here / '__init__.py').is_file() else 'not installed'
        yield Finding('basicsr', seen, advice, fatal=True)
        return
    if not is_served([str(home)]):
        yield Finding('basicsr', f'{_basicsr_version(home)}, {home}, old or in parts', _NOT_SERVED, fatal=True)
        yield from _other_copies(home, here)
        return
    version = _basicsr_version(home)
    owners = sorted(set(packages_distributions().get('basicsr', []))) or ['basicsr']
    advice = (
        f'This is not BasicSR {TESTED_BASICSR} alone, which the plugin is tested with. If training fails:\n'
        f'    pip uninstall -y {" ".join(owners)}; pip install basicsr=={TESTED_BASICSR}'
    )
    is_known = version == TESTED_BASICSR and len(owners) == 1
    origin = '' if owners == ['basicsr'] else f', installed by {" and ".join(owners)}'
    yield Finding('basicsr', f'{version}, {home}{origin}', '' if is_known else advice)
    yield from _other_copies(home, here)


def _needed() -> str:
    """What BasicSR, which is installed without its requirements, and this package need, as arguments of pip."""
    try:
        required = requires('mclir-basicsr') or []
    except PackageNotFoundError:  # its sources on the path
        required = []
    ours = {
        re.split(r'[^\w.-]', need)[0]: need.partition(';')[0].strip() for need in required if 'extra ==' not in need
    }
    wanted = {name: name for name in _NEEDED_BY_BASICSR} | ours
    return shlex.join(need for name, need in wanted.items() if name not in ('basicsr', 'opencv-python'))


def _other_copies(home: Path, here: Path) -> Iterator[Finding]:
    folders = {(Path(folder) / 'basicsr').resolve() for folder in sys.path} | {here.resolve()}
    for copy in sorted(folders - {home.resolve()}):
        if not (copy / '__init__.py').is_file():
            continue
        if copy == here.resolve():
            advice = f'`python -m` and notebooks in this folder import it; scripts and `mclir` import\n{home}.'
            yield Finding(
                'other basicsr', str(copy), f'{advice} To use this one: pip install --no-build-isolation -e .'
            )
        else:
            yield Finding('other basicsr', str(copy), f'{home} comes first and is used. Uninstall one of the two.')


def _find_basicsr() -> Path | None:
    """The basicsr that `mclir` and a script in another folder import; found without importing it."""
    is_from_here = sys.path[:1] in ([''], [str(Path.cwd())])  # `python -m` puts the current folder first
    before = sys.path
    sys.path = sys.path[1:] if is_from_here else sys.path
    try:
        spec = importlib.util.find_spec('basicsr')
    finally:
        sys.path = before
    return Path(spec.origin).parent if spec and spec.origin else None


def _basicsr_version(home: Path) -> str:
    file = home / 'version.py'
    match = (
        re.search(r"__version__ = '(.+)'", file.read_text(encoding='utf-8', errors='replace'))
        if file.is_file()
        else None
    )
    return match[1] if match else 'unknown version'
