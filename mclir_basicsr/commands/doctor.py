"""``mclir doctor``: what is installed, what is wrong with it, and the way out of each fault.

It has to help where nothing else runs, so this module needs the standard library only; each check imports what it
looks at, and a check that fails is a finding of its own.
"""

import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

import mclir_basicsr

PACKAGE = Path(mclir_basicsr.__file__).parent
TESTED_BASICSR = '1.4.2'

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
_INSTALL_TENSORBOARD = (
    'pip install tensorboard (it stands in for tb-nightly, which basicsr asks for and many mirrors lack), or set\n'
    'logger.use_tb_logger: false in the option file.'
)
# What an import error says, and the way out of it.
_WAYS_OUT = (
    (
        r'functional_tensor',
        'torchvision 0.17 removed this module, which basicsr 1.4.2 imports; the plugin, once loaded, brings it back.',
    ),
    (
        r'lib(GL|gthread|glib|SM|Xext|Xrender)\b',
        'This OpenCV needs a desktop. Take the one that does not:\n'
        '    pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python-headless',
    ),
    (
        r'numpy\.core|_ARRAY_API|compiled using NumPy 1',
        'It was built for another NumPy: pip install -U numpy torch torchvision opencv-python-headless',
    ),
    (
        r'torchvision::nms|undefined symbol',
        'torch and torchvision do not fit each other. In one go: pip install -U --force-reinstall torch torchvision',
    ),
    (r"No module named '(mclir_basicsr)\b", 'pip install mclir-basicsr (in its sources: pip install .)'),
    (r"No module named '(basicsr)\b", 'Install BasicSR: see basicsr above.'),
    (r"No module named '(cv2)\b", 'pip install opencv-python-headless'),
    (r"No module named '(ruamel)\b", 'pip install ruamel.yaml'),
    (r"No module named '(\w+)", r'pip install \1'),
)

# Runs in a process of its own, as a user's script does; START is how that script comes by BasicSR.
_PROBE = """
import json, sys, warnings
error, loaded = '', False
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    try:
        START
        from basicsr.utils.registry import MODEL_REGISTRY as known
        loaded = 'HistoryModel' in known and known.get('HistoryModel').__module__.startswith('mclir_basicsr.')
    except BaseException as fault:
        error = f'{type(fault).__name__}: {fault}'
compat = sys.modules.get('mclir_basicsr.compat')
said = [str(warning.message) for warning in caught if 'mclir_basicsr' in str(warning.message)]
print()
print(json.dumps({'loaded': loaded, 'said': [*said, error], 'repairs': list(compat.active()) if compat else []}))
"""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what: What was looked at.
        seen: What was seen.
        advice: What to do about it; empty where all is well.
        fatal: Training stops on it.
    """

    what: str
    seen: str
    advice: str = ''
    fatal: bool = False

    @property
    def mark(self) -> str:
        """``ok``, ``hint`` or ``FAULT``."""
        return 'FAULT' if self.fatal else 'hint' if self.advice else 'ok'


def examine() -> list[Finding]:
    """Make every check; takes some seconds, for BasicSR is imported in a process of its own."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings.extend(check())
        except Exception as error:  # whatever it is, the other checks go on
            what = check.__name__.strip('_').replace('_', ' ')
            findings.append(Finding(what, f'could not be examined: {_text(error)}', _way_out(_text(error))))
    return findings


def report(findings: list[Finding]) -> str:
    """The findings as aligned plain text: mark, what, seen, and the advice below it."""
    width = max((len(finding.what) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f'{finding.mark:<5}  {finding.what:<{width}}  {finding.seen}')
        lines += [' ' * (width + 9) + line for line in finding.advice.splitlines()]
    marks = [finding.mark for finding in findings]
    return '\n'.join([*lines, '', f'Faults: {marks.count("FAULT")}, hints: {marks.count("hint")}.'])


def _text(error: BaseException) -> str:
    return ' '.join(f'{type(error).__name__}: {error}'.split())


def _way_out(error: str) -> str:
    for pattern, advice in _WAYS_OUT:
        match = re.search(pattern, error)
        if match:
            return match.expand(advice)
    return f'See where it comes from: {sys.executable} -c "import mclir_basicsr; mclir_basicsr.register()"'


def _python() -> Iterator[Finding]:
    yield Finding('Python', f'{sys.version.split()[0]}, {sys.executable}')
    yield Finding('mclir_basicsr', f'{mclir_basicsr.__version__}, {PACKAGE}')


def _libraries() -> Iterator[Finding]:
    for name in ('numpy', 'torch', 'torchvision', 'cv2', 'pydantic', 'ruamel.yaml'):
        try:
            seen = str(import_module(name).__version__)
        except Exception as error:  # OSError, RuntimeError: a broken library raises what it likes
            yield Finding(name, _text(error), _way_out(_text(error)), fatal=True)
        else:
            yield Finding(name, seen)


def _tensorboard() -> Iterator[Finding]:
    import_module('torch')
    try:
        import_module('torch.utils.tensorboard')  # as BasicSR does for logger.use_tb_logger: true
    except Exception as error:
        yield Finding('tensorboard', _text(error), _INSTALL_TENSORBOARD)
    else:
        yield Finding('tensorboard', 'installed')


def _gpu() -> Iterator[Finding]:
    torch = import_module('torch')
    with warnings.catch_warnings(record=True) as caught:  # torch warns of a driver or a GPU that is too old
        warnings.simplefilter('always')
        devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    said = [' '.join(str(warning.message).split()) for warning in caught if warning.category is UserWarning]
    for i, device in enumerate(devices):
        advice = 'Install a torch that supports it: https://pytorch.org/get-started/locally/' if said else ''
        yield Finding(f'GPU {i}', '; '.join([f'{device.name}, {device.total_memory / 2**30:.0f} GiB', *said]), advice)
    if not devices:
        build = f'torch is built for CUDA {torch.version.cuda}' if torch.version.cuda else 'torch is built for the CPU'
        advice = 'Training runs on the CPU: set num_gpu: 0 or auto in the option file. If there is a GPU,\n'
        yield Finding('GPU', '; '.join(['none', build, *said]), advice + _way_to_a_gpu(torch.version.cuda))


def _way_to_a_gpu(built_for: str | None) -> str:
    """What hides a GPU from a torch that is built for this CUDA."""
    hidden = os.environ.get('CUDA_VISIBLE_DEVICES')
    if hidden is not None:
        return f'CUDA_VISIBLE_DEVICES={hidden} hides it: unset that.'
    if built_for and shutil.which('nvidia-smi'):
        return f'its driver may be too old for CUDA {built_for}: update it, or install a torch for an older CUDA.'
    if built_for:
        return 'its driver is not installed: no nvidia-smi was found.'
    return 'install a torch built for it: https://pytorch.org/get-started/locally/'


def _basicsr() -> Iterator[Finding]:
    home, here = _find_basicsr(), Path.cwd() / 'basicsr'
    if home is None:
        advice = _INSTALL_BASICSR_313 if sys.version_info >= (3, 13) else _INSTALL_BASICSR.format(needed=_needed())
        seen = f'not installed, only {here}' if (here / '__init__.py').is_file() else 'not installed'
        yield Finding('basicsr', seen, advice, fatal=True)
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


def _start_up() -> Iterator[Finding]:
    is_off = os.environ.get('MCLIR_AUTOLOAD') == '0'
    if is_off:
        advice = 'BasicSR does not load the plugin by itself: unset it, or train with `mclir train`.'
        yield Finding('start-up', 'switched off by MCLIR_AUTOLOAD=0', advice)
    folders = {sysconfig.get_path('purelib'), *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        folders.add(site.getusersitepackages())
    files = [Path(folder) / 'mclir_basicsr.pth' for folder in sorted(folders)]
    found = [str(file) for file in files if file.is_file()]
    if found:
        yield Finding('start-up', ', '.join(found))
    else:
        advice = (
            'Without it `python basicsr/train.py` does not know the plugin. Install that with this Python:\n'
            'pip install mclir-basicsr (in its sources: pip install .), not --target. Until then: `mclir train`.'
        )
        yield Finding('start-up', f'no mclir_basicsr.pth in {" or ".join(sorted(folders))}', advice, fatal=not is_off)


def _plugin() -> Iterator[Finding]:
    seen = _probe('import basicsr')
    if seen['loaded']:
        yield Finding('plugin', 'loaded by `import basicsr`')
    else:
        cause = seen['said'] or 'nothing loads it, see start-up'
        seen = _probe(f'sys.path.append({str(PACKAGE.parent)!r}); import mclir_basicsr; mclir_basicsr.register()')
        if seen['loaded']:
            advice = 'It does load with `mclir train`, or mclir_basicsr.register() in your script.'
            is_fault = os.environ.get('MCLIR_AUTOLOAD') != '0'
            yield Finding('plugin', f'not loaded by `import basicsr`: {cause}', advice, fatal=is_fault)
        else:
            yield Finding('plugin', f'cannot be loaded: {seen["said"]}', _way_out(seen['said']), fatal=True)
    yield Finding('repairs', ', '.join(seen['repairs']) or 'none')


def _probe(start: str) -> dict[str, Any]:
    """Run a statement in a new Python, in an empty folder.

    Returns:
        ``loaded``: whether our classes are registered after it; ``said``: warnings of ours and the error, if any;
        ``repairs``: names of those made.
    """
    env = dict(os.environ)
    if env.get('PYTHONPATH'):  # BasicSR's pages set it to ./
        env['PYTHONPATH'] = os.pathsep.join(str(Path(path).absolute()) for path in env['PYTHONPATH'].split(os.pathsep))
    command = [sys.executable, '-c', _PROBE.replace('START', start)]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, errors='replace', timeout=300
        )
    hook = [line for line in done.stderr.splitlines() if line.startswith('mclir_basicsr:')]  # what our .pth file wrote
    try:
        seen = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):  # it crashed
        last = done.stderr.strip().splitlines()[-1:]
        seen = {'loaded': False, 'said': [f'Python ended with status {done.returncode}', *last], 'repairs': []}
    said: list[str] = []
    for text in [*hook, *seen['said']]:
        if not any(text in earlier for earlier in ['', *said]):  # an error that a warning has told already
            said.append(' '.join(text.split()))
    return seen | {'said': '; '.join(said)}


def _imagenet_weights() -> Iterator[Finding]:
    imagenet_file = import_module('mclir_basicsr.losses.features').imagenet_file
    get_model_weights = import_module('torchvision.models').get_model_weights
    for vgg_type in ('vgg16', 'vgg19'):
        file = imagenet_file(vgg_type)
        by_hand = (
            f'Without a network, fetch {get_model_weights(vgg_type)["IMAGENET1K_V1"].url} elsewhere and\n'
            f'put it at {file}, or set spn_opt.weights to where you keep it.'
        )
        if not file.is_file():
            advice = f'The first run that uses them downloads them.\n{by_hand}'
            yield Finding(vgg_type, 'no ImageNet weights yet', advice)
        elif not _is_whole(file):
            advice = f'Delete it; the next run downloads it again.\n{by_hand}'
            yield Finding(vgg_type, f'damaged ImageNet weights: {file}', advice, fatal=True)
        else:
            yield Finding(vgg_type, f'ImageNet weights: {file}')


def _is_whole(file: Path) -> bool:
    """Whether a file has the hash that torchvision puts into its name."""
    digest = hashlib.sha256()
    with file.open('rb') as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest().startswith(file.stem.rsplit('-', 1)[-1])


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python,
    _libraries,
    _tensorboard,
    _gpu,
    _basicsr,
    _start_up,
    _plugin,
    _imagenet_weights,
)
