"""Found by a stock BasicSR, however it was installed: in an environment of its own, as a user makes one."""

import ast
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import basicsr
import pytest
from conftest import run

ROOT = Path(__file__).parents[1]
REGISTERED = (
    'import basicsr; from basicsr.utils.registry import *; '
    "print('HistoryModel' in MODEL_REGISTRY, 'SPNLoss' in LOSS_REGISTRY)"
)
# What is no module must be installed too: the demo's templates and the VGG weights, with their licence.
DATA_FILES = """
from importlib.resources import files
from mclir_basicsr.losses.oxford import FILE, load_oxford
assert 'CC BY 4.0' in FILE.with_suffix('.txt').read_text()
demo = files('mclir_basicsr.commands.demo')
print(*sorted(file.name for file in demo.iterdir() if file.name.endswith('.yml')), len(load_oxford()[1]))
"""


# What Python 3.15 does at its start (PEP 829), for one that does not: paths of .pth files, their import lines where
# no .start file of that name lies beside, then what the .start files name.
START_UP_315 = """
import pkgutil, sys
from pathlib import Path
folder = Path(sys.argv[1])
sys.path.append(str(folder))
def lines(file):
    return [line.strip() for line in file.read_text('utf-8-sig').splitlines() if line.strip()[:1] not in ('', '#')]
for file in sorted(folder.glob('*.pth')):
    for line in lines(file):
        if not line.startswith(('import ', 'import\\t')):
            sys.path.append(str(folder / line))
        elif not file.with_suffix('.start').exists():
            exec(line)
for file in sorted(folder.glob('*.start')):
    for line in lines(file):
        assert ':' in line
        pkgutil.resolve_name(line)()
"""


class Environment:
    """A virtual environment that holds all that this one holds, except the package itself."""

    def __init__(self, folder):
        venv.create(folder, symlinks=True, with_pip=False)
        self.bin = folder / 'bin'
        self.python = self.bin / 'python'
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.site = Path(subprocess.check_output([self.python, '-c', code], text=True).strip())
        for entry in Path(sysconfig.get_path('purelib')).iterdir():
            if 'mclir' not in entry.name and entry.suffix != '.pth' and not entry.name.startswith('__editable__'):
                (self.site / entry.name).symlink_to(entry)

    def pip(self, *arguments):
        offline = ['--no-deps', '--no-build-isolation', '--no-index'] if arguments[0] in ('install', 'wheel') else []
        result = run(sys.executable, '-m', 'pip', '--python', self.python, *arguments, *offline, cwd=self.bin)
        assert result.returncode == 0, result.stderr


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A copy of what a clone holds, so that building leaves nothing in the working tree."""
    folder = tmp_path_factory.mktemp('source') / 'clone'
    folder.mkdir()
    shutil.copytree(ROOT / 'mclir_basicsr', folder / 'mclir_basicsr', ignore=shutil.ignore_patterns('__pycache__'))
    for name in (
        'setup.py',
        'pyproject.toml',
        'MANIFEST.in',
        'mclir_basicsr.pth',
        'mclir_basicsr.start',
        'README.md',
        'LICENSE',
    ):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope='module')
def environment(tmp_path_factory):
    return Environment(tmp_path_factory.mktemp('environment') / 'env')


@pytest.fixture(params=['pip install .', 'pip install -e .'])
def installed(request, environment, source, tmp_path):
    before = {entry.name for entry in environment.site.iterdir()}
    environment.pip('install', *request.param.split()[2:-1], source)
    yield environment
    environment.pip('uninstall', '-y', 'mclir-basicsr')
    left = {entry.name for entry in environment.site.iterdir()} - before
    assert left == set()
    assert not (environment.bin / 'mclir').exists()
    result = run(environment.python, '-c', 'pass', cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')


def test_a_stock_basicsr_finds_the_plugin_until_it_is_uninstalled(installed, tmp_path):
    result = run(installed.python, '-W', 'ignore::DeprecationWarning', '-c', REGISTERED, cwd=tmp_path)
    assert result.stdout == 'True True\n', result.stderr
    assert 'mclir' not in result.stderr
    started = [installed.python, '-S', '-W', 'ignore::DeprecationWarning', '-c', START_UP_315 + REGISTERED]
    result = run(*started, installed.site, cwd=tmp_path)
    assert result.stdout == 'True True\n', result.stderr
    assert 'mclir' not in result.stderr
    result = run(installed.bin / 'mclir', '--version', cwd=tmp_path)
    assert result.stdout.startswith('mclir_basicsr 0.'), result.stderr
    result = run(installed.python, '-c', DATA_FILES, cwd=tmp_path)
    assert result.stdout == 'options.yml spn.yml 14\n', result.stderr


MODULES = "import sys; print(sorted(m for m in sys.modules if not m.startswith('__editable__')))"


def test_the_hook_costs_nothing_where_basicsr_is_not_imported(environment, source, tmp_path):
    """Two small modules and no other: benchmarks/startup_time.py has the figure in microseconds."""
    environment.pip('install', source)
    try:
        with_hook, without = (
            ast.literal_eval(run(environment.python, *flags, '-c', MODULES, cwd=tmp_path).stdout)
            for flags in ((), ('-S',))
        )
        plain = run(environment.python, '-c', MODULES, cwd=tmp_path, MCLIR_AUTOLOAD='0').stdout
        finders = "import sys; print([f for f in sys.meta_path if 'mclir' in type(f).__module__])"
        off = run(environment.python, '-c', finders, cwd=tmp_path, MCLIR_AUTOLOAD='0')
    finally:
        environment.pip('uninstall', '-y', 'mclir-basicsr')
    bare = ast.literal_eval(run(environment.python, '-c', MODULES, cwd=tmp_path).stdout)
    bare.append('encodings.utf_8_sig')  # by which Python 3.13 reads every .pth
    assert set(with_hook) - set(bare) == {'mclir_basicsr', 'mclir_basicsr.autoload'}
    assert set(without) <= set(with_hook)
    assert ast.literal_eval(plain) == with_hook
    assert off.stdout == '[]\n'


def test_three_ways_in(environment, source, option_file, tmp_path):
    """python -m basicsr.train, python basicsr/train.py in a source tree, mclir train: all start the retraining."""
    environment.pip('install', source)
    try:
        tree = tmp_path / 'BasicSR'
        shutil.copytree(Path(basicsr.__file__).parent, tree / 'basicsr', ignore=shutil.ignore_patterns('__pycache__'))
        file = option_file()
        for way, command, cwd, where in (
            ('module', (environment.python, '-m', 'basicsr.train'), tmp_path, environment.site),
            ('script', (environment.python, 'basicsr/train.py'), tree, tree),
            ('mclir', (environment.bin / 'mclir', 'train'), tmp_path, tmp_path),
        ):
            path = {'PYTHONPATH': str(tree)} if way == 'script' else {}
            result = run(*command, '-opt', file, cwd=cwd, **path)
            assert result.returncode == 0, f'{way}: {result.stderr}'
            assert 'spn_ratio' in result.stderr, way
            experiments = (
                where / 'experiments'
            )  # BasicSR writes beside the package that runs, mclir into the current folder
            assert (experiments / 'tiny' / 'models' / 'net_g_latest.pth').is_file(), way
    finally:
        shutil.rmtree(environment.site / 'experiments', ignore_errors=True)
        environment.pip('uninstall', '-y', 'mclir-basicsr')
