"""``mclir doctor``: what is installed, what is wrong with it, and the way out of each fault.

It has to help where nothing else runs, so this module needs the standard library only; each check imports what it
looks at, and a check that fails is a finding of its own.
"""

import hashlib
import importlib.util
import json
import os
import re
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
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any
from unittest import mock

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
Without an older Python: unpack basicsr-1.4.2.tar.gz (https://pypi.org/project/basicsr/#files), write return '1.4.2' in
place of return locals()['__version__'] in its setup.py, then
    pip install setuptools wheel && pip install --no-build-isolation ./basicsr-1.4.2"""
_INSTALL_BASICSR = """\
pip install basicsr==1.4.2
Where that fails for want of tb-nightly (not on every mirror), leave it out:
    pip install setuptools wheel && pip install --no-deps --no-build-isolation basicsr==1.4.2
    pip install addict future lmdb opencv-python-headless pyyaml requests scikit-image tensorboard torchvision tqdm yapf
    pip install --no-deps mclir-basicsr"""
_INSTALL_TENSORBOARD = (
    'pip install tensorboard (it stands in for tb-nightly, which basicsr asks for and many mirrors lack), or set\n'
    'logger.use_tb_logger: false in the option file.'
)
# What an import error says, and the way out of it.
_WAYS_OUT = (
    (
        r'functional_tensor',
        'torchvision 0.17 removed a module that basicsr 1.4.2 imports; the plugin brings it back when it is loaded first.',
    ),
    (
        r'lib(GL|gthread|glib|SM|Xext|Xrender)\b',
        'This OpenCV needs a desktop. Take the one that does not:\n'
        '    pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python-headless',
    ),
    (
        r'numpy\.core|_ARRAY_API|compiled using NumPy 1',
        "It was built for another NumPy: pip install -U numpy torch torchvision opencv-python-headless, or pip install 'numpy<2'.",
    ),
    (
        r'torchvision::nms|undefined symbol',
        'torch and torchvision do not fit each other: pip install -U --force-reinstall torch torchvision, in one command.',
    ),
    (
        r"No module named '(mclir_basicsr)\b",
        'Install the plugin with this Python: pip install mclir-basicsr (pip install . in its sources).',
    ),
    (r"No module named '(basicsr)\b", 'Install BasicSR: see basicsr above.'),
    (r"No module named '(cv2)\b", 'pip install opencv-python-headless'),
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
print(json.dumps({'loaded': loaded, 'error': '; '.join([*said, error]).strip('; '), 'repairs': list(compat.active()) if compat else []}))
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
    for name in ('numpy', 'torch', 'torchvision', 'cv2'):
        try:
            seen = str(import_module(name).__version__)
        except Exception as error:  # OSError, RuntimeError: a broken library raises what it likes
            yield Finding(name, _text(error), _way_out(_text(error)), fatal=True)
        else:
            yield Finding(name, seen)


def _tensorboard() -> Iterator[Finding]:
    try:
        import_module('torch.utils.tensorboard')  # as BasicSR does for logger.use_tb_logger: true
    except Exception as error:
        yield Finding('tensorboard', _text(error), _INSTALL_TENSORBOARD)
    else:
        yield Finding('tensorboard', 'installed')


def _gpu() -> Iterator[Finding]:
    torch = import_module('torch')
    with warnings.catch_warnings(record=True) as caught:  # torch warns of a driver that is too old
        warnings.simplefilter('always')
        devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    said = [_text(warning.message) for warning in caught if isinstance(warning.message, Warning)]
    for i, device in enumerate(devices):
        advice = 'Take a torch that supports it: https://pytorch.org/get-started/locally/' if said else ''
        yield Finding(f'GPU {i}', '; '.join([f'{device.name}, {device.total_memory / 2**30:.0f} GiB', *said]), advice)
    if not devices:
        yield _no_gpu(torch.version.cuda, said)


def _no_gpu(built_for: str | None, said: list[str]) -> Finding:
    advice = 'Training runs on the CPU: set num_gpu: 0 or auto in the option file.'
    build = f'torch is built for CUDA {built_for}' if built_for else 'torch is built for the CPU'
    hidden = os.environ.get('CUDA_VISIBLE_DEVICES')
    if hidden is not None:
        advice += f'\nCUDA_VISIBLE_DEVICES={hidden} hides GPUs from this process; unset it to use them.'
    elif built_for and shutil.which('nvidia-smi'):
        advice += f'\nIf nvidia-smi lists a GPU, its driver is too old for CUDA {built_for}: update the driver, or install a torch'
        advice += '\nbuilt for an older CUDA (https://pytorch.org/get-started/locally/).'
    elif built_for:
        advice += '\nIf there is an NVIDIA GPU, its driver is not installed (no nvidia-smi was found).'
    else:
        advice += '\nIf there is a GPU, install a torch built for it: https://pytorch.org/get-started/locally/'
    return Finding('GPU', '; '.join([f'none; {build}', *said]), advice)


def _basicsr() -> Iterator[Finding]:
    home = _find_basicsr()
    here = Path.cwd() / 'basicsr'
    is_checkout = (here / '__init__.py').is_file()
    if home is None:
        advice = _INSTALL_BASICSR_313 if sys.version_info >= (3, 13) else _INSTALL_BASICSR
        seen = f'not installed; {here} is seen from its own folder only' if is_checkout else 'not installed'
        yield Finding('basicsr', seen, advice, fatal=True)
        return
    names = sorted(set(packages_distributions().get('basicsr', [])))
    version = _basicsr_version(home)
    is_known = version == TESTED_BASICSR and len(names) < 2
    advice = f'The plugin is tested with BasicSR {TESTED_BASICSR} itself. This is another release or a fork; if training fails:\n'
    advice += f'    pip uninstall -y {" ".join(names or ["basicsr"])}, then pip install basicsr=={TESTED_BASICSR}'
    seen = f'{version}, {home}' if names in ([], ['basicsr']) else f'{version}, {home}, from {" and ".join(names)}'
    yield Finding('basicsr', seen, '' if is_known else advice)
    yield from _other_copies(home, here if is_checkout else None)


def _other_copies(home: Path, here: Path | None) -> Iterator[Finding]:
    folders = {(Path(folder) / 'basicsr').resolve() for folder in sys.path if folder}
    copies = [
        str(folder) for folder in folders - {home.resolve()} if (folder / '__init__.py').is_file() and folder != here
    ]
    if copies:
        yield Finding('other basicsr', ', '.join(sorted(copies)), f'It is not used, {home} is. Uninstall one of them.')
    if here is not None and here.resolve() != home.resolve():
        yield Finding(
            'other basicsr',
            str(here),
            f'`python -m` and notebooks started in this folder import it; `python basicsr/train.py` and `mclir` import\n{home}.\n'
            'To use this checkout everywhere: pip install --no-build-isolation -e .',
        )


def _find_basicsr() -> Path | None:
    """The basicsr that `mclir` and a script in another folder import; found without importing it."""
    is_from_here = sys.path[:1] in ([''], [str(Path.cwd())])  # `python -m` puts the current folder first
    with mock.patch.object(sys, 'path', sys.path[1:] if is_from_here else sys.path):
        spec = importlib.util.find_spec('basicsr')
    return Path(spec.origin).parent if spec and spec.origin else None


def _basicsr_version(home: Path) -> str:
    file = home / 'version.py'
    match = re.search(r"__version__ = '(.+)'", file.read_text()) if file.is_file() else None
    return match[1] if match else 'unknown version'


def _start_up() -> Iterator[Finding]:
    setting = os.environ.get('MCLIR_AUTOLOAD')
    if setting == '0':
        advice = 'BasicSR does not load the plugin by itself. Unset it, train with `mclir train`, or call mclir_basicsr.register().'
        yield Finding('start-up', 'switched off by MCLIR_AUTOLOAD=0', advice)
    folders = {sysconfig.get_path('purelib'), *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        folders.add(site.getusersitepackages())
    files = [Path(folder) / 'mclir_basicsr.pth' for folder in sorted(folders)]
    found = [str(file) for file in files if file.is_file()]
    if found:
        yield Finding('start-up', ', '.join(found))
    else:
        yield Finding(
            'start-up',
            f'no mclir_basicsr.pth in {" or ".join(sorted(folders))}',
            'Without it `python basicsr/train.py` does not know the plugin. Install it with this Python: pip install\n'
            'mclir-basicsr (pip install . in its sources; not --target). Until then: `mclir train`, which does without it.',
            fatal=setting != '0',
        )


def _plugin() -> Iterator[Finding]:
    seen = _probe('import basicsr')
    if seen['loaded']:
        yield Finding('plugin', 'loaded by `import basicsr`')
    else:
        cause = seen['error'] or 'nothing loads it, see start-up'
        seen = _probe(f'sys.path.append({str(PACKAGE.parent)!r}); import mclir_basicsr; mclir_basicsr.register()')
        if seen['loaded']:
            advice = 'It does load with `mclir train`, or mclir_basicsr.register() in your script.'
            is_fault = os.environ.get('MCLIR_AUTOLOAD') != '0'
            yield Finding('plugin', f'not loaded by `import basicsr`: {cause}', advice, fatal=is_fault)
        else:
            yield Finding('plugin', f'cannot be loaded: {seen["error"]}', _way_out(seen['error']), fatal=True)
    yield Finding('repairs', ', '.join(seen['repairs']) or 'none')


def _probe(start: str) -> dict[str, Any]:
    """Run a statement in a new Python, in an empty folder; tell whether our classes are registered after it."""
    paths = os.environ.get('PYTHONPATH')
    absolute = (
        {'PYTHONPATH': os.pathsep.join(str(Path(path).absolute()) for path in paths.split(os.pathsep))} if paths else {}
    )
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, '-c', _PROBE.replace('START', start)]
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | absolute,
            capture_output=True,
            text=True,
            errors='replace',
            timeout=300,
        )
    hook = [line for line in done.stderr.splitlines() if line.startswith('mclir_basicsr:')]  # what our .pth file wrote
    try:
        seen = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):  # it crashed
        last = done.stderr.strip().splitlines()[-1:]
        seen = {
            'loaded': False,
            'error': '; '.join([f'Python ended with status {done.returncode}', *last]),
            'repairs': [],
        }
    return seen | {'error': '; '.join([*hook, seen['error']]).strip('; ')}


def _imagenet_weights() -> Iterator[Finding]:
    imagenet_file = import_module('mclir_basicsr.losses.features').imagenet_file
    get_model_weights = import_module('torchvision.models').get_model_weights
    for vgg_type in ('vgg16', 'vgg19'):
        file = imagenet_file(vgg_type)
        by_hand = (
            f'Without a network, fetch {get_model_weights(vgg_type)["IMAGENET1K_V1"].url}\n'
            f'elsewhere and put it at {file},\n'
            'or set spn_opt.weights in the option file to where you keep it (random: for trying things out only).'
        )
        if not file.is_file():
            yield Finding(
                vgg_type,
                'ImageNet weights are not here yet',
                f'The first run that uses them downloads them.\n{by_hand}',
            )
        elif not _is_whole(file):
            yield Finding(
                vgg_type, f'{file} is damaged', f'Delete it; the next run downloads it again.\n{by_hand}', fatal=True
            )
        else:
            yield Finding(vgg_type, f'ImageNet weights at {file}')


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
