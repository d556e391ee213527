"""``--import``: a network, a loss and a data set of the user's own, by every command that builds them."""

import sys

import pytest
import yaml
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY
from conftest import run
from own_texts import use_own_code

from mclir_basicsr.commands.cli import main
from mclir_basicsr.errors import MclirError
from mclir_basicsr.imports import import_all


@pytest.fixture(autouse=True)
def leave_no_trace(monkeypatch):
    """Neither in sys.path, nor among modules and names that other tests meet."""
    monkeypatch.setattr(sys, 'path', list(sys.path))
    modules = set(sys.modules)
    for registry in (ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY):
        monkeypatch.setattr(registry, '_obj_map', dict(registry._obj_map))
    yield
    for name in [name for name in set(sys.modules) - modules if name.startswith('own')]:
        del sys.modules[name]


@pytest.fixture
def own(tmp_path, option_file, write_pairs):
    """A folder with the user's code beside another folder, in which the option file that names it is used."""
    write_pairs(2)
    file = option_file()
    use_own_code(file)
    return file


def test_the_commands_find_the_users_own_code(own, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def mclir(*arguments):
        monkeypatch.setattr(sys, 'argv', ['mclir'])  # train and test write to it
        status = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert status == 0, said.err
        return said.out

    flags = ('--import', 'code/own_code.py')
    assert main(['check', '--fast', '-opt', str(own)]) == 2
    assert 'OwnNet' in capsys.readouterr().err
    checked = mclir('check', '-opt', own, *flags)
    for registered in ('network OwnNet (own_code)', 'loss OwnLoss (own_code)', 'data set OwnPairs (own_code)'):
        assert registered in checked
    mclir('train', '-opt', own, *flags)
    assert 'OwnNet from' in mclir('evaluate', tmp_path / 'experiments' / 'tiny', *flags)
    opt = yaml.safe_load(own.read_text())
    del opt['train']['spn_opt'], opt['train']['history']
    (tmp_path / 'plain.yml').write_text(yaml.safe_dump(opt | {'model_type': 'SRModel'}, sort_keys=False))
    checkpoint = tmp_path / 'experiments' / 'tiny' / 'models' / 'net_g_latest.pth'
    enable = ('enable', tmp_path / 'plain.yml', '--pretrain', checkpoint, '--vgg-weights', 'random')
    assert 'measured in' in mclir(*enable, '-o', 'spn.yml', *flags)
    test = {'name': 'tested', 'path': {'pretrain_network_g': str(checkpoint)}} | {
        key: opt[key] for key in ('scale', 'num_gpu', 'network_g', 'val')
    }
    test |= {'model_type': 'SRModel', 'datasets': {'test': opt['datasets']['val']}}
    (tmp_path / 'test.yml').write_text(yaml.safe_dump(test))
    mclir('test', '-opt', 'test.yml', *flags)


def test_processes_that_read_data_import_it_where_they_are_spawned(tmp_path):
    """As under torchrun: what they are given is looked up by its module."""
    (tmp_path / 'spawned_data.py').write_text(
        'class Numbers:\n    def __len__(self):\n        return 3\n    def __getitem__(self, i):\n        return i\n'
    )
    script = tmp_path / 'read.py'
    script.write_text(
        'from mclir_basicsr.imports import import_all\n'
        'from torch.utils.data import DataLoader\n'
        "if __name__ == '__main__':\n"
        f'    print(*import_all([{str(tmp_path / "spawned_data.py")!r}]))\n'
        '    import spawned_data\n'
        "    loader = DataLoader(spawned_data.Numbers(), num_workers=1, multiprocessing_context='spawn')\n"
        '    print([int(batch) for batch in loader])\n'
    )
    (tmp_path / 'elsewhere').mkdir()
    result = run(sys.executable, '-P' if sys.version_info >= (3, 11) else '-s', script, cwd=tmp_path / 'elsewhere')
    assert '[0, 1, 2]' in result.stdout, result.stderr[-2000:]
    assert 'registered nothing new' in result.stdout


def test_modules_are_found_in_the_current_folder_also(tmp_path, monkeypatch):
    (tmp_path / 'ownpackage').mkdir()
    (tmp_path / 'ownpackage' / 'nets.py').write_text(
        'from basicsr.utils.registry import ARCH_REGISTRY\n@ARCH_REGISTRY.register()\nclass NetOfPackage: pass\n'
    )
    monkeypatch.chdir(tmp_path)
    assert import_all(['ownpackage.nets']) == ['--import ownpackage.nets: network NetOfPackage (ownpackage.nets).']


@pytest.mark.parametrize(
    ('code', 'message'),
    [
        ('import torch\nimport nothing_of_the_kind\n', 'line 2 (import nothing_of_the_kind): ModuleNotFoundError: No'),
        ('def broken(:\n    pass\n', 'line 1: SyntaxError: '),
        ('import torch\n\n\nx = torch.nn.Conv2d("a")\n', 'line 4 (x = torch.nn.Conv2d("a")): TypeError: '),
        ('import sys\nsys.exit(3)\n', 'line 2 (sys.exit(3)): SystemExit: 3'),
        (
            'from basicsr.utils.registry import ARCH_REGISTRY\n@ARCH_REGISTRY.register()\nclass RCAN: pass\n',
            "AssertionError: An object named 'RCAN' was already registered",
        ),
    ],
)
def test_what_fails_in_it_is_named_with_file_and_line(tmp_path, code, message):
    file = tmp_path / f'own_{abs(hash(code))}.py'
    file.write_text(code)
    with pytest.raises(MclirError) as caught:
        import_all([str(file)])
    assert str(caught.value).startswith(f'--import {file}: {file}, line ')
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('gone.py', r'there is no file gone\.py \(seen from '),
        ('gone.module', r'there is no module gone\.module'),
        ('no module', r'there is no module no module'),
        ('yaml.py', r'another module is called yaml already \(.*__init__\.py\): rename'),
        ('a.b.py', r'without another dot'),
    ],
)
def test_what_cannot_be_imported_is_refused(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    if not name.startswith('gone'):
        (tmp_path / name).touch()
    with pytest.raises(MclirError, match=message):
        import_all([name])
